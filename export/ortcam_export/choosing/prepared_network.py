"""A network whose layers are being chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field

import onnx_ir as ir

from ortcam_export.choosing.channel_axes import Axes, Kinds, tensor_axes

__all__ = ["PreparedNetwork"]


@dataclass(frozen=True)
class PreparedNetwork:
    """A prepared network, and what every choice of a layer reads and tells.

    Attributes:
        model: the network; a choice may append a score to it, or fold tokens in it.
        notes: takes a sentence on each thing chosen or appended.
        layouts: inputs' names to their layouts, where these are stated.
        kinds: the kind of each axis of each of its tensors, one of
            :data:`ortcam.artifact.AXES`, or None where it is unknown.
        axes: the channel axis of each of its tensors; None where there is none, or it is unknown.
        frames: its tensors whose first axis holds each picture's frames, views or tiles.

    The axes are those before anything is appended.
    """

    model: ir.Model
    notes: list[str] = field(default_factory=list)
    layouts: InitVar[Mapping[str, str] | None] = None
    kinds: Kinds = field(init=False)
    axes: Axes = field(init=False)
    frames: frozenset[str] = field(init=False)

    def __post_init__(self, layouts: Mapping[str, str] | None) -> None:
        tracker = tensor_axes(self.model, layouts)
        object.__setattr__(self, "kinds", tracker.kinds)
        object.__setattr__(self, "axes", tracker.channels)
        object.__setattr__(self, "frames", tracker.frames)
