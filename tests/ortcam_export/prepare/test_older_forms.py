"""Operators written as several nodes, as exporters write them in an older opset."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import parser

from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

Array = NDArray[Any]

X = np.random.default_rng(0).normal(1, 2, (2, 3, 4, 5)).astype(np.float32)


def network(body: str, opset: int = 18, weights: str = "") -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[2, 3, 4, 5] x) => (float[] y)'
        f"<float eps = {{0.001}}, float two = {{2.0}}, int64[1] last = {{-1}},"
        " float[1] one = {1.5},"
        " float[5] s = {1.0, -2.0, 0.5, 3.0, 1.0}, float[5] b = {0.1, 0.2, -0.3, 0.4, 0.5}"
        f"{weights}> {{ {body} }}"
    )


def operators(model: onnx.ModelProto) -> list[str]:
    """The operators of a network once prepared, which computes the same."""
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    ready = prepare(load(model))
    ours, theirs = (
        onnxruntime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        ).run(["y"], {"x": X})[0]
        for proto in (ir.to_proto(ready), model)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    return [node.op_type for node in ready.graph]


# ---- Softmax ----------------------------------------------------------------------------------


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(("opset", "axis"), [(11, 3), (13, 3), (13, -1), (18, -1)])
def test_a_softmax_between_transposes_runs_over_its_axis(
    op_type: str, opset: int, axis: int
) -> None:
    body = f"""
        t = Transpose<perm = [0, 3, 2, 1]>(x)  soft = {op_type}<axis = {axis}>(t)
        y = Transpose<perm = [0, 3, 2, 1]>(soft)
    """
    model = network(body, opset)
    assert op_type in operators(model)
    values = {v.name: v for node in prepare(load(network(body, opset))).graph for v in node.outputs}
    softmax = values["y"].producer()
    assert softmax is not None
    assert (softmax.op_type, softmax.attributes["axis"].value) == (op_type, 1)
    transposed = values["soft"].producer()  # a layer that a user may name
    assert transposed is not None
    assert transposed.op_type == "Transpose"


@pytest.mark.parametrize(
    "body",
    [  # the axes of space are in order; the axis is another; the order is not the inverse
        "t = Transpose<perm = [0, 2, 3, 1]>(x)  u = Softmax<axis = -1>(t)"
        "  y = Transpose<perm = [0, 3, 1, 2]>(u)",
        "t = Transpose<perm = [0, 3, 2, 1]>(x)  u = Softmax<axis = 2>(t)"
        "  y = Transpose<perm = [0, 3, 2, 1]>(u)",
        "t = Transpose<perm = [0, 3, 2, 1]>(x)  u = Softmax<axis = -1>(t)"
        "  y = Transpose<perm = [3, 0, 2, 1]>(u)",
    ],
)
def test_another_softmax_stays(body: str) -> None:
    assert operators(network(body)) == ["Transpose", "Softmax", "Transpose"]


# ---- LayerNormalization -----------------------------------------------------------------------

FORMULA = """
    mean = ReduceMean<keepdims = 1>(x, last)  d = Sub(x, mean)  q = Pow(d, two)
    v = ReduceMean<keepdims = 1>(q, last)  e = Add(v, eps)  r = Sqrt(e)  n = Div(d, r)
    m = Mul(n, s)  y = Add(m, b)
"""


@pytest.mark.parametrize(
    "body",
    [
        FORMULA,
        FORMULA.replace("Pow(d, two)", "Mul(d, d)"),
        FORMULA.replace("q = Pow(d, two)", "d2 = Sub(x, mean)  q = Pow(d2, two)"),
        FORMULA.replace("Add(v, eps)", "Add(eps, v)").replace("Mul(n, s)", "Mul(s, n)"),
        FORMULA.replace("m = Mul(n, s)  y = Add(m, b)", "y = Mul(n, s)"),
    ],
)
def test_the_formula_becomes_a_layer_normalization(body: str) -> None:
    assert operators(network(body)) == ["LayerNormalization"]


def test_the_formula_of_opset_11() -> None:
    body = FORMULA.replace("ReduceMean<keepdims = 1>(x, last)", "ReduceMean<axes = [-1]>(x)")
    body = body.replace("ReduceMean<keepdims = 1>(q, last)", "ReduceMean<axes = [3]>(q)")
    assert operators(network(body, 11)) == ["LayerNormalization"]


def test_the_formula_over_two_axes() -> None:
    weights = f", int64[2] both = {{-2, -1}}, float[4, 5] w = {{{', '.join(['1.5', '-0.5'] * 10)}}}"
    body = FORMULA.replace("last)", "both)").replace("(n, s)", "(n, w)").replace("(m, b)", "(m, w)")
    assert operators(network(body, weights=weights)) == ["LayerNormalization"]


@pytest.mark.parametrize(
    "body",
    [
        FORMULA.replace("Pow(d, two)", "Pow(d, eps)"),
        FORMULA.replace("Pow(d, two)", "Mul(d, x)"),
        FORMULA.replace("n = Div(d, r)", "n = Div(x, r)"),
        FORMULA.replace("n = Div(d, r)", "n = Div(r, d)"),
        FORMULA.replace("ReduceMean<keepdims = 1>(q, last)", "ReduceMax<keepdims = 1>(q, last)"),
        FORMULA.replace("Mul(n, s)", "Mul(n, eps)"),
        FORMULA.replace("Mul(n, s)", "Mul(n, one)"),
        FORMULA.replace("ReduceMean<keepdims = 1>(q, last)", "ReduceMean<keepdims = 1>(q)"),
    ],
)
def test_another_formula_stays(body: str) -> None:
    assert "LayerNormalization" not in operators(network(body))
