"""Operators that take elements by indices: negative ones and repeated ones among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_gather_elements(normal: Any, axis: Any, dtype: Any) -> None:
    indices = np.random.default_rng(0).integers(-3, 3, (3, 3, 3)).astype(dtype)
    inputs = {"x": normal(3, 4, 5), "indices": indices}
    check_operator("GatherElements", inputs, linear=True, axis=axis)
    check_operator("GatherElements", inputs, fixed=["indices"], linear=True, axis=axis)


@pytest.mark.parametrize(
    ("batch_dims", "shape"),
    [(0, (2, 3, 1)), (0, (4, 2)), (0, (2, 3)), (1, (3, 2)), (2, (3, 4, 2, 1))],
)
@pytest.mark.parametrize("fixed", [True, False])
def test_gather_nd(normal: Any, batch_dims: Any, shape: Any, fixed: Any) -> None:
    indices = np.random.default_rng(0).integers(-2, 2, shape)
    inputs = {"x": normal(3, 4, 5, 2), "indices": indices}
    check_operator(
        "GatherND", inputs, fixed=["indices"] if fixed else [], linear=True, batch_dims=batch_dims,
        dynamic=["x"],
    )  # fmt: skip


@pytest.mark.parametrize(("axis", "count"), [(None, 20), (0, 3), (1, 4), (-1, 5)])
@pytest.mark.parametrize("fixed", [True, False])
def test_compress(normal: Any, axis: Any, count: Any, fixed: Any) -> None:
    condition = np.random.default_rng(0).integers(0, 2, count).astype(bool)
    attributes = {} if axis is None else {"axis": axis}
    inputs = {"x": normal(3, 4, 5), "condition": condition}
    check_operator(
        "Compress", inputs, fixed=["condition"] if fixed else [], linear=True, **attributes
    )


@pytest.mark.parametrize("outputs", [("y",), ("y", "places"), ("y", "", "inverse")])
@pytest.mark.parametrize("attributes", [{}, {"sorted": 0}, {"axis": 1}, {"axis": -1, "sorted": 0}])
def test_unique(normal: Any, attributes: Any, outputs: Any) -> None:
    x = normal(3, 4)
    case = operator("Unique", {"x": x}, outputs=outputs, **attributes)

    def function(f: Any) -> Any:
        found, first = np.unique(f["x"], return_index=True, axis=attributes.get("axis"))
        if attributes.get("sorted", 1):
            return found
        order = np.argsort(first)
        return found[order] if "axis" not in attributes else found[:, order]

    # onnx's evaluator numbers what is not sorted wrongly
    check(case, wrt=["x"], function=function, double=bool(attributes.get("sorted", 1)))


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_top_k(normal: Any, axis: Any, largest: Any) -> None:
    inputs = {"x": normal(4, 5), "k": np.array([3], np.int64)}
    case = operator(
        "TopK", inputs, fixed=["k"], outputs=("y", "places"), axis=axis, largest=largest
    )
    ahead = -1 if largest else 1

    def function(f: Any) -> Any:
        return ahead * np.sort(ahead * f["x"], axis).take(range(3), axis)

    check(case, wrt=["x"], function=function)
