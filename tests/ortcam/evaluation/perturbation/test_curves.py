"""Deletion, insertion and ROAD on a network that sees only a disc, and that NumPy reproduces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from disc_network import HEIGHT, WIDTH, disc, scene, score_of
from numpy.typing import NDArray

import ortcam
from ortcam.evaluation.perturbation import curves
from ortcam.evaluation.perturbation.curves import PerturbedPicture
from ortcam.evaluation.perturbation.pictures import BLUR, blurred, pixel_order

Map = NDArray[np.float32]
STEPS = 8


def true_map() -> Map:
    """The disc, higher where the picture is bright."""
    map: Map = (disc() * (1 + scene().mean(axis=2))).astype(np.float32)
    return map


def random_map(seed: int) -> Map:
    return np.random.default_rng(seed).random((HEIGHT, WIDTH), np.float32)


@pytest.fixture(scope="module")
def picture(spotted: ortcam.Cam) -> PerturbedPicture:
    return PerturbedPicture(cam=spotted, picture=scene(), batch=3)


def test_numpy_reproduces_the_network(spotted: ortcam.Cam) -> None:
    result = spotted.segment(scene())
    np.testing.assert_allclose(result.score[0], score_of(scene()), atol=1e-5)
    np.testing.assert_array_equal(result.labels == 0, score_of(scene()) >= 0.5)


def by_hand(
    order: NDArray[np.int64], pictures: Callable[..., NDArray[np.uint8]]
) -> list[tuple[float, float]]:
    """The responses, pixel by pixel, by the network in NumPy."""
    region = score_of(scene()) >= 0.5
    responses: list[tuple[float, float]] = []
    for i in range(STEPS + 1):
        chosen = np.zeros(HEIGHT * WIDTH, bool)
        for place in order[: round(i / STEPS * len(order))]:
            chosen[place] = True
        score = score_of(pictures(chosen.reshape(HEIGHT, WIDTH)))
        now = score >= 0.5
        responses.append((score[region].mean(), (now & region).sum() / (now | region).sum()))
    return responses


def test_deletion_by_hand(picture: PerturbedPicture) -> None:
    map = random_map(3)

    def gone(chosen: NDArray[np.bool_]) -> NDArray[np.uint8]:
        rgb = scene()
        rgb[chosen] = np.round(scene().reshape(-1, 3).mean(axis=0))
        return rgb

    result = curves.deletion(picture, 0, map, STEPS, np.random.default_rng(0))
    expected = by_hand(np.argsort(-map.ravel()), gone)
    np.testing.assert_allclose(np.transpose([result.score, result.iou]), expected, atol=1e-5)
    heights = np.array(expected)[:, 0]
    assert result.areas[0] == pytest.approx((heights[1:] + heights[:-1]).mean() / 2, rel=1e-4)
    assert (result.score[0], result.iou[0]) == (max(result.score), 1)


def test_insertion_by_hand(picture: PerturbedPicture) -> None:
    map = random_map(4)
    soft = blurred(scene())

    def put_in(chosen: NDArray[np.bool_]) -> NDArray[np.uint8]:
        rgb = soft.copy()
        rgb[chosen] = scene()[chosen]
        return rgb

    result = curves.insertion(picture, 0, map, STEPS, np.random.default_rng(0))
    expected = by_hand(np.argsort(-map.ravel()), put_in)
    np.testing.assert_allclose(np.transpose([result.score, result.iou]), expected, atol=1e-5)
    assert result.iou[-1] == 1


def test_road_goes_both_ways_and_is_half_their_difference(picture: PerturbedPicture) -> None:
    most, least = curves.road(picture, 0, true_map(), STEPS, np.random.default_rng(0))
    assert most.shares == least.shares == tuple(i / STEPS for i in range(1, STEPS))
    score, iou = curves.road_combined(most, least)
    assert score == pytest.approx(np.mean(np.subtract(least.score, most.score)) / 2)
    assert iou == pytest.approx(np.mean(np.subtract(least.iou, most.iou)) / 2)
    backwards = curves.road(picture, 0, -true_map(), STEPS, np.random.default_rng(0))
    assert curves.road_combined(*backwards)[0] < -0.5 * score


def test_the_true_map_ranks_above_random_ones_and_these_above_the_inverted(
    picture: PerturbedPicture,
) -> None:
    def figures(map: Map) -> NDArray[np.float64]:
        """All with signs that make high values better."""
        random = np.random.default_rng(0)
        deletion = curves.deletion(picture, 0, map, STEPS, random).areas
        insertion = curves.insertion(picture, 0, map, STEPS, random).areas
        road = curves.road_combined(*curves.road(picture, 0, map, STEPS, random))
        return np.array([*(-value for value in deletion), *insertion, *road])

    true, inverted = figures(true_map()), figures(true_map().max() - true_map())
    chance = np.mean([figures(random_map(seed)) for seed in range(6)], axis=0)
    assert (true > chance + 0.03).all(), (true, chance)
    assert (chance > inverted + 0.03).all(), (chance, inverted)


def test_a_picture_of_another_size_is_perturbed_as_it_enters(spotted: ortcam.Cam) -> None:
    large = np.repeat(np.repeat(scene(), 2, axis=0), 2, axis=1)
    resized = PerturbedPicture.of(spotted, large, None, {})
    assert resized.picture.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(resized.intact.score, spotted.segment(large).score, atol=1e-6)


def test_ties_go_in_random_order_and_the_highest_first() -> None:
    map = np.zeros((HEIGHT, WIDTH), np.float32)
    map[20:22] = [[2], [1]]
    order = pixel_order(map, np.random.default_rng(0))
    rows = order // WIDTH
    assert set(rows[:WIDTH]) == {20}
    assert set(rows[WIDTH : 2 * WIDTH]) == {21}
    assert abs(rows[2 * WIDTH : 300].mean() - HEIGHT / 2) < 2  # not from the top
    assert sorted(order) == list(range(map.size))


def test_blur_keeps_means_and_takes_edges_away() -> None:
    rgb = np.zeros((100, 140, 3), np.uint8)
    rgb[:, 70:] = 200
    soft = blurred(rgb)
    profile = soft[50, :, 0].astype(float)
    assert profile[69:71].mean() == pytest.approx(100, abs=3)
    # A Gaussian edge has half its rise within 0.6745 standard deviations on either side.
    quarter = np.interp(50, profile, np.arange(140.0))
    assert 69.5 - quarter == pytest.approx(0.6745 * BLUR * 100, rel=0.15)
