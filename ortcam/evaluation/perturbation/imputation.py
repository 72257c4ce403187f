"""Missing pixels imputed from their neighbours: ROAD's noisy linear imputation.

Y. Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022:
every missing pixel is the weighted mean of its neighbours, missing ones included, 1/6 for each at
its sides and 1/12 for each at its corners (at the picture's edge, for those that exist). Added
noise keeps the fill from revealing the mask.

This is a linear system with one unknown per missing pixel: sparse, symmetric and positive definite.
It is solved by conjugate gradients whose preconditioner is a V-cycle of multigrid (O. Tatebe, "The
multigrid preconditioned conjugate gradient method", 6th Copper Mountain Conference on Multigrid
Methods, 1993), starting from the solution on half the picture's grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import InputError

__all__ = ["NOISE", "impute", "solve"]

NOISE = 0.01
"""The standard deviation of the noise, for pixels from 0 to 1, as in the authors' code."""

Planes = NDArray[np.float32]
Plane = NDArray[np.float32]
Row = NDArray[np.float32]
Mask = NDArray[np.bool_]

_TOLERANCE = NOISE / 100
"""The largest correction that ends the iteration. The correction that a V-cycle proposes estimates
the error that is left, which the tests bound by a tenth of the noise."""

_MAX_STEPS = 100
"""The most iterations on one grid; about six are usual."""

_DAMPING = 0.8
"""The factor of the Jacobi iteration that smooths the error on each grid."""

_LEAST_EXTENT = 4
"""Grids of at most this extent are not coarsened, but solved by :data:`_LAST_SWEEPS`."""

_LAST_SWEEPS = 20
"""The Jacobi iterations on the coarsest grid."""


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
    guess, grids = _first_guess(intact, missing), _grids(missing)
    # Plane by plane, so that the arrays of one stay in the processor's cache.
    return np.stack([_conjugate_gradients(x, grids) for x in guess])


def _first_guess(intact: Planes, missing: Mask) -> Planes:
    """The solution on a grid of half the size, upsampled."""
    height, width = missing.shape
    if max(height, width) <= _LEAST_EXTENT:
        means = intact.sum(axis=(1, 2), keepdims=True) / np.count_nonzero(~missing)
        return np.where(missing, means, intact)
    count = _block_sums((~missing).astype(np.float32))
    coarse_means = _block_sums(intact) / np.maximum(count, np.float32(1))
    coarse = solve(coarse_means.astype(np.float32, copy=False), count == 0)
    fine = np.stack([_interpolated(_interpolated(plane).T).T for plane in coarse])
    return np.where(missing, fine[:, :height, :width], intact)


@dataclass(frozen=True)
class _Grid:
    """The system on one grid, multiplied by 12, so that its weights are whole numbers.

    All planes have a frame of zeros and are flat, so that each neighbour lies at a fixed offset.

    Attributes:
        width: of the framed planes.
        unknown: 1 at the missing pixels, 0 elsewhere.
        weights: the sum of the weights of each pixel's neighbours, and of its own in
            :func:`_neighbours`.
        damped: :data:`_DAMPING` over the diagonal of the system at the missing pixels, 0 elsewhere.
    """

    width: int
    unknown: Row
    weights: Row
    damped: Row

    @classmethod
    def of(cls, missing: Mask) -> _Grid:
        width = missing.shape[1] + 2
        unknown = _framed(missing.astype(np.float32))
        weights = _neighbours(_framed(np.ones(missing.shape, np.float32)), width)
        diagonal = np.maximum(weights - 4, np.float32(1))  # 4 is a pixel's own part
        damped = (_DAMPING * unknown / diagonal).astype(np.float32)
        return cls(width, unknown, weights, damped)

    def image(self, x: Row) -> Row:
        """The system's product with a plane that is 0 at the known pixels."""
        y = self.weights * x
        y -= _neighbours(x, self.width)
        y *= self.unknown
        return y

    def unframed(self, x: Row) -> Plane:
        """A framed, flat plane as [H, W]."""
        return x.reshape(-1, self.width)[1:-1, 1:-1]


def _grids(missing: Mask) -> list[_Grid]:
    """The system from the finest grid to the coarsest, each of half the size.

    A coarse pixel is missing where all of its fine ones are. Its weights are those of a fine one:
    the sum of the equations of its fine pixels has the same form.
    """
    grids = [_Grid.of(missing)]
    while max(missing.shape) > _LEAST_EXTENT:
        missing = _block_sums((~missing).astype(np.float32)) == 0
        if not missing.any():
            break
        grids.append(_Grid.of(missing))
    return grids


def _conjugate_gradients(guess: Plane, grids: list[_Grid]) -> Plane:
    """Solve the system, starting from a guess that holds the known pixels."""
    grid = grids[0]
    solution = _framed(guess)
    residual = grid.unknown * (_neighbours(solution, grid.width) - grid.weights * solution)
    direction, previous = np.zeros_like(residual), np.float32(1)
    for _ in range(_MAX_STEPS):
        correction = _v_cycle(residual, grids)
        if np.abs(correction).max() <= _TOLERANCE:
            return grid.unframed(solution + correction)
        product = np.vdot(residual, correction)
        direction *= product / previous
        direction += correction
        image = grid.image(direction)
        step = product / np.vdot(direction, image)
        solution += step * direction
        image *= step
        residual -= image
        previous = product
    return grid.unframed(solution)


def _v_cycle(residual: Row, grids: list[_Grid]) -> Row:
    """An estimate of the error behind a residual, by a symmetric positive definite operator."""
    grid, *coarser = grids
    error = grid.damped * residual
    if coarser:
        left = grid.unframed(residual - grid.image(error))
        coarse = _framed(_restricted(_restricted(left).T).T)
        coarse *= coarser[0].unknown
        guess = coarser[0].unframed(_v_cycle(coarse, coarser))
        fine = _interpolated(_interpolated(guess).T).T
        error += grid.unknown * _framed(fine[: left.shape[0], : left.shape[1]])
    for _ in range(1 if coarser else _LAST_SWEEPS):
        error += grid.damped * (residual - grid.image(error))
    return error


def _interpolated(plane: Plane) -> Plane:
    """Twice as many rows, by linear interpolation; the edges repeat the end rows."""
    near = np.float32(0.75) * plane
    far = np.float32(0.25) * np.concatenate([plane[:1], plane, plane[-1:]])
    return np.stack([near + far[:-2], near + far[2:]], axis=1).reshape(-1, plane.shape[1])


def _restricted(plane: Plane) -> Plane:
    """Half as many rows, by the transpose of :func:`_interpolated`."""
    rows = np.pad(plane, ((0, len(plane) % 2), (0, 0)))
    first, second = rows[0::2], rows[1::2]
    sums = np.float32(0.75) * (first + second)
    quarter = np.float32(0.25)
    sums[:-1] += quarter * first[1:]
    sums[1:] += quarter * second[:-1]
    sums[0] += quarter * first[0]
    sums[-1] += quarter * second[-1]
    return sums


def _block_sums(planes: Planes) -> Planes:
    """The sums of 2 x 2 blocks of [..., H, W]; in an odd extent the last ones are half as large."""
    *outer, height, width = planes.shape
    even = np.pad(planes, [(0, 0) for _ in outer] + [(0, height % 2), (0, width % 2)])
    rows = even[..., 0::2, :] + even[..., 1::2, :]
    return rows[..., 0::2] + rows[..., 1::2]


def _framed(plane: Plane) -> Row:
    """A plane [H, W] framed by zeros, flat."""
    return np.pad(plane, 1).ravel()


def _neighbours(row: Row, width: int) -> Row:
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
