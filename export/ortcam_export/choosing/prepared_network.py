"""A network whose layers are being chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx_ir as ir

from ortcam_export.choosing.channel_axes import Axes, channel_axes

__all__ = ["PreparedNetwork"]


@dataclass(frozen=True)
class PreparedNetwork:
    """A prepared network, and what every choice of a layer reads and tells.

    Attributes:
        model: the network; a choice may append a score to it, or fold tokens in it.
        notes: takes a sentence on each thing chosen or appended.
        axes: the channel axis of each of its tensors, before anything is appended.
    """

    model: ir.Model
    notes: list[str] = field(default_factory=list)
    axes: Axes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", channel_axes(self.model))
