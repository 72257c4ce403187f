"""Components and borders, against pixel by pixel walks."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ortcam.grids.morphology import border, component

SHAPES = st.sampled_from([(1, 1), (1, 9), (9, 1), (7, 8), (12, 5), (3, 4, 5), (4, 1, 6)])


def flooded(mask: NDArray[Any], seed: tuple[int, ...]) -> NDArray[Any]:
    """The component by a flood, pixel by pixel."""
    found, waiting = np.zeros(mask.shape, bool), [seed]
    found[seed] = True
    while waiting:
        place = waiting.pop()
        for step in itertools.product((-1, 0, 1), repeat=mask.ndim):
            beside = tuple(p + s for p, s in zip(place, step, strict=True))
            inside = all(0 <= b < n for b, n in zip(beside, mask.shape, strict=True))
            if inside and mask[beside] and not found[beside]:
                found[beside] = True
                waiting.append(beside)
    return found


@given(SHAPES, st.floats(0.1, 0.9), st.integers(0, 2**32 - 1))
def test_a_component_is_what_a_flood_reaches(
    shape: tuple[int, ...], share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(shape) < share
    start = tuple(int(random.integers(n)) for n in shape)
    mask[start] = True
    np.testing.assert_array_equal(component(mask, start), flooded(mask, start))


def test_a_spiral_and_corners() -> None:
    spiral = np.array([list(row) for row in ("#####", "....#", "###.#", "#...#", "#####")]) == "#"
    np.testing.assert_array_equal(component(spiral, (0, 0)), spiral)
    corners = np.eye(4, dtype=bool)
    np.testing.assert_array_equal(component(corners, (2, 2)), corners)
    apart = np.array([[1, 0, 1]], bool)
    assert component(apart, (0, 2)).tolist() == [[False, False, True]]


@given(SHAPES, st.integers(1, 4), st.floats(0.3, 1.0), st.integers(0, 2**32 - 1))
def test_a_border_is_what_is_near_the_outside(
    shape: tuple[int, ...], width: int, share: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    expected = np.zeros(shape, bool)
    outside = np.argwhere(~mask)
    for place in np.argwhere(mask):
        expected[tuple(place)] = (abs(outside - place).max(axis=1, initial=0) <= width).any()
    np.testing.assert_array_equal(border(mask, width), expected)


def test_a_frame_of_video_takes_no_time_to_speak_of() -> None:
    """The worst there is: every second pixel a run of its own, all connected by corners."""
    board = np.indices((720, 960)).sum(axis=0) % 2 == 0
    begin = time.process_time()
    np.testing.assert_array_equal(component(board, (0, 0)), board)
    assert time.process_time() - begin < 10
