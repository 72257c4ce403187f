"""Activations, with their parameters, on both sides of every bend."""

from __future__ import annotations

import math

import numpy as np
import pytest
from finite_differences import check_operator

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
def test_activation(normal, op_type, attributes):
    double = op_type != "Celu"  # the constants in its body stay float32
    check_operator(op_type, {"x": 3 * normal(2, 3, 5)}, double=double, **attributes)


@pytest.mark.parametrize("op_type", ["Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "HardSwish"])
def test_a_scalar(normal, op_type):
    check_operator(op_type, {"x": np.asarray(normal())})


def test_gelu(normal):
    # the reference evaluator's error function is one of float32
    def gelu(feeds):
        x = feeds["x"]
        return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2

    check_operator("Gelu", {"x": 2 * normal(3, 4)}, function=gelu, double=False)


@pytest.mark.parametrize("op_type", ["Relu", "HardSwish", "HardSigmoid", "Elu", "Softplus"])
def test_far_from_zero(normal, op_type):
    check_operator(op_type, {"x": 30 * normal(4, 5)})


@pytest.mark.parametrize("slope", [(3, 1, 1), (1,), (), (2, 3, 4, 5), (5,)], ids=str)
def test_prelu(normal, slope):
    inputs = {"x": normal(2, 3, 4, 5), "slope": np.asarray(normal(*slope))}
    check_operator("PRelu", inputs, fixed=["slope"])
    check_operator("PRelu", inputs)
