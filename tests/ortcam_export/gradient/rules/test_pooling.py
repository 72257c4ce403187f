"""Pools and MaxUnpool, attribute by attribute.

onnx's ReferenceEvaluator pools differently from ONNX Runtime in many of these cases. So
AveragePool, which is linear, is checked against ONNX Runtime's differences, and the others against
NumPy.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from finite_differences import Case, check, check_operator, forward, operator
from onnx import helper

from ortcam_export.vjp import vjp

WINDOWS = {
    "plain": {},
    "strides": {"strides": [2, 3]},
    "pads": {"pads": [1, 1, 1, 1]},
    "uneven pads": {"strides": [2, 2], "pads": [0, 1, 2, 0]},
    "gaps": {"strides": [4, 4]},
    "ceil_mode": {"strides": [2, 2], "ceil_mode": 1},
    "ceil_mode, pads": {"strides": [2, 2], "pads": [1, 1, 1, 0], "ceil_mode": 1},
    "ceil_mode, stride 3": {"strides": [3, 2], "pads": [0, 1, 0, 0], "ceil_mode": 1},
    "SAME_UPPER": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    "SAME_LOWER, stride 3": {"strides": [3, 1], "auto_pad": "SAME_LOWER"},
    "VALID": {"strides": [2, 1], "auto_pad": "VALID"},
    "dilations": {"dilations": [2, 3]},
    "dilations, ceil_mode": {"dilations": [2, 1], "strides": [2, 2], "ceil_mode": 1},
    "dilations, pads": {"dilations": [1, 2], "strides": [2, 2], "pads": [1, 1, 1, 0]},
}

SPACES = {
    "sequences": ((9,), [3], {"strides": [2], "pads": [1, 1]}),
    "sequences, ceil_mode": ((10,), [3], {"strides": [2], "ceil_mode": 1}),
    "volumes": ((4, 5, 6), [2, 3, 2], {"strides": [2, 1, 2], "pads": [1, 0, 0, 0, 1, 1]}),
}


@pytest.mark.parametrize("count_include_pad", [0, 1])
@pytest.mark.parametrize("attributes", WINDOWS.values(), ids=WINDOWS)
def test_average_pool(normal: Any, attributes: Any, count_include_pad: Any) -> None:
    check_operator(
        "AveragePool", {"x": normal(2, 2, 8, 9)}, linear=True, kernel_shape=[3, 2],
        count_include_pad=count_include_pad, **attributes,
    )  # fmt: skip


@pytest.mark.parametrize("count_include_pad", [0, 1])
@pytest.mark.parametrize(("space", "kernel", "attributes"), SPACES.values(), ids=SPACES)
def test_average_pool_of_sequences_and_volumes(
    normal: Any, space: Any, kernel: Any, attributes: Any, count_include_pad: Any
) -> None:
    check_operator(
        "AveragePool", {"x": normal(2, 2, *space)}, linear=True, kernel_shape=kernel,
        count_include_pad=count_include_pad, **attributes,
    )  # fmt: skip


@pytest.mark.parametrize("op_type", ["AveragePool", "MaxPool"])
def test_a_window_that_would_start_in_the_padding_is_left_out(normal: Any, op_type: Any) -> None:
    # onnx's shape inference counts it, so only symbolic shapes are right
    attributes: dict[str, Any] = {
        "kernel_shape": [3], "strides": [2], "pads": [1, 1], "ceil_mode": 1,
    }  # fmt: skip
    x = normal(2, 2, 6)
    linear, function = op_type == "AveragePool", functools.partial(max_pool, attributes)
    check_operator(
        op_type, {"x": x}, linear=linear, function=function, double=False, static=False,
        **attributes,
    )  # fmt: skip


@pytest.mark.parametrize("attributes", WINDOWS.values(), ids=WINDOWS)
def test_max_pool(normal: Any, attributes: Any) -> None:
    check_max_pool(normal(2, 2, 8, 9), {"kernel_shape": [3, 2], **attributes})


@pytest.mark.parametrize(("space", "kernel", "attributes"), SPACES.values(), ids=SPACES)
def test_max_pool_of_sequences_and_volumes(
    normal: Any, space: Any, kernel: Any, attributes: Any
) -> None:
    check_max_pool(normal(2, 2, *space), {"kernel_shape": kernel, **attributes})


def test_max_pool_whose_indices_are_there_already(normal: Any) -> None:
    check_max_pool(normal(2, 3, 6, 5), {"kernel_shape": [2, 2]}, outputs=["y", "places"])


def check_max_pool(x: Any, attributes: Any, **options: Any) -> None:
    function = functools.partial(max_pool, attributes)
    check_operator("MaxPool", {"x": x}, function=function, double=False, **attributes, **options)


def max_pool(attributes: Any, feeds: Any) -> Any:
    """MaxPool as ONNX Runtime runs it: no window may start beyond the elements and pads before."""
    x, kernel = feeds["x"], attributes["kernel_shape"]
    rank = len(kernel)
    steps = attributes.get("strides", [1] * rank)
    gaps = attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    spans = [g * (k - 1) + 1 for g, k in zip(gaps, kernel, strict=True)]
    starts = []
    for i, extent in enumerate(x.shape[2:]):
        if attributes.get("auto_pad", "NOTSET").startswith("SAME"):
            count = -(-extent // steps[i])
            total = max((count - 1) * steps[i] + spans[i] - extent, 0)
            before = (total + (attributes["auto_pad"] == "SAME_LOWER")) // 2
        else:
            before = pads[i]
            room = extent + before + pads[rank + i] - spans[i]
            count = (-(-room // steps[i]) if attributes.get("ceil_mode") else room // steps[i]) + 1
        first = [steps[i] * c - before for c in range(count)]
        starts.append([f for f in first if f < extent])
    y = np.full((*x.shape[:2], *map(len, starts)), -np.inf)
    for cell in itertools.product(*(range(len(s)) for s in starts)):
        for tap in itertools.product(*map(range, kernel)):
            place = [starts[i][cell[i]] + gaps[i] * tap[i] for i in range(rank)]
            if all(0 <= p < extent for p, extent in zip(place, x.shape[2:], strict=True)):
                at: Any = (..., *cell)
                tap_at: Any = (..., *place)
                y[at] = np.maximum(y[at], x[tap_at])
    return y


def test_max_pool_counts_overlapping_windows(normal: Any) -> None:
    x = normal(1, 1, 5, 5) * 0.1
    x[0, 0, 2, 2] = 3  # the largest of all nine windows
    case = operator("MaxPool", {"x": x}, kernel_shape=[3, 3])
    g = forward(
        vjp(case.model, "y", ["x"]),
        {"x": x, "y.cotangent": np.ones((1, 1, 3, 3), np.float32)},
        "x.grad",
    )
    assert g[0, 0, 2, 2] == 9
    assert g.sum() == 9


@pytest.mark.parametrize("outputs", [["y"], ["y", "places"]])
@pytest.mark.parametrize(("space", "kernel", "attributes"), SPACES.values(), ids=SPACES)
def test_max_pool_whose_places_count_by_columns(
    normal: Any, space: Any, kernel: Any, attributes: Any, outputs: Any
) -> None:
    attributes = {"kernel_shape": kernel, "storage_order": 1, **attributes}
    check_max_pool(normal(2, 3, *space), attributes, outputs=outputs)


def test_max_pool_whose_places_by_columns_are_in_use(normal: Any) -> None:
    x = normal(2, 3, 4, 6)
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2], storage_order=1),
        helper.make_node("Cast", ["i"], ["f"], to=1),
        helper.make_node("Mul", ["p", "f"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, x.shape)], [info("y", 1, [2, 3, 3, 5])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def product(feeds: Any) -> Any:
        x = feeds["x"]
        taps = np.stack([x[..., i : i + 3, j : j + 5] for i in (0, 1) for j in (0, 1)])
        rows, columns = np.indices((3, 5))
        best = taps.argmax(0)
        places = (rows + best // 2) + 4 * (columns + best % 2)
        return taps.max(0) * (places + np.arange(6).reshape(2, 3, 1, 1) * 24)

    check(Case(model, {"x": x}), wrt=["x"], function=product, double=False)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (1, 2, 3, 2, 3)])
@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools(normal: Any, op_type: Any, shape: Any) -> None:
    space = tuple(range(2, len(shape)))
    pool = np.max if op_type == "GlobalMaxPool" else np.mean
    check_operator(
        op_type, {"x": normal(*shape)}, double=False,
        function=lambda feeds: pool(feeds["x"], axis=space, keepdims=True),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [None, (2, 2, 6, 4)], ids=["", "output_shape"])
def test_max_unpool(normal: Any, shape: Any) -> None:
    places = np.array([0, 3, 9, 14, 20, 23]).reshape(3, 2)  # one in each quarter of 6 x 4 / 2 x 2
    places = np.arange(4).reshape(2, 2, 1, 1) * 24 + places
    inputs = {"x": normal(2, 2, 3, 2), "places": places}
    if shape:
        inputs["shape"] = np.array(shape)
    windows: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    case = operator("MaxUnpool", inputs, fixed=["shape"], **windows)
    if shape:  # onnx's inference does not look into the input
        case.model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, shape))
    check(case, wrt=["x"], linear=True)


# ---- LpPool and GlobalLpPool ----


LP_WINDOWS = {
    "plain": {},
    "strides": {"strides": [2, 3]},
    "pads": {"pads": [1, 0, 0, 1], "strides": [2, 2]},
    "dilations": {"dilations": [2, 1]},
    "SAME_UPPER": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
}


def lp_pool(attributes: Any, p: Any, f: Any) -> Any:
    """Over windows of 3 x 2."""
    kernel, x = (3, 2), f["x"]
    strides = attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    pads = attributes.get("pads", [0, 0, 0, 0])
    if "auto_pad" in attributes:
        totals = [
            max((-(-x.shape[2 + i] // strides[i]) - 1) * strides[i] + kernel[i] - x.shape[2 + i], 0)
            for i in range(2)
        ]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = small + large if attributes["auto_pad"] == "SAME_UPPER" else large + small
    x = np.pad(x, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
    counts = [
        (x.shape[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(2)
    ]
    total = 0
    for i, j in itertools.product(range(3), range(2)):
        rows = i * dilations[0] + strides[0] * np.arange(counts[0])
        columns = j * dilations[1] + strides[1] * np.arange(counts[1])
        total = total + np.abs(x[:, :, rows][..., columns]) ** p
    return total ** (1 / p)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("attributes", LP_WINDOWS.values(), ids=LP_WINDOWS)
def test_lp_pool(normal: Any, attributes: Any, p: Any) -> None:
    check_operator(
        "LpPool", {"x": normal(2, 2, 6, 7)}, kernel_shape=[3, 2], p=p, opset=22, double=False,
        function=functools.partial(lp_pool, attributes, p), **attributes,
    )  # fmt: skip


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_global_lp_pool(normal: Any, space: Any, p: Any) -> None:
    def function(f: Any) -> Any:
        axes = tuple(range(2, 2 + len(space)))
        return (np.abs(f["x"]) ** p).sum(axes, keepdims=True) ** (1 / p)

    check_operator(
        "GlobalLpPool", {"x": normal(2, 3, *space)}, p=p, function=function, double=False
    )
