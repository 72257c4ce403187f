"""From a layer's grid to the picture's.

A layer's cells cover the picture as a coarser grid does, edge to edge (cell centres at half
cells). Bicubic is R. Keys' filter with a = -0.5 ("Cubic convolution interpolation for digital image
processing", 1981), the cells mirrored at the edges, as MATLAB's imresize has it, and not the -0.75
of PyTorch and OpenCV. Where a grid is finer than the picture, the filters average, but for
``"bilinear-opencv"``, which looks at the nearest cells alone as OpenCV and PyTorch do; where it is
coarser the two linear ones are the same. All are products of one filter an axis, so a volume is
resampled slice by slice and then along its depth.
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
    """Finds out before the work whether there is such a method.

    Raises:
        InputError: there is none.
    """
    if method not in METHODS:
        raise InputError(f"there is no upsampling {method!r}{nearest(method, METHODS, most=5)}")


def resample(plane: Plane, grid: tuple[int, ...], method: str) -> Plane:
    """Brings any plane or volume to another grid, as the filter gives it.

    Args:
        plane: [h, w] or [d, h, w].
        grid: (height, width) or (depth, height, width).
        method: one of :data:`METHODS`, along each axis; ``"none"`` leaves the plane as it is.

    Returns:
        [height, width] or [depth, height, width].
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


def _by_pillow(plane: Plane, grid: tuple[int, int], method: str) -> Plane:
    """Pillow's filters leave out what lies beyond an edge; for bicubic it is there, mirrored."""
    beyond = [0, 0]
    if method == "bicubic":  # two cells to a side, of a finer grid two of the picture's pixels
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
    """Between the two nearest cells along one axis; before the first and behind the last, these."""
    cells = plane.shape[axis]
    at = np.clip((np.arange(extent) + 0.5) * (cells / extent) - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(np.intp), max(cells - 2, 0))
    share = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(2)])
    before, behind = plane.take(low, axis), plane.take(np.minimum(low + 1, cells - 1), axis)
    between: Plane = before * (1 - share) + behind * share
    return between
