"""Parts of a picture, against masks made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ortcam import Box, Component, Labelled, Mask, Mistaken, Pixel, Polygon, Predicted
from ortcam.errors import ClassError, PictureError, RegionError
from ortcam.questions.regions import Scene, Where

LABELS = np.array(
    [
        [0, 0, 1, 1, 1, -1],
        [0, 2, 1, 1, 1, 2],
        [2, 2, 1, 1, 1, 2],
        [2, 0, 0, 2, 2, 2],
    ],
    np.int32,
)
TRUTH = np.where(LABELS == 2, 1, LABELS)
TRUTH[0] = 255
CONFUSED = LABELS.copy()  # for class 2 in both ways, for others in the last row, with void
CONFUSED[0] = 255
CONFUSED[1] = [0, 1, 2, 1, 1, 0]
CONFUSED[3, 1] = 1
COLORS = ((10, 20, 30), (40, 50, 60), (70, 80, 90))


def scene(labels: NDArray[Any] = LABELS) -> Scene:
    return Scene(labels.shape, ("Sky", "Road", "Car"), COLORS, lambda: labels)


def drawn(*rows: str) -> NDArray[Any]:
    mask: NDArray[np.bool_] = np.array([list(row) for row in rows]) == "#"
    return mask


PARTS = [
    (Pixel(4, 1), ("......", "....#.", "......", "......"), "at 4,1"),
    (Box(1, 0, 3, 2), (".##...", ".##...", "......", "......"), "in the box 1,0,3,2"),
    (Box(-5, 2, 2, 99), ("......", "......", "##....", "##...."), "in the box -5,2,2,99"),
    (Predicted(), ("......", ".#...#", "##...#", "#..###"), "where predicted"),
    (Predicted("Road"), ("..###.", "..###.", "..###.", "......"), "where Road is predicted"),
    (Component(5, 1), ("......", ".....#", ".....#", "...###"), "in the component under 5,1"),
    (Component(1, 1), ("......", ".#....", "##....", "#....."), "in the component under 1,1"),
    (Labelled(TRUTH), ("......", "......", "......", "......"), "where labelled"),
    (Labelled(TRUTH, 0), ("......", "#.....", "......", ".##..."), "where labelled 0"),
    (Mistaken(TRUTH), ("......", ".#...#", "##...#", "#..###"), "where mistaken"),
    (
        Mistaken(CONFUSED, "false-positive"),
        ("......", ".#...#", "......", "......"),
        "where false positive",
    ),
    (
        Mistaken(CONFUSED, "false-negative"),
        ("......", "..#...", "......", "......"),
        "where false negative",
    ),
    (
        Predicted("Road").border(),
        ("..#.#.", "..#.#.", "..###.", "......"),
        "along the border, 1 px, where Road is predicted",
    ),
    (
        Predicted() & Box(0, 0, 3, 9),
        ("......", ".#....", "##....", "#....."),
        "where predicted and in the box 0,0,3,9",
    ),
    (Pixel(0, 0) | Pixel(2, 0), ("#.#...", "......", "......", "......"), "(at 0,0 or at 2,0)"),
    (~Box(0, 0, 6, 3), ("......", "......", "......", "######"), "not (in the box 0,0,6,3)"),
]


@pytest.mark.parametrize(("part", "expected", "called"), PARTS, ids=[p[2] for p in PARTS])
def test_a_part_selects_its_pixels(part: Where, expected: tuple[str, ...], called: str) -> None:
    weights = part.weights(scene(), 2)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, drawn(*expected))
    assert str(part) == called


def test_what_depends_on_the_class_and_on_the_prediction_says_so() -> None:
    assert [Predicted().by_class, Predicted(1).by_class, Labelled(TRUTH).by_class] == [1, 0, 1]
    assert (~Predicted() & Pixel(0, 0)).by_class
    assert not (Mistaken(TRUTH) | Component(0, 0)).by_class
    assert (Mistaken(TRUTH, "false-negative") & Pixel(0, 0)).by_class
    assert (Mistaken(TRUTH).border(2) & Pixel(0, 0)).by_prediction
    assert not (Labelled(TRUTH) & Box(0, 0, 1, 1)).by_prediction

    def predict() -> NDArray[Any]:
        raise AssertionError("nobody needs the prediction")

    blind = Scene((4, 6), ("Sky", "Road", "Car"), COLORS, predict)
    assert (Box(0, 0, 2, 2) & ~Pixel(1, 1)).weights(blind, 0).sum() == 3


def test_mistakes_of_a_class_are_those_of_two_parts() -> None:
    for subject in range(3):
        for kind, part in (("false-positive", Predicted()), ("false-negative", Labelled(CONFUSED))):
            np.testing.assert_array_equal(
                Mistaken(CONFUSED, kind).weights(scene(), subject),
                (part & Mistaken(CONFUSED)).weights(scene(), subject),
            )
    with pytest.raises(RegionError, match="must be mistaken, false-positive or false-negative"):
        Mistaken(CONFUSED, "wrong")


@pytest.mark.parametrize("seed", range(5))
def test_a_polygon_holds_the_centres_within_it(seed: int) -> None:
    """By the winding of every single centre's view of the edges, not by scan lines."""
    corners = np.random.default_rng(seed).uniform(-5, 35, (7, 2))
    weights = Polygon(corners.tolist()).weights(scene(np.zeros((22, 31), np.int32)), 0)
    for y in range(22):
        for x in range(31):
            inside = False
            for (xa, ya), (xb, yb) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                above = (ya > y + 0.5) != (yb > y + 0.5)
                inside ^= bool(above and x + 0.5 > xa + (y + 0.5 - ya) * (xb - xa) / (yb - ya))
            assert weights[y, x] == inside


def test_a_polygon_of_the_picture_s_edges_is_the_picture() -> None:
    assert Polygon([(0, 0), (6, 0), (6, 4), (0, 4)]).weights(scene(), 0).all()
    box = Polygon([(1, 0), (3, 0), (3, 2), (1, 2)]).weights(scene(), 0)
    np.testing.assert_array_equal(box, Box(1, 0, 3, 2).weights(scene(), 0))


def test_masks_and_weights(tmp_path: Path) -> None:
    weights = np.linspace(0, 3, 24).reshape(4, 6)
    np.testing.assert_allclose(Mask(weights).weights(scene(), 0), weights, rtol=1e-6)
    mask = drawn(".#....", "......", "......", ".....#")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(Mask(tmp_path / "mask.png").weights(scene(), 0), mask)
    assert str(Mask(tmp_path / "mask.png")) == "in mask.png"


@pytest.mark.parametrize("kind", ["grey", "palette", "deep", "colours", "array of colours"])
def test_label_images_of_every_kind(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "truth.png"
    values = TRUTH.astype(np.uint8)
    colours = np.array([*COLORS, *[(0, 0, 0)] * 253], np.uint8)
    truth: Path | NDArray[np.uint8] = file
    if kind == "grey":
        Image.fromarray(values).save(file)
    elif kind == "deep":
        Image.fromarray(np.where(values == 255, 40000, values).astype(np.uint16)).save(file)
    elif kind == "palette":
        image = Image.fromarray(values).convert("P")
        image.putpalette((np.arange(768) % 251).tolist())
        image.save(file)
    else:
        Image.fromarray(colours[values]).save(file)
        truth = colours[values] if kind == "array of colours" else file
    expected = np.where(TRUTH == 255, -1, TRUTH)
    for index in range(3):
        found = Labelled(truth, index).weights(scene(), 0)
        np.testing.assert_array_equal(found, expected == index)


VOLUME = np.zeros((3, 4, 6), np.int32)
VOLUME[0] = VOLUME[2, :2] = 1


def test_volumes() -> None:
    seen = scene(VOLUME)
    assert np.argwhere(Pixel(5, 1, 2).weights(seen, 0)).tolist() == [[2, 1, 5]]
    np.testing.assert_array_equal(Predicted(1).weights(seen, 0), VOLUME == 1)
    np.testing.assert_array_equal(Labelled(VOLUME, 1).weights(seen, 0), VOLUME == 1)
    above = Component(0, 0, 2).weights(seen, 0)
    assert above.sum() == 12
    assert above[2].sum() == 12


@pytest.mark.parametrize(
    ("part", "labels", "error", "said"),
    [
        (
            Pixel(6, 0),
            LABELS,
            RegionError,
            "the pixel 6,0, counted from 0, lies outside the picture of 6 x 4",
        ),
        (Pixel(0, -1), LABELS, RegionError, "the pixel 0,-1, counted from 0, lies outside"),
        (Pixel(0, 0, 0), LABELS, RegionError, "a pixel is x,y in a picture and x,y,z in a volume"),
        (Pixel(0, 0), VOLUME, RegionError, "a pixel is x,y in a picture and x,y,z in a volume"),
        (Box(3, 0, 3, 4), LABELS, RegionError, "the box 3,0,3,4 is empty"),
        (Box(0, 0, 2, 2), VOLUME, RegionError, "a box fits a picture, not a volume"),
        (Polygon([(0, 0), (1, 0), (0, 1)]), VOLUME, RegionError, "a polygon fits a picture"),
        (Component(5, 0), LABELS, RegionError, "no class is predicted at 5,0"),
        (Predicted("Kar"), LABELS, ClassError, "there is no class 'Kar'; the nearest is 'Car'"),
        (Mistaken(TRUTH[1:]), LABELS, RegionError, r"the label image is \[3, 6\]"),
        (Mistaken(TRUTH / 2), LABELS, RegionError, "float64"),
        (Mistaken(np.full((4, 6), 9)), LABELS, RegionError, "has no class"),
        (
            Mistaken(np.zeros((4, 6, 2), int)),
            LABELS,
            RegionError,
            "give a class index, or an RGB colour",
        ),
        (Mistaken("none.png"), LABELS, PictureError, "none.png cannot be read"),
        (Mask(np.ones((6, 4))), LABELS, RegionError, r"the region is \[6, 4\]"),
    ],
)
def test_what_does_not_fit_is_refused(
    part: Any, labels: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        part.weights(scene(labels), 0)


def test_what_is_no_part_is_refused_at_once() -> None:
    with pytest.raises(RegionError, match="width of a border must be at least 1, got 0"):
        Predicted().border(0)
    for points in ([(0, 0), (1, 1)], [(0, 0), (1, 1), (2, np.nan)], [(0, 0), (1, 1), (1, 2, 3)]):
        with pytest.raises(RegionError, match="at least three corners"):
            Polygon(points)
