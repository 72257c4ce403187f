"""The share of each score cell that a region on the picture's grid covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


__all__ = ["coverage"]


def coverage(region: NDArray[np.float32], cells: tuple[int, ...]) -> NDArray[np.float32]:
    """The mean of a region over each cell of the score.

    Args:
        region: [classes, H, W] or [classes, D, H, W].
        cells: the score's extents; more or fewer than the region's.

    Returns:
        [classes, *cells].
    """
    means = region.astype(np.float64)
    for axis, n in enumerate(cells, start=1):
        if n != region.shape[axis]:  # else every cell is a pixel
            means = _means(means, n, axis)
    return means.astype(np.float32)


def _means(pixels: NDArray[np.float64], cells: int, axis: int) -> NDArray[np.float64]:
    """The mean over each of so many cells along one axis.

    From the sums up to the cells' edges, which lie at whole pixels and known shares of the next.
    """
    extent = pixels.shape[axis]
    edges = np.arange(cells + 1) * extent
    whole, share = edges // cells, edges % cells / cells
    nothing = np.zeros_like(pixels.take([0], axis))
    sums = np.concatenate([nothing, pixels.cumsum(axis)], axis).take(whole, axis)
    cut = pixels.take(np.minimum(whole, extent - 1), axis)
    along = [1] * pixels.ndim
    along[axis] = cells + 1
    sums += cut * share.reshape(along)
    means: NDArray[np.float64] = np.diff(sums, axis=axis) * (cells / extent)
    return means
