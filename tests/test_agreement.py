"""The artifact against autograd in float64, network by network.

The bound is on the map: the error of sum_k alpha_k A_k, over the largest value that
sum_k |alpha_k A_k| takes on any cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from ortcam.artifact import Layer, Score, weights_name
from ortcam_export.append.gradient import append_gradient
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

Array = NDArray[Any]

TOLERANCE = 1e-4
CLASSES = 3


@dataclass(frozen=True)
class Case:
    """A network, its layers under test, and its channel axis."""

    make: Callable[[], onnx.ModelProto]
    score: str
    scorer: str
    layers: tuple[str, ...]
    axis: int = 1


CASES = {
    "shipped": Case(
        lambda: onnx.load("models/deeplabv3plus_resnet18_camvid.onnx"),
        "softmax-out",
        "scorer",
        ("res5b_relu", "catAspp", "dec_relu1", "dec_relu4"),
    ),
    "unet": Case(
        networks.unet,
        "probabilities",
        "logits",
        ("enc1_relu", "mid_relu", "cat2", "dec2_relu", "dec1_relu"),
    ),
    "channels_last": Case(
        networks.channels_last,
        "probabilities",
        "logits_conv",
        ("stem_relu", "deep_relu", "cat", "head_relu"),
        axis=3,
    ),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.chdir(request.config.rootpath)
    return CASES[str(request.param)]


def artifact(model: onnx.ModelProto, case: Case, layers: tuple[str, ...]) -> ort.InferenceSession:
    graph = append_gradient(
        prepare(load(model)),
        Score(name=case.score, class_axis=case.axis),
        [Layer(name=n, weights=weights_name(n), channel_axis=case.axis) for n in layers],
    )
    return ort.InferenceSession(ir.to_proto(graph).SerializeToString())


def confident(model: onnx.ModelProto, scorer: str, factor: float) -> onnx.ModelProto:
    """The network with its logits scaled, so that it is very confident."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    node = next(n for n in changed.graph.node if scorer in n.output)
    for tensor in changed.graph.initializer:
        if tensor.name in node.input[1:]:
            scaled = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))
    return changed


def picture(case: Case, n: int, height: int, width: int, seed: int = 0) -> Array:
    x = np.random.default_rng(seed).standard_normal((n, 3, height, width)).astype(np.float32)
    return x if case.axis == 1 else np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def run(session: ort.InferenceSession, x: Array, weights: Array, region: Array) -> dict[str, Array]:
    names = [o.name for o in session.get_outputs()]
    feeds = {"input": x, "class_weights": weights, "region": region}
    return dict(zip(names, session.run(None, feeds), strict=True))


def compare(
    model: onnx.ModelProto,
    case: Case,
    outputs: dict[str, Array],
    layers: tuple[str, ...],
    x: Array,
    weights: Array,
    region: Array,
) -> None:
    from reference import pooled_gradients

    expected = pooled_gradients(
        model, {"input": x}, case.score, layers, weights, region, case.axis, case.axis
    )
    for layer in layers:
        alpha, features = expected[layer]
        terms = alpha[..., None, None] * features
        scale = np.abs(terms).sum(2).max((-1, -2))  # [K, N]
        weighted = outputs[weights_name(layer)][..., None, None] * np.moveaxis(
            outputs[layer], case.axis, 1
        )
        error = np.abs(weighted.sum(2) - terms.sum(2)).max((-1, -2))
        assert scale.min() > 0
        assert (error / scale).max() < TOLERANCE, layer


def questions(n: int, seed: int = 0) -> Array:
    """One-hot rows, and one that asks "why this rather than that", [K, 1, C]."""
    rows = np.zeros((CLASSES, n), np.float32)
    rows[0, 0] = rows[1, n - 1] = rows[2, 1] = 1
    rows[2, 0] = -1
    return rows[:, None]


def regions(kind: str, height: int, width: int, n: int) -> Array:
    if kind == "everywhere":
        return np.ones((1, 1, 1, 1), np.float32)
    if kind == "shared":
        region = np.zeros((1, 1, height, width), np.float32)
        region[..., height // 3 :, : width // 2] = 1
        return region
    return np.random.default_rng(3).random((CLASSES, n, height, width)).astype(np.float32)


@pytest.mark.torch
@pytest.mark.parametrize("grouping", ["all layers", "each layer alone"])
@pytest.mark.parametrize("kind", ["everywhere", "shared", "a region per question"])
def test_maps_agree_with_autograd_in_float64(case: Case, kind: str, grouping: str) -> None:
    pytest.importorskip("torch")
    model, (height, width) = case.make(), (61, 83)
    x = picture(case, 2, height, width)
    weights, region = questions(_classes(model)), regions(kind, height, width, 2)
    for layers in [case.layers] if grouping == "all layers" else [(n,) for n in case.layers]:
        outputs = run(artifact(model, case, layers), x, weights, region)
        compare(model, case, outputs, layers, x, weights, region)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["everywhere", "a region per question"])
def test_maps_agree_if_the_network_is_very_confident(case: Case, kind: str) -> None:
    pytest.importorskip("torch")
    model = confident(case.make(), case.scorer, 10)
    x = picture(case, 2, 45, 37)
    weights, region = questions(_classes(model)), regions(kind, 45, 37, 2)
    for layers in (case.layers, case.layers[-1:]):
        outputs = run(artifact(model, case, layers), x, weights, region)
        compare(model, case, outputs, layers, x, weights, region)


def test_pictures_of_a_batch_are_independent(case: Case) -> None:
    model = case.make()
    x = picture(case, 2, 45, 37)
    other = np.concatenate([x[:1], picture(case, 1, 45, 37, seed=7) * 3])
    weights, region = questions(_classes(model)), regions("everywhere", 45, 37, 2)
    session = artifact(model, case, case.layers)
    before, after = run(session, x, weights, region), run(session, other, weights, region)
    for layer in case.layers:
        name = weights_name(layer)
        first, first_again = before[name][:, 0], after[name][:, 0]
        np.testing.assert_allclose(first_again, first, rtol=1e-5, atol=1e-6 * np.abs(first).max())
        assert np.abs(after[name][:, 1] - before[name][:, 1]).max() > 0.01 * np.abs(first).max()


def test_no_question_needs_no_gradient(case: Case) -> None:
    model = case.make()
    session = artifact(model, case, case.layers)
    weights, region = questions(_classes(model)), regions("everywhere", 45, 37, 1)
    outputs = run(session, picture(case, 1, 45, 37), weights[:0], region[:0])
    for layer in case.layers:
        assert outputs[weights_name(layer)].shape == (0, 1, outputs[layer].shape[case.axis])


def _classes(model: onnx.ModelProto) -> int:
    dims = model.graph.output[0].type.tensor_type.shape.dim
    return max(int(d.dim_value) for d in dims)
