"""Arithmetic of each element, with every pattern of broadcasting, and elementary functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from finite_differences import Case, check, check_operator, forward, operator
from onnx import TensorProto

from ortcam_export.vjp import vjp

PATTERNS = {
    "equal": ((2, 3, 4), (2, 3, 4)),
    "a scalar": ((2, 3, 4), ()),
    "of the scalar": ((), (2, 3)),
    "one element": ((2, 3), (1,)),
    "a vector": ((2, 3, 4), (4,)),
    "channels": ((2, 3, 4), (3, 1)),
    "outer": ((3, 1), (1, 4)),
    "more axes": ((3, 1), (2, 1, 4)),
    "ones": ((1, 1), (1, 1, 1)),
}


@pytest.mark.parametrize("shapes", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Pow"])
def test_broadcasting(positive: Any, op_type: Any, shapes: Any) -> None:
    a, b = (np.asarray(positive(*shape)) for shape in shapes)
    check_operator(op_type, {"a": a, "b": b})


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Pow"])
def test_an_operand_twice(positive: Any, op_type: Any) -> None:
    case = operator(op_type, {"a": positive(2, 3), "b": positive(2, 3)})
    case.model.graph.node[0].input[1] = "a"
    del case.model.graph.input[1]
    check(Case(case.model, {"a": case.feeds["a"]}), wrt=["a"])


@pytest.mark.parametrize("op_type", ["Add", "Mul"])
def test_equal_symbols_are_equal_extents(normal: Any, op_type: Any) -> None:
    case = operator(op_type, {"a": normal(2, 3, 4), "b": normal(3, 1)})
    for value, names in zip(case.model.graph.input, ["NCH", "C"], strict=True):
        for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            dim.dim_param = name
    check(case, wrt=["a", "b"], dynamic=[])


VARIADIC = {
    "Sum": lambda feeds: feeds["a"] + feeds["b"] + feeds["c"],
    "Mean": lambda feeds: (feeds["a"] + feeds["b"] + feeds["c"]) / 3,
    "Max": lambda feeds: np.maximum(np.maximum(feeds["a"], feeds["b"]), feeds["c"]),
    "Min": lambda feeds: np.minimum(np.minimum(feeds["a"], feeds["b"]), feeds["c"]),
}


@pytest.mark.parametrize("shapes", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("op_type", VARIADIC)
def test_variadic(normal: Any, op_type: Any, shapes: Any) -> None:
    inputs = {n: np.asarray(normal(*shapes[i])) for n, i in zip("abc", (0, 1, 0), strict=True)}
    # the reference evaluator adds the later operands into the first
    check_operator(
        op_type, inputs, function=VARIADIC[op_type], double=op_type not in ("Mean", "Sum")
    )


@pytest.mark.parametrize("op_type", VARIADIC)
def test_one_operand(normal: Any, op_type: Any) -> None:
    check_operator(op_type, {"a": normal(2, 3)})


def test_max_shares_a_tie() -> None:
    a, b = np.array([1, 2, 3], np.float32), np.array([1, 3, 2], np.float32)
    case = operator("Max", {"a": a, "b": b})
    g = gradients(case, np.ones(3, np.float32), ["a", "b"])
    np.testing.assert_array_equal(g, [[0.5, 0, 1], [0.5, 1, 0]])


@pytest.mark.parametrize("exponent", [2.0, 1.0, 0.0, -1.0, 0.5, 3.0])
def test_pow_by_a_constant(positive: Any, exponent: Any) -> None:
    inputs = {"a": positive(2, 3), "b": np.array(exponent, np.float32)}
    check_operator("Pow", inputs, fixed=["b"], wrt=["a"])


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_pow_of_numbers_that_are_not_positive(exponent: Any) -> None:
    a = np.array([-2, -0.5, 0, 1], np.float32)
    case = operator("Pow", {"a": a, "b": np.array(exponent, np.float32)}, fixed=["b"])
    (g,) = gradients(case, np.ones(4, np.float32), ["a"])
    expected = exponent * a ** max(exponent - 1, 0)
    np.testing.assert_allclose(g, expected)


def test_pow_by_integers(positive: Any) -> None:
    check_operator("Pow", {"a": positive(2, 3), "b": np.array([1, 2, 3])}, wrt=["a"])


FUNCTIONS = ["Sqrt", "Exp", "Log", "Neg", "Abs", "Reciprocal", "Sin", "Cos", "Identity"]


@pytest.mark.parametrize("op_type", FUNCTIONS)
@pytest.mark.parametrize("shape", [(2, 3, 4), ()], ids=["", "a scalar"])
def test_functions(positive: Any, op_type: Any, shape: Any) -> None:
    check_operator(op_type, {"x": np.asarray(positive(*shape))})


def test_erf(normal: Any) -> None:
    # the reference evaluator computes it in float32
    check_operator(
        "Erf", {"x": normal(3, 4)}, function=lambda feeds: np.vectorize(math.erf)(feeds["x"])
    )


SELECTIONS = [
    ((2, 3), (2, 3), (2, 3)),
    ((3,), (2, 3), ()),
    ((2, 1), (3,), (2, 3)),
    ((), (3,), (2, 1)),
]


@pytest.mark.parametrize(("condition", "a", "b"), SELECTIONS)
def test_where(normal: Any, condition: Any, a: Any, b: Any) -> None:
    inputs = {"c": np.asarray(normal(*condition) > 0), "a": normal(*a), "b": normal(*b)}
    check_operator("Where", {name: np.asarray(array) for name, array in inputs.items()})


@pytest.mark.parametrize("bounds", [(-0.5, 0.7), (None, 0.7), (-0.5, None), (None, None)], ids=str)
@pytest.mark.parametrize("fixed", [("low", "high"), ()], ids=["constant", "fed"])
def test_clip(normal: Any, bounds: Any, fixed: Any) -> None:
    low, high = (None if b is None else np.array(b, np.float32) for b in bounds)
    check_operator("Clip", {"x": normal(3, 4), "low": low, "high": high}, wrt=["x"], fixed=fixed)


def test_clip_gives_a_bound_to_the_inside() -> None:
    bounds = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    x = np.array([-1, 0, 3, 6, 7], np.float32)
    case = operator("Clip", {"x": x, **bounds}, fixed=list(bounds))
    (g,) = gradients(case, np.ones(5, np.float32), ["x"])
    np.testing.assert_array_equal(g, [0, 1, 1, 1, 0])


def test_clip_of_opset_6(normal: Any) -> None:
    inputs = {"x": normal(3, 4)}
    check_operator("Clip", inputs, opset=6, double=False, min=-0.5, max=0.8)


@pytest.mark.parametrize("ratio", [None, 0.3])
@pytest.mark.parametrize("mode", [None, False])
def test_dropout_passes_on(normal: Any, ratio: Any, mode: Any) -> None:
    inputs = {
        "x": normal(3, 4),
        "ratio": None if ratio is None else np.array(ratio, np.float32),
        "mode": None if mode is None else np.array(mode),
    }
    check_operator("Dropout", inputs, wrt=["x"], fixed=["ratio", "mode"])


@pytest.mark.parametrize("ratio", [0.0, 0.3, None])
def test_dropout_in_training_drops_the_same_cotangents(normal: Any, ratio: Any) -> None:
    inputs = {
        "x": normal(3, 40),
        "ratio": None if ratio is None else np.array(ratio, np.float32),
        "mode": np.array(True),
    }
    case = operator("Dropout", inputs, fixed=["ratio", "mode"], seed=1)
    check(case, wrt=["x"], linear=True, dynamic=(), fresh=True)


BOUNDS = [("low", None), (None, "high"), ("low", "high"), ("high", "low")]


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_the_bounds_of_clip(normal: Any, low: Any, high: Any) -> None:
    values = {"low": np.array(-0.4, np.float32), "high": np.array(0.5, np.float32)}
    names = {"x": None, "lowest": low, "highest": high}
    inputs = {n: normal(3, 4) if n == "x" else values.get(of) for n, of in names.items()}
    wrt = ["x", "highest"] if low == "high" else [n for n in inputs if inputs[n] is not None]
    check_operator("Clip", inputs, wrt=wrt)


def test_cast_to_double_and_back(normal: Any) -> None:
    case = operator("Cast", {"x": normal(3, 4)}, to=TensorProto.DOUBLE, outputs=["d"])
    graph = case.model.graph
    graph.node.add(op_type="Exp", input=["d"], output=["e"])
    graph.node.add(op_type="Cast", input=["e"], output=["y"])
    graph.node[2].attribute.add(name="to", type=2, i=TensorProto.FLOAT)
    graph.output[0].name = "y"
    check(case, wrt=["x"])


def test_a_cast_to_integers_stops_a_gradient(normal: Any) -> None:
    case = operator("Cast", {"x": normal(3)}, to=TensorProto.INT64, outputs=["i"])
    graph = case.model.graph
    graph.node.add(op_type="Cast", input=["i"], output=["f"])
    graph.node[1].attribute.add(name="to", type=2, i=TensorProto.FLOAT)
    graph.node.add(op_type="Mul", input=["f", "x"], output=["y"])
    graph.output[0].name = "y"
    x = np.array([1.5, -2.5, 3.5], np.float32)
    (g,) = gradients(Case(case.model, {"x": x}), np.ones(3, np.float32), ["x"])
    np.testing.assert_array_equal(g, np.trunc(x))


def gradients(case: Any, u: Any, wrt: Any) -> Any:
    """The gradients themselves, in onnxruntime."""
    model = vjp(case.model, "y", wrt)
    return [forward(model, {**case.feeds, "y.cotangent": u}, f"{name}.grad") for name in wrt]


# ---- Trigonometric and hyperbolic functions, inside the intervals where they are smooth ----


INTERVALS = {
    "Tan": (-1.4, 1.4),
    "Asin": (-0.95, 0.95),
    "Acos": (-0.95, 0.95),
    "Atan": (-4, 4),
    "Sinh": (-3, 3),
    "Cosh": (-3, 3),
    "Asinh": (-4, 4),
    "Acosh": (1.1, 5),
    "Atanh": (-0.95, 0.95),
}


@pytest.mark.parametrize("op_type", INTERVALS)
def test_trigonometry(op_type: Any) -> None:
    x = np.linspace(*INTERVALS[op_type], 24, dtype=np.float32).reshape(2, 3, 4)
    check_operator(op_type, {"x": x}, opset=22)
