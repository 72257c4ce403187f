"""Frames folded into the batch inside the network: a map for each, with weights of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import handmade
import networks
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

import ortcam
from ortcam.artifact import Layer, Score
from ortcam.errors import LayerError

Array = NDArray[np.float64]
T, SIZE = 4, (16, 20)


def network() -> Any:
    """[N, 3, T, H, W] in; ``a`` [N*T, 6, h, w]; each frame pooled, weighed, and added up."""
    g = networks.Builder(5)
    moved = g.node("Transpose", ["input"], "moved", perm=[0, 2, 1, 3, 4])
    frames = g.node("Reshape", [moved, g.constant("fold", [-1, 3, *SIZE])], "frames")
    a = g.relu(g.conv(frames, 3, 6, "conv", strides=[2, 2]), "a")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    hidden = g.relu(g.node("Gemm", [flat, g.weight("w0", 6, 7, fan_in=1)], "fc"), "hidden")
    apart = g.node("Reshape", [hidden, g.constant("unfold", [-1, T, 7])], "apart")
    joined = g.node("Flatten", [apart], "joined")
    g.node("Gemm", [joined, g.weight("w1", T * 7, 3, fan_in=9)], "score")
    shape: networks.Shape = ["N", 3, T, *SIZE]
    return g.model({"score": (TensorProto.FLOAT, ["N", 3])}, {"input": (TensorProto.FLOAT, shape)})


NETWORK = network()
WEIGHTS = {
    tensor.name: np.frombuffer(tensor.raw_data, np.float32).reshape(tensor.dims).astype(float)
    for tensor in NETWORK.graph.initializer
    if tensor.data_type == TensorProto.FLOAT
}
SCORE = Score(name="score", kind="logits", axes=("batch", "class"))
CLIPS = np.random.default_rng(1).normal(size=(2, 3, T, *SIZE)).astype(np.float32)


def tail(a: Array) -> Array:
    """From a [6, T, h, w] to the score [3]."""
    hidden = np.maximum(a.mean(axis=(2, 3)).T @ WEIGHTS["w0"], 0)
    score: Array = hidden.ravel() @ WEIGHTS["w1"]
    return score


def alphas(a: Array, cls: int) -> Array:
    """The mean gradient of each channel in each frame [T, 6], by central differences."""
    weights = np.zeros((T, 6))
    for t in range(T):
        for channel in range(6):
            shift = np.zeros_like(a)
            shift[channel, t] = 1e-5
            weights[t, channel] = (tail(a + shift) - tail(a - shift))[cls] / 2e-5
    means: Array = weights / a[0, 0].size
    return means


def layer(**options: Any) -> Layer:
    return Layer(name="a", weights="a.weights", frames=True, **options)


@pytest.fixture(scope="module")
def cam() -> ortcam.Cam:
    return handmade.cam(NETWORK, SCORE, [layer(grad="a.grad")])


def test_each_frame_has_its_own_weights(cam: ortcam.Cam) -> None:
    explanation = cam.explain(tensor=CLIPS[:1], classes=[0, 1, 2], preset="raw")
    a = cam.features(tensor=CLIPS[:1])["a"].astype(np.float64)
    assert a.shape == (6, T, 8, 10)
    assert explanation.grid == (T, *SIZE)
    for cls in range(3):
        exact = np.einsum("tc,cthw->thw", alphas(a, cls), a)
        np.testing.assert_allclose(explanation.weights["a"][cls], alphas(a, cls), atol=1e-7)
        np.testing.assert_allclose(explanation.raw["a"][cls], exact, rtol=1e-4, atol=1e-6)


def test_methods_of_whole_gradients_go_frame_by_frame(cam: ortcam.Cam) -> None:
    a = cam.features(tensor=CLIPS[:1])["a"].astype(np.float64)
    slopes = alphas(a, 1)  # the same at every place
    for method in ("hires-cam", "xgrad-cam", "layer-cam", "grad-cam++", "eigen-cam", "score-cam"):
        explanation = cam.explain(tensor=CLIPS[:1], classes=[1], preset="raw", method=method)
        raw = explanation.raw["a"][0]
        assert raw.shape == (T, 8, 10)
        if method in ("hires-cam", "xgrad-cam"):  # for a ReLU's features XGrad-CAM is the same
            exact = np.einsum("tc,cthw->thw", slopes, a)
            np.testing.assert_allclose(raw, exact, rtol=2e-3, atol=1e-5)


def test_several_clips_in_a_run(cam: ortcam.Cam) -> None:
    from ortcam.pictures.network_inputs import feeds
    from ortcam.pipeline import explain, open_pictures

    model = cam._model
    each = [
        feeds(cam.artifact, cam._graph.session.inputs, None, c[None], None, None) for c in CLIPS
    ]
    request = model.request([0, 1], None, None, "grad-cam", "raw")
    together = explain(open_pictures(model, each), [request] * 2, [None] * 2, 2**30)
    for clip, one in zip(CLIPS, together, strict=True):
        alone = cam.explain(tensor=clip[None], classes=[0, 1], preset="raw")
        np.testing.assert_allclose(one.raw["a"], alone.raw["a"], rtol=1e-5, atol=1e-7)


def test_figures_reports_and_arrays(cam: ortcam.Cam, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    explanation = cam.explain(tensor=CLIPS[:1], classes=[0, 1])
    assert explanation.maps.shape == (1, 2, T, *SIZE)
    for name in ("e.png", "e.npz", "e.html"):
        explanation.save(tmp_path / name, slice=2)
    with np.load(tmp_path / "e.npz") as arrays:
        assert arrays["raw_0"].shape == (2, T, 8, 10)
        assert arrays["weights_0"].shape == (2, T, 6)


def test_rows_without_a_word_are_refused() -> None:
    """An artifact of before, which did not say that its rows are frames."""
    cam = handmade.cam(NETWORK, SCORE, [Layer(name="a", weights="a.weights")])
    with pytest.raises(LayerError, match="'a' has 4 rows for 1 picture, and which belongs to"):
        cam.explain(tensor=CLIPS[:1], classes=[0])


def test_tiles_of_a_picture_have_no_known_place() -> None:
    g = networks.Builder(6)
    split = g.constant("split", [-1, 3, 8, 10])
    a = g.relu(g.conv(g.node("Reshape", ["input", split], "tiles"), 3, 6, "conv"), "a")
    pooled = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    apart = g.node("Reshape", [pooled, g.constant("unfold", [-1, 4, 6])], "apart")
    g.node("ReduceMax", [apart, g.constant("axis", [1])], "score", keepdims=0)
    model = g.model(
        {"score": (TensorProto.FLOAT, ["N", 6])}, {"input": (TensorProto.FLOAT, ["N", 3, *SIZE])}
    )
    cam = handmade.cam(model, SCORE, [layer()])
    with pytest.raises(LayerError, match="'a' has 4 maps for a picture, and where these lie in it"):
        cam.explain(tensor=CLIPS[:1, :, 0], classes=[0])
