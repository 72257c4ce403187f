"""Scores over a list, such as queries and time steps: an entry, and the sum over all of them.

The maps are compared with central differences through the network's tail, written in NumPy.
"""

from __future__ import annotations

from typing import Any

import handmade
import networks
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

import ortcam
from ortcam import Box, Index, Predicted, about
from ortcam.artifact import Expectations, Layer, Preprocessing, Score
from ortcam.errors import LayerError, ModelError, RegionError

Array = NDArray[np.float64]

RGB = np.random.default_rng(4).integers(0, 256, (20, 26, 3), np.uint8)
QUERIES, CLASSES = 6, ("Sky", "Road", "Car", "none")


def network() -> Any:
    """``a`` [N, 8, h, w], pooled, a ReLU, and a matrix to [N, queries, classes]: ``score``."""
    g = networks.Builder(1)
    a = g.relu(g.conv("input", 3, 8, "conv", strides=[2, 2]), "a")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    hidden = g.relu(g.node("Gemm", [flat, g.weight("w0", 8, 9, fan_in=1)], "fc"), "hidden")
    wide = g.node("MatMul", [hidden, g.weight("w1", 9, QUERIES * 4, fan_in=9)], "wide")
    logits = g.node("Reshape", [wide, g.constant("to", [0, QUERIES, 4])], "logits")
    g.node("Softmax", [logits], "score", axis=-1)
    return g.model({"score": (TensorProto.FLOAT, ["N", QUERIES, 4])})


NETWORK = network()
WEIGHTS = {
    tensor.name: np.frombuffer(tensor.raw_data, np.float32).reshape(tensor.dims).astype(float)
    for tensor in NETWORK.graph.initializer
    if tensor.data_type == TensorProto.FLOAT
}


def tail(a: Array) -> Array:
    """From a [8, h, w] to the score [queries, classes]."""
    hidden = np.maximum(a.mean(axis=(1, 2)) @ WEIGHTS["w0"], 0)
    e = np.exp((hidden @ WEIGHTS["w1"]).reshape(QUERIES, 4))
    shares: Array = e / e.sum(axis=1, keepdims=True)
    return shares


def expected(a: Array, cls: int, entries: list[int]) -> Array:
    """The map of a class's sum over entries, its weights by central differences."""
    weights = []
    for channel in range(len(a)):
        shift = np.zeros_like(a)
        shift[channel] = 1e-6
        up, down = (tail(a + s)[entries, cls].sum() for s in (shift, -shift))
        weights.append((up - down) / 2e-6 / a[0].size)
    return np.asarray(np.maximum(np.tensordot(weights, a, axes=1), 0))


@pytest.fixture(scope="module")
def cam() -> ortcam.Cam:
    return handmade.cam(
        NETWORK,
        Score(name="score", class_axis=2, axes=("batch", "list", "class")),
        [Layer(name="a", weights="a.weights")],
        expects=Expectations(classes=CLASSES, preprocess=Preprocessing()),
    )


@pytest.fixture(scope="module")
def a(cam: ortcam.Cam) -> Array:
    return cam.features(RGB)["a"].astype(np.float64)


def close(raw: Any, exact: Array) -> None:
    assert exact.max() > 0
    np.testing.assert_allclose(raw, exact, rtol=1e-4, atol=1e-5 * exact.max())


def test_an_entry(cam: ortcam.Cam, a: Array) -> None:
    rows = [("Car", 3), ("Road", 3), ("Car", 0), ("Sky", 5)]
    questions = [about(name).at_index(entry) for name, entry in rows]
    explanation = cam.explain(RGB, questions)
    assert explanation.classes[:2] == ("Car at index 3", "Road at index 3")
    for raw, (name, entry) in zip(explanation.raw["a"], rows, strict=True):
        exact = expected(a, CLASSES.index(name), [entry])
        np.testing.assert_allclose(raw, exact, rtol=1e-4, atol=1e-7)
    assert any(raw.any() for raw in explanation.raw["a"])
    assert not [note for note in explanation.notes if "sum" in note]
    assert explanation.regions == (None,) * 4
    assert explanation.segmentation is None


def test_several_ways_to_name_an_entry(cam: ortcam.Cam, a: Array) -> None:
    one = cam.explain(RGB, "Car", index=3)
    for other in (
        cam.explain(RGB, about("Car").at_index(3)),
        cam.explain(RGB, "Car", region=Index(3)),
        cam.explain_batch([RGB, RGB[::-1].copy()], "Car", index=[3])[0],
    ):
        assert other.classes == ("Car at index 3",)
        np.testing.assert_allclose(other.raw["a"], one.raw["a"], rtol=1e-6)
    both = cam.explain(RGB, "Car", region=Index(0) | Index(3)).raw["a"][0]
    np.testing.assert_allclose(both, expected(a, 2, [0, 3]), rtol=1e-4, atol=1e-7)
    rest = cam.explain(RGB, "Car", region=~Index(3)).raw["a"][0]
    np.testing.assert_allclose(rest, expected(a, 2, [0, 1, 2, 4, 5]), rtol=1e-4, atol=1e-7)


def test_the_sum_says_that_it_is_one(cam: ortcam.Cam, a: Array) -> None:
    explanation = cam.explain(RGB, ["Sky", "Road", "Car", "none"])
    for k, raw in enumerate(explanation.raw["a"]):
        exact = expected(a, k, list(range(QUERIES)))
        np.testing.assert_allclose(raw, exact, rtol=1e-4, atol=1e-7)
    assert (
        "the score is over a list of 6 entries, and a map explains a class's sum over all of them; "
        "choose one by index=" in explanation.notes
    )


def test_the_classes_explained_by_default(cam: ortcam.Cam, a: Array) -> None:
    best = tail(a).argmax(axis=1)
    explanation = cam.explain(RGB)
    assert set(explanation.indices) == set(best)
    assert [n for n in explanation.notes if "highest score at some entry" in n]
    for entry in range(QUERIES):
        (name,) = cam.explain(RGB, index=entry).classes
        assert name == f"{CLASSES[best[entry]]} at index {entry}"


def test_what_a_list_has_not_is_refused(cam: ortcam.Cam) -> None:
    for refused in (Box(0, 0, 4, 4), Predicted(), np.ones(RGB.shape[:2]), Index(1) & Predicted()):
        with pytest.raises(RegionError, match=r"is over a list.*choose an entry by index="):
            cam.explain(RGB, "Car", region=refused)
    with pytest.raises(RegionError, match=r"is over a list.*by index="):
        cam.explain(RGB, about("Car").at(1, 2))
    with pytest.raises(ModelError, match=r"'score' of the model is over a list"):
        cam.segment(RGB)
    with pytest.raises(RegionError, match="the index 6, counted from 0, lies outside the list of"):
        cam.explain(RGB, "Car", index=6)
    with pytest.raises(RegionError, match="does not fit a list of 6 entries"):
        cam.explain(RGB, "Car", index=(3, 1))
    for wrong in (-1, 1.5, ()):
        with pytest.raises(RegionError, match="an index is a whole number from 0"):
            cam.explain(RGB, "Car", index=wrong)  # type: ignore[arg-type]
    with pytest.raises(RegionError, match="have no border"):
        Index(3).border()
    with pytest.raises(RegionError, match="it selects no entry"):
        cam.explain(RGB, "Car", region=Index(1) & Index(2))


def test_a_score_without_a_list_has_no_entries() -> None:
    model = networks.classifier()
    cam = handmade.cam(
        model,
        Score(name="probabilities", axes=("batch", "class")),
        [Layer(name="b_relu", weights="b_relu.weights")],
        expects=Expectations(preprocess=Preprocessing()),
    )
    with pytest.raises(RegionError, match="the score is over no list, so it has no entry 3"):
        cam.explain(RGB, 0, index=3)


def test_a_list_of_two_axes_with_places() -> None:
    """A score [N, h, frames, w, views, classes]: entries and pixels at once, in any order."""
    g = networks.Builder(2)
    a = g.relu(g.conv("input", 3, 5, "conv"), "a")
    wide = g.conv(a, 5, 2 * 3 * 2, "wide", k=1)
    shape = g.constant("to", [0, 2, 3, 2, 8, 9])
    laid = g.node("Reshape", [wide, shape], "laid")
    g.node("Transpose", [laid], "score", perm=[0, 4, 1, 5, 2, 3])
    model = g.model(
        {"score": (TensorProto.FLOAT, ["N", 8, 2, 9, 3, 2])},
        {"input": (TensorProto.FLOAT, ["N", 3, 8, 9])},
    )
    axes = ("batch", "space", "time", "space", "list", "class")
    cam = handmade.cam(
        model,
        Score(name="score", class_axis=5, kind="logits", axes=axes),
        [Layer(name="a", weights="a.weights")],
    )
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 9)).astype(np.float32)
    explanation = cam.explain(
        tensor=x, classes=[about(1).at_index(1, 2).over(Box(2, 3, 6, 7))], preset="raw"
    )
    assert explanation.classes == ("class 1 at index 1,2 and in the box 2,3,6,7",)
    (region,) = explanation.regions
    assert region is not None
    assert region.sum() == 16
    weight = next(t for t in model.graph.initializer if t.name == "wide.weight")
    w = np.frombuffer(weight.raw_data, np.float32).reshape(2, 3, 2, 5)[1, 2, 1]
    features = cam.features(tensor=x)["a"]
    exact = np.tensordot(w * 16 / 72, features, axes=1)
    np.testing.assert_allclose(explanation.raw["a"][0], exact, rtol=1e-4, atol=1e-6)
    with pytest.raises(ModelError, match="is over a list"):
        cam.segment(tensor=x)


def test_rows_that_are_not_the_pictures_are_refused() -> None:
    """An artifact of before, with [T, N, C] taken for a batch of T."""
    g = networks.Builder(3)
    a = g.relu(g.conv("input", 3, 5, "conv"), "a")
    pooled = g.node("ReduceMean", [a, g.constant("axes", [2])], "columns", keepdims=0)
    steps = g.node("Transpose", [pooled], "steps", perm=[2, 0, 1])
    g.node("Squeeze", [steps, g.constant("one", [1])], "score")
    model = g.model(
        {"score": (TensorProto.FLOAT, ["W", 5])}, {"input": (TensorProto.FLOAT, [1, 3, "H", "W"])}
    )
    cam = handmade.cam(
        model, Score(name="score", kind="logits"), [Layer(name="a", weights="a.weights")]
    )
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 9)).astype(np.float32)
    with pytest.raises(LayerError, match="its rows are not the 1 picture that entered"):
        cam.explain(tensor=x)
