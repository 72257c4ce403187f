"""Label images: what is really in a picture, pixel by pixel.

A label image is untrusted as any picture is, and read with the same care.
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
from ortcam.pictures import read as pictures

__all__ = ["Truth", "read"]

Truth: TypeAlias = "ArrayLike | str | os.PathLike[str]"
"""Class indices [H, W] ([D, H, W] of a volume), label colours [H, W, 3], or a picture's path."""


def read(truth: Truth, grid: tuple[int, ...], colors: Sequence[Color]) -> NDArray[np.int32]:
    """The class of every pixel.

    Args:
        truth: class indices, 0-based, as whole numbers; or the classes' label colours, uint8. A
            picture's pixels are indices where it is grey or has a palette, else colours.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        colors: the classes' label colours.

    Returns:
        On that grid a class's index, or :data:`ortcam.grids.labels.NONE` where it is no class's, as
        where a label image says "void".

    Raises:
        PictureError: the path leads to no picture.
        RegionError: it has another size, is no label image, or names no class.
    """
    values = pictures.pixels(truth) if isinstance(truth, (str, os.PathLike)) else np.asarray(truth)
    if values.dtype.kind not in "bui" or values.shape[: len(grid)] != grid:
        raise RegionError(
            f"the label image is {list(values.shape)} {values.dtype} and the picture {list(grid)}; "
            "a label image holds a whole number, or a colour, for each of the picture's pixels"
        )
    if values.ndim == len(grid):
        labels = np.where((values >= 0) & (values < len(colors)), values, NONE).astype(np.int32)
    elif values.ndim == len(grid) + 1 and values.shape[-1] == 3:
        labels = _by_color(values, colors)
    else:
        raise RegionError(
            f"the label image is {list(values.shape)}: neither a class index nor a colour of red, "
            "green and blue for each pixel"
        )
    if (labels == NONE).all():
        raise RegionError(
            "the label image names no class: its values are neither 0-based class indices nor the "
            "artifact's label colours"
        )
    return labels


def _by_color(values: NDArray[np.uint8], colors: Sequence[Color]) -> NDArray[np.int32]:
    def number(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
        places: NDArray[np.int32] = rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
        return places

    labels = np.full(values.shape[:-1], NONE, np.int32)
    found = number(values)
    for index, color in reversed(list(enumerate(colors))):  # of classes alike the first counts
        labels[found == number(np.array(color))] = index
    return labels
