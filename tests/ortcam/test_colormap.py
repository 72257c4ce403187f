"""Colour maps without matplotlib."""

from __future__ import annotations

import numpy as np
import pytest

from ortcam.colormap import COLORMAPS, DEFAULT, apply, table
from ortcam.errors import InputError


@pytest.mark.parametrize("name", COLORMAPS)
def test_the_colours_are_matplotlibs(name: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    theirs = matplotlib.colormaps[name](np.arange(256))[:, :3] * 255
    assert table(name).shape == (256, 3)
    assert table(name).dtype == np.uint8
    assert abs(table(name) - theirs).max() <= 2


def test_the_default_grows_steadily_brighter() -> None:
    luma = table(DEFAULT).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luma) > -0.6).all()
    assert luma[0] < 3
    assert luma[-1] > 240


def test_values_are_coloured_from_0_to_the_top() -> None:
    colors = table("jet")
    values = np.float32([[0, 1, 2], [4, 5, -1]])
    picked = apply(values, 4, "jet")
    assert picked.shape == (2, 3, 3)
    for value, color in zip(values.flat, picked.reshape(-1, 3), strict=True):
        np.testing.assert_array_equal(color, colors[round(255 * min(max(value, 0), 4) / 4)])


@pytest.mark.parametrize("top", [1e-42, 1e-30, 1e30])
def test_tiny_and_huge_values_keep_their_colours(top: float) -> None:
    values = np.float32([0, top / 2, top])
    first, middle, last = apply(values, float(np.float32(top)), "viridis").tolist()
    assert [first, last] == table("viridis")[[0, 255]].tolist()
    assert middle in table("viridis")[120:136].tolist()


def test_without_a_top_and_without_a_number_it_is_the_first_colour() -> None:
    first = table(DEFAULT)[0].tolist()
    assert apply(np.zeros((1, 2), np.float32), 0).tolist() == [[first, first]]
    assert apply(np.float32([np.nan, 0]), 1).tolist() == [first, first]


def test_an_unknown_name_answers_with_the_nearest() -> None:
    with pytest.raises(InputError, match="no colour map 'Infernal'; the nearest is 'inferno'"):
        table("Infernal")
