"""Outlines: on the boundary, visible on any background, of the prediction and of regions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from results import Build, segmented

from ortcam import Box, Cam, Pixel, Predicted, about
from ortcam.drawing.contours import ASKED, PREDICTED, draw

WHITE = (255, 255, 255)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(pixels.astype(float) @ [0.2126, 0.7152, 0.0722])


@pytest.fixture(scope="module")
def cam(small: Build) -> Cam:
    cam: Cam = small(seed=4).load()
    return cam


@pytest.mark.parametrize("shape", [(24, 30), (900, 1200)])
@pytest.mark.parametrize("ground", [0, 128, 255])
def test_a_line_is_seen_on_any_ground(shape: tuple[int, int], ground: int) -> None:
    picture = np.full((*shape, 3), ground, np.uint8)
    mask = np.zeros(shape, bool)
    top, bottom = shape[0] // 4, shape[0] * 3 // 4
    left, right = shape[1] // 3, shape[1] * 3 // 4
    mask[top:bottom, left:right] = True
    drawn = draw(picture, [(mask, WHITE)])
    column = (left + right) // 2
    light, dark = luminance(drawn[top, column]), luminance(drawn[top - 1, column])
    assert light - dark > 200
    if ground == 128:
        width = 1 if shape[0] < 100 else 2
        expected = [*range(top - width, top + width), *range(bottom - width, bottom + width)]
        assert np.flatnonzero(drawn[:, column, 0] != 128).tolist() == expected
    np.testing.assert_array_equal(picture, ground)


def test_there_is_no_line_at_the_pictures_edge() -> None:
    picture = np.full((40, 40, 3), 128, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[:, :20] = True
    drawn = draw(picture, [(mask, WHITE)])
    assert np.flatnonzero((drawn != picture).any(axis=(0, 2))).tolist() == [19, 20]
    np.testing.assert_array_equal(draw(picture, [(np.ones((40, 40), bool), WHITE)]), picture)
    np.testing.assert_array_equal(draw(picture, [(~np.ones((40, 40), bool), WHITE)]), picture)


def test_one_pixel_gets_a_ring_and_stays_to_be_seen() -> None:
    picture = np.full((600, 800, 3), 128, np.uint8)
    mask = np.zeros((600, 800), bool)
    mask[300, 400] = True
    drawn = draw(picture, [(mask, WHITE)])
    np.testing.assert_array_equal(drawn[299:302, 399:402], 128)
    assert (drawn[300, 385:400] == WHITE).all(axis=1).any()


def test_the_class_and_the_part_asked_about_are_outlined(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    box = Box(4, 3, 20, 15)
    explanation = cam.explain(rgb, ["Tree", about("Road").over(box)], "late", region=None)
    labels = segmented(explanation).labels
    (tree,) = explanation.outlines(0)
    np.testing.assert_array_equal(tree[0], labels == 3)
    assert tree[1] == PREDICTED
    predicted, asked = explanation.outlines(1)
    np.testing.assert_array_equal(predicted[0], labels == 1)
    expected = np.zeros((22, 31), bool)
    expected[3:15, 4:20] = True
    np.testing.assert_array_equal(asked[0], expected)
    assert asked[1] == ASKED
    plain = np.asarray(explanation.overlay(1))
    np.testing.assert_array_equal(
        np.asarray(explanation.overlay(1, contours=True)), draw(plain, [predicted, asked])
    )


def test_where_it_asks_about_the_prediction_there_is_one_outline(
    cam: Cam, rgb: NDArray[np.uint8]
) -> None:
    explanation = cam.explain(rgb, "Tree", "late", region=Predicted())
    ((mask, color),) = explanation.outlines(0)
    assert color == ASKED
    np.testing.assert_array_equal(mask, segmented(explanation).labels == 3)


def test_regions_of_all_kinds_are_remembered(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    mask = np.zeros((22, 31), bool)
    mask[2:9, 5:20] = True
    each = np.stack([mask, ~mask])
    regions: tuple[tuple[Any, list[Any]], ...] = (
        (None, [None, None]),
        (mask, [mask, mask]),
        (0.5 * each, [*each]),
        (Pixel(3, 2), [np.arange(22 * 31).reshape(22, 31) == 2 * 31 + 3] * 2),
    )
    for region, expected in regions:
        masks = cam.explain(rgb, ["Tree", "Road"], "late", region=region).regions
        assert len(masks) == 2
        for one, other in zip(masks, expected, strict=True):
            assert (one is None) == (other is None)
            assert one is None or (one.dtype == bool and (one == other).all())
    seen = cam.explain(rgb, layers="late", region=mask)
    assert all(one is not None and np.array_equal(one, mask) for one in seen.regions)
    assert len(seen.regions) == len(seen.classes)
    batch = cam.explain_batch([rgb, rgb], ["Tree"], "late", regions=[mask, None])
    np.testing.assert_array_equal(batch[0].regions[0], mask)
    assert batch[1].regions == (None,)


def test_a_difference_and_a_classifier_have_no_outline_of_a_class(
    small: Build, cam: Cam, rgb: NDArray[np.uint8]
) -> None:
    explanation = cam.explain(rgb, [about("Tree") - about("Road")], "late")
    assert explanation.outlines(0) == []
    classifier = small(seed=4, classifier=True).load().explain(rgb, "Road", "late")
    assert classifier.outlines(0) == []


def test_of_a_volume_the_slice_is_outlined(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    explanation = cam.explain(rgb, "Tree", "late")
    segmentation = segmented(explanation)
    deep = dataclasses.replace(
        explanation,
        raw={"late": np.stack([explanation.raw["late"]] * 2, axis=1)},
        grid=(2, 22, 31),
        picture=np.stack([rgb, rgb]),
        segmentation=dataclasses.replace(
            segmentation,
            score=np.stack([segmentation.score, segmentation.score[::-1]], axis=1),
            grid=(2, 22, 31),
        ),
        regions=(np.stack([np.zeros((22, 31), bool), np.eye(22, 31, dtype=bool)]),),
    )
    assert [color for _, color in deep.outlines(0, 0)] == [PREDICTED]
    assert [color for _, color in deep.outlines(0, 1)] == [PREDICTED, ASKED]
    np.testing.assert_array_equal(deep.outlines(0, 0)[0][0], segmentation.labels == 3)
