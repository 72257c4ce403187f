"""From a layer's grid to the picture's.

A layer's cells cover the picture as a coarser grid does, edge to edge (cell centres at half
cells). Pillow's filters on float32: its bicubic is R. Keys' with a = -0.5 ("Cubic convolution
interpolation for digital image processing", 1981), as MATLAB's, and not the -0.75 of PyTorch and
OpenCV. Where a grid is finer than the picture, the filters average.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.errors import InputError, nearest

__all__ = ["METHODS", "check_method", "resample", "upsample"]

METHODS = ("bicubic", "bilinear", "nearest", "none")


def check_method(method: str) -> None:
    """Finds out before the work whether there is such a method.

    Raises:
        InputError: there is none.
    """
    if method not in METHODS:
        raise InputError(f"there is no upsampling {method!r}{nearest(method, METHODS, most=4)}")


def resample(plane: NDArray[np.float32], grid: tuple[int, int], method: str) -> NDArray[np.float32]:
    """Brings any plane to another grid, as the filter gives it.

    Args:
        plane: [h, w].
        grid: (height, width).
        method: ``"bicubic"``, ``"bilinear"`` or ``"nearest"``.

    Returns:
        [height, width].
    """
    height, width = grid
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling[method.upper()]))


def upsample(
    plane: NDArray[np.float32], grid: tuple[int, int], method: str = "bicubic"
) -> NDArray[np.float32]:
    """Brings a map to the picture's grid.

    Args:
        plane: [h, w], 0 or more, as a map is after its ReLU.
        grid: the picture's (height, width).
        method: one of :data:`METHODS`; ``"none"`` leaves the map as it is.

    Returns:
        [height, width]; the undershoot of the bicubic filter is clipped at 0.

    Raises:
        InputError: there is no such method.
    """
    check_method(method)
    return plane if method == "none" else np.maximum(resample(plane, grid, method), 0)
