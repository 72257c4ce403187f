"""Label images: the true class of every pixel.

A label image is as untrusted as any picture, and is read with the same care.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam.artifact import Color
from ortcam.errors import RegionError
from ortcam.grids.labels import NONE
from ortcam.pictures.read import pixels

__all__ = ["Truth", "read"]

Truth: TypeAlias = "ArrayLike | str | os.PathLike[str]"
"""Class indices [H, W] ([D, H, W] for a volume), label colours [H, W, 3], or a picture's path."""


def read(truth: Truth, grid: tuple[int, ...], colors: Sequence[Color]) -> NDArray[np.int32]:
    """Return the class of every pixel.

    Args:
        truth: 0-based class indices; or the classes' label colours, uint8. The pixels of a grey or
            palette picture are indices, those of others colours.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        colors: the classes' label colours.

    Returns:
        Class indices on the grid, :data:`ortcam.grids.labels.NONE` for pixels without a class, such
        as those that a label image calls "void".

    Raises:
        PictureError: the path leads to no picture.
        RegionError: it has another size, is no label image, or has no class.

    Example:
        >>> read([[1, 255]], (1, 2), [(0, 0, 0), (9, 9, 9)]).tolist()
        [[1, -1]]
    """
    values = pixels(truth) if isinstance(truth, (str, os.PathLike)) else np.asarray(truth)
    if values.dtype.kind not in "bui" or values.shape[: len(grid)] != grid:
        raise RegionError(
            f"the label image is {list(values.shape)} {values.dtype} and the picture {list(grid)}; "
            "give an integer, or a colour, for each of the picture's pixels"
        )
    if values.ndim == len(grid):
        # NumPy 2 would keep bytes, in which NONE is 255.
        indices = values.astype(np.int64)
        labels = np.where((indices >= 0) & (indices < len(colors)), indices, NONE).astype(np.int32)
    elif values.ndim == len(grid) + 1 and values.shape[-1] == 3:
        labels = _by_color(values, colors)
    else:
        raise RegionError(
            f"the label image is {list(values.shape)}; give a class index, or an RGB colour, for "
            "each pixel"
        )
    if (labels == NONE).all():
        raise RegionError(
            "the label image has no class: its values are neither 0-based class indices nor the "
            "artifact's label colours"
        )
    return labels


def _by_color(values: NDArray[np.uint8], colors: Sequence[Color]) -> NDArray[np.int32]:
    def number(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
        numbers: NDArray[np.int32] = rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
        return numbers

    labels = np.full(values.shape[:-1], NONE, np.int32)
    numbers = number(values)
    for index, color in reversed(list(enumerate(colors))):  # the first class of a colour wins
        labels[numbers == number(np.array(color))] = index
    return labels
