"""Gradients that float32 cannot measure are measured in float64, and wrong ones found there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from networks import Builder
from onnx import TensorProto

from ortcam.errors import ModelError, VerificationError
from ortcam_export import export
from ortcam_export.graph.model_io import open_session
from ortcam_export.graph.traversal import part
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.verify import gradient
from ortcam_export.verify.central_differences import GradientError, UnmeasurableError
from ortcam_export.verify.forms.in_float64 import in_float64
from ortcam_export.verify.network_tail import Tail
from ortcam_export.verify.questions import ask_artifact


def new_detector() -> onnx.ModelProto:
    """A head of a new detector: its logits are -11.5, beside which its features' effect is 1e-7."""
    g = Builder(0)
    a = g.block(g.block("input", 3, 4, "a", strides=[2, 2]), 4, 8, "b", strides=[2, 2])
    squared = g.node("Mul", [a, g.node("Sigmoid", [a], "gate")], "swish")
    faint = g.node("Mul", [squared, g.constant("few", 1e-7, np.float32)], "faint")
    weights = [g.weight("w", 5, 8, 3, 3, fan_in=72), g.constant("bias", [-11.5] * 5, np.float32)]
    logits = g.node("Conv", [faint, *weights], "logits", pads=[1] * 4)
    g.node("Sigmoid", [logits], "y")
    return g.model({"y": (TensorProto.FLOAT, ["N", 5, None, None])})


def new_blocks() -> onnx.ModelProto:
    """A block whose result is scaled by 1e-6 before it is added, then a normalisation."""
    g = Builder(1)
    a = g.block("input", 3, 8, "a", strides=[2, 2])
    hidden = g.node("Tanh", [g.block(a, 8, 8, "b")], "hidden")
    scaled = g.node("Mul", [hidden, g.constant("scale", 1e-6, np.float32)], "scaled")
    total = g.node("Add", [a, scaled], "total")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [total], "pooled")], "flat")
    ones = g.constant("ones", np.ones(8), np.float32)
    normal = g.node("LayerNormalization", [flat, ones], "normal")
    g.node("Gemm", [normal, g.weight("last", 8, 4, fan_in=8)], "y")
    return g.model({"y": (TensorProto.FLOAT, ["N", 4])})


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Double whatever an artifact answers from now on."""
    right = ask_artifact

    def wrong(*args: Any, **options: Any) -> Any:
        answers = right(*args, **options)
        return dataclasses.replace(
            answers,
            weights={name: 2 * values for name, values in answers.weights.items()},
            gradients={name: 2 * values for name, values in answers.gradients.items()},
        )

    return lambda: monkeypatch.setattr(gradient, "ask_artifact", wrong)


@pytest.mark.parametrize("methods", [[], ["hires-cam"]], ids=["mean", "whole"])
@pytest.mark.parametrize("make", [new_detector, new_blocks])
def test_a_faint_effect_is_measured(
    make: Callable[[], onnx.ModelProto],
    methods: list[str],
    doubled: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: Any = {"feature_layers": ["b_relu"], "size": (48, 32), "methods": methods}
    made = export(make(), **options).artifact.verification
    assert made is not None
    assert made.bound < 2e-3
    doubled()
    with pytest.raises(GradientError, match="'b_relu' is off by"):
        export(make(), **options)
    monkeypatch.setattr(Tail, "widen", lambda _: False)
    with pytest.raises(UnmeasurableError):
        export(make(), **options)


@pytest.mark.parametrize(
    ("group", "options"),
    [
        (1, {"pads": [1, 1, 1, 1]}),
        (1, {"strides": [2, 3], "pads": [0, 1, 2, 0]}),
        (4, {"dilations": [2, 1], "strides": [3, 2]}),
        (2, {}),
    ],
)
def test_float64_is_the_same_network(group: int, options: dict[str, Any]) -> None:
    """Convolutions, and operators without a kernel of double precision."""
    g = Builder(2)
    weights = [g.weight("w", 8, 4 // group, 3, 3, fan_in=36), g.weight("bias", 8, fan_in=1)]
    x = g.node("Conv", ["input", *weights], "conv", group=group, **options)
    x = g.node("Erf", [x], "erf")
    parts = [f"part{i}" for i in range(2)]
    g.nodes.append(onnx.helper.make_node("Split", [x], parts, axis=1, num_outputs=2))
    scales = g.constant("scales", [1, 1, 2, 2], np.float32)
    x = g.node("Resize", [parts[1], "", scales], "large", mode="linear")
    x = g.node("Clip", [x, g.constant("low", -0.5, np.float32)], "clipped")
    x = g.node("Cast", [x], "cast", to=TensorProto.FLOAT)
    g.node("GlobalAveragePool", [x], "y")
    inputs: dict[str, tuple[int, networks.Shape]] = {"input": (TensorProto.FLOAT, [2, 4, 13, 17])}
    model = prepare(load(g.model({"y": (TensorProto.FLOAT, [2, 4, 1, 1])}, inputs)))
    wide = in_float64(model)
    assert wide is not None
    values = np.random.default_rng(0).normal(size=(2, 4, 13, 17))
    (single,) = open_session(model).run(["y"], {"input": values.astype(np.float32)}).values()
    (double,) = open_session(wide).run(["y"], {"input": values}).values()
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, single, atol=1e-6)


def test_a_network_with_branches_stays_in_float32() -> None:
    g = Builder(0)
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["input"], ["minus"])],
        "branch",
        [],
        [onnx.helper.make_empty_tensor_value_info("minus")],
    )
    yes = g.constant("yes", True, np.bool_)
    g.node("If", [yes], "y", then_branch=branch, else_branch=branch)
    proto = g.model({"y": (TensorProto.FLOAT, ["N", 3, "H", "W"])})
    assert in_float64(load(proto)) is None


# ---- What cannot be measured


def test_a_whole_gradient_that_cannot_be_measured_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = gradient._Trial.judge

    def judge(trial: Any, layer: Any, answers: Any) -> Any:
        if layer.name in answers.gradients:
            raise UnmeasurableError("the score is too rough")
        return right(trial, layer, answers)

    monkeypatch.setattr(gradient._Trial, "judge", judge)
    made = export(networks.unet(), methods=["hires-cam", "gradient"], size=(48, 32))
    assert all(layer.grad is None for layer in made.artifact.layers)
    assert made.artifact.verification is not None
    assert made.artifact.verification.error < 1e-3
    (note,) = (str(n) for n in made.notes if "hires-cam" in str(n))
    assert note.endswith(
        "are left out, as their gradient could not be verified: the score is too rough"
    )


def test_what_a_head_does_not_read_moves_no_class() -> None:
    """Behind the last attention, a class token takes nothing from the picture's tokens."""
    model = networks.transformer()
    with pytest.raises(GradientError, match="and its gradient is 0 there"):
        export(model, feature_layers=["sum_1"])
    # by hand: the head of the network from this layer on
    session = open_session(part(prepare(load(model)), ["sum_1"], ["probabilities"]))
    tokens = np.random.default_rng(0).normal(size=(1, 17, 8)).astype(np.float32)

    def change(where: slice) -> float:
        moved = tokens.copy()
        moved[:, where] += np.arange(8, dtype=np.float32)
        before, after = (session.run(["probabilities"], {"sum_1": x}) for x in (tokens, moved))
        return float(np.abs(after["probabilities"] - before["probabilities"]).max())

    assert change(slice(1, None)) == 0
    assert change(slice(0, 1)) > 0.01


def test_a_length_that_depends_on_the_picture_counts_no_classes() -> None:
    """The scores of the points that exceed a threshold."""
    g = Builder(0)
    a = g.block("input", 3, 4, "a", strides=[2, 2])
    point = g.node("Sigmoid", [g.conv(a, 4, 1, "points")], "heat")
    flat = g.node("Reshape", [point, g.constant("row", [-1])], "all")
    bright = g.node("Greater", [flat, g.constant("half", 0.5, np.float32)], "bright")
    kept = g.node("Compress", [flat, bright], "kept")
    g.node("Unsqueeze", [kept, g.constant("zero", [0])], "scores")
    shape: networks.Shape = [1, 3, 32, 32]
    model = g.model(
        {"scores": (TensorProto.FLOAT, [1, "points"])}, {"input": (TensorProto.FLOAT, shape)}
    )
    with pytest.raises(VerificationError, match="so it holds no classes") as caught:
        export(model, feature_layers=["a_relu"], reduction_layer="scores", score="logits")
    assert "on one trial picture and" in str(caught.value)


def test_a_gradient_that_does_not_run_is_told_from_its_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = ask_artifact

    def wrong(artifact: Any, meta: Any, feeds: Any, questions: Any, *rest: Any, **o: Any) -> Any:
        weights = np.repeat(questions.class_weights, 2, axis=2)
        return right(
            artifact, meta, feeds, dataclasses.replace(questions, class_weights=weights), *rest, **o
        )

    monkeypatch.setattr(gradient, "ask_artifact", wrong)
    with pytest.raises(
        ModelError, match=r"^the network runs on trial .*, but its gradient does not"
    ):
        export(networks.classifier(), size=(48, 32))
