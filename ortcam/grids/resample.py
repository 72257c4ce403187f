"""Resampling from one grid to another, such as from a layer's to the picture's.

A layer's cells cover the picture edge to edge, their centres at half cells. Bicubic is R. Keys'
filter ("Cubic convolution interpolation for digital image processing", 1981) with a = -0.5 and
cells mirrored at the edges, as in MATLAB's imresize; PyTorch and OpenCV have a = -0.75. When they
shrink, the filters average, except ``"bilinear-opencv"``, which uses only the nearest cells as
OpenCV and PyTorch do; when they enlarge, the two linear filters agree. All filters are separable,
so a volume is resampled slice by slice and then along its depth.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.errors import InputError, nearest

__all__ = ["METHODS", "check_method", "resample", "upsample"]

METHODS = ("bicubic", "bilinear", "bilinear-opencv", "nearest", "none")

Plane = NDArray[np.float32]


def check_method(method: str) -> None:
    """Checks the name of a method.

    Raises:
        InputError: there is no such method.
    """
    if method not in METHODS:
        raise InputError(f"there is no upsampling {method!r}{nearest(method, METHODS, most=5)}")


def resample(plane: Plane, grid: tuple[int, ...], method: str) -> Plane:
    """Resample a plane or volume to another grid.

    Args:
        plane: [h, w] or [d, h, w].
        grid: (height, width) or (depth, height, width).
        method: one of :data:`METHODS`; ``"none"`` returns the plane as it is.

    Returns:
        [height, width] or [depth, height, width].

    Example:
        >>> resample(np.float32([[0, 1]]), (1, 4), "bilinear").tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    if method == "none":
        return plane
    if plane.ndim == 3:
        depth, *space = grid
        slices = np.stack([resample(s, (space[0], space[1]), method) for s in plane])
        rows = slices.reshape(len(slices), -1)
        return resample(rows, (depth, rows.shape[1]), method).reshape(grid)
    if method == "bilinear-opencv":
        return _between(_between(plane, grid[0], 0), grid[1], 1)
    return _by_pillow(plane, (grid[0], grid[1]), method)


def upsample(plane: Plane, grid: tuple[int, ...], method: str = "bicubic") -> Plane:
    """Upsample a map to the picture's grid.

    Args:
        plane: a map after its ReLU, [h, w], or [d, h, w] for a volume.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        method: one of :data:`METHODS`; ``"none"`` returns the map as it is.

    Returns:
        The map on that grid; the undershoot of the bicubic filter is clipped at 0.

    Raises:
        InputError: there is no such method.

    Example:
        >>> upsample(np.float32([[0, 1]]), (2, 4), "nearest").tolist()
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    check_method(method)
    return plane if method == "none" else np.maximum(resample(plane, grid, method), 0)


def _by_pillow(plane: Plane, grid: tuple[int, int], method: str) -> Plane:
    """Resample by Pillow, whose filters ignore cells beyond an edge; bicubic gets mirrored ones."""
    beyond = [0, 0]
    if method == "bicubic":  # two cells a side, or two target pixels when shrinking
        shrink = [old / new for old, new in zip(plane.shape, grid, strict=True)]
        beyond = [0 if s == 1 else math.ceil(2 * max(s, 1)) for s in shrink]
    (top, left), (height, width) = beyond, plane.shape
    padded = np.pad(plane, [(n, n) for n in beyond], mode="symmetric")
    image = Image.fromarray(np.ascontiguousarray(padded, np.float32))
    resized = image.resize(
        (grid[1], grid[0]),
        Image.Resampling[method.upper()],
        box=(left, top, left + width, top + height),
    )
    return np.asarray(resized)


def _between(plane: Plane, extent: int, axis: int) -> Plane:
    """Interpolate between the two nearest cells along one axis; the edges repeat the end cells."""
    cells = plane.shape[axis]
    at = np.clip((np.arange(extent) + 0.5) * (cells / extent) - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(np.intp), max(cells - 2, 0))
    share = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(2)])
    left, right = plane.take(low, axis), plane.take(np.minimum(low + 1, cells - 1), axis)
    between: Plane = left * (1 - share) + right * share
    return between
