"""Memory estimates: how many questions and passes fit into a budget."""

from __future__ import annotations

import math

import pytest

from ortcam.inference.memory import (
    passes_that_fit,
    pooled_questions_that_fit,
    questions_that_fit,
)

PICTURE = (1, 3, 20, 30)


def fit(memory: float, *sizes: tuple[int, ...] | None, to_picture: bool = False) -> int:
    return questions_that_fit(memory, sizes, picture=PICTURE, classes=4, to_picture=to_picture)


def test_a_question_takes_two_cotangents_of_score_and_layers() -> None:
    score, layer = (1, 4, 10, 15), (1, 8, 5, 5)
    each = 2 * 4 * (600 + 200)
    assert fit(5 * each, score, layer) == 5
    assert fit(5 * each - 1, score, layer) == 4
    assert fit(each * 16, score, layer, to_picture=True) < 2  # the early layers count too


def test_at_least_one_question_is_asked() -> None:
    assert fit(0, (1, 4, 10, 15)) == pooled_questions_that_fit(0, pictures=1, classes=4) == 1


def test_few_questions_are_asked_while_sizes_are_unknown() -> None:
    assert fit(math.inf, None, (1, 8, 5, 5)) == fit(math.inf, (1, 4, 10, 15), None) == 4
    assert fit(math.inf, (1, 4, 10, 15)) == 2**31
    assert fit(2 * (2 * 4 * 4 * 3 * 20 * 30), None) == 2  # a score as large as the picture


def test_pooled_questions_depend_on_classes_and_pictures_alone() -> None:
    each = 2 * 4 * 9 * 4**2 * 3
    assert pooled_questions_that_fit(7 * each, pictures=3, classes=4) == 7


@pytest.mark.parametrize(("gradient", "factor"), [(False, 100), (True, 150)])
def test_passes(gradient: bool, factor: int) -> None:
    assert passes_that_fit(4 * 1800 * factor * 2.5, 1800, gradient=gradient) == 2.5
