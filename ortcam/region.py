"""A region on the picture's grid, as weights of the score's cells.

Every cell of the score lies over a rectangle of the picture; its weight is the mean of the region
there, so that the fraction of a cell that the region covers is what it counts. One pixel never
vanishes, a region of all ones asks the same as no region at all, and the sum of the weights is the
region's sum times (cells / pixels).
"""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam import pictures
from ortcam.errors import RegionError

__all__ = ["Region", "coverage", "read"]

Region: TypeAlias = "ArrayLike | str | os.PathLike[str]"
"""[H, W] or [classes, H, W], bool or weights of 0 or more; or a picture's path."""


def read(region: Region, grid: tuple[int, int], classes: int | None) -> NDArray[np.float32]:
    """Checks a region.

    Args:
        region: [H, W] for all classes alike or [classes, H, W], bool or weights of 0 or more; or
            the path of a picture of the same size, which selects where it is not black.
        grid: the picture's (height, width).
        classes: how many classes are asked about, None where nobody has said.

    Returns:
        [1 or classes, H, W].

    Raises:
        RegionError: it has another size, selects nothing, or holds what is no weight.
        PictureError: the path leads to no picture.
    """
    if isinstance(region, (str, os.PathLike)):
        mask = pictures.read(region).max(axis=2) > 0
    else:
        mask = np.asarray(region)
    if mask.dtype.kind not in "buif":
        raise RegionError(f"a region is bool or numbers, and this is {mask.dtype}")
    planes = mask[None] if mask.ndim == 2 else mask
    allowed = {1} if classes is None else {1, classes}
    if planes.ndim != 3 or planes.shape[1:] != grid or len(planes) not in allowed:
        height, width = grid
        each = f", or [{classes}, {height}, {width}], one a class" if classes else ""
        raise RegionError(
            f"the region is {list(mask.shape)} and the picture [{height}, {width}] "
            f"(height, width); a region is of the picture's size{each}"
        )
    weights: NDArray[np.float32] = planes.astype(np.float32)
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise RegionError("the region holds a weight that is negative or not finite")
    empty = [k for k, plane in enumerate(weights) if not plane.any()]
    if empty:
        which = f" of class {empty[0] + 1} of {len(weights)}" if len(weights) > 1 else ""
        raise RegionError(f"the region{which} is empty: it selects no pixel")
    return weights


def coverage(region: NDArray[np.float32], cells: tuple[int, int]) -> NDArray[np.float32]:
    """The mean of a region over each cell of the score.

    Args:
        region: [..., H, W].
        cells: the score's (height, width); more or fewer than the region's.

    Returns:
        [..., height, width].
    """
    rows, columns = (
        _overlaps(pixels, n) for pixels, n in zip(region.shape[-2:], cells, strict=True)
    )
    return (rows @ region.astype(np.float64) @ columns.T).astype(np.float32)


def _overlaps(pixels: int, cells: int) -> NDArray[np.float64]:
    """[cells, pixels]: the share of each cell that each pixel covers along one axis.

    In units of 1/(pixels * cells) of the axis all edges are whole numbers: the shares are exact.
    """
    cell, pixel = np.arange(cells)[:, None] * pixels, np.arange(pixels) * cells
    covered = np.minimum(cell + pixels, pixel + cells) - np.maximum(cell, pixel)
    shares: NDArray[np.float64] = np.maximum(covered, 0) / pixels
    return shares
