"""Missing pixels filled in from those around them: ROAD's noisy linear imputation.

Y. Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022:
every missing pixel is the weighted mean of its neighbours, missing ones too, 1/6 each for those at
its sides and 1/12 each for those at its corners (at the picture's edge those that there are), and
noise is added, so that the fill does not tell what was missing.

That is a linear system with as many unknowns as missing pixels, sparse, symmetric and positive
definite. It is solved by conjugate gradients that begin at the solution on half the picture's grid,
and so on down (F. Bornemann and P. Deuflhard, "The cascadic multigrid method for elliptic
problems", Numerische Mathematik 75, 1996).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import InputError
from ortcam.grids.resample import resample

__all__ = ["NOISE", "impute", "solve"]

NOISE = 0.01
"""The noise's standard deviation, of pixels from 0 to 1: that of the authors' code."""

Plane = NDArray[np.float32]
Planes = NDArray[np.float32]
Mask = NDArray[np.bool_]

_TOLERANCE = 5e-6
"""The root mean square of the residuals, a pixel's distance from its neighbours' mean, of pixels
from 0 to 1: what this leaves open is a small part of the noise (see the tests)."""

_STEPS = 400
"""Steps on one grid at most; a tenth is usual."""

_SMALL = 8
"""Grids of fewer rows or columns have no coarser one."""


def impute(
    picture: NDArray[np.uint8],
    missing: Mask,
    random: np.random.Generator,
    noise: float = NOISE,
) -> NDArray[np.uint8]:
    """A picture with its missing pixels filled in, and noise on these.

    Args:
        picture: [H, W, 3].
        missing: [H, W], some of its pixels.
        random: for the noise.
        noise: its standard deviation, of pixels from 0 to 1.

    Raises:
        InputError: every pixel is missing.
    """
    planes = np.moveaxis(picture, -1, 0).astype(np.float32) / np.float32(255)
    filled = solve(planes, missing)
    filled += noise * missing * random.standard_normal(filled.shape, np.float32)
    pixels: NDArray[np.uint8] = np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def solve(planes: Planes, missing: Mask) -> Planes:
    """Each missing pixel as the weighted mean of its neighbours.

    Args:
        planes: [C, H, W], about from 0 to 1; what it holds at missing pixels is not looked at.
        missing: [H, W].

    Raises:
        InputError: every pixel is missing.
    """
    if missing.all():
        raise InputError("every pixel is missing, so there is none to fill them in from")
    known = np.where(missing, np.float32(0), planes)
    if not missing.any():
        return known
    # Plane by plane, as one with all that goes with it stays in the processor's cache.
    return np.stack([_conjugate_gradients(x, missing) for x in _start(known, missing)])


def _start(known: Planes, missing: Mask) -> Planes:
    """A first guess: the solution on a grid of half the size, brought to this one."""
    height, width = missing.shape
    if min(height, width) < _SMALL:
        means = known.sum(axis=(1, 2), keepdims=True) / np.count_nonzero(~missing)
        return np.where(missing, means, known)
    count = _blocks((~missing)[None].astype(np.float32))[0]
    means = _blocks(known) / np.maximum(count, 1)
    coarse = solve(means, count == 0)
    grid = 2 * coarse.shape[1], 2 * coarse.shape[2]
    fine = np.stack([resample(plane, grid, "bilinear") for plane in coarse])
    return np.where(missing, fine[:, :height, :width], known)


def _blocks(planes: Planes) -> Planes:
    """The sums of blocks of 2 x 2; where the extent is odd, the last ones are halves."""
    _, height, width = planes.shape
    even = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)))
    rows = even[:, 0::2] + even[:, 1::2]
    return rows[:, :, 0::2] + rows[:, :, 1::2]


def _conjugate_gradients(x: Plane, missing: Mask) -> Plane:
    """The solution, from a first guess that holds the known pixels as they are.

    Everything lies within a frame of zeros and in one row of memory, so that a neighbour is so many
    places further on, and is multiplied by 12, so that the weights are whole.
    """
    width = missing.shape[1] + 2
    found, unknown = _framed(x), _framed(missing.astype(np.float32))
    weights = _around(_framed(np.ones_like(x)), width)
    residual = unknown * (_around(found, width) - weights * found)
    direction = residual.copy()
    square = np.vdot(residual, residual)
    enough = (12 * _TOLERANCE) ** 2 * np.count_nonzero(missing)
    for _ in range(_STEPS):
        if square <= enough:
            break
        image = weights * direction
        image -= _around(direction, width)
        image *= unknown
        step = square / np.vdot(direction, image)
        found += step * direction
        image *= step
        residual -= image
        before, square = square, np.vdot(residual, residual)
        direction *= square / before
        direction += residual
    return found.reshape(-1, width)[1:-1, 1:-1]


def _framed(plane: Plane) -> NDArray[np.float32]:
    """A plane [H, W] within zeros, as one row."""
    return np.pad(plane, 1).ravel()


def _around(row: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """2 times each pixel's neighbours at its sides, 1 time those at its corners, 4 times itself.

    That is [1, 2, 1] along both axes, each [1, 1] twice. A pixel's own part cancels out in the
    system, and on the frame it is anything, as nothing is unknown there.
    """
    sums = np.zeros_like(row)
    pairs = row[:-1] + row[1:]
    along = pairs[:-1] + pairs[1:]
    pairs = along[:-width] + along[width:]
    np.add(pairs[:-width], pairs[width:], out=sums[width + 1 : -width - 1])
    return sums
