"""Activations on both sides of every bend, with their parameters, by rules and by bodies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest
from finite_differences import Case, check, check_operator, operator
from onnx.reference import ReferenceEvaluator

from ortcam_export.vjp import vjp

ACTIVATIONS = [
    ("Relu", {}),
    ("LeakyRelu", {}),
    ("LeakyRelu", {"alpha": 0.3}),
    ("LeakyRelu", {"alpha": -0.5}),
    ("Elu", {}),
    ("Elu", {"alpha": 0.4}),
    ("Selu", {}),
    ("Selu", {"alpha": 1.5, "gamma": 0.8}),
    ("Celu", {"alpha": 0.7}),
    ("ThresholdedRelu", {"alpha": 0.5}),
    ("Sigmoid", {}),
    ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 0.4, "beta": 0.3}),
    ("HardSwish", {}),
    ("Tanh", {}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("Gelu", {"approximate": "tanh"}),
    ("Mish", {}),
    ("Shrink", {"lambd": 0.8, "bias": 0.3}),
]


@pytest.mark.parametrize(
    ("op_type", "attributes"), ACTIVATIONS, ids=[f"{o} {a or ''}" for o, a in ACTIVATIONS]
)
def test_activation(normal: Any, op_type: Any, attributes: Any) -> None:
    double = op_type != "Celu"  # the constants in its body stay float32
    check_operator(op_type, {"x": 3 * normal(2, 3, 5)}, double=double, **attributes)


@pytest.mark.parametrize("op_type", ["Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "HardSwish"])
def test_a_scalar(normal: Any, op_type: Any) -> None:
    check_operator(op_type, {"x": np.asarray(normal())})


def test_gelu(normal: Any) -> None:
    # the reference evaluator's error function is one of float32
    def gelu(feeds: Any) -> Any:
        x = feeds["x"]
        return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2

    check_operator("Gelu", {"x": 2 * normal(3, 4)}, function=gelu, double=False)


@pytest.mark.parametrize("op_type", ["Relu", "HardSwish", "HardSigmoid", "Elu", "Softplus"])
def test_far_from_zero(normal: Any, op_type: Any) -> None:
    check_operator(op_type, {"x": 30 * normal(4, 5)})


@pytest.mark.parametrize("slope", [(3, 1, 1), (1,), (), (2, 3, 4, 5), (5,)], ids=str)
def test_prelu(normal: Any, slope: Any) -> None:
    inputs = {"x": normal(2, 3, 4, 5), "slope": np.asarray(normal(*slope))}
    check_operator("PRelu", inputs, fixed=["slope"])
    check_operator("PRelu", inputs)


# ---- Smooth ones, and exponential units ----


@pytest.fixture
def x(normal: Any) -> Any:
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
def test_smooth_activation(x: Any, op_type: Any, attributes: Any, opset: Any) -> None:
    check_operator(op_type, {"x": x}, opset=opset, **attributes)


def normal_gelu(f: Any) -> Any:
    """Onnx's evaluator has an erf of single precision."""
    erf = np.vectorize(math.erf)
    return f["x"] * (1 + erf(f["x"] / math.sqrt(2))) / 2


def test_exact_gelu(x: Any) -> None:
    check_operator("Gelu", {"x": x}, opset=20, function=normal_gelu)


@pytest.mark.parametrize("alpha", [1.0, 1.702, -0.5])
def test_swish(x: Any, alpha: Any) -> None:
    check_operator(
        "Swish",
        {"x": x},
        opset=24,
        alpha=alpha,
        function=lambda f: f["x"] / (1 + np.exp(-alpha * f["x"])),
    )


@pytest.mark.parametrize("op_type", ["Selu", "Celu", "Gelu", "Mish"])
def test_far_out(op_type: Any) -> None:
    """Where an exponential overflows, the derivative is still one or zero."""
    case = operator(op_type, {"x": np.array([-1000, -100, 100, 1000], np.float32)}, opset=22)
    evaluator: Any = ReferenceEvaluator(vjp(case.model, "y", ["x"]))
    with np.errstate(all="ignore"):
        feeds = {**case.feeds, "y.cotangent": np.ones(4, np.float32)}
        (g,) = evaluator.run(["x.grad"], feeds)
    gamma = 1.0507010 if op_type == "Selu" else 1
    np.testing.assert_allclose(g, [0, 0, gamma, gamma], atol=1e-6)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_its_function_body(normal: Any, approximate: Any) -> None:
    """The same gradient comes out of the body that ONNX gives of the operator."""
    case = operator("Gelu", {"x": normal(3, 4)}, opset=20, approximate=approximate)
    body = onnx.inliner.inline_selected_functions(
        case.model, [("", "Gelu")], inline_schema_functions=True
    )
    assert not any(node.op_type == "Gelu" for node in body.graph.node)
    function = normal_gelu if approximate == "none" else None
    check(Case(body, case.feeds), wrt=["x"], function=function)
