"""Artifacts that release 0.1.0 wrote open, and answer as they did.

The files in tests/stored were made by a checkout of that release, with its tests' ``networks.py``
on the path. The picture is that of the fixture ``rgb``::

    network = networks.unet(seed=0, width=3)
    options = {
        "feature_layers": ["mid_relu", "dec2_relu"],
        "classes": ["Sky", "Road", "Car", "Tree"],
        "colors": [[128, 128, 128], [128, 64, 128], [64, 0, 128], [128, 128, 0]],
        "mean": (0.4, 0.5, 0.6),
        "std": (0.2, 0.25, 0.3),
    }
    export(network, "release_0.1.0.cam.onnx", methods=["hires-cam"], **options)
    export(network, "release_0.1.0_split.cam.onnx", maps=True, split=True, **options)
    cam = ortcam.load("release_0.1.0.cam.onnx", "cpu", threads=1)
    grad_cam = cam.explain(rgb, ["Road", "Car"], region=Box(4, 3, 20, 17))
    hires = cam.explain(rgb, ["Road", "Car"], region=Box(4, 3, 20, 17), method="hires-cam")
    np.savez_compressed(
        "release_0.1.0.npz", picture=rgb, labels=cam.segment(rgb).labels.astype(np.int8), ...
    )

Labels are compared exactly. Numbers are compared to float32 rounding: another CPU, or another
version of onnxruntime, adds up a convolution's products in another order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ortcam
from ortcam.grids.resample import upsample

Arrays = dict[str, NDArray[Any]]

QUESTION: dict[str, Any] = {"classes": ["Road", "Car"], "region": ortcam.Box(4, 3, 20, 17)}


@pytest.fixture(scope="module")
def stored(root: Path) -> Path:
    return root / "tests" / "stored"


@pytest.fixture(scope="module")
def answers(stored: Path) -> Arrays:
    with np.load(stored / "release_0.1.0.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(params=["release_0.1.0", "release_0.1.0_split"])
def cam(request: pytest.FixtureRequest, stored: Path) -> ortcam.Cam:
    return ortcam.load(stored / f"{request.param}.cam.onnx", "cpu", threads=1)


def close(array: NDArray[Any], expected: NDArray[Any]) -> None:
    assert array.shape == expected.shape
    assert array.dtype == expected.dtype
    np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_the_metadata_are_read(cam: ortcam.Cam) -> None:
    assert cam.classes == ("Sky", "Road", "Car", "Tree")
    assert cam.colors == ((128, 128, 128), (128, 64, 128), (64, 0, 128), (128, 128, 0))
    assert cam.layers == ("mid_relu", "dec2_relu")
    verification = cam.artifact.verification
    assert verification is not None
    assert verification.directions >= 8
    assert verification.error < 2e-3


def test_labels_are_the_same(cam: ortcam.Cam, answers: Arrays) -> None:
    segmentation = cam.segment(answers["picture"])
    np.testing.assert_array_equal(segmentation.labels, answers["labels"])
    close(segmentation.score, answers["score"])


def test_weights_and_maps_are_the_same(cam: ortcam.Cam, answers: Arrays) -> None:
    explanation = cam.explain(answers["picture"], **QUESTION)
    close(explanation.score, answers["score"])
    close(explanation.maps, answers["maps"])
    for layer in cam.layers:
        close(explanation.weights[layer], answers[f"{layer}.weights"])
        close(explanation.raw[layer], answers[f"{layer}.raw"])


def test_upsampling_is_the_same(answers: Arrays) -> None:
    for layer, maps in zip(("mid_relu", "dec2_relu"), answers["maps"], strict=True):
        for raw, expected in zip(answers[f"{layer}.raw"], maps, strict=True):
            close(upsample(raw, expected.shape), expected)


def test_a_further_method_is_the_same(stored: Path, answers: Arrays) -> None:
    cam = ortcam.load(stored / "release_0.1.0.cam.onnx", "cpu", threads=1)
    explanation = cam.explain(answers["picture"], method="hires-cam", **QUESTION)
    for layer in cam.layers:
        close(explanation.raw[layer], answers[f"{layer}.hires"])
