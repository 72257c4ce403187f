"""Values known before a network runs: partly known shapes, and requests for huge tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, parser

from ortcam_export.graph.constants import LARGEST, Constants, evaluated

OPSET = 18


def values(body: str, inputs: str = "float[2, C, 4] x") -> dict[str, Any]:
    """The values of a graph's tensors, by name."""
    text = f'<ir_version: 10, opset_import: ["": {OPSET}]> g ({inputs}) => (y) {{ {body} }}'
    model = ir.from_proto(parser.parse_model(text))
    constants = Constants(OPSET, 64)
    outputs = [value for node in model.graph for value in node.outputs]
    return {value.name or "": constants(value) for value in outputs}


def test_what_follows_from_known_extents_is_known() -> None:
    found = values(
        """
        shape = Shape(x)
        one = Constant<value = int64[1] {2}>()
        last = Gather(shape, one)
        y = Mul(last, one)
        """
    )
    assert found["shape"] is None
    assert found["last"].tolist() == [4]
    assert found["y"].tolist() == [8]


def test_an_unknown_extent_stays_unknown_through_what_is_picked() -> None:
    found = values(
        """
        shape = Shape(x)
        pair = Constant<value = int64[2] {1, 0}>()
        picked = Gather(shape, pair)
        zero = Constant<value = int64[1] {1}>()
        batch = Gather(picked, zero)
        y = Add(picked, zero)
        """
    )
    assert found["picked"] is None
    assert found["batch"].tolist() == [2]
    assert found["y"] is None


def test_an_input_is_unknown() -> None:
    assert values("y = Abs(n)", "int64[1] n")["y"] is None


@pytest.mark.parametrize(
    ("op_type", "arrays"),
    [
        ("Range", [np.array(0), np.array(10**12), np.array(1)]),
        ("Range", [np.array(0), np.array(1), np.array(0)]),
        ("ConstantOfShape", [np.array([10**6, 10**6])]),
        ("ConstantOfShape", [np.array([-(10**6), -(10**6)])]),
        ("Where", [np.ones((2048, 1, 1), bool), np.ones((2048, 1)), np.ones(2048)]),
        ("Add", [np.ones(2), np.ones(3)]),
        ("Gather", [np.ones(2), np.array(5)]),
    ],
)
def test_errors_and_huge_results_are_unknown(op_type: str, arrays: list[Any]) -> None:
    names = [f"x{i}" for i in range(len(arrays))]
    node = helper.make_node(op_type, names, ["y"])
    assert evaluated(node, dict(zip(names, arrays, strict=True)), OPSET) is None


def test_a_result_may_be_as_large_as_an_input() -> None:
    x = np.zeros(LARGEST + 1, np.float32)
    node = onnx.helper.make_node("Abs", ["x"], ["y"])
    results = evaluated(node, {"x": x}, OPSET)
    assert results is not None
    (y,) = results
    assert y.size == x.size
