"""The layout of a network's input: the kind of each of its axes.

What reads the input tells it best: by ONNX's definition a convolution has the channels of its
operand in axis 1, and a recurrence its steps in axis 0. Else an extent of 1 or 3 is that of a
picture's channels, if it stands first or last, and not both; else the only fixed extent beside
sizes that are left open. Where none of these tells, the layout is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ortcam import artifact
from ortcam.errors import InputError
from ortcam_export.graph.axis_factors import Factor
from ortcam_export.graph.axis_rules import FollowedAxes, follow_axes
from ortcam_export.graph.values import PICTURE_CHANNELS, extents, rank

__all__ = ["LAYOUTS", "input_kinds", "input_layout", "kinds_by_readers"]

Kinds = tuple[str | None, ...]

#: The kinds of axes by their letters; the others are places.
_KINDS = {"N": "batch", "C": "class", "T": "time"}

#: The kinds of the axes of each layout.
LAYOUTS: dict[str, tuple[str, ...]] = {
    name: tuple(_KINDS.get(letter, "space") for letter in name) for name in artifact.LAYOUTS
}

_CONVOLUTIONS = ("Conv", "ConvInteger", "ConvTranspose", "QLinearConv")

_RECURRENCES = ("GRU", "LSTM", "RNN")

#: Operators that have their channels in axis 1 too, but are at times applied to other axes.
_CHANNELS_FIRST = (
    *("AveragePool", "BatchNormalization", "DepthToSpace", "GlobalAveragePool", "GridSample"),
    *("InstanceNormalization", "MaxPool", "SpaceToDepth"),
)


def input_layout(model: ir.Model, value: ir.Value, layout: str | None = None) -> str | None:
    """Return the layout of an input: one of :data:`LAYOUTS`, or None if it is unknown.

    Args:
        model: a prepared network.
        value: its input.
        layout: the user's statement, which counts for more than what the network shows.

    Raises:
        InputError: ``layout`` is none of :data:`LAYOUTS`, or has another rank than the input.
    """
    kinds = input_kinds(model, value, layout)
    if layout is not None:
        return layout
    return next((name for name, kinds_of in LAYOUTS.items() if kinds_of == kinds), None)


def input_kinds(model: ir.Model, value: ir.Value, layout: str | None = None) -> Kinds:
    """Return the kind of each axis of an input: one of :data:`ortcam.artifact.AXES`, or None.

    The arguments and errors are those of :func:`input_layout`.
    """
    if layout is not None:
        _refuse_misfit(value, layout)
        return LAYOUTS[layout]
    depth = rank(value)
    if depth < 2:
        return ("batch",) * depth
    if depth == 2:
        integers = value.dtype is not None and not value.dtype.is_floating_point()
        return "batch", "list" if integers else "class"
    return kinds_by_readers(model, value) or _kinds_by_extents(value)


def _refuse_misfit(value: ir.Value, layout: str) -> None:
    if layout not in LAYOUTS:
        raise InputError(f"layout is {layout!r}; it is one of {', '.join(LAYOUTS)}")
    if value.shape is not None and rank(value) != len(layout):
        shape = ", ".join(map(str, extents(value)))
        raise InputError(
            f"layout {layout} does not fit: it has {len(layout)} axes, but the input "
            f"{value.name!r} [{shape}] has {rank(value)}"
        )


# ---- By what reads the input ----------------------------------------------------------------


def kinds_by_readers(model: ir.Model, value: ir.Value) -> Kinds | None:
    """The kinds on which all convolutions and recurrences that read the input agree."""
    name = value.name or ""
    first = Factor("batch", origin=(name, 0))
    rest = [Factor(origin=(name, axis)) for axis in range(1, rank(value))]
    followed = follow_axes(model.graph, {name: [(factor,) for factor in (first, *rest)]})
    for operators in (_CONVOLUTIONS + _RECURRENCES, _CHANNELS_FIRST):
        readings = {
            kinds
            for node in model.graph
            if node.op_type in operators and not node.domain
            if (kinds := _reading(node, value, followed)) is not None
        }
        if len(readings) == 1:
            return readings.pop()
        if readings:
            return None
    return None


def _reading(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> Kinds | None:
    """The kinds of an input's axes by one node that reads it, perhaps permuted or merged."""
    operand = node.inputs[0]
    axes = [] if operand is None else followed.get(operand.name or "", [])
    origins = [
        {factor.origin[1] for factor in axis if factor.origin and factor.origin[0] == value.name}
        for axis in axes
    ]
    if len(origins) < 3 or not set().union(*origins[1:]):
        return None
    if node.op_type in _CONVOLUTIONS and not _fits(node):
        return None
    kinds: list[str | None] = ["batch", *[None] * (rank(value) - 1)]
    if node.op_type in _RECURRENCES:
        batch_first = bool(node.attributes.get_int("layout", 0))
        places, outer, inner = origins[1 if batch_first else 0], origins[0], origins[2]
        if not batch_first:
            outer = origins[1]
        groups = [(places, "time"), (outer, "batch"), (inner, "class")]
        if len(places) != 1 or len(outer) != 1 or len(inner) != 1:
            return None
    else:
        places = set().union(*origins[2:])
        channels = _channels(value, origins[1] - places - {0})
        frames = (origins[0] | origins[1]) - channels - places - {0}
        groups = [(places - {0}, "space"), (frames, "time"), (channels, "class")]
    for among, kind in groups:
        for axis in among:
            kinds[axis] = kind
    return tuple(kinds)


def _fits(node: ir.Node) -> bool:
    """True if a convolution's weights are of its operand's rank."""
    operand, weights = node.inputs[:2]
    return operand is not None and weights is not None and rank(operand) == rank(weights)


def _channels(value: ir.Value, among: set[int]) -> set[int]:
    """Of several axes that are merged into the channels, the one of a picture's."""
    if len(among) < 2 or value.shape is None:
        return among
    likely = {axis for axis in among if value.shape[axis] in PICTURE_CHANNELS}
    return likely if len(likely) == 1 else set()


# ---- By the extents -------------------------------------------------------------------------


def _kinds_by_extents(value: ir.Value) -> Kinds:
    dims = () if value.shape is None else value.shape.dims
    depth = len(dims)
    unknown: Kinds = ("batch", *[None] * (depth - 1))
    if not 3 <= depth <= 5:
        return unknown
    likely = [axis for axis in (1, depth - 1) if dims[axis] in PICTURE_CHANNELS]
    fixed = [axis for axis in range(1, depth) if isinstance(dims[axis], int)]
    if not likely and len(fixed) == 1 and depth > 3:
        likely = [axis for axis in fixed if axis in (1, depth - 1)]
    if len(likely) != 1:
        return unknown
    return _with_channels(likely[0], depth)


def _with_channels(axis: int, depth: int) -> Kinds:
    kinds: Sequence[str] = ["batch", *["space"] * (depth - 1)]
    return tuple("class" if i == axis else kind for i, kind in enumerate(kinds))
