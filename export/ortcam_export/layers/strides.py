"""Strides: the pixels of the picture that one cell of a layer stands for, along each axis."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["place_axes", "strides"]

Extent = int | str | None


def place_axes(kinds: Sequence[str | None], count: int | None = None) -> list[int]:
    """The axes of an input along which a map lies; none where an axis is of unknown kind.

    Args:
        kinds: the kind of each axis of the input.
        count: the axes of a map; time is left out where they are fewer, as those of a map for
            each frame are.
    """
    if None in kinds:
        return []
    places = [axis for axis, kind in enumerate(kinds) if kind not in ("batch", "class")]
    if count is None or count == len(places):
        return places
    space = [axis for axis in places if kinds[axis] == "space"]
    return space if count == len(space) else []


def strides(pixels: Sequence[Extent], cells: Sequence[Extent]) -> tuple[float, ...]:
    """Pixels for each cell along each axis, to two decimals; empty where they cannot be told.

    Example:
        >>> strides((32, 64), (16, 16))
        (2, 4)
    """
    result: list[float] = []
    for extent, count_of_cells in zip(pixels, cells, strict=False):
        if not isinstance(extent, int) or not isinstance(count_of_cells, int) or count_of_cells < 1:
            return ()
        stride = round(extent / count_of_cells, 2)
        result.append(int(stride) if stride == int(stride) else stride)
    return tuple(result) if len(result) == len(cells) else ()
