"""ROAD's imputation against a direct solution of the same linear system."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ortcam.errors import InputError
from ortcam.evaluation.perturbation import imputation


def exact(planes: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Row by row: a pixel times the sum of its weights, minus its neighbours' part, is 0."""
    _, height, width = planes.shape
    number = {(int(y), int(x)): i for i, (y, x) in enumerate(np.argwhere(missing))}
    system, right = np.zeros((len(number), len(number))), np.zeros((len(number), len(planes)))
    for (y, x), i in number.items():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                at = (y + dy, x + dx)
                if at == (y, x) or not (0 <= at[0] < height and 0 <= at[1] < width):
                    continue
                weight = 1 / 6 if 0 in (dy, dx) else 1 / 12
                system[i, i] += weight
                if at in number:
                    system[i, number[at]] -= weight
                else:
                    right[i] += weight * planes[:, at[0], at[1]]
    filled = planes.astype(np.float64)
    filled[:, missing] = np.linalg.solve(system, right).T
    return filled


def exact_in_sparse_form(
    planes: NDArray[np.float32], missing: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The same system by scipy's direct solver, for pictures of many pixels."""
    sparse = pytest.importorskip("scipy.sparse")
    linalg = pytest.importorskip("scipy.sparse.linalg")
    _, height, width = planes.shape
    number = np.full((height + 2, width + 2), -1)
    number[1:-1, 1:-1][missing] = np.arange(missing.sum())
    value, inside = (np.pad(p, [(0, 0), (1, 1), (1, 1)]) for p in (planes, np.ones_like(planes)))
    y, x = np.argwhere(missing).T + 1
    rows = np.arange(len(y))
    system = sparse.csc_array((len(y), len(y)))
    right = np.zeros((len(y), len(planes)))
    for dy, dx in np.ndindex(3, 3):
        weight = [0, 1 / 6, 1 / 12][abs(dy - 1) + abs(dx - 1)]
        at = (y + dy - 1, x + dx - 1)
        weights, columns = weight * inside[0][at], number[at]
        known = columns < 0
        right[known] += weights[known, None] * value[:, at[0][known], at[1][known]].T
        system += sparse.csc_array((weights, (rows, rows)), shape=system.shape)
        entries = (-weights[~known], (rows[~known], columns[~known]))
        system += sparse.csc_array(entries, shape=system.shape)
    filled = planes.astype(np.float64)
    filled[:, missing] = linalg.spsolve(system, right).T
    return filled


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 7 + c) * np.cos(y / 5 - c) for c in range(3)]
    return (0.5 + 0.4 * np.stack(waves) + random.normal(0, 0.05, (3, height, width))).astype("f4")


def blob(height: int, width: int, share: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot(y - 0.4 * height, 1.2 * (x - 0.6 * width))
    mask: NDArray[np.bool_] = distance <= np.quantile(distance, share)
    return mask


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("size", [(31, 44), (7, 50), (40, 40)])
def test_missing_pixels_solve_the_system(size: tuple[int, int], share: float) -> None:
    planes, missing = picture(*size), blob(*size, share)
    filled_in = imputation.solve(planes, missing)
    expected = exact(planes, missing)
    np.testing.assert_array_equal(filled_in[:, ~missing], planes[:, ~missing])
    # A tenth of the noise that is added to them.
    assert np.abs(filled_in - expected).max() < imputation.NOISE / 10


def test_scattered_pixels_solve_it_too() -> None:
    planes, missing = picture(37, 29), np.random.default_rng(1).random((37, 29)) < 0.7
    filled_in = imputation.solve(planes, missing)
    assert np.abs(filled_in - exact(planes, missing)).max() < imputation.NOISE / 10


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_pictures_of_many_pixels_solve_it_too(share: float) -> None:
    """The error of an iteration that only looks at residuals grows with the picture."""
    planes, missing = picture(180, 300)[:2], blob(180, 300, share)
    expected = exact_in_sparse_form(planes, missing)
    assert np.abs(imputation.solve(planes, missing) - expected).max() < imputation.NOISE / 10


def test_both_direct_solutions_agree() -> None:
    planes, missing = picture(13, 18), blob(13, 18, 0.6)
    sparse = exact_in_sparse_form(planes, missing)
    np.testing.assert_allclose(sparse, exact(planes, missing), atol=1e-12)


def test_values_at_missing_pixels_are_ignored() -> None:
    planes, missing = picture(20, 20), blob(20, 20, 0.4)
    other = np.where(missing, np.float32(np.nan), planes)
    np.testing.assert_array_equal(
        imputation.solve(other, missing), imputation.solve(planes, missing)
    )


def test_nothing_missing_leaves_all_and_all_missing_is_refused() -> None:
    planes = picture(12, 12)
    np.testing.assert_array_equal(imputation.solve(planes, np.zeros((12, 12), bool)), planes)
    with pytest.raises(InputError, match="every pixel is missing"):
        imputation.solve(planes, np.ones((12, 12), bool))


def test_only_missing_pixels_get_noise() -> None:
    rgb = np.full((60, 60, 3), 120, np.uint8)
    missing = blob(60, 60, 0.5)
    filled_in = imputation.impute(rgb, missing, np.random.default_rng(0))
    assert filled_in.dtype == np.uint8
    np.testing.assert_array_equal(filled_in[~missing], rgb[~missing])
    off = (filled_in[missing].astype(float) - 120) / 255
    # Rounding to integers adds its variance, 1/12.
    expected = np.hypot(imputation.NOISE, 1 / 255 / 12**0.5)
    assert off.std() == pytest.approx(expected, rel=0.05)
    assert abs(off.mean()) < 4 * expected / off.size**0.5
