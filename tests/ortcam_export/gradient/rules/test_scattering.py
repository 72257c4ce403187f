"""Operators that put elements to places, with every reduction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator
from onnx.reference import ReferenceEvaluator

from ortcam_export.vjp import vjp

REDUCTIONS = ["none", "add", "mul", "max", "min"]


def scattered(f: Any, places: Any, reduction: Any) -> Any:
    """The forward operators by NumPy: places is a list of (place in the data, place in updates)."""
    y = f["x"].copy()
    for to, source in places:
        u = f["updates"][source]
        if reduction == "none":
            y[to] = u
        elif reduction == "add":
            y[to] += u
        elif reduction == "mul":
            y[to] *= u
        else:
            y[to] = np.maximum(y[to], u) if reduction == "max" else np.minimum(y[to], u)
    return y


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("fixed", [True, False])
def test_scatter_elements(normal: Any, axis: Any, reduction: Any, fixed: Any) -> None:
    repeated = (
        [[0, -1, 1, 1], [1, 2, 1, 0]] if reduction != "none" else [[0, 2, -3, 3], [1, -1, 0, 2]]
    )
    indices = np.array(repeated if axis else np.array(repeated).T, np.int64)
    x = normal(2, 4) if axis else normal(4, 2)
    inputs = {"x": x, "indices": indices, "updates": normal(*indices.shape)}
    places = []
    for source in np.ndindex(indices.shape):
        to = list(source)
        to[axis] = indices[source]
        places.append((tuple(to), source))
    check_operator(
        "ScatterElements", inputs, fixed=["indices"] if fixed else [], axis=axis,
        reduction=reduction, opset=18, function=lambda f: scattered(f, places, reduction),
    )  # fmt: skip


@pytest.mark.parametrize("zero", ["x", "updates", "both"])
def test_products_with_zeros(normal: Any, zero: Any) -> None:
    x, updates = normal(3, 4), normal(3, 3)
    if zero != "updates":
        x[1, 1] = 0
    if zero != "x":
        updates[1, 0] = 0
    indices = np.array([[0, 0, 1], [1, 1, 2], [3, 3, 3]], np.int64)
    places = [((i, indices[i, j]), (i, j)) for i, j in np.ndindex(3, 3)]
    check_operator(
        "ScatterElements", {"x": x, "indices": indices, "updates": updates}, axis=1,
        reduction="mul", opset=18, function=lambda f: scattered(f, places, "mul"),
    )  # fmt: skip


@pytest.mark.parametrize("op_type", ["Scatter", "ScatterElements"])
def test_older_versions(normal: Any, op_type: Any) -> None:
    indices = np.array([[0, 2], [1, 0]], np.int64)
    inputs = {"x": normal(3, 3), "indices": indices, "updates": normal(2, 2)}
    places = [((i, indices[i, j]), (i, j)) for i, j in np.ndindex(2, 2)]
    case = operator(op_type, inputs, opset=9 if op_type == "Scatter" else 11, axis=1)
    # onnx's evaluator gathers only as many elements as there are along the other axes
    check(
        case, wrt=["x", "updates"], double=False,
        function=lambda f: scattered(f, places, "none"),
    )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("fixed", [True, False])
def test_scatter_nd(normal: Any, depth: Any, reduction: Any, fixed: Any) -> None:
    rows = [[1, 2, 0], [-1, 0, 1], [0, -2, 1]]
    if reduction != "none":
        rows.append([1, 2, 0])
    indices = np.array(rows, np.int64)[:, :depth]
    x = normal(3, 4, 2)
    inputs = {"x": x, "indices": indices, "updates": normal(len(rows), *x.shape[depth:])}
    places = [(tuple(row), i) for i, row in enumerate(indices)]
    check_operator(
        "ScatterND", inputs, fixed=["indices"] if fixed else [], reduction=reduction, opset=18,
        function=lambda f: scattered(f, places, reduction), dynamic=["x", "updates"],
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("axis", [-2, 1])
def test_tensor_scatter(normal: Any, mode: Any, axis: Any) -> None:
    starts = np.array([1, 4] if mode == "circular" else [1, 3], np.int64)
    inputs = {"x": normal(2, 5, 5, 3), "updates": normal(2, 5, 2, 3), "starts": starts}
    if axis == 1:
        inputs["updates"] = normal(2, 2, 5, 3)
    case = operator("TensorScatter", inputs, opset=24, mode=mode, axis=axis)

    def function(f: Any) -> Any:
        y = f["x"].copy()
        for n in range(2):
            for j in range(2):
                place = (starts[n] + j) % 5
                if axis == 1:
                    y[n, place] = f["updates"][n, j]
                else:
                    y[n, :, place] = f["updates"][n, :, j]
        return y

    check(case, wrt=["x", "updates"], function=function)


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_equals_share_the_cotangent(reduction: Any) -> None:
    sign = 1 if reduction == "max" else -1
    inputs: dict[str, Any] = {
        "x": sign * np.array([1, 2, 3, 4], np.float32),
        "indices": np.array([0, 0, 2, 3], np.int64),
        "updates": sign * np.array([1, 1, 3, 3], np.float32),
    }
    case = operator("ScatterElements", inputs, opset=18, axis=0, reduction=reduction)
    evaluator = ReferenceEvaluator(vjp(case.model, "y", ["x", "updates"]))
    u = np.array([6, 1, 2, 5], np.float32)
    gradients: Any = evaluator.run(["x.grad", "updates.grad"], {**case.feeds, "y.cotangent": u})
    np.testing.assert_allclose(gradients, [[2, 1, 1, 5], [2, 2, 1, 0]])
