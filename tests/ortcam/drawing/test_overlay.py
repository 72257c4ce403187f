"""Labels and maps over the picture, by Pillow alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ortcam.drawing.colormap import table
from ortcam.drawing.overlay import (
    beside_legend,
    paint_brightened,
    paint_evenly,
    paint_labels,
    paint_map,
)

COLORS = ((255, 0, 0), (0, 0, 200), (10, 250, 30))


def test_labels_have_six_tenths() -> None:
    picture = np.full((1, 4, 3), 100, np.uint8)
    labels = np.array([[0, 1, 2, -1]], np.int32)
    painted = paint_labels(picture, labels, COLORS)
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[[193, 40, 40], [40, 40, 160], [46, 190, 58], [100, 100, 100]]]
    assert paint_labels(picture, labels, COLORS, 1.0).tolist() == picture.tolist()
    assert paint_labels(picture, labels, COLORS, 0.0)[0, :3].tolist() == [list(c) for c in COLORS]


def test_labels_without_a_picture_are_the_colours_themselves() -> None:
    painted = paint_labels(None, np.array([[2, -1]], np.int32), COLORS)
    assert painted.tolist() == [[[10, 250, 30], [255, 255, 255]]]


def test_jet_has_one_share_everywhere(rgb: NDArray[np.uint8]) -> None:
    plane = np.linspace(0, 7, rgb.shape[0] * rgb.shape[1], dtype=np.float32).reshape(22, 31)
    jet = table("jet")[np.rint(plane / 7 * 255).astype(int)]
    painted = paint_map(rgb, plane, 7.0, colormap="jet")
    assert abs(painted - (0.5 * rgb + 0.5 * jet)).max() <= 0.5
    painted = paint_map(rgb, plane, 7.0, alpha=0.25, colormap="jet")
    assert abs(painted - (0.75 * rgb + 0.25 * jet)).max() <= 0.5


@pytest.mark.parametrize("name", ["inferno", "magma", "turbo", "viridis"])
def test_a_map_that_shows_nothing_leaves_the_picture_as_it_is(
    name: str, rgb: NDArray[np.uint8]
) -> None:
    plane = np.zeros(rgb.shape[:2], np.float32)
    np.testing.assert_array_equal(paint_map(rgb, plane, 0.0, colormap=name), rgb)
    plane[5:, 3:] = 8.0
    painted = paint_map(rgb, plane, 8.0, colormap=name)
    np.testing.assert_array_equal(painted[:5], rgb[:5])
    expected = 0.5 * rgb[5:, 3:] + 0.5 * table(name)[255]
    assert abs(painted[5:, 3:] - expected).max() <= 0.5
    # From a quarter of the top on the share is whole.
    painted = paint_map(rgb, plane, 32.0, colormap=name)
    expected = 0.5 * rgb[5:, 3:] + 0.5 * table(name)[64]
    assert abs(painted[5:, 3:] - expected).max() <= 0.5


def luminance(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(float) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("ground", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("name", ["inferno", "magma", "turbo", "viridis", "coolwarm"])
def test_an_overlay_is_neither_dark_nor_washed_out(name: str, ground: float) -> None:
    """On dark, middling and light pictures: where the map is faint both brightness and contrast
    are the picture's, and nowhere has the picture less than its share of the contrast."""
    texture = np.random.default_rng(0).uniform(-30, 30, (60, 80, 1))
    picture = np.rint(255 * ground + texture).clip(0, 255).repeat(3, axis=2).astype(np.uint8)
    plane = np.zeros((60, 80), np.float32)
    plane[:, 20:40], plane[:, 40:] = 0.01, 1
    low = -1.0 if name == "coolwarm" else 0.0
    painted = luminance(paint_map(picture, plane, 1, low=low, colormap=name))
    given = luminance(picture)
    np.testing.assert_allclose(painted[:, :20], given[:, :20])
    assert painted[:, 20:40].mean() == pytest.approx(given[:, 20:40].mean(), abs=0.03 * 255)
    assert painted[:, 20:40].std() == pytest.approx(given[:, 20:40].std(), rel=0.06)
    assert painted[:, 40:].std() == pytest.approx(0.5 * given[:, 40:].std(), rel=0.01)


def test_of_a_signed_map_what_is_less_is_as_plain_as_what_is_more(rgb: NDArray[np.uint8]) -> None:
    plane = np.full(rgb.shape[:2], -8.0, np.float32)
    plane[5:], plane[10:] = 0, 8
    painted = paint_map(rgb, plane, 8, low=-8, colormap="coolwarm")
    np.testing.assert_array_equal(painted[5:10], rgb[5:10])
    for part, color in ((slice(5), 0), (slice(10, None), 255)):
        expected = 0.5 * rgb[part] + 0.5 * table("coolwarm")[color]
        assert abs(painted[part] - expected).max() <= 0.5


def test_an_even_range_begins_at_low(rgb: NDArray[np.uint8]) -> None:
    plane = np.linspace(-1, 3, rgb.shape[0] * rgb.shape[1], dtype=np.float32).reshape(22, 31)
    at = np.minimum((plane.astype(float) + 1) / 4 * 256, 255).astype(int)
    painted = paint_evenly(rgb, plane, 3, low=-1, alpha=0.3, colormap="jet-matlab")
    assert abs(painted - (0.7 * rgb + 0.3 * table("jet-matlab")[at])).max() <= 0.501
    bare = paint_evenly(None, plane, 3, low=-1, colormap="jet-matlab")
    np.testing.assert_array_equal(bare, table("jet-matlab")[at])


def test_brightened_the_brightest_channel_is_full(rgb: NDArray[np.uint8]) -> None:
    plane = np.linspace(0, 1, rgb.shape[0] * rgb.shape[1], dtype=np.float32).reshape(22, 31)
    painted = paint_brightened(rgb, plane, 1, colormap="jet-opencv")
    mixed = 0.5 * rgb / 255 + 0.5 * table("jet-opencv")[np.floor(255 * plane).astype(int)] / 255
    assert abs(painted - (255 * mixed / mixed.max() - 0.5)).max() <= 0.51
    black = np.zeros_like(rgb)
    assert not paint_brightened(black, plane, 1, alpha=0, colormap="jet-opencv").any()


def test_a_map_without_a_picture_is_its_colours() -> None:
    painted = paint_map(None, np.array([[0, 1]], np.float32), 1.0)
    assert painted.tolist() == [table("inferno")[[0, 255]].tolist()]


def test_what_is_no_number_is_painted_as_nothing(rgb: NDArray[np.uint8]) -> None:
    plane = np.full(rgb.shape[:2], np.nan, np.float32)
    np.testing.assert_array_equal(paint_map(rgb, plane, 1.0), rgb)


@pytest.mark.parametrize("shape", [(22, 31), (360, 480), (1000, 200)])
def test_a_legend_names_every_class_in_its_colour(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 77, np.uint8)
    image = beside_legend(picture, ["Sky", "Road", "A very long name of a class"], COLORS)
    pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels[: shape[0], : shape[1]], picture)
    right = pixels[:, shape[1] :]
    bar = right[:, (right == COLORS[0]).all(axis=2).any(axis=0).argmax()]
    steps: NDArray[np.int64] = np.diff(bar.astype(int), axis=0, prepend=-1)
    order = [tuple(c) for c in bar[steps.any(axis=1)]]
    assert [c for c in order if c != (255, 255, 255)] == list(COLORS)
    # Beside each colour there is lettering, which ends before the edge.
    height = len(bar) // 3
    for i in range(3):
        ink = np.asarray((right[i * height : (i + 1) * height] < 130).all(axis=2))
        assert ink.sum() > 5
        assert not ink[:, -1].any()


def test_a_legend_of_no_class_is_no_error() -> None:
    assert isinstance(beside_legend(np.zeros((9, 9, 3), np.uint8), [], []), Image.Image)
