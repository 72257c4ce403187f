"""Running sums and products, and the product over axes; with zeros among the factors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from finite_differences import check_operator, operator
from onnx.reference import ReferenceEvaluator

from ortcam_export.vjp import vjp

DIRECTIONS = [*itertools.product([0, 1], [0, 1])]


@pytest.mark.parametrize(("exclusive", "reverse"), DIRECTIONS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("fixed", [True, False])
def test_cum_sum(normal: Any, axis: Any, exclusive: Any, reverse: Any, fixed: Any) -> None:
    inputs = {"x": normal(3, 4, 5), "axis": np.array(axis, np.int64)}
    check_operator(
        "CumSum", inputs, fixed=["axis"] if fixed else [], linear=True, exclusive=exclusive,
        reverse=reverse,
    )  # fmt: skip


@pytest.mark.parametrize(("exclusive", "reverse"), DIRECTIONS)
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_cum_prod(normal: Any, exclusive: Any, reverse: Any, zeros: Any) -> None:
    x = normal(3, 6)
    x[:, [1, 4][:zeros]] = 0
    inputs = {"x": x, "axis": np.array(1, np.int64)}
    check_operator(
        "CumProd", inputs, fixed=["axis"], opset=26, exclusive=exclusive, reverse=reverse
    )


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(
    ("axes", "zeros"), [(None, 0), (None, 1), ([0], 0), ([0], 2), ([1, -1], 1), ([1, -1], 2)]
)
def test_reduce_prod(normal: Any, axes: Any, keepdims: Any, zeros: Any) -> None:
    x = normal(3, 4, 2)
    x.reshape(-1)[[4, 20][:zeros]] = 0
    inputs = {"x": x, "axes": None if axes is None else np.array(axes, np.int64)}
    check_operator("ReduceProd", inputs, fixed=["axes"], keepdims=keepdims, opset=18)


def test_a_product_with_two_zeros_has_no_slope() -> None:
    case = operator("ReduceProd", {"x": np.array([2, 0, 3, 0], np.float32)}, opset=18, keepdims=0)
    evaluator: Any = ReferenceEvaluator(vjp(case.model, "y", ["x"]))
    (g,) = evaluator.run(["x.grad"], {**case.feeds, "y.cotangent": np.float32(1)})
    np.testing.assert_array_equal(g, np.zeros(4))
