"""The share of each score cell that a region on the picture's grid covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["coverage"]


def coverage(region: NDArray[np.float32], cells: tuple[int, ...]) -> NDArray[np.float32]:
    """The mean of a region over each cell of the score.

    Every cell of the score lies over a rectangle of the picture, and weighs as much as the region
    covers of it. One pixel never vanishes, a region of all ones asks the same as no region, and the
    sum of the weights is the region's sum times (cells / pixels).

    Args:
        region: [classes, H, W] or [classes, D, H, W].
        cells: the score's extents; more or fewer than the region's.

    Returns:
        [classes, *cells].

    Example:
        >>> coverage(np.float32([[[1, 1, 0], [0, 0, 0]]]), (1, 2)).tolist()
        [[[0.5, 0.1666666716337204]]]
    """
    means = region.astype(np.float64)
    for axis, n in enumerate(cells, start=1):
        if n != region.shape[axis]:  # else every cell is a pixel
            means = _means(means, n, axis)
    return means.astype(np.float32)


def _means(pixels: NDArray[np.float64], cells: int, axis: int) -> NDArray[np.float64]:
    """The mean over each cell along one axis.

    It is the difference of the sums up to the cell's edges, each of which lies at a whole pixel
    and a share of the next.
    """
    extent = pixels.shape[axis]
    edges = np.arange(cells + 1) * extent
    whole, share = edges // cells, edges % cells / cells
    zero = np.zeros_like(pixels.take([0], axis))
    sums = np.concatenate([zero, pixels.cumsum(axis)], axis).take(whole, axis)
    next_pixel = pixels.take(np.minimum(whole, extent - 1), axis)
    along = [1] * pixels.ndim
    along[axis] = cells + 1
    sums += next_pixel * share.reshape(along)
    means: NDArray[np.float64] = np.diff(sums, axis=axis) * (cells / extent)
    return means
