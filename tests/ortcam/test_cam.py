"""From a picture to maps, compared with the network in float64."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

import ortcam
from ortcam.artifact import Expectations, Preprocessing
from ortcam.errors import (
    ClassError,
    InputError,
    LayerError,
    ModelError,
    PictureError,
    RegionError,
)
from ortcam.grids.resample import upsample
from ortcam.questions.coverage import coverage

Small = Callable[..., Any]
Picture = NDArray[np.uint8]

PREPROCESS = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
SEED = 4  # of the networks: one whose maps are not all zero

VARIANTS = [
    {},
    {"factor": 10.0},
    {"kind": "sigmoid"},
    {"kind": "logits"},
    {"channels_last": True},
    {"classifier": True},
    {"size": (24, 32)},
    {"named_space": False},
]


def held(
    small: Small,
    cam: ortcam.Cam,
    reference: Any,
    x: Any,
    explanation: ortcam.Explanation,
    **question: Any,
) -> None:
    """Compares weights and maps of an explanation with central differences."""
    seen = 0
    for layer in explanation.layers:
        for k, cls in enumerate(explanation.indices):
            asked = {n: v[k] if isinstance(v, list) else v for n, v in question.items()}
            alphas = reference.weights(x, layer, cls, **asked)
            np.testing.assert_allclose(
                explanation.weights[layer][k], alphas, atol=3e-5 * abs(alphas).max()
            )
            expected = reference.raw(x, layer, cls, **asked)
            features = reference.features(x, asked.get("gain", 1.0))[layer]
            size = np.tensordot(abs(alphas), abs(features), axes=1).max()
            np.testing.assert_allclose(explanation.raw[layer][k], expected, atol=3e-5 * size)
            seen += expected.max() > 0.05 * size
    assert seen >= len(explanation.layers)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_weights_and_maps_are_the_formulas(
    variant: dict[str, Any], small: Small, rgb: Picture
) -> None:
    built = small(seed=SEED, **variant)
    cam = built.load()
    explanation = cam.explain(rgb, ["Road", 0, "Tree"])
    x = cam.preprocess(rgb)[0].astype(float)
    held(small, cam, built.reference, x, explanation)
    assert explanation.classes == ("Road", "Sky", "Tree")
    assert explanation.indices == (1, 0, 3)
    assert explanation.layers == cam.layers == ("early", "late")
    assert explanation.maps.shape == (2, 3, 22, 31)
    assert explanation.maps.dtype == np.float32
    for i, layer in enumerate(explanation.layers):
        for k in range(3):
            np.testing.assert_array_equal(
                explanation.maps[i, k], upsample(explanation.raw[layer][k], (22, 31))
            )


@pytest.mark.parametrize(
    "variant", [{}, {"size": (22, 32)}, {"size": (22, 32), "channels_last": True}], ids=str
)
def test_a_region_is_explained_by_covered_area(
    variant: dict[str, Any], small: Small, rgb: Picture
) -> None:
    built = small(seed=SEED, **variant)
    cam = built.load()
    mask = np.zeros((22, 31), bool)
    mask[5:9, 4:11] = mask[20, 30] = True
    x = cam.preprocess(rgb)[0].astype(float)
    cells = coverage(mask[None].astype(np.float32), (11, 16))[0]
    assert 0 < cells[10, 15] < 1
    held(small, cam, built.reference, x, cam.explain(rgb, [0, 1, 3], region=mask), region=cells)


def test_one_region_a_class(small: Small, rgb: Picture) -> None:
    built = small(seed=SEED)
    cam = built.load()
    masks = np.random.default_rng(0).random((3, 22, 31)) ** 2
    x = cam.preprocess(rgb)[0].astype(float)
    cells = list(coverage(masks.astype(np.float32), (11, 16)))
    explanation = cam.explain(rgb, [0, 1, 3], region=masks)
    held(small, cam, built.reference, x, explanation, region=cells)


def test_a_region_of_everything_asks_as_none_does(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED).load()
    whole = cam.explain(rgb, "Road", region=np.ones((22, 31)))
    np.testing.assert_allclose(whole.maps, cam.explain(rgb, "Road").maps, rtol=1e-6)


def test_a_region_on_another_working_size_lies_where_it_does_on_the_picture(
    small: Small, rgb: Picture
) -> None:
    built = small(seed=SEED)
    cam = built.load()
    mask = np.zeros((22, 31), bool)
    mask[5:9, 4:11] = True
    x = cam.preprocess(rgb, size=(50, 40))[0].astype(float)
    cells = coverage(mask[None].astype(np.float32), (20, 25))[0]
    explanation = cam.explain(rgb, [0, 1], region=mask, size=(50, 40))
    assert explanation.maps.shape[2:] == (22, 31)
    assert explanation.raw["late"].shape == (2, 20, 25)
    held(small, cam, built.reference, x, explanation, region=cells)


def test_segmentation(small: Small, rgb: Picture) -> None:
    built = small(seed=SEED)
    cam = built.load()
    segmentation = cam.segment(rgb)
    score = built.reference.features(cam.preprocess(rgb)[0].astype(float))["score"]
    np.testing.assert_allclose(segmentation.score, score, atol=1e-5)
    np.testing.assert_allclose(cam.explain(rgb, "Road").score, score, atol=1e-5)
    assert segmentation.labels.shape == (22, 31)
    assert segmentation.classes == cam.classes == ("Sky", "Road", "Car", "Tree")
    assert segmentation.colors == cam.colors
    own = cam.segment(rgb, size=(62, 44))
    assert own.score.shape == (4, 22, 31)
    np.testing.assert_array_equal(own.labels, own.score.argmax(axis=0))


def test_a_segmentation_comes_with_an_explanation(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED, channels_last=True).load()
    of_explanation = cam.explain(rgb, "Road").segmentation
    np.testing.assert_allclose(of_explanation.score, cam.segment(rgb).score, rtol=1e-6)


def test_without_classes_those_that_are_seen_are_explained(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED).load()
    labels = cam.segment(rgb).score.argmax(axis=0)
    area = np.bincount(labels.ravel(), minlength=4)
    expected = [i for i in np.argsort(-area, kind="stable") if area[i]]
    assert len(expected) > 1
    assert cam.explain(rgb).indices == tuple(expected)
    mask = np.zeros((22, 31))
    mask[5, 7] = 1
    assert cam.explain(rgb, region=mask).indices == (labels[2, 3],)
    with pytest.raises(RegionError, match=r"region is .3, 22, 31"):
        cam.explain(rgb, region=np.ones((3, 22, 31)))


def test_a_path_an_image_and_an_array_are_the_same_picture(
    small: Small, rgb: Picture, tmp_path: Path
) -> None:
    cam = small().load()
    Image.fromarray(rgb).save(tmp_path / "a.png")
    expected = cam.explain(rgb, "Road").maps
    for picture in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(rgb)):
        np.testing.assert_array_equal(cam.explain(picture, "Road").maps, expected)


def test_an_artifact_is_loaded_from_a_path_and_tells_what_it_is(
    small: Small, tmp_path: Path
) -> None:
    built = small()
    (tmp_path / "a.onnx").write_bytes(built.model)
    for path in (tmp_path / "a.onnx", str(tmp_path / "a.onnx")):
        cam = ortcam.load(path)
        assert cam.artifact == built.artifact
        assert cam.provider in ("CPUExecutionProvider", "CUDAExecutionProvider")
        assert "4 classes" in repr(cam)
        assert cam.provider in repr(cam)


def test_classes_without_names_and_colours_get_some(small: Small, rgb: Picture) -> None:
    cam = small(expects=Expectations(preprocess=Preprocessing())).load()
    assert cam.classes == ("class 0", "class 1", "class 2", "class 3")
    assert len(set(cam.colors)) == 4
    assert cam.explain(rgb, "class 2").indices == cam.explain(rgb, 2).indices == (2,)


# Tensors and further inputs


def test_a_tensor_is_taken_as_it_is(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED).load()
    x = cam.preprocess(rgb, size=(50, 40))
    of_tensor = cam.explain(tensor=x, classes="Road")
    assert of_tensor.maps.shape == (2, 1, 40, 50)
    assert of_tensor.picture is None
    of_picture = cam.explain(rgb, "Road", size=(50, 40))
    np.testing.assert_array_equal(of_tensor.raw["late"], of_picture.raw["late"])
    both = cam.explain(rgb, "Road", tensor=x.astype(np.float64))
    np.testing.assert_array_equal(both.maps, of_picture.maps)
    np.testing.assert_array_equal(both.picture, rgb)
    assert cam.segment(tensor=x.tolist()).labels.shape == (40, 50)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2, 3, 22, 31), r"the tensor is \[2, 3, 22, 31\]; its first axis"),
        ((3, 22, 31), r"the tensor is \[3, 22, 31\], and the network takes input \[N, 3, H, W\]"),
        ((1, 4, 22, 31), r"the tensor is \[1, 4, 22, 31\], and the network takes"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(
    small: Small, shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        small().load().segment(tensor=np.ones(shape, np.float32))


def test_what_is_no_number_for_the_network_is_refused(small: Small) -> None:
    with pytest.raises(InputError, match="the tensor is complex128, and the network takes input"):
        small().load().segment(tensor=np.ones((1, 3, 22, 31), complex))


def test_a_tensor_has_no_size_and_nothing_is_no_picture(small: Small) -> None:
    cam = small().load()
    with pytest.raises(InputError, match="size= resizes pictures only"):
        cam.segment(tensor=np.ones((1, 3, 22, 31)), size=(5, 5))
    with pytest.raises(PictureError, match="pass picture= or tensor="):
        cam.explain(classes="Road")


def test_further_inputs_are_given_at_run_time(small: Small, rgb: Picture) -> None:
    built = small(seed=SEED, gain=True)
    cam = built.load()
    explanation = cam.explain(rgb, [0, 1, 3], inputs={"gain": [1.5]})
    x = cam.preprocess(rgb)[0].astype(float)
    held(small, cam, built.reference, x, explanation, gain=1.5)
    assert cam.segment(rgb, inputs={"gain": [0.0]}).score.std() < 1e-7


def test_further_inputs_that_are_missing_or_do_not_fit(small: Small, rgb: Picture) -> None:
    cam = small(gain=True).load()
    for inputs, said in (
        (None, r"has further inputs: gain \[1\] float32; pass their values as inputs="),
        ({"gian": 1}, "no further input 'gian'; the nearest is 'gain'"),
        ({"gain": [1, 2]}, r"the input 'gain' is \[2\], and the network takes gain \[1\] float32"),
        ({"gain": ["high"]}, "the input 'gain' is <U4"),
    ):
        with pytest.raises(InputError, match=said):
            cam.segment(rgb, inputs=inputs)
    with pytest.raises(InputError, match="no further input 'gain'; it has no further inputs"):
        small().load().segment(rgb, inputs={"gain": [1]})
    for name in ("input", "class_weights", "region"):  # not for the user to feed
        with pytest.raises(InputError, match=f"no further input '{name}'"):
            cam.segment(rgb, inputs={"gain": [1], name: [1]})


# What the artifact says of its input


def test_an_input_of_fixed_size_is_met(small: Small, rgb: Picture) -> None:
    cam = small(size=(24, 32)).load()
    assert cam.preprocess(rgb).shape == (1, 3, 24, 32)
    assert cam.preprocess(rgb, size="native").shape == (1, 3, 24, 32)
    assert cam.segment(rgb).labels.shape == (22, 31)
    with pytest.raises(InputError, match=r"size 40x40 does not fit: .* fixed at 32x24"):
        cam.segment(rgb, size=(40, 40))


def test_an_input_with_its_channels_last(small: Small, rgb: Picture) -> None:
    last = Expectations(preprocess=dataclasses.replace(PREPROCESS, layout="NHWC"))
    cam = small(seed=SEED, input_last=True, expects=last).load()
    first = small(seed=SEED).load()
    x = cam.preprocess(rgb)
    np.testing.assert_array_equal(x.transpose(0, 3, 1, 2), first.preprocess(rgb))
    expected = first.explain(rgb, 1)
    np.testing.assert_allclose(cam.explain(rgb, 1).maps, expected.maps, rtol=1e-6)
    of_tensor = cam.explain(tensor=x, classes=1)
    np.testing.assert_allclose(of_tensor.maps, expected.maps, rtol=1e-6)
    fixed = small(seed=SEED, input_last=True, expects=last, size=(24, 32)).load()
    assert fixed.preprocess(rgb).shape == (1, 24, 32, 3)


def test_an_artifact_that_does_not_know_its_preprocessing_takes_tensors(
    small: Small, rgb: Picture
) -> None:
    cam = small(expects=Expectations()).load()
    with pytest.raises(
        InputError, match=r"the preprocessing of the input input .* is unknown.*tensor="
    ):
        cam.segment(rgb)
    assert cam.segment(tensor=np.ones((1, 3, 9, 9))).labels.shape == (9, 9)


def test_a_guess_is_told(small: Small, rgb: Picture) -> None:
    guess = Expectations(preprocess=Preprocessing(assumed=True))
    cam = small(expects=guess).load()
    for result in (cam.segment(rgb), cam.explain(rgb, 0)):
        assert any("is a guess (RGB" in note for note in result.notes)
    assert not cam.segment(tensor=np.ones((1, 3, 9, 9))).notes
    assert not small().load().segment(rgb).notes


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"color_order": "L", "mean": (0.0,), "std": (1.0,)}, r"1 channels \(L, NCHW\)"),
        ({"layout": "NHWC"}, r"3 channels \(RGB, NHWC\)"),
    ],
)
def test_an_input_that_is_no_such_picture_is_refused(
    small: Small, rgb: Picture, how: dict[str, Any], said: str
) -> None:
    cam = small(expects=Expectations(preprocess=Preprocessing(**how))).load()
    with pytest.raises(InputError, match=rf"input \[N, 3, H, W\] float32 is no picture of {said}"):
        cam.segment(rgb)


def test_a_batch_of_fixed_size_is_refused(small: Small, rgb: Picture) -> None:
    cam = small(batch=2).load()
    with pytest.raises(InputError, match="has a fixed batch size of 2"):
        cam.segment(rgb)
    with pytest.raises(InputError, match="its first axis is the batch and must be 1"):
        cam.segment(tensor=np.ones((2, 3, 22, 31)))


# Classifiers


def test_a_classifier_is_explained_and_labels_no_pixels(small: Small, rgb: Picture) -> None:
    built = small(seed=SEED, classifier=True)
    cam = built.load()
    with pytest.raises(
        ModelError,
        match=r"'score' of the model is a classifier's score without spatial axes.*explain works",
    ):
        cam.segment(rgb)
    with pytest.raises(RegionError, match="no region of it can be explained"):
        cam.explain(rgb, "Road", region=np.ones((22, 31)))
    explanation = cam.explain(rgb)
    assert explanation.segmentation is None
    assert len(explanation.classes) == 1
    score = built.reference.features(cam.preprocess(rgb)[0].astype(float))["score"]
    np.testing.assert_allclose(explanation.score, score, atol=1e-5)


# What is refused before anything runs


def test_names_are_checked_before_the_picture_is_read(small: Small) -> None:
    cam = small().load()
    for question, error in (
        ({"classes": "car"}, ClassError),
        ({"layers": "latte"}, LayerError),
        ({"upsample": "cubic"}, InputError),
    ):
        with pytest.raises(error, match="nearest"):
            cam.explain("no such picture.png", **question)


# Maps that show nothing, or little


def test_a_class_that_labels_no_pixel_is_told(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED).load()
    (unseen,) = {0, 1, 2, 3} - set(cam.explain(rgb).indices)
    explanation = cam.explain(rgb, range(4))
    assert explanation.notes[0] == (
        f"no pixel is labelled {cam.classes[unseen]}, so its maps show faint evidence at most"
    )
    assert sum("no pixel" in note for note in explanation.notes) == 1


def test_a_map_that_is_all_zero_says_why(small: Small, rgb: Picture) -> None:
    built = small(seed=SEED)
    proto = onnx.load_from_string(built.model)
    weights = {t.name: t for t in proto.graph.initializer}

    def with_(index: int, change: Any) -> ortcam.Cam:
        name = f"c{index}"
        before = onnx.numpy_helper.to_array(weights[name])
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        for tensor in copy.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(onnx.numpy_helper.from_array(change(before), name))
        return ortcam.load(copy.SerializeToString())

    def note(cam: ortcam.Cam, **question: Any) -> str:
        explanation = cam.explain(rgb, "Road", "late", **question)
        assert not explanation.maps.any()
        return explanation.notes[-1]

    assert "the map of Road at late is all zero" in note(with_(2, np.zeros_like))
    assert "every weight is zero" in note(with_(2, np.zeros_like))
    assert "the features are all zero" in note(with_(4, lambda b: b - 1000))

    def against_road(w: NDArray[Any]) -> NDArray[Any]:
        w = abs(w)
        w[1] = 0
        return w

    assert "every sum is negative before the ReLU" in note(with_(2, against_road))


def test_infinities_are_told_and_nothing_else_breaks(small: Small) -> None:
    cam = small(seed=SEED).load()
    x = np.ones((1, 3, 22, 31), np.float32)
    x[0, 0, 3, 4] = np.inf
    explanation = cam.explain(tensor=x, classes="Road")
    assert any("not finite" in note for note in explanation.notes)
    assert explanation.overlay("Road", "late").size == (31, 22)


# Threads


def test_threads_share_a_cam(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED, named_space=False).load()
    mask = np.ones((22, 31))
    expected = cam.explain(rgb, [0, 1, 3], region=mask).maps
    fresh = small(seed=SEED, named_space=False).load()
    wrong: list[object] = []

    def work() -> None:
        for _ in range(10):
            try:
                maps = fresh.explain(rgb, [0, 1, 3], region=mask).maps
                np.testing.assert_allclose(maps, expected, rtol=1e-5)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_metadata_are_those_that_were_written(small: Small) -> None:
    built = small()
    assert dataclasses.asdict(built.load().artifact) == dataclasses.asdict(built.artifact)


def test_an_artifact_says_where_it_comes_from(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "seen.cam.onnx"
    path.write_bytes(small(seed=SEED).model)
    cam = ortcam.load(path, "cpu")
    assert cam.source == str(path)
    assert repr(cam).startswith(f"<Cam of {path} on CPUExecutionProvider: 4 classes, layers ")
    assert ortcam.load(path.read_bytes(), "cpu").source == "the model"
