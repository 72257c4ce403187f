"""From a layer's grid to the picture's.

A layer's cells cover the picture as a coarser grid does, edge to edge (cell centres at half
cells). Pillow's filters on float32: its bicubic is R. Keys' with a = -0.5 ("Cubic convolution
interpolation for digital image processing", 1981), as MATLAB's, and not the -0.75 of PyTorch and
OpenCV. Where a grid is finer than the picture, the filters average. They are products of one filter
an axis, so a volume is resampled slice by slice and then along its depth.
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


def resample(plane: NDArray[np.float32], grid: tuple[int, ...], method: str) -> NDArray[np.float32]:
    """Brings any plane or volume to another grid, as the filter gives it.

    Args:
        plane: [h, w] or [d, h, w].
        grid: (height, width) or (depth, height, width).
        method: ``"bicubic"``, ``"bilinear"`` or ``"nearest"``, along each axis.

    Returns:
        [height, width] or [depth, height, width].
    """
    if plane.ndim == 3:
        depth, *space = grid
        slices = np.stack([resample(s, (space[0], space[1]), method) for s in plane])
        rows = slices.reshape(len(slices), -1)
        return resample(rows, (depth, rows.shape[1]), method).reshape(grid)
    height, width = grid
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling[method.upper()]))


def upsample(
    plane: NDArray[np.float32], grid: tuple[int, ...], method: str = "bicubic"
) -> NDArray[np.float32]:
    """Brings a map to the picture's grid.

    Args:
        plane: [h, w], or [d, h, w] of a volume, 0 or more, as a map is after its ReLU.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        method: one of :data:`METHODS`; ``"none"`` leaves the map as it is.

    Returns:
        The map on that grid; the undershoot of the bicubic filter is clipped at 0.

    Raises:
        InputError: there is no such method.
    """
    check_method(method)
    return plane if method == "none" else np.maximum(resample(plane, grid, method), 0)
