"""Colour maps without matplotlib."""

from __future__ import annotations

import numpy as np
import pytest

from ortcam.drawing.colormap import COLORMAPS, DEFAULT, SIGNED, apply, apply_evenly, table
from ortcam.errors import InputError


@pytest.mark.parametrize("name", [n for n in COLORMAPS if not n.startswith("jet-")])
def test_the_colours_are_matplotlibs(name: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    theirs = matplotlib.colormaps[name](np.arange(256))[:, :3] * 255
    assert table(name).shape == (256, 3)
    assert table(name).dtype == np.uint8
    assert abs(table(name) - theirs).max() <= 2


def test_opencvs_jet_is_its_own() -> None:
    cv2 = pytest.importorskip("cv2")
    theirs = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_JET)
    np.testing.assert_array_equal(table("jet-opencv"), theirs[0, :, ::-1])


def test_matlabs_jet_is_that_of_its_documentation() -> None:
    """jet(8), as MATLAB prints it, is every 32nd step of jet(256), and the corners' width."""
    half, ones = np.arange(1, 65) / 64, np.ones(63)
    hill = np.concatenate([half, ones, half[::-1]])
    channels = np.zeros((3, 256 + 2 * 191))
    for row, first in zip(channels, (96, 32, -32), strict=True):
        row[first + 191 : first + 191 + len(hill)] = hill
    jet = channels[:, 191 : 191 + 256].T
    assert jet[0].tolist() == [0, 0, 0.515625]
    np.testing.assert_array_equal(table("jet-matlab"), np.rint(255 * jet))


def test_the_jets_are_not_alike() -> None:
    jets = [table(name).astype(int) for name in COLORMAPS if name.startswith("jet")]
    assert len(jets) == 3
    assert np.abs(jets[0] - jets[1]).max() > 30
    assert np.abs(jets[1] - jets[2]).max() <= 4


def test_a_signed_map_has_nothing_in_its_middle() -> None:
    (name,) = SIGNED
    red, green, blue = table(name)[127:129].T.astype(int)
    assert max(abs(red - green).max(), abs(red - blue).max()) < 8
    low, zero, high, beyond = apply(np.array([-3, 0, 3, 9], np.float32), 3, name, low=-3).tolist()
    assert [low, zero, high] == table(name)[[0, 128, 255]].tolist()
    assert beyond == high
    assert apply(np.array([np.nan], np.float32), 3, name, low=-3).tolist() == [zero]


def test_evenly_each_colour_has_the_same_share() -> None:
    values = np.linspace(2, 6, 256 * 8 + 1, dtype=np.float32)
    colors = apply_evenly(values, 6, "viridis", low=2)
    np.testing.assert_array_equal(colors[:-1], np.repeat(table("viridis"), 8, axis=0))
    assert colors[-1].tolist() == table("viridis")[255].tolist()
    halved = apply(values, 6, "viridis", low=2)
    assert (halved == table("viridis")[0]).all(axis=1).sum() < 8


def test_the_default_grows_steadily_brighter() -> None:
    luma = table(DEFAULT).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luma) > -0.6).all()
    assert luma[0] < 3
    assert luma[-1] > 240


def test_values_are_coloured_from_0_to_the_top() -> None:
    colors = table("jet")
    values = np.array([[0, 1, 2], [4, 5, -1]], np.float32)
    picked = apply(values, 4, "jet")
    assert picked.shape == (2, 3, 3)
    for value, color in zip(values.ravel().tolist(), picked.reshape(-1, 3), strict=True):
        np.testing.assert_array_equal(color, colors[round(255 * min(max(value, 0), 4) / 4)])


@pytest.mark.parametrize("top", [1e-42, 1e-30, 1e30])
def test_tiny_and_huge_values_keep_their_colours(top: float) -> None:
    values = np.array([0, top / 2, top], np.float32)
    first, middle, last = apply(values, float(np.float32(top)), "viridis").tolist()
    assert [first, last] == table("viridis")[[0, 255]].tolist()
    assert middle in table("viridis")[120:136].tolist()


def test_without_a_top_and_without_a_number_it_is_the_first_colour() -> None:
    first = table(DEFAULT)[0].tolist()
    assert apply(np.zeros((1, 2), np.float32), 0).tolist() == [[first, first]]
    assert apply(np.array([np.nan, 0], np.float32), 1).tolist() == [first, first]


def test_an_unknown_name_answers_with_the_nearest() -> None:
    with pytest.raises(InputError, match="no colour map 'Infernal'; the nearest is 'inferno'"):
        table("Infernal")
