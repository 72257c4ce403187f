"""Softmax and LogSoftmax over every axis, and on a network that is very sure of its class."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from finite_differences import check_operator, operator

from ortcam_export.vjp import vjp


@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, -1, -3])
@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
def test_axes(normal: Any, op_type: Any, axis: Any) -> None:
    given = {} if axis is None else {"axis": axis}
    check_operator(op_type, {"x": 2 * normal(2, 3, 4, 5)}, **given)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
def test_of_opset_11_flattens(normal: Any, op_type: Any, axis: Any) -> None:
    def function(feeds: Any) -> Any:
        y = softmax(feeds["x"].reshape(2 if axis == 1 else 6, -1)).reshape(2, 3, 4)
        return np.log(y) if op_type == "LogSoftmax" else y

    inputs = {"x": normal(2, 3, 4)}
    check_operator(op_type, inputs, opset=11, axis=axis, function=function, double=False)


@pytest.mark.parametrize("sure", [10, 30, 60])
@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
def test_no_digit_is_lost_where_one_class_is_sure(normal: Any, op_type: Any, sure: Any) -> None:
    logits = normal(20, 6)
    logits[np.arange(20), np.arange(20) % 6] += sure
    u = normal(20, 6)
    case = operator(op_type, {"x": logits}, axis=1)
    session = onnxruntime.InferenceSession(
        vjp(case.model, "y", ["x"]).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["x.grad"], {"x": logits, "y.cotangent": u})
    exact, terms = GRADIENT[op_type](logits.astype(np.float64), u.astype(np.float64))
    # each entry separately, however small, as well as its terms add up in float32
    assert np.all(np.abs(found - exact) <= 2e-5 * terms)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_gradient(x: Any, u: Any) -> Any:
    """sum_j s_c s_j (u_c - u_j), in which no 1 - s cancels, and the size of its terms."""
    s = softmax(x)
    pairs = s[:, None, :] * (u[:, :, None] - u[:, None, :])
    return s * pairs.sum(2), s * np.abs(pairs).sum(2)


def log_softmax_gradient(x: Any, u: Any) -> Any:
    down = softmax(x) * u.sum(1, keepdims=True)
    return u - down, np.abs(u) + np.abs(down)


GRADIENT = {"Softmax": softmax_gradient, "LogSoftmax": log_softmax_gradient}
