"""Labels and maps over the picture, by Pillow alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ortcam.colormap import table
from ortcam.overlay import beside_legend, paint_labels, paint_map

COLORS = ((255, 0, 0), (0, 0, 200), (10, 250, 30))


def test_labels_have_six_tenths() -> None:
    picture = np.full((1, 4, 3), 100, np.uint8)
    labels = np.int32([[0, 1, 2, -1]])
    painted = paint_labels(picture, labels, COLORS)
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[[193, 40, 40], [40, 40, 160], [46, 190, 58], [100, 100, 100]]]
    assert paint_labels(picture, labels, COLORS, 1.0).tolist() == picture.tolist()
    assert paint_labels(picture, labels, COLORS, 0.0)[0, :3].tolist() == [list(c) for c in COLORS]


def test_labels_without_a_picture_are_the_colours_themselves() -> None:
    painted = paint_labels(None, np.int32([[2, -1]]), COLORS)
    assert painted.tolist() == [[[10, 250, 30], [255, 255, 255]]]


def test_jet_has_one_share_everywhere(rgb) -> None:
    plane = np.linspace(0, 7, rgb.shape[0] * rgb.shape[1], dtype=np.float32).reshape(22, 31)
    jet = table("jet")[np.rint(plane / 7 * 255).astype(int)]
    painted = paint_map(rgb, plane, 7.0, colormap="jet")
    assert abs(painted - (0.5 * rgb + 0.5 * jet)).max() <= 0.5
    painted = paint_map(rgb, plane, 7.0, alpha=0.25, colormap="jet")
    assert abs(painted - (0.75 * rgb + 0.25 * jet)).max() <= 0.5


@pytest.mark.parametrize("name", ["inferno", "magma", "turbo", "viridis"])
def test_a_map_that_shows_nothing_leaves_the_picture_as_it_is(name: str, rgb) -> None:
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


def test_a_map_without_a_picture_is_its_colours() -> None:
    painted = paint_map(None, np.float32([[0, 1]]), 1.0)
    assert painted.tolist() == [table("inferno")[[0, 255]].tolist()]


def test_what_is_no_number_is_painted_as_nothing(rgb) -> None:
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
    order = [tuple(c) for c in bar[np.any(np.diff(bar, axis=0, prepend=-1) != 0, axis=1)]]
    assert [c for c in order if c != (255, 255, 255)] == list(COLORS)
    # Beside each colour there is lettering, which ends before the edge.
    height = len(bar) // 3
    for i in range(3):
        ink = (right[i * height : (i + 1) * height] < 130).all(axis=2)
        assert ink.sum() > 5
        assert not ink[:, -1].any()


def test_a_legend_of_no_class_is_no_error() -> None:
    assert isinstance(beside_legend(np.zeros((9, 9, 3), np.uint8), [], []), Image.Image)
