"""Divisions by a norm."""

from __future__ import annotations

import numpy as np
import pytest
from finite_differences import check_operator, operator
from onnx.reference import ReferenceEvaluator

from ortcam_export.vjp import vjp


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_lp_normalization(normal, axis, p):
    def function(f):  # onnx's evaluator adds what may be negative
        return f["x"] / (np.abs(f["x"]) ** p).sum(axis, keepdims=True) ** (1 / p)

    check_operator(
        "LpNormalization", {"x": normal(3, 4, 5)}, axis=axis, p=p, function=function, double=p == 2
    )


def test_nothing_flows_where_all_is_zero():
    case = operator("LpNormalization", {"x": np.zeros((1, 3), np.float32)})
    evaluator = ReferenceEvaluator(vjp(case.model, "y", ["x"]))
    feeds = {**case.feeds, "y.cotangent": np.ones((1, 3), np.float32)}
    with np.errstate(all="ignore"):
        assert not evaluator.run(["x.grad"], feeds)[0].any()


@pytest.mark.parametrize("size", [1, 3, 5, 4])
def test_lrn(normal, size):
    def function(f):
        x = f["x"]
        square = np.zeros_like(x)
        for c in range(x.shape[1]):
            low, high = max(0, c - (size - 1) // 2), min(x.shape[1] - 1, c + size // 2)
            square[:, c] = (x[:, low : high + 1] ** 2).sum(1)
        return x / (1.5 + 0.4 / size * square) ** 0.6

    x = normal(2, 6, 3, 4)
    if size % 2 == 0:  # onnxruntime runs none
        return check_reference(x, function, size)
    return check_operator(
        "LRN", {"x": x}, size=size, alpha=0.4, beta=0.6, bias=1.5, function=function
    )


def check_reference(x, function, size):
    """The gradient on onnx's evaluator against differences of the formula, element by element."""
    case = operator("LRN", {"x": x}, size=size, alpha=0.4, beta=0.6, bias=1.5)
    evaluator = ReferenceEvaluator(vjp(case.model, "y", ["x"]))
    u = np.linspace(-1, 1, x.size, dtype=np.float32).reshape(x.shape)
    found = evaluator.run(["x.grad"], {"x": x, "y.cotangent": u})[0]
    expected = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-5
        slope = (function({"x": x + step}) - function({"x": x - step})) / 2e-5
        expected[place] = (u * slope).sum()
    np.testing.assert_allclose(found, expected, atol=1e-4)
