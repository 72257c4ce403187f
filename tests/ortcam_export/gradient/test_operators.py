"""Every operator of the newest opset is decided, and what is decided holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from ortcam.errors import OperatorError
from ortcam_export.gradient import reachable
from ortcam_export.gradient.operators import BRANCHED, CONVERTED, REFUSED, Kind, decision
from ortcam_export.gradient.table import NO_DERIVATIVE, ruled
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.vjp import vjp

NAMES = sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain})


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_is_decided_once(name: Any) -> None:
    decided = decision(name)
    lists = [name in REFUSED, name in NO_DERIVATIVE, ruled(name), name in CONVERTED]
    lists.append(name in BRANCHED)
    assert sum(lists) == (decided.kind != Kind.BODY)


def test_what_is_decided_is_an_operator() -> None:
    assert {*REFUSED, *NO_DERIVATIVE, *CONVERTED, *BRANCHED} <= set(NAMES)


def test_an_unknown_operator() -> None:
    with pytest.raises(KeyError):
        decision("Frobnicate")
    with pytest.raises(KeyError):
        decision("Conv", "com.example")


@pytest.mark.parametrize("name", [name for name in NAMES if decision(name).kind == Kind.BODY])
def test_a_body_is_made_of_decided_operators(name: Any) -> None:
    schema: Any = onnx.defs.get_schema(name)  # its types lack the function
    if schema.has_function:
        for node in schema.function_body.node:
            assert decision(node.op_type).kind in (Kind.RULE, Kind.BODY, Kind.NONE), node.op_type


def test_a_refusal_gives_the_reason() -> None:
    node = helper.make_node("Bernoulli", ["a"], ["y"], name="d")
    infos = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, 2]) for n in "ay"]
    model = helper.make_model(helper.make_graph([node], "g", infos[:1], infos[1:]))
    with pytest.raises(
        OperatorError, match=r"^Bernoulli \(node 'd'\) has no gradient rule \(it dr"
    ):
        vjp(model, "y", ["a"])


def test_no_gradient_passes_a_step() -> None:
    nodes = [
        helper.make_node("Hardmax", ["x"], ["h"]),
        helper.make_node("Mul", ["h", "x"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [info("x", onnx.TensorProto.FLOAT, [2, 3])], [info("y", 1, [2, 3])]
    )
    model = vjp(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), "y", ["x"])
    evaluator: Any = onnx.reference.ReferenceEvaluator(model)
    x = np.array([[1, 3, 2], [5, 4, 0]], np.float32)
    (g,) = evaluator.run(["x.grad"], {"x": x, "y.cotangent": np.ones_like(x)})
    np.testing.assert_array_equal(g, [[0, 1, 0], [1, 0, 0]])


def test_what_a_gradient_reaches() -> None:
    """Through function bodies, and not through what is refused."""
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("Shrink", ["noise"], ["shrunk"]),
        helper.make_node("Relu", ["shrunk"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, [2, 3])], [info("y", 1, [2, 3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    assert reachable(prepare(load(model)), "y") == {"y", "shrunk", "noise"}
