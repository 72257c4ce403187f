"""The kind of each axis of each tensor, and with it the axis of channels, or classes.

They are followed from the inputs, whose layouts are stated or known by what reads them
(:mod:`ortcam_export.graph.layouts`), through the operators (:mod:`ortcam_export.graph.axis_rules`).
What cannot be followed is unknown, and nothing is guessed in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from ortcam_export.graph.axis_factors import (
    UNKNOWN,
    Axis,
    Factor,
    has_frames,
    kind_of_all,
    sizes,
)
from ortcam_export.graph.axis_rules import follow_axes
from ortcam_export.graph.layouts import input_kinds
from ortcam_export.graph.values import rank

__all__ = ["Axes", "Kinds", "TensorAxes", "channel_axes", "tensor_axes"]

#: A tensor's name to its channel axis, or to None where it has none, or its place is unknown.
Axes = dict[str, int | None]

#: A tensor's name to the kind of each of its axes, of ortcam.artifact.AXES, or None if unknown.
Kinds = dict[str, tuple[str | None, ...]]


@dataclass(frozen=True)
class TensorAxes:
    """The axes of all tensors of rank 1 or more to which an input leads.

    Attributes:
        kinds: the kind of each axis.
        frames: the tensors whose first axis holds each picture's frames, views or tiles.
    """

    kinds: Kinds
    frames: frozenset[str]

    @property
    def channels(self) -> Axes:
        """The channel axes: the one of kind class, which is never axis 0."""
        return {name: _channels(kinds) for name, kinds in self.kinds.items()}


def channel_axes(model: ir.Model, layouts: Mapping[str, str] | None = None) -> Axes:
    """Return the channel axis of every tensor of a prepared model to which an input leads.

    Args:
        model: the model, with shapes.
        layouts: inputs' names to their layouts, of :data:`ortcam_export.graph.layouts.LAYOUTS`.

    Raises:
        InputError: a layout does not fit its input.
    """
    return tensor_axes(model, layouts).channels


def tensor_axes(model: ir.Model, layouts: Mapping[str, str] | None = None) -> TensorAxes:
    """Return the axes of every tensor; the arguments are those of :func:`channel_axes`."""
    stated = layouts or {}
    seeds = {
        value.name: _seed(value, input_kinds(model, value, stated.get(value.name)))
        for value in model.graph.inputs
        if value.name is not None
    }
    followed = follow_axes(model.graph, seeds)
    return TensorAxes(
        {name: kind_of_all(axes) for name, axes in followed.items()},
        frozenset(name for name, axes in followed.items() if axes and has_frames(axes[0])),
    )


def _seed(value: ir.Value, kinds: tuple[str | None, ...]) -> list[Axis]:
    """An input's axes; the batch's origin tells the inputs apart, and their rank."""
    return [
        (Factor(kind, size, (value.name or "", rank(value))),) if kind else UNKNOWN
        for kind, size in zip(kinds, sizes(value), strict=True)
    ]


def _channels(kinds: tuple[str | None, ...]) -> int | None:
    axes = [axis for axis, kind in enumerate(kinds) if kind == "class"]
    return axes[0] if len(axes) == 1 and axes[0] > 0 else None
