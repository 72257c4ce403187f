"""Maps on the picture's grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ortcam.errors import InputError
from ortcam.grids.resample import METHODS, resample, upsample


def keys(distance: NDArray[Any]) -> NDArray[Any]:
    """R. Keys' kernel with a = -0.5."""
    d, a = abs(distance), -0.5
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def matrix(cells: int, pixels: int, kernel: Any, mirrored: bool) -> NDArray[Any]:
    """[pixels, cells]: a kernel, as wide as a pixel's cells where these are many.

    What it has over the edge goes to the cells mirrored there, or to all the rest.
    """
    scale = max(cells / pixels, 1)
    at = (np.arange(pixels) + 0.5) / pixels * cells - 0.5
    places = np.arange(-3 * cells, 4 * cells) if mirrored else np.arange(cells)
    weights = kernel((at[:, None] - places) / scale)
    folded = np.zeros((pixels, cells))
    for place, weight in zip(places, weights.T, strict=True):
        back = place % (2 * cells)
        folded[:, min(back, 2 * cells - 1 - back)] += weight
    normalized: NDArray[Any] = folded / folded.sum(axis=1, keepdims=True)
    return normalized


@pytest.fixture
def plane() -> NDArray[Any]:
    return np.random.default_rng(3).random((5, 7)).astype(np.float32)


@pytest.mark.parametrize(
    ("method", "kernel"),
    [("bicubic", keys), ("bilinear", lambda d: np.maximum(1 - abs(d), 0))],
)
@pytest.mark.parametrize("grid", [(40, 41), (5, 7), (11, 9), (3, 50), (2, 7), (1, 1)])
def test_it_is_the_kernel_edge_to_edge(
    method: str, kernel: Any, grid: tuple[int, int], plane: NDArray[np.float32]
) -> None:
    rows, columns = (
        matrix(old, new, kernel, method == "bicubic") for old, new in zip((5, 7), grid, strict=True)
    )
    expected = rows @ plane @ columns.T
    np.testing.assert_allclose(resample(plane, grid, method), expected, atol=2e-6)
    np.testing.assert_allclose(upsample(plane, grid, method), expected.clip(0), atol=2e-6)


def test_bicubic_is_matlabs() -> None:
    """Numbers of imresize(A, 2, 'bicubic') that MathWorks' forum shows (MATLAB Answers 1628).

    They are of 2011, when the cells at an edge were repeated, not mirrored: the outermost pixels
    say nothing of today's, but with the repeated cells in their places all agree.
    """
    a = np.array([[3, 1, 2, 6], [1, 5, 2, 7], [1, 3, 6, 2], [4, 1, 9, 2]], np.float32)
    theirs = np.array(
        [
            [3.3109, 2.6187, 1.1206, 0.7166, 1.4067, 2.8883, 5.1615, 6.2060],
            [2.6454, 2.4435, 2.0052, 1.7138, 1.5692, 2.8062, 5.4248, 6.6307],
            [1.2008, 2.0609, 3.9181, 3.8763, 1.9355, 2.6382, 5.9844, 7.5302],
            [0.4985, 1.6796, 4.2357, 4.6921, 3.0489, 3.2618, 5.3307, 6.2876],
            [0.5384, 1.2996, 2.9579, 4.1612, 4.9094, 4.6769, 3.4639, 2.9028],
            [1.5500, 1.6768, 1.9697, 3.5367, 6.3776, 6.1378, 2.8173, 1.2798],
            [3.5334, 2.8110, 1.2710, 2.8185, 7.4537, 7.6444, 3.3907, 1.4186],
            [4.4466, 3.3344, 0.9529, 2.4891, 7.9430, 8.3334, 3.6605, 1.4930],
        ]
    )
    inner = slice(2, -2), slice(2, -2)  # no cell beyond an edge has a part in these
    np.testing.assert_allclose(resample(a, (8, 8), "bicubic")[inner], theirs[inner], atol=6e-5)
    repeated = resample(np.pad(a, 2, mode="edge"), (16, 16), "bicubic")[4:-4, 4:-4]
    np.testing.assert_allclose(repeated, theirs, atol=6e-5)


@pytest.mark.parametrize("grid", [(40, 41), (5, 7), (3, 50), (2, 3), (1, 1)])
def test_bilinear_between_the_nearest_cells_is_opencvs(
    grid: tuple[int, int], plane: NDArray[np.float32]
) -> None:
    cv2 = pytest.importorskip("cv2")
    for values in (plane, plane[:1], plane[:, :1]):
        found = resample(values, grid, "bilinear-opencv")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, cv2.resize(values, grid[::-1]), atol=3e-7)


def test_the_bilinear_filters_differ_only_where_cells_are_finer_than_pixels(
    plane: NDArray[np.float32],
) -> None:
    def both(grid: tuple[int, int]) -> list[NDArray[Any]]:
        return [resample(plane, grid, name) for name in ("bilinear", "bilinear-opencv")]

    one, other = both((40, 41))
    np.testing.assert_allclose(one, other, atol=1e-6)
    one, other = both((2, 3))
    assert np.abs(one - other).max() > 0.1


def test_the_undershoot_of_bicubic_is_clipped() -> None:
    point = np.zeros((5, 5), np.float32)
    point[2, 2] = 1
    assert resample(point, (50, 50), "bicubic").min() < -0.05
    assert upsample(point, (50, 50)).min() == 0
    np.testing.assert_array_equal(upsample(point, (50, 50)), upsample(point, (50, 50), "bicubic"))


def test_nearest_repeats_and_none_keeps(plane: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(
        upsample(plane, (15, 14), "nearest"), plane.repeat(3, 0).repeat(2, 1)
    )
    assert upsample(plane, (15, 14), "none") is plane


@pytest.mark.parametrize("method", METHODS[:-1])
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
