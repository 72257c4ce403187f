"""Missing pixels imputed from their neighbours: ROAD's noisy linear imputation.

Y. Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022:
every missing pixel is the weighted mean of its neighbours, missing ones included, 1/6 for each at
its sides and 1/12 for each at its corners (at the picture's edge, for those that exist). Added
noise keeps the fill from revealing the mask.

This is a linear system with one unknown per missing pixel: sparse, symmetric and positive definite.
It is solved by conjugate gradients that start from the solution on half the picture's grid,
recursively (F. Bornemann and P. Deuflhard, "The cascadic multigrid method for elliptic problems",
Numerische Mathematik 75, 1996).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import InputError
from ortcam.grids.resample import resample

__all__ = ["NOISE", "impute", "solve"]

NOISE = 0.01
"""The standard deviation of the noise, for pixels from 0 to 1, as in the authors' code."""

Plane = NDArray[np.float32]
Planes = NDArray[np.float32]
Mask = NDArray[np.bool_]

_TOLERANCE = 5e-6
"""The root mean square of the residuals, the differences between a pixel and its neighbours' mean,
for pixels from 0 to 1. The error that this leaves is a small part of the noise (see the tests)."""

_MAX_STEPS = 400
"""The most iterations on one grid; a tenth is usual."""

_MIN_EXTENT = 8
"""Grids with fewer rows or columns are not coarsened."""


def impute(
    picture: NDArray[np.uint8],
    missing: Mask,
    random: np.random.Generator,
    noise: float = NOISE,
) -> NDArray[np.uint8]:
    """Fill in the missing pixels of a picture, and add noise to them.

    Args:
        picture: [H, W, 3].
        missing: [H, W], a mask of its pixels.
        random: draws the noise.
        noise: its standard deviation, for pixels from 0 to 1.

    Raises:
        InputError: every pixel is missing.
    """
    planes = np.moveaxis(picture, -1, 0).astype(np.float32) / np.float32(255)
    filled = solve(planes, missing)
    filled += noise * missing * random.standard_normal(filled.shape, np.float32)
    pixels: NDArray[np.uint8] = np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def solve(planes: Planes, missing: Mask) -> Planes:
    """Set each missing pixel to the weighted mean of its neighbours.

    Args:
        planes: [C, H, W], about 0 to 1; the values at missing pixels are ignored.
        missing: [H, W].

    Raises:
        InputError: every pixel is missing.

    Example:
        >>> plane = np.array([[[0.0, 9.0, 1.0]]], np.float32)
        >>> solve(plane, np.array([[False, True, False]])).round(3).tolist()
        [[[0.0, 0.5, 1.0]]]
    """
    if missing.all():
        raise InputError("every pixel is missing; leave at least one to impute the others from")
    intact = np.where(missing, np.float32(0), planes)
    if not missing.any():
        return intact
    # Plane by plane, so that the arrays of one stay in the processor's cache.
    return np.stack([_conjugate_gradients(x, missing) for x in _first_guess(intact, missing)])


def _first_guess(intact: Planes, missing: Mask) -> Planes:
    """The solution on a grid of half the size, upsampled."""
    height, width = missing.shape
    if min(height, width) < _MIN_EXTENT:
        means = intact.sum(axis=(1, 2), keepdims=True) / np.count_nonzero(~missing)
        return np.where(missing, means, intact)
    count = _block_sums((~missing)[None].astype(np.float32))[0]
    means = _block_sums(intact) / np.maximum(count, 1)
    coarse = solve(means, count == 0)
    grid = 2 * coarse.shape[1], 2 * coarse.shape[2]
    fine = np.stack([resample(plane, grid, "bilinear") for plane in coarse])
    return np.where(missing, fine[:, :height, :width], intact)


def _block_sums(planes: Planes) -> Planes:
    """The sums of 2 x 2 blocks; in an odd extent, the last blocks are half as large."""
    _, height, width = planes.shape
    even = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)))
    rows = even[:, 0::2] + even[:, 1::2]
    return rows[:, :, 0::2] + rows[:, :, 1::2]


def _conjugate_gradients(x: Plane, missing: Mask) -> Plane:
    """Solve the system, starting from a guess that holds the known pixels.

    All planes have a frame of zeros and are flat, so that each neighbour lies at a fixed offset.
    The system is multiplied by 12, so that its weights are integers.
    """
    width = missing.shape[1] + 2
    solution, unknown = _framed(x), _framed(missing.astype(np.float32))
    weights = _neighbours(_framed(np.ones_like(x)), width)
    residual = unknown * (_neighbours(solution, width) - weights * solution)
    direction = residual.copy()
    square = np.vdot(residual, residual)
    tolerance = (12 * _TOLERANCE) ** 2 * np.count_nonzero(missing)
    for _ in range(_MAX_STEPS):
        if square <= tolerance:
            break
        image = weights * direction
        image -= _neighbours(direction, width)
        image *= unknown
        step = square / np.vdot(direction, image)
        solution += step * direction
        image *= step
        residual -= image
        previous, square = square, np.vdot(residual, residual)
        direction *= square / previous
        direction += residual
    return solution.reshape(-1, width)[1:-1, 1:-1]


def _framed(plane: Plane) -> NDArray[np.float32]:
    """A plane [H, W] framed by zeros, flat."""
    return np.pad(plane, 1).ravel()


def _neighbours(row: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """2 times each pixel's side neighbours, plus its corner neighbours, plus 4 times the pixel.

    This is [1, 2, 1] along both axes, each [1, 1] twice. The pixel's own part cancels in the
    system. Values on the frame are arbitrary, since no pixel there is unknown.
    """
    sums = np.zeros_like(row)
    pairs = row[:-1] + row[1:]
    along = pairs[:-1] + pairs[1:]
    pairs = along[:-width] + along[width:]
    np.add(pairs[:-width], pairs[width:], out=sums[width + 1 : -width - 1])
    return sums
