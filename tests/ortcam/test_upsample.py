"""Maps on the picture's grid."""

from __future__ import annotations

import numpy as np
import pytest

from ortcam.errors import InputError
from ortcam.upsample import METHODS, resample, upsample


def keys(distance: np.ndarray) -> np.ndarray:
    """R. Keys' kernel with a = -0.5."""
    d, a = abs(distance), -0.5
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def matrix(cells: int, pixels: int, kernel) -> np.ndarray:
    """[pixels, cells]: interpolation by a kernel, its part over the edge given to the rest."""
    at = (np.arange(pixels) + 0.5) / pixels * cells - 0.5
    weights = kernel(at[:, None] - np.arange(cells))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.fixture
def plane() -> np.ndarray:
    return np.random.default_rng(3).random((5, 7)).astype(np.float32)


@pytest.mark.parametrize(
    ("method", "kernel"),
    [("bicubic", keys), ("bilinear", lambda d: np.maximum(1 - abs(d), 0))],
)
@pytest.mark.parametrize("grid", [(40, 41), (5, 7), (11, 9)])
def test_it_is_the_kernel_edge_to_edge(method: str, kernel, grid, plane) -> None:
    expected = matrix(5, grid[0], kernel) @ plane @ matrix(7, grid[1], kernel).T
    np.testing.assert_allclose(resample(plane, grid, method), expected, atol=2e-6)
    np.testing.assert_allclose(upsample(plane, grid, method), expected.clip(0), atol=2e-6)


def test_the_undershoot_of_bicubic_is_clipped() -> None:
    point = np.zeros((5, 5), np.float32)
    point[2, 2] = 1
    assert resample(point, (50, 50), "bicubic").min() < -0.05
    assert upsample(point, (50, 50)).min() == 0
    np.testing.assert_array_equal(upsample(point, (50, 50)), upsample(point, (50, 50), "bicubic"))


def test_nearest_repeats_and_none_keeps(plane) -> None:
    np.testing.assert_array_equal(
        upsample(plane, (15, 14), "nearest"), plane.repeat(3, 0).repeat(2, 1)
    )
    assert upsample(plane, (15, 14), "none") is plane


@pytest.mark.parametrize("method", METHODS[:3])
def test_nothing_is_rescaled(method: str) -> None:
    flat = np.full((3, 4), 1e-7, np.float32)
    np.testing.assert_allclose(upsample(flat, (31, 22), method), 1e-7, rtol=1e-5)
    large = np.full((3, 4), 1e30, np.float32)
    np.testing.assert_allclose(upsample(large, (31, 22), method), 1e30, rtol=1e-5)


def test_a_grid_finer_than_the_picture_is_averaged() -> None:
    fine = np.zeros((8, 8), np.float32)
    fine[:, ::2] = 2
    np.testing.assert_allclose(upsample(fine, (8, 2), "bilinear"), 1, atol=0.2)


def test_an_unknown_method_answers_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no upsampling 'bicubik'; the nearest .*'bicubic'"):
        upsample(np.ones((2, 2), np.float32), (4, 4), "bicubik")
