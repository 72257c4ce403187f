"""Colours for classes that come without."""

from __future__ import annotations

import itertools

from ortcam.drawing.palette import distinct_colors


def test_colours_are_distinct_and_stay_the_same() -> None:
    colors = distinct_colors(24)
    assert distinct_colors(5) == colors[:5]
    assert all(0 <= v <= 255 and isinstance(v, int) for color in colors for v in color)
    nearest = min(
        sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
        for one, other in itertools.combinations(colors, 2)
    )
    assert nearest > 55


def test_two_hundred_are_still_distinct_and_then_they_come_again() -> None:
    colors = distinct_colors(600)
    assert len(set(colors[:200])) == 200
    assert colors[256:512] == colors[:256]


def test_none_is_near_black_or_white() -> None:
    assert all(90 < sum(color) < 690 for color in distinct_colors(200))
