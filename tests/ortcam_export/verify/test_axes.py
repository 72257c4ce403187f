"""Verification of scores over lists, of values that are no class scores, of frames and heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import networks
import onnx
import pytest
from networks import Builder
from onnx import TensorProto

from ortcam_export import export
from ortcam_export.verify import gradient
from ortcam_export.verify.central_differences import GradientError
from ortcam_export.verify.questions import ask_artifact

T = 3


def vector(kind: str) -> onnx.ModelProto:
    """A vector of five values."""
    g = Builder(0)
    a = g.block(g.block("input", 3, 4, "a"), 4, 8, "b", strides=[2, 2])
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    x = g.node("Gemm", [flat, g.weight("last", 8, 5, fan_in=8)], "values")
    if kind:
        g.node(kind, [x], "y")
    name = "y" if kind else "values"
    return g.model({name: (TensorProto.FLOAT, ["N", 5])})


def frames() -> onnx.ModelProto:
    """Frames folded into the batch, each pooled and weighed, then joined."""
    g = Builder(5)
    folded = g.node("Reshape", ["input", g.constant("fold", [-1, 3, 16, 20])], "folded")
    a = g.block(folded, 3, 6, "b", strides=[2, 2])
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    hidden = g.node("Tanh", [g.node("Gemm", [flat, g.weight("w0", 6, 7, fan_in=1)], "fc")], "h")
    apart = g.node("Reshape", [hidden, g.constant("unfold", [-1, T, 7])], "apart")
    g.node("Gemm", [g.node("Flatten", [apart], "all"), g.weight("w1", T * 7, 3, fan_in=9)], "y")
    shape: networks.Shape = ["N", T, 3, 16, 20]
    return g.model({"y": (TensorProto.FLOAT, ["N", 3])}, {"input": (TensorProto.FLOAT, shape)})


def head() -> onnx.ModelProto:
    """The similarity with a stored vector."""
    g = Builder(3)
    squared = g.node("Mul", ["values", "values"], "squared")
    g.node("MatMul", [squared, g.weight("stored", 5, 1, fan_in=5)], "similarity")
    values: networks.Shape = ["N", 5]
    shape: networks.Shape = ["N", 1]
    return g.model(
        {"similarity": (TensorProto.FLOAT, shape)}, {"values": (TensorProto.FLOAT, values)}
    )


CASES: dict[str, tuple[Callable[[], onnx.ModelProto], str, dict[str, Any]]] = {
    "anchors": (networks.anchors, "p8_relu", {"size": (64, 64)}),
    "queries": (
        networks.queries,
        "b_relu",
        {"reduction_layer": "class_queries", "score": "softmax"},
    ),
    "linear": (lambda: vector(""), "b_relu", {"size": (48, 32)}),
    "head": (lambda: vector(""), "b_relu", {"size": (48, 32), "head": head}),
    "frames": (frames, "b_relu", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_verified_and_a_doubled_gradient_is_found(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, layer, options = CASES[case]
    options = {key: value() if callable(value) else value for key, value in options.items()}
    if layer:
        options["feature_layers"] = [layer]
    made = export(make(), **options).artifact
    assert made.verification is not None
    assert made.verification.bound < 2e-3
    assert made.layers[0].frames == (case == "frames")
    right = ask_artifact

    def doubled(*args: Any, **more: Any) -> Any:
        answers = right(*args, **more)
        weights = {name: 2 * values for name, values in answers.weights.items()}
        return dataclasses.replace(answers, weights=weights)

    monkeypatch.setattr(gradient, "ask_artifact", doubled)
    with pytest.raises(GradientError, match="is off by"):
        export(make(), **options)
