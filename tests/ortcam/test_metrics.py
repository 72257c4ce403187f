"""The metrics against slow definitions, and whether they tell a true map from a wrong one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from ortcam import metrics
from ortcam.errors import InputError

Array = NDArray[np.float32]
HEIGHT, WIDTH = 13, 17


def disc(radius: float = 4.0) -> NDArray[np.bool_]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    inside: NDArray[np.bool_] = np.hypot(y - 5, x - 9) <= radius
    return inside


def true_map() -> Array:
    """Bright on the disc, and faint around it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    map: Array = np.exp(-((np.hypot(y - 5, x - 9) / 4) ** 4)).astype(np.float32)
    return map


def random_map(seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((HEIGHT, WIDTH), np.float32)


def coarse(seed: int) -> Array:
    """A map of few values, with many ties and zeros."""
    return np.random.default_rng(seed).integers(0, 4, (5, 6)).astype(np.float32)


# ---- By their definitions -------------------------------------------------------------------


def test_the_pointing_game_asks_whether_the_maximum_lies_on_the_object() -> None:
    map = np.zeros((HEIGHT, WIDTH), np.float32)
    map[5, 9] = 1
    assert metrics.pointing_game(map, disc()) == 1
    map[:] = 0
    map[5, 0] = 1  # 5 pixels left of the disc, which begins at column 5
    assert metrics.pointing_game(map, disc()) == 0
    assert metrics.pointing_game(map, disc(), 4.9) == 0
    assert metrics.pointing_game(map, disc(), 5) == 1


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 1.5, 2.9])
def test_the_tolerance_is_a_distance(tolerance: float) -> None:
    object = np.random.default_rng(1).random((HEIGHT, WIDTH)) < 0.03
    for y, x in itertools.product(range(HEIGHT), range(WIDTH)):
        map = np.zeros((HEIGHT, WIDTH), np.float32)
        map[y, x] = 1
        near = min(math.dist((y, x), at) for at in np.argwhere(object)) <= tolerance
        assert metrics.pointing_game(map, object, tolerance) == near


def test_maxima_that_tie_count_in_equal_parts() -> None:
    map = np.zeros((HEIGHT, WIDTH), np.float32)
    map[5, 9] = map[0, 0] = map[0, 1] = map[5, 8] = 2
    assert metrics.pointing_game(map, disc()) == 0.5


def test_energy_is_a_share_of_the_sum() -> None:
    map, object = random_map(), disc()
    inside = sum(map[at] for at in zip(*np.nonzero(object), strict=True))
    assert metrics.energy(map, object) == pytest.approx(inside / map.sum(), rel=1e-5)
    known = np.random.default_rng(3).random(map.shape) < 0.7
    both = sum(map[at] for at in zip(*np.nonzero(object & known), strict=True))
    wanted = both / map[known].sum()
    assert metrics.energy(map, object, known) == pytest.approx(wanted, rel=1e-5)
    assert metrics.energy(map, object) + metrics.energy(map, ~object) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_overlap_is_the_mean_over_all_ways_to_break_ties(seed: int) -> None:
    """Its intersection is: over every order of the places that tie for the last."""
    map = coarse(seed)
    object = np.random.default_rng(seed + 50).random(map.shape) < 0.3
    count = int(object.sum())
    values = sorted(map.ravel(), reverse=True)
    least = values[count - 1]
    above = [tuple(at) for at in np.argwhere(map > least)]
    level = [tuple(at) for at in np.argwhere(map == least)]
    hits = [
        sum(bool(object[at]) for at in (*above, *some))
        for some in itertools.islice(itertools.combinations(level, count - len(above)), 40000)
    ]
    room = count - len(above)
    exact = Fraction(sum(bool(object[a]) for a in above)) + Fraction(
        room * sum(bool(object[a]) for a in level), len(level)
    )
    if math.comb(len(level), room) <= 40000:
        assert float(exact) == pytest.approx(np.mean(hits))
    assert metrics.overlap(map, object) == pytest.approx(float(exact / (2 * count - exact)))


def test_concentration_is_the_mean_difference_of_two_places() -> None:
    for map in (random_map(), true_map(), coarse(2)):
        flat = map.ravel().astype(np.float64)
        wanted = np.abs(flat[:, None] - flat).mean() / (2 * flat.mean())
        assert metrics.concentration(map) == pytest.approx(wanted, rel=1e-9)
    assert metrics.concentration(np.ones((4, 4), np.float32)) == pytest.approx(0)
    assert metrics.concentration(np.eye(1, 16, dtype=np.float32)) == pytest.approx(15 / 16)


def slow_ranks(values: Array) -> NDArray[np.float64]:
    flat = values.ravel()
    return np.array([np.mean([(flat < v).sum() + 1, (flat <= v).sum()]) for v in flat])


@pytest.mark.parametrize("pair", [(random_map(0), random_map(1)), (coarse(0), coarse(1))])
def test_correlations(pair: tuple[Array, Array]) -> None:
    one, other = pair
    wanted = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert metrics.pearson(one, other) == pytest.approx(wanted, abs=1e-6)
    wanted = np.corrcoef(slow_ranks(one), slow_ranks(other))[0, 1]
    assert metrics.spearman(one, other) == pytest.approx(wanted, abs=1e-9)
    assert metrics.spearman(one, one**3) == pytest.approx(1)
    assert metrics.spearman(one, one.max() - one) == pytest.approx(-1)


def test_difference_is_what_would_have_to_be_moved() -> None:
    one, other = random_map(0), random_map(1)
    a, b = one / one.sum(), other / other.sum()
    assert metrics.difference(one, other) == pytest.approx(np.maximum(a - b, 0).sum(), rel=1e-5)
    assert metrics.difference(one, 7 * one) == pytest.approx(0, abs=1e-7)
    left, right = np.eye(1, 4, 0, np.float32), np.eye(1, 4, 3, np.float32)
    assert metrics.difference(left, right) == 1


def test_the_iou_of_the_highest_tenth() -> None:
    one, other = random_map(0), random_map(1)  # no ties
    count = round(0.1 * one.size)
    sets = [set(np.argsort(m, axis=None)[-count:].tolist()) for m in (one, other)]
    wanted = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    assert metrics.top_iou(one, other) == pytest.approx(wanted)
    assert metrics.top_iou(one, one) == 1
    assert metrics.top_iou(coarse(0), coarse(0), 0.5) == 1
    # Two of four that tie for one place have half a place each: min 1/4, max 1/4.
    assert metrics.top_iou(
        np.array([[1, 1], [0, 0]], np.float32), np.array([[1, 0], [1, 0]], np.float32), 0.25
    ) == (pytest.approx(0.5 / 1.5))


def test_iou_and_means() -> None:
    one, other = disc(4), disc(2)
    assert metrics.iou(one, other) == other.sum() / one.sum()
    assert math.isnan(metrics.iou(one & ~one, one & ~one))
    values, weights = random_map(), random_map(1)
    wanted = np.average(values, weights=weights)
    assert metrics.mean_inside(values, weights) == pytest.approx(wanted, rel=1e-5)
    assert metrics.mean_inside(values, one) == pytest.approx(values[one].mean(), rel=1e-5)


def test_the_area_under_a_curve() -> None:
    at = np.linspace(0, 2, 2001)
    assert metrics.area_under(at**2, at) == pytest.approx(4 / 3, rel=1e-5)
    assert metrics.area_under([1, 3], [0, 10]) == 2
    for values, places in (([1], [0]), ([1, 2], [0, 0]), ([1, 2, 3], [0, 1])):
        with pytest.raises(InputError, match="has no area"):
            metrics.area_under(values, places)


# ---- What is undefined ----------------------------------------------------------------------

ABOUT_ONE: list[Callable[[Array], float]] = [
    lambda m: metrics.pointing_game(m, disc()),
    lambda m: metrics.energy(m, disc()),
    lambda m: metrics.overlap(m, disc()),
    metrics.concentration,
    lambda m: metrics.pearson(m, random_map()),
    lambda m: metrics.spearman(m, random_map()),
    lambda m: metrics.difference(m, random_map()),
    lambda m: metrics.top_iou(m, random_map()),
]


@pytest.mark.parametrize("metric", ABOUT_ONE)
def test_a_map_that_shows_nothing_has_no_figure(metric: Callable[[Array], float]) -> None:
    blank = np.zeros((HEIGHT, WIDTH), np.float32)
    assert math.isnan(metric(blank))
    assert not math.isnan(metric(random_map(5)))


@pytest.mark.parametrize(
    "metric", [metrics.overlap, metrics.energy, metrics.pointing_game, metrics.spearman]
)
def test_grids_that_differ_are_refused(metric: Callable[[Array, Array], float]) -> None:
    with pytest.raises(InputError, match=r"\[2, 3\] and \[3, 2\]"):
        metric(np.ones((2, 3), np.float32), np.ones((3, 2), np.bool_))


def test_volumes_are_measured_as_pictures_are() -> None:
    map, object = np.stack([random_map(0), true_map()]), np.stack([disc(2), disc()])
    flat, mask = map.reshape(2 * HEIGHT, WIDTH), object.reshape(2 * HEIGHT, WIDTH)
    for metric in (metrics.energy, metrics.overlap, metrics.pointing_game):
        assert metric(map, object) == pytest.approx(metric(flat, mask))
    assert metrics.spearman(map, map[::-1]) == pytest.approx(
        metrics.spearman(flat, np.concatenate([true_map(), random_map(0)]))
    )


# ---- A true map ranks above a random and an inverted one ------------------------------------


@pytest.mark.parametrize("metric", [metrics.energy, metrics.overlap, metrics.pointing_game])
def test_a_true_map_ranks_first(metric: Callable[[Array, NDArray[np.bool_]], float]) -> None:
    true = true_map()
    inverted = true.max() - true
    chance = np.mean([metric(random_map(seed), disc()) for seed in range(50)])
    assert metric(true, disc()) > chance + 0.2
    assert chance > metric(inverted, disc())


@pytest.mark.parametrize("metric", [metrics.pearson, metrics.spearman, metrics.top_iou])
def test_maps_alike_rank_first(metric: Callable[[Array, Array], float]) -> None:
    true = true_map()
    near = true + 0.05 * random_map()
    inverted = true.max() - true
    assert metric(true, near) > metric(true, random_map(1)) + 0.3
    assert metric(true, random_map(1)) > metric(true, inverted)
    assert metrics.difference(true, near) < metrics.difference(true, random_map(1))
    assert metrics.difference(true, random_map(1)) < metrics.difference(true, inverted)
