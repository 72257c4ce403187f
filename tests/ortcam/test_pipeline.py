"""Several pictures at once: each gets the explanation that it gets alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ortcam
from ortcam.artifact import Expectations
from ortcam.errors import InputError, LayerError

Small = Callable[..., Any]
Picture = NDArray[np.uint8]


def shifted(rgb: Picture, *by: int) -> list[Picture]:
    return [np.roll(rgb, step, axis=1) // np.uint8(1 + i % 2) for i, step in enumerate(by)]


def same(one: ortcam.Explanation, other: ortcam.Explanation) -> None:
    assert (one.classes, one.layers, one.notes) == (other.classes, other.layers, other.notes)
    assert one.picture is not None
    assert other.picture is not None
    np.testing.assert_array_equal(one.picture, other.picture)
    for layer in one.layers:
        for found, expected in (
            (one.weights[layer], other.weights[layer]),
            (one.raw[layer], other.raw[layer]),
        ):
            assert found.shape == expected.shape
            size = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * size)


def counted(cam: ortcam.Cam) -> list[tuple[int, int]]:
    """The (questions, pictures) of every run from now on."""
    runs: list[tuple[int, int]] = []
    session: Any = cam._graph.session
    run = session.run

    def spy(outputs: Any, feeds: Any) -> Any:
        runs.append((len(feeds["class_weights"]), len(feeds["input"])))
        return run(outputs, feeds)

    session.run = spy
    return runs


@pytest.mark.parametrize(
    "variant",
    [{}, {"channels_last": True}, {"kind": "sigmoid"}, {"classifier": True}, {"size": (24, 32)}],
    ids=str,
)
@pytest.mark.parametrize("classes", [None, ["Car", 1], "Road", [["Car"], None, [0, 3, 1]]], ids=str)
def test_each_picture_is_told_what_it_is_told_alone(
    small: Small, rgb: Picture, variant: dict[str, Any], classes: Any
) -> None:
    cam = small(seed=4, **variant).load()
    pictures = shifted(rgb, 0, 7, 13)
    found = cam.explain_batch(pictures, classes)
    each = classes if isinstance(classes, list) and len(classes) == 3 else [classes] * 3
    assert len(found) == 3
    for picture, own, one in zip(pictures, each, found, strict=True):
        same(one, cam.explain(picture, own))
    assert any(one.raw["late"].any() for one in found[1:])  # not the first picture's alone


def test_regions_of_each_picture(small: Small, rgb: Picture) -> None:
    cam = small(seed=4).load()
    pictures = shifted(rgb, 0, 7, 13)
    random = np.random.default_rng(0)
    masks = random.random((5, *rgb.shape[:2])) < 0.4
    asked = [[0, 1], [2, 3, 1], None]
    for regions in ([masks[0], None, masks[1]], [masks[:2], masks[2:], masks[0]], [None] * 3):
        found = cam.explain_batch(pictures, asked, "early", regions)
        for picture, own, mask, one in zip(pictures, asked, regions, found, strict=True):
            same(one, cam.explain(picture, own, "early", mask))


def test_pictures_of_one_size_go_together_in_any_order(small: Small, rgb: Picture) -> None:
    cam = small(seed=4).load()
    wide = np.concatenate([rgb, rgb], axis=1)
    pictures = [rgb, wide, rgb[::-1], wide[::-1], rgb[:, ::-1]]
    expected = [cam.explain(picture, 1) for picture in pictures]
    for batch, runs in ((8, [(1, 3), (1, 2)]), (2, [(1, 2), (1, 1), (1, 2)])):
        seen = counted(cam)
        for one, other in zip(cam.explain_batch(pictures, 1, batch=batch), expected, strict=True):
            same(one, other)
        assert seen == runs
        del cam._graph.session.run
    assert cam.explain_batch([]) == []


def test_a_network_of_one_picture_gets_one_at_a_time(small: Small, rgb: Picture) -> None:
    cam = small(seed=4, batch=1).load()
    pictures = shifted(rgb, 0, 5)
    seen = counted(cam)
    found = cam.explain_batch(pictures, 2)
    assert seen == [(1, 1), (1, 1)]
    same(found[1], cam.explain(pictures[1], 2))


def test_little_memory_takes_more_runs(small: Small, rgb: Picture) -> None:
    cam = small(seed=4).load()
    pictures = shifted(rgb, 0, 5)
    whole = cam.explain_batch(pictures, range(4))
    seen = counted(cam)
    for one, other in zip(cam.explain_batch(pictures, range(4), memory=1), whole, strict=True):
        same(one, other)
    assert seen == [(1, 2)] * 4


def test_a_further_input_is_the_same_for_all(small: Small, rgb: Picture) -> None:
    cam = small(seed=4, gain=True).load()
    pictures = shifted(rgb, 0, 5)
    gain = {"gain": np.array([1.7], np.float32)}
    for picture, one in zip(pictures, cam.explain_batch(pictures, 1, inputs=gain), strict=True):
        same(one, cam.explain(picture, 1, inputs=gain))


def test_what_does_not_fit(small: Small, rgb: Picture) -> None:
    cam = small(expects=Expectations(preprocess=small().artifact.expects.preprocess)).load()
    with pytest.raises(InputError, match="2 pictures and 3 lists of classes"):
        cam.explain_batch([rgb, rgb], [[1], [2], [3]])
    with pytest.raises(InputError, match="2 pictures and 1 regions"):
        cam.explain_batch([rgb, rgb], 1, regions=[None])
    with pytest.raises(InputError, match="batch must be at least 1, got 0"):
        cam.explain_batch([rgb], 1, batch=0)
    with pytest.raises(LayerError, match="no layer 'x'"):
        cam.explain_batch(["no such picture.png"], 1, "x")


@pytest.mark.parametrize("variant", [{}, {"channels_last": True}, {"size": (24, 32)}], ids=str)
def test_each_picture_is_segmented_as_it_is_alone(
    small: Small, rgb: Picture, variant: dict[str, Any]
) -> None:
    cam = small(seed=4, **variant).load()
    pictures = [*shifted(rgb, 0, 5, 9), rgb[:15, :20]]
    runs = counted(cam)
    together = cam.segment_batch(pictures, batch=2)
    assert [n for _, n in runs] == ([2, 2] if variant.get("size") else [2, 1, 1])
    for found, picture in zip(together, pictures, strict=True):
        alone = cam.segment(picture)
        np.testing.assert_allclose(found.score, alone.score, atol=1e-6)
        np.testing.assert_array_equal(found.labels, alone.labels)
        assert found.picture is picture
    assert cam.segment_batch([]) == []
    with pytest.raises(InputError, match="batch must be at least 1, got 0"):
        cam.segment_batch(pictures, batch=0)


def test_a_classifier_segments_no_batch(small: Small, rgb: Picture) -> None:
    with pytest.raises(ortcam.ModelError, match="there is no segmentation"):
        small(classifier=True).load().segment_batch([rgb])


@pytest.mark.parametrize("region", [None, ortcam.Box(2, 3, 20, 15), ortcam.Predicted()], ids=str)
def test_a_single_picture_is_a_batch_of_one(small: Small, rgb: Picture, region: Any) -> None:
    cam = small(seed=4).load()
    one = cam.explain(rgb, region=region)
    (other,) = cam.explain_batch([rgb], regions=[region])
    assert (one.classes, one.notes) == (other.classes, other.notes)
    np.testing.assert_array_equal(one.maps, other.maps)
    np.testing.assert_array_equal(one.score, other.score)
    for layer in cam.layers:
        np.testing.assert_array_equal(one.weights[layer], other.weights[layer])
    (segmentation,) = cam.segment_batch([rgb])
    np.testing.assert_array_equal(segmentation.score, cam.segment(rgb).score)


def test_a_view_explains_as_its_artifact_does(root: Path, rgb: Picture) -> None:
    cam = ortcam.load(root / "tests/stored/release_0.1.0_split.cam.onnx", "cpu", threads=1)
    view = cam.open(rgb)
    for region in (None, ortcam.Predicted()):
        one, other = view.explain(region=region), cam.explain(rgb, region=region)
        assert (one.classes, one.notes) == (other.classes, other.notes)
        np.testing.assert_array_equal(one.maps, other.maps)
    np.testing.assert_array_equal(view.segment().labels, cam.segment(rgb).labels)
