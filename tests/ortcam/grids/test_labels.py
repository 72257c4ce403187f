"""From a score to labels, and to the classes that are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ortcam.grids.labels import NONE, classes_seen, label_image
from ortcam.grids.resample import resample


def softmax(seed: int, shape: tuple[int, int, int]) -> NDArray[Any]:
    e = np.exp(np.random.default_rng(seed).normal(size=shape) * 2)
    score: NDArray[np.float32] = (e / e.sum(axis=0)).astype(np.float32)
    return score


def test_on_the_scores_own_grid_it_is_the_argmax() -> None:
    score = softmax(0, (5, 6, 7))
    labels = label_image(score, "softmax", (6, 7))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, score.argmax(axis=0))


@pytest.mark.parametrize("grid", [(30, 28), (3, 4)])
def test_on_the_pictures_grid_scores_are_interpolated_first(grid: tuple[int, int]) -> None:
    score = softmax(1, (4, 6, 7))
    planes = np.stack([resample(plane, grid, "bilinear") for plane in score])
    np.testing.assert_array_equal(label_image(score, "softmax", grid), planes.argmax(axis=0))


def test_a_class_that_is_second_everywhere_gets_no_outline() -> None:
    score = np.array([[[0.6, 0.0]], [[0.4, 0.4]], [[0.0, 0.6]]], np.float32)
    assert set(label_image(score, "softmax", (10, 20)).flat) == {0, 2}


def test_where_no_sigmoid_reaches_one_half_there_is_no_label() -> None:
    score = np.array([[[0.9, 0.3, 0.5]], [[0.8, 0.4, 0.2]]], np.float32)
    assert label_image(score, "sigmoid", (1, 3)).tolist() == [[0, NONE, 0]]
    assert label_image(score, "softmax", (1, 3)).tolist() == [[0, 1, 0]]
    assert NONE in label_image(score, "sigmoid", (3, 9))


def test_of_a_single_channel_of_logits_the_threshold_is_0() -> None:
    logits = np.array([[[-1, 2, 0]]], np.float32)
    assert label_image(logits, "logits", (1, 3)).tolist() == [[NONE, 0, 0]]
    two = np.array([[[-1.0]], [[-2.0]]], np.float32)
    assert label_image(two, "logits", (1, 1)).tolist() == [[0]]


def test_the_classes_seen_come_by_area() -> None:
    score = np.eye(4, dtype=np.float32)[[2, 2, 2, 0, 0, 3]].T[:, None]
    assert classes_seen(score, "softmax") == (2, 0, 3)
    weights = np.array([[0, 0, 0.1, 0, 1, 2]], np.float32)
    assert classes_seen(score, "softmax", weights) == (3, 0, 2)
    assert classes_seen(score, "softmax", np.array([[0, 0, 0, 1, 0, 0]], np.float32)) == (0,)


def test_where_no_class_is_seen_the_likeliest_is_taken() -> None:
    score = np.array([[[0.1, 0.1]], [[0.4, 0.1]], [[0.2, 0.2]]], np.float32)
    assert classes_seen(score, "sigmoid") == (1,)
    assert classes_seen(score, "sigmoid", np.array([[0, 1]], np.float32)) == (2,)


def test_of_a_classifier_the_best_is_taken_or_all_above_one_half() -> None:
    score = np.array([0.6, 0.1, 0.9], np.float32)
    assert classes_seen(score, "softmax") == (2,)
    assert classes_seen(score, "sigmoid") == (2, 0)
    assert classes_seen((score / 10).astype(np.float32), "sigmoid") == (2,)
    assert classes_seen(score - 5, "logits") == (2,)
