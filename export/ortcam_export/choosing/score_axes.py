"""The axes of a score: which holds the classes, which the batch, and what the others are."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.errors import InputError, LayerError
from ortcam.messages import Option
from ortcam_export.choosing.candidates import quoted
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.graph.values import rank

__all__ = ["batch_axis", "check_class_axis", "class_axis", "kinds_of_axes", "largest_input"]


def largest_input(model: ir.Model) -> ir.Value | None:
    """The input of the highest rank, which is the picture's if none is named."""
    return max(model.graph.inputs, key=rank, default=None)


def check_class_axis(value: ir.Value, axis: int) -> int:
    """Return the axis that the user states, counted from the front.

    Raises:
        InputError: the tensor has no such axis, or it is that of the batch.
    """
    of = rank(value)
    if not -of <= axis < of:
        raise InputError(
            f"{quoted(value)} has no axis {axis}; choose one of 1 to {of - 1} by ",
            Option("class_axis"),
        )
    if axis % of == 0:
        raise InputError(
            f"axis 0 of {quoted(value)} is that of the batch, which holds no classes; choose "
            "another by ",
            Option("class_axis"),
        )
    return axis % of


def class_axis(network: PreparedNetwork, value: ir.Value, picture: ir.Value | None) -> int | None:
    """Return the axis of a tensor's channels, as far as it is known; never that of the batch.

    Of two axes the one that is not the batch's is known, whatever operators gave them.
    """
    axis = network.axes.get(value.name or "")
    batch = batch_axis(network, value, axis, picture)
    if axis and axis != batch:
        return axis
    return 1 - batch if rank(value) == 2 and batch is not None else None


def batch_axis(
    network: PreparedNetwork, value: ir.Value, axis: int | None, picture: ir.Value | None
) -> int | None:
    """Return the axis with one row for each picture, or None where the first has several.

    Such a first axis holds the frames or tiles of each picture, one picture's after the other's.

    Args:
        network: the network, which knows the kinds of axes as far as they could be followed.
        value: a tensor.
        axis: its class axis, or None.
        picture: the input that takes the picture.

    Raises:
        LayerError: no axis has a row for each picture.
    """
    if value.name in network.frames:
        return None
    kinds = network.kinds.get(value.name or "", ())
    if "batch" in kinds:
        return kinds.index("batch")
    if value.shape is None or picture is None or picture.shape is None:
        return 0
    batch, extents = picture.shape[0], list(value.shape.dims)
    if not extents or extents[0] == batch or (isinstance(batch, int) and not _is_fixed(value)):
        return 0
    rows = [a for a, extent in enumerate(extents) if extent == batch and a != axis]
    if rows:
        return rows[0]
    if kinds and kinds[0] not in (None, "class"):
        raise LayerError(
            f"the first axis of {quoted(value)} is {_PLAIN.get(kinds[0], kinds[0])}, and no other "
            "has a row for each picture; name another reduction layer"
        )
    return 0


_PLAIN = {"list": "a list", "space": "places"}


def _is_fixed(value: ir.Value) -> bool:
    """True if the first axis of a tensor has a known extent."""
    return value.shape is not None and isinstance(value.shape[0], int)


def kinds_of_axes(
    network: PreparedNetwork, value: ir.Value, axis: int | None, picture: ir.Value | None
) -> list[str]:
    """Return the kind of each axis of a score, of :data:`ortcam.artifact.AXES`.

    What could not be followed is space if there are as many axes as the picture has of it, else a
    list; a lone axis of space of a picture that has several is one too.

    Args:
        network: the network, which knows the kinds of axes as far as they could be followed.
        value: the score.
        axis: its class axis, or None.
        picture: the input that takes the picture.
    """
    batch = batch_axis(network, value, axis, picture) or 0
    tracked = network.kinds.get(value.name or "", (None,) * rank(value))
    others = [a for a in range(rank(value)) if a not in (axis, batch)]
    unknown = [a for a in others if tracked[a] not in ("space", "list", "time")]
    space = _axes_of_space(network, picture)
    places = len(unknown) if len(others) == space else 0
    if len(others) > space:
        places = max(space - sum(tracked[a] == "space" for a in others), 0)
    kinds = [kind or "list" for kind in tracked]
    for a in unknown:
        kinds[a] = "list"
    for a in unknown[len(unknown) - places :]:
        kinds[a] = "space"
    if space > 1 and [kinds[a] for a in others].count("space") == 1:  # no map, rows of queries
        kinds = ["list" if kind == "space" else kind for kind in kinds]
    kinds[batch] = "batch"
    if axis is not None:
        kinds[axis] = "class"
    return kinds


def _axes_of_space(network: PreparedNetwork, picture: ir.Value | None) -> int:
    """The number of a picture's axes of space, 2 where it is unknown."""
    if picture is None:
        return 2
    kinds = network.kinds.get(picture.name or "", ())
    return kinds.count("space") or max(rank(picture) - 2, 1)
