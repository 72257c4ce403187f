"""Rendered scenes are exact, complete and repeatable."""

import numpy as np
import pytest

from camvid.canvas import Canvas, Floats, clip
from camvid.classes import CLASSES
from camvid.light import hull, noise
from camvid.scenes import render

SMALL = (160, 120)


def test_the_same_seed_gives_the_same_scene() -> None:
    first, again = render(3, SMALL), render(3, SMALL)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_another_seed_gives_another_scene() -> None:
    assert (render(3, SMALL)[1] != render(4, SMALL)[1]).mean() > 0.05


@pytest.mark.parametrize("size", [(96, 64), (101, 77), (240, 90)])
def test_size_and_types(size: tuple[int, int]) -> None:
    rgb, labels = render(1, size)
    assert rgb.shape == (size[1], size[0], 3)
    assert labels.shape == (size[1], size[0])
    assert rgb.dtype == labels.dtype == np.uint8
    assert labels.max() < len(CLASSES)


@pytest.mark.slow
def test_a_few_scenes_show_every_class() -> None:
    labels = [render(seed, SMALL)[1].ravel() for seed in range(8)]
    counts = np.bincount(np.concatenate(labels), minlength=11)
    assert np.all(counts > 20), dict(zip(CLASSES, counts, strict=True))


def test_the_sky_is_above_the_road() -> None:
    _, labels = render(2, SMALL)
    rows = np.arange(SMALL[1])[:, None] * np.ones_like(labels)
    sky, road = (rows[labels == CLASSES.index(name)].mean() for name in ("Sky", "Road"))
    assert sky < SMALL[1] / 2 < road


def canvas() -> Canvas:
    return Canvas((80, 60), focal=1.0, horizon=0.5, eye=(0, 1.5, 0), yaw=0.1)


def wall(z: float) -> list[list[float]]:
    return [[-9, -9, z], [9, -9, z], [9, 9, z], [-9, 9, z]]


def test_nearer_faces_hide_farther_ones() -> None:
    scene = canvas()
    for z, label in ((5.0, 1), (9.0, 2)):
        scene.face(wall(z), lambda p: np.ones_like(p), label)
    assert np.all(scene.labels == 1)


def test_paint_gets_the_points_behind_the_pixels() -> None:
    scene = canvas()
    points: list[Floats] = []

    def paint(p: Floats) -> Floats:
        points.append(p)
        return np.ones_like(p)

    scene.face(wall(5), paint, 1)
    np.testing.assert_allclose(points[0][:, 2], 5, atol=1e-4)
    pixels = scene.project(scene.seen(points[0]))
    np.testing.assert_allclose(pixels % 1, 0.5, atol=1e-2)


def test_a_polygon_behind_the_camera_is_clipped() -> None:
    triangle = np.array([[0, 0, -4], [1, 0, 4], [-1, 0, 4]], np.float32)
    assert np.all(clip(triangle)[:, 2] >= 0.599)
    assert len(clip(triangle * [1, 1, -1] - [0, 0, 9])) == 0


def test_hull_keeps_only_the_corners() -> None:
    points = np.array([[x, 0, z] for x in range(4) for z in range(3)], np.float32)
    corners = {(x, z) for x, _, z in hull(points).tolist()}
    assert corners == {(0, 0), (3, 0), (3, 2), (0, 2)}


def test_noise_repeats_without_a_seam() -> None:
    tile = noise(np.random.default_rng(0), 128, 3)
    seam, inside = np.abs(tile[:, 0] - tile[:, -1]), np.abs(tile[:, 1] - tile[:, 0])
    assert seam.mean() < 3 * inside.mean()
