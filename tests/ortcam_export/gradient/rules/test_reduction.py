"""Reductions over every choice of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check_operator, forward, operator

from ortcam_export.vjp import vjp

REDUCTIONS = [
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp",
]  # fmt: skip
AXES = {"one": [1], "negative": [-1, 0], "all": [0, 1, 2], "none": [], "not given": None}


@pytest.mark.parametrize("keepdims", [0, 1], ids=["dropped", "kept"])
@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
@pytest.mark.parametrize("op_type", REDUCTIONS)
def test_axes(positive: Any, op_type: Any, axes: Any, keepdims: Any) -> None:
    inputs = {"x": positive(2, 3, 4), "axes": None if axes is None else np.array(axes, np.int64)}
    check_operator(op_type, inputs, fixed=["axes"], keepdims=keepdims)


@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean", "ReduceMax"])
@pytest.mark.parametrize("axes", [None, [], [1]], ids=str)
def test_no_axes_may_mean_none(normal: Any, op_type: Any, axes: Any) -> None:
    inputs = {"x": normal(2, 3, 4), "axes": None if axes is None else np.array(axes, np.int64)}
    check_operator(op_type, inputs, fixed=["axes"], noop_with_empty_axes=1)


@pytest.mark.parametrize("op_type", REDUCTIONS)
def test_axes_as_an_attribute(positive: Any, op_type: Any) -> None:
    check_operator(op_type, {"x": positive(2, 3, 4)}, opset=11, axes=[0, -1], keepdims=0)


@pytest.mark.parametrize("op_type", ["ReduceMax", "ReduceMin"])
def test_ties_share(op_type: Any) -> None:
    x = np.zeros((2, 4), np.float32)
    case = operator(op_type, {"x": x, "axes": np.array([1])}, fixed=["axes"])
    feeds = {"x": x, "y.cotangent": np.array([[1], [2]], np.float32)}
    g = forward(vjp(case.model, "y", ["x"]), feeds, "x.grad")
    np.testing.assert_array_equal(g, np.array([[0.25] * 4, [0.5] * 4], np.float32))


def test_l2_norm_of_zero() -> None:
    x = np.zeros((2, 3), np.float32)
    case = operator("ReduceL2", {"x": x, "axes": np.array([1])}, fixed=["axes"])
    feeds = {"x": x, "y.cotangent": np.ones((2, 1), np.float32)}
    g = forward(vjp(case.model, "y", ["x"]), feeds, "x.grad")
    np.testing.assert_array_equal(g, np.zeros((2, 3)))
