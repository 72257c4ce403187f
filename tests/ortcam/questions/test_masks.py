"""Regions on the picture's grid, as weights of the score's cells."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ortcam.errors import PictureError, RegionError
from ortcam.questions.coverage import coverage
from ortcam.questions.masks import read

EXTENT = st.integers(1, 40)


def brute(pixels: int, cells: int) -> NDArray[Any]:
    """[cells, pixels] shares of cells, by intervals of exact fractions."""
    shares = np.zeros((cells, pixels))
    for c in range(cells):
        for p in range(pixels):
            low: Fraction = max(Fraction(c, cells), Fraction(p, pixels))
            high: Fraction = min(Fraction(c + 1, cells), Fraction(p + 1, pixels))
            shares[c, p] = max(high - low, Fraction(0)) * cells
    return shares


@given(EXTENT, EXTENT, EXTENT, EXTENT, st.integers(0, 2**32 - 1))
def test_a_cell_weighs_the_mean_of_the_region_over_it(
    h: int, w: int, rows: int, columns: int, seed: int
) -> None:
    region = np.random.default_rng(seed).random((1, h, w)).astype(np.float32)
    expected = brute(h, rows) @ region[0] @ brute(w, columns).T
    cells = coverage(region, (rows, columns))
    np.testing.assert_allclose(cells[0], expected, rtol=1e-5, atol=1e-7)
    # In all: the region's sum, times cells over pixels.
    np.testing.assert_allclose(cells.sum(), region.sum() * rows * columns / (h * w), rtol=1e-4)


@given(EXTENT, EXTENT, EXTENT, EXTENT, st.data())
def test_one_pixel_never_vanishes(
    h: int, w: int, rows: int, columns: int, data: st.DataObject
) -> None:
    region = np.zeros((1, h, w), np.float32)
    y, x = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    region[0, y, x] = 1
    cells = coverage(region, (rows, columns))
    assert cells.max() > 0
    where = np.argwhere(cells[0])
    centre = np.array([(y + 0.5) / h * rows, (x + 0.5) / w * columns])
    near = np.maximum(1, [rows / h, columns / w])
    assert (abs(where + 0.5 - centre) < near).all()


@given(EXTENT, EXTENT, EXTENT, EXTENT)
def test_everywhere_is_one_exactly(h: int, w: int, rows: int, columns: int) -> None:
    assert (coverage(np.ones((1, h, w), np.float32), (rows, columns)) == 1).all()


def test_the_same_grid_keeps_the_region_as_it_is() -> None:
    region = np.random.default_rng(0).random((2, 5, 7)).astype(np.float32)
    np.testing.assert_array_equal(coverage(region, (5, 7)), region)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_bool_and_weights(dtype: Any) -> None:
    mask = np.zeros((4, 6), dtype)
    mask[1, 2] = 1
    read_mask = read(mask, (4, 6), None)
    assert read_mask.shape == (1, 4, 6)
    assert read_mask.dtype == np.float32
    assert read_mask.sum() == read_mask[0, 1, 2] == 1


def test_lists_and_one_region_a_class() -> None:
    assert read([[True, False]], (1, 2), 5).tolist() == [[[1, 0]]]
    assert read([[[1, 0]], [[0, 2]]], (1, 2), 2).tolist() == [[[1, 0]], [[0, 2]]]


def test_a_picture_selects_where_it_is_not_black(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[1, 2] = (0, 0, 3)
    pixels[3, 5] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    selected = read(tmp_path / "mask.png", (4, 6), None)
    assert np.argwhere(selected[0]).tolist() == [[1, 2], [3, 5]]
    assert set(np.unique(selected)) == {0, 1}
    with pytest.raises(PictureError, match="cannot be read"):
        read(tmp_path / "none.png", (4, 6), None)


ONE = np.ones((4, 6), bool)


@pytest.mark.parametrize(
    ("region", "classes", "said"),
    [
        (np.ones((6, 4)), None, r"the region is \[6, 4\] and the picture \[4, 6\] \(height, width"),
        (np.ones((3, 4, 6)), 2, r"is \[3, 4, 6\].*or \[2, 4, 6\] for one a class"),
        (np.ones((3, 4, 6)), None, r"is \[3, 4, 6\]"),
        (np.ones(24), None, r"is \[24\]"),
        (np.zeros((4, 6)), None, "the region is empty: it selects no pixel"),
        (np.stack([ONE, ~ONE]), 2, "the region of class 2 of 2 is empty"),
        (np.where(ONE, np.nan, 0), None, "negative or not finite"),
        (np.where(ONE, np.inf, 0), None, "negative or not finite"),
        (-1.0 * ONE, None, "negative or not finite"),
        (ONE.astype(str), None, "bool or numbers, got <U5"),
        (ONE.astype(complex), None, "bool or numbers, got complex128"),
    ],
)
def test_what_is_no_region_is_refused(region: Any, classes: Any, said: str) -> None:
    with pytest.raises(RegionError, match=said):
        read(region, (4, 6), classes)
