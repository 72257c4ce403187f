"""Conditions that are computed when the network runs: the gradient of the branch taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from finite_differences import Case, check, forward
from onnx import parser

from ortcam.errors import OperatorError
from ortcam_export.gradient import reachable
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.vjp import vjp

HEAD = '<ir_version: 10, opset_import: ["": 21]> '

#: The condition depends on the values: their sum is above what is fed.
NETWORKS = {
    "one tensor read": """
        g (float[2, 3] x, float[1] bound) => (float[2, 3] y) {
          s = ReduceSum<keepdims = 0>(x)
          b = Squeeze(bound)
          c = Greater(s, b)
          h = Sigmoid(x)
          t = If(c) <
            then_branch = yes () => (float[2, 3] p) { p0 = Mul(h, h)  p = Tanh(p0) },
            else_branch = no () => (float[2, 3] q) { q = Mul(h, x) }
          >
          y = Mul(t, x)
        }""",
    "a branch that reads nothing of it": """
        g (float[2, 3] x, float[1] bound) => (float[2, 3] y)
        <float[2, 3] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}> {
          s = ReduceSum<keepdims = 0>(x)
          b = Squeeze(bound)
          c = Greater(s, b)
          h = Sigmoid(x)
          t = If(c) <
            then_branch = yes () => (float[2, 3] p) { p = Neg(w) },
            else_branch = no () => (float[2, 3] q) { q = Softmax<axis = 1>(h) }
          >
          y = Mul(t, h)
        }""",
    "several outputs, one of them not used": """
        g (float[2, 3] x, float[1] bound) => (float[2, 3] y) {
          s = ReduceSum<keepdims = 0>(x)
          b = Squeeze(bound)
          c = Greater(s, b)
          h = Sigmoid(x)
          t, unused, u = If(c) <
            then_branch = yes () => (float[2, 3] p, int64[2] i, float[2] r)
              { p = Sin(x)  i = Shape(x)  r = ReduceMean<keepdims = 0>(h, last) },
            else_branch = no () => (float[2, 3] q, int64[2] j, float[2] v)
              { q = Cos(x)  j = Shape(x)  w = Exp(h)  v = ReduceMax<keepdims = 0>(w, last) }
          >
          column = Unsqueeze(u, last)
          y = Mul(t, column)
        }""".replace("=> (float[2, 3] y) {", "=> (float[2, 3] y) <int64[1] last = {1}> {"),
    "one inside another": """
        g (float[2, 3] x, float[1] bound) => (float[2, 3] y) {
          s = ReduceSum<keepdims = 0>(x)
          b = Squeeze(bound)
          c = Greater(s, b)
          h = Tanh(x)
          y = If(c) <
            then_branch = yes () => (float[2, 3] p) {
              d = Not(c)
              k = Exp(h)
              p = If(d) <
                then_branch = never () => (float[2, 3] m) { m = Mul(k, k) },
                else_branch = always () => (float[2, 3] n) { n0 = Mul(k, x)  n = Mul(n0, h) }
              >
            },
            else_branch = no () => (float[2, 3] q) {
              z = Sigmoid(x)
              q = If(c) <
                then_branch = never2 () => (float[2, 3] o) { o = Neg(z) },
                else_branch = always2 () => (float[2, 3] r) { r = Mul(z, h) }
              >
            }
          >
        }""",
    "a pool and a convolution inside": """
        g (float[1, 2, 6, 5] x, float[1] bound) => (float[1, 2, 3, 2] y)
        <float[2, 2, 1, 1] w = {1.0, -2.0, 3.0, 0.5}> {
          s = ReduceSum<keepdims = 0>(x)
          b = Squeeze(bound)
          c = Greater(s, b)
          y = If(c) <
            then_branch = yes () => (float[1, 2, 3, 2] p)
              { p0 = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)  p = Conv(p0, w) },
            else_branch = no () => (float[1, 2, 3, 2] q)
              { q = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(x) }
          >
        }""",
}


def network(name: str, x: np.ndarray, bound: float) -> Case:
    model = parser.parse_model(HEAD + NETWORKS[name])
    onnx.checker.check_model(model)
    return Case(model, {"x": x, "bound": np.array([bound], np.float32)})


@pytest.mark.parametrize("bound", [-100, 100])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_is_that_of_the_branch_taken(normal: Any, name: Any, bound: Any) -> None:
    shape = (1, 2, 6, 5) if "pool" in name else (2, 3)
    case = network(name, normal(*shape), bound)
    wrt = ["x", "w"] if "] w = {" in NETWORKS[name] else ["x"]
    check(case, wrt=wrt, double="pool" not in name)


def test_a_branch_that_does_not_depend_on_the_tensor_gives_zeros(normal: Any) -> None:
    name = "a branch that reads nothing of it"
    model = vjp(network(name, normal(2, 3), 0).model, "t", ["h"])
    feeds = {"x": normal(2, 3), "t.cotangent": np.ones((2, 3), np.float32)}
    taken = forward(model, {**feeds, "bound": np.array([-100], np.float32)}, "h.grad")
    np.testing.assert_array_equal(taken, np.zeros((2, 3)))
    other = forward(model, {**feeds, "bound": np.array([100], np.float32)}, "h.grad")
    assert not other.any()  # a softmax sums up to 1 whatever it is given
    feeds["t.cotangent"] = normal(2, 3)
    assert forward(model, {**feeds, "bound": np.array([100], np.float32)}, "h.grad").any()


def test_only_the_branch_taken_is_differentiated(normal: Any) -> None:
    """The branch not taken would give 1 / 0."""
    model = parser.parse_model(
        HEAD
        + """g (float[2] x, bool c) => (float[2] y) { y = If(c) <
        then_branch = yes () => (float[2] p) { p = Mul(x, x) },
        else_branch = no () => (float[2] q) { q = Sqrt(x) }
        > }"""
    )
    x = np.zeros(2, np.float32)
    feeds = {"x": x, "c": np.array(True), "y.cotangent": np.ones(2, np.float32)}
    np.testing.assert_array_equal(forward(vjp(model, "y", ["x"]), feeds, "x.grad"), x)


def test_what_stands_in_the_way_inside_a_branch_is_named() -> None:
    text = """g (float[2, 2] x, bool c) => (float[] y) {
        h = Exp(x)
        t = If(c) <
          then_branch = yes () => (float[] p) { r = Bernoulli(h) p = ReduceSum<keepdims = 0>(r) },
          else_branch = no () => (float[] q) { q = ReduceSum<keepdims = 0>(h) }
        >
        y = Neg(t)
    }"""
    model = parser.parse_model(HEAD + text)
    with pytest.raises(OperatorError, match=r"^Bernoulli \(node 'r'\) has no gradient rule"):
        vjp(model, "y", ["x"])
    assert reachable(prepare(load(model)), "y") == {"y", "t"}


def test_an_operator_with_a_body_inside_a_branch(normal: Any) -> None:
    text = """g (float[2, 3] x, bool c) => (float[2, 3] y) {
        y = If(c) <
          then_branch = yes () => (float[2, 3] p) { p = Shrink<lambd = 0.1, bias = 0.2>(x) },
          else_branch = no () => (float[2, 3] q) { q = Neg(x) }
        >
    }"""
    for taken in (True, False):
        case = Case(parser.parse_model(HEAD + text), {"x": normal(2, 3), "c": np.array(taken)})
        check(case, wrt=["x"])
