"""Operators that are differentiated through their ONNX function bodies."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from finite_differences import check_operator, operator
from onnx.reference import ReferenceEvaluator

from ortcam_export.vjp import vjp

CLASSES = np.array([[2, 0, 1], [1, 1, 2]], np.int64)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("ignored", [{}, {"ignore_index": 1}])
@pytest.mark.parametrize("op_type", ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"])
def test_loss(
    normal: Any, positive: Any, op_type: Any, reduction: Any, weighted: Any, ignored: Any
) -> None:
    inputs = {"x": normal(2, 4, 3), "classes": CLASSES, "w": positive(4) if weighted else None}
    check_operator(op_type, inputs, wrt=["x"], reduction=reduction, double=False, **ignored)


def test_the_log_probabilities_of_the_loss(normal: Any) -> None:
    inputs = {"x": normal(2, 4, 3), "classes": CLASSES}
    check_operator("SoftmaxCrossEntropyLoss", inputs, outputs=("y", "log"), double=False)


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_attention(normal: Any, causal: Any, softcap: Any, kv_heads: Any) -> None:
    inputs = {
        "q": normal(2, 4, 3, 6),
        "k": normal(2, kv_heads, 5, 6),
        "v": normal(2, kv_heads, 5, 4),
    }
    check_operator(
        "Attention", inputs, opset=23, double=False, is_causal=causal, softcap=softcap,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, bool])
def test_attention_of_tokens_with_a_mask(normal: Any, dtype: Any) -> None:
    mask = np.ones((3, 5), bool)
    mask[1, 2:] = mask[2, 0] = False
    inputs = {
        "q": normal(2, 3, 8), "k": normal(2, 5, 8), "v": normal(2, 5, 4),
        "mask": mask if dtype is bool else normal(3, 5),
    }  # fmt: skip
    check_operator(
        "Attention", inputs, opset=23, double=False, wrt=["q", "k", "v"], q_num_heads=2,
        kv_num_heads=2, scale=0.4,
    )  # fmt: skip


@pytest.mark.parametrize(("axes", "more"), [*itertools.product([[2, 3], [-1]], [-1, 2])])
def test_center_crop_pad(normal: Any, axes: Any, more: Any) -> None:
    x = normal(1, 2, 4, 5)
    shape = np.array([x.shape[axis] + more for axis in axes], np.int64)
    check_operator(
        "CenterCropPad", {"x": x, "shape": shape}, fixed=["shape"], axes=axes, linear=True
    )


@pytest.mark.parametrize("activation", ["none", "silu"])
def test_causal_conv(normal: Any, activation: Any) -> None:
    inputs = {"x": normal(2, 4, 6), "w": normal(4, 1, 3), "b": normal(4), "before": normal(2, 4, 2)}

    def function(f: Any) -> Any:
        x = np.concatenate([f["before"], f["x"]], 2)
        y = sum(x[:, :, i : i + 6] * f["w"][:, 0, i, None] for i in range(3)) + f["b"][:, None]
        return y / (1 + np.exp(-y)) if activation == "silu" else y

    check_operator(
        "CausalConvWithState", inputs, fixed=["w", "b"], opset=27, outputs=("y", "after"),
        activation=activation, double=False, function=function,
    )  # fmt: skip


@pytest.mark.parametrize("alpha", [1.0, 1.702])
def test_swiglu(normal: Any, alpha: Any) -> None:
    """On onnx's evaluator alone: ONNX Runtime has no kernel for it."""
    a, b, u = normal(2, 3), normal(2, 3), normal(2, 3)
    case = operator("SwiGLU", {"a": a, "b": b}, opset=28, alpha=alpha)
    evaluator = ReferenceEvaluator(vjp(case.model, "y", ["a", "b"]))
    found = evaluator.run(["a.grad", "b.grad"], {"a": a, "b": b, "y.cotangent": u})

    def function(a: Any, b: Any) -> Any:
        return np.vdot(u, a / (1 + np.exp(-alpha * a)) * b)

    for place in np.ndindex(2, 3):
        step = np.zeros((2, 3))
        step[place] = 1e-4
        slopes = (
            function(a + step, b) - function(a - step, b),
            function(a, b + step) - function(a, b - step),
        )
        for g, slope in zip(found, slopes, strict=True):
            np.testing.assert_allclose(g[place], slope / 2e-4, rtol=1e-4, atol=1e-5)
