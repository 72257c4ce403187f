"""Exponential units and gated activations; those without a rule, through their function bodies."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from finite_differences import Case, check, check_operator, operator
from onnx.reference import ReferenceEvaluator

from ortcam_export.vjp import vjp


@pytest.fixture
def x(normal):
    return normal(2, 3, 4) * 3


@pytest.mark.parametrize(
    ("op_type", "attributes", "opset"),
    [
        ("Selu", {}, 22),
        ("Selu", {"alpha": 0.7, "gamma": 2.0}, 18),
        ("Celu", {}, 18),
        ("Celu", {"alpha": 2.5}, 18),
        ("Gelu", {"approximate": "tanh"}, 20),
        ("Mish", {}, 22),
        ("Shrink", {}, 18),
        ("Shrink", {"lambd": 1.2, "bias": 0.4}, 18),
    ],
)
def test_activation(x, op_type, attributes, opset):
    check_operator(op_type, {"x": x}, opset=opset, **attributes)


def normal_gelu(f):
    """Onnx's evaluator has an erf of single precision."""
    erf = np.vectorize(math.erf)
    return f["x"] * (1 + erf(f["x"] / math.sqrt(2))) / 2


def test_gelu(x):
    check_operator("Gelu", {"x": x}, opset=20, function=normal_gelu)


@pytest.mark.parametrize("alpha", [1.0, 1.702, -0.5])
def test_swish(x, alpha):
    check_operator(
        "Swish",
        {"x": x},
        opset=24,
        alpha=alpha,
        function=lambda f: f["x"] / (1 + np.exp(-alpha * f["x"])),
    )


@pytest.mark.parametrize("op_type", ["Selu", "Celu", "Gelu", "Mish"])
def test_far_out(op_type):
    """Where an exponential overflows, the derivative is still one or zero."""
    case = operator(op_type, {"x": np.array([-1000, -100, 100, 1000], np.float32)}, opset=22)
    evaluator = ReferenceEvaluator(vjp(case.model, "y", ["x"]))
    with np.errstate(all="ignore"):
        found = evaluator.run(["x.grad"], {**case.feeds, "y.cotangent": np.ones(4, np.float32)})[0]
    gamma = 1.0507010 if op_type == "Selu" else 1
    np.testing.assert_allclose(found, [0, 0, gamma, gamma], atol=1e-6)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_its_function_body(normal, approximate):
    """The same gradient comes out of the body that ONNX gives of the operator."""
    case = operator("Gelu", {"x": normal(3, 4)}, opset=20, approximate=approximate)
    body = onnx.inliner.inline_selected_functions(
        case.model, [("", "Gelu")], inline_schema_functions=True
    )
    assert not any(node.op_type == "Gelu" for node in body.graph.node)
    function = normal_gelu if approximate == "none" else None
    check(Case(body, case.feeds), wrt=["x"], function=function)
