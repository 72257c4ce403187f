"""The open extents of a network's inputs, and the numbers that take their place in a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ortcam_export.graph.values import rank
from ortcam_export.reading.picture_input import channel_count, find_layout

__all__ = ["OpenShape", "fill", "fills_of", "names_of", "open_shape"]

#: An extent is a number, the name of an open one, or None for an open one without a name.
OpenShape = tuple[int | str | None, ...]

#: Begins the names that are made up for unknown extents, so that equal ones mean nothing.
_MADE_UP = "unk__"


def open_shape(value: ir.Value) -> OpenShape:
    """Return an input's extents; one of 0 or less is open."""
    return tuple(_extent(dim) for dim in (() if value.shape is None else value.shape.dims))


def fills_of(model: ir.Model, picture: ir.Value, batch: int, extent: int) -> list[int]:
    """Return a number for each axis of the input that takes the picture, where it is open.

    Args:
        model: a prepared network.
        picture: its input.
        batch: the number of pictures.
        extent: the number for the other axes, but for channels that a convolution reads.
    """
    fills = [batch, *[extent] * (rank(picture) - 1)]
    layout = find_layout(model, picture, None)
    channels = channel_count(picture, layout)
    if layout.channel_axis is not None and channels is not None:
        fills[layout.channel_axis] = channels
    return fills


def fill(shape: OpenShape, symbols: Mapping[str, int], fills: Sequence[int]) -> list[int]:
    """Return a shape of numbers.

    Args:
        shape: an input's extents.
        symbols: the numbers of named extents.
        fills: the numbers of the others, one for each axis.
    """
    return [
        extent if isinstance(extent, int) else symbols.get(extent or "", number)
        for extent, number in zip(shape, fills, strict=True)
    ]


def names_of(shape: OpenShape, extents: Sequence[int]) -> dict[str, int]:
    """Return the numbers of a shape's named extents."""
    return {
        name: number for name, number in zip(shape, extents, strict=True) if isinstance(name, str)
    }


def _extent(dim: int | ir.SymbolicDim) -> int | str | None:
    if isinstance(dim, int):
        return dim if dim > 0 else None
    return None if (dim.value or _MADE_UP).startswith(_MADE_UP) else dim.value
