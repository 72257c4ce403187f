"""Normalizations, with respect to all their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator
from onnx.reference import ReferenceEvaluator

from ortcam_export.vjp import vjp

SHAPES = [(2, 3), (2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
@pytest.mark.parametrize("fixed", [("scale", "bias", "mean", "var"), ()], ids=["constant", "fed"])
def test_batch_normalization(
    normal: Any, positive: Any, shape: Any, epsilon: Any, fixed: Any
) -> None:
    inputs = {
        "x": normal(*shape),
        "scale": normal(3),
        "bias": normal(3),
        "mean": normal(3),
        "var": positive(3),
    }
    check_operator("BatchNormalization", inputs, fixed=fixed, epsilon=epsilon)


@pytest.mark.parametrize(
    ("outputs", "wrt"),
    [
        (["y", "m", "v"], ["x", "scale", "bias"]),
        (["m", "y", "v"], ["x", "mean"]),
        (["v", "m", "y"], ["x", "var"]),
    ],
)
def test_batch_normalization_in_training(
    normal: Any, positive: Any, outputs: Any, wrt: Any
) -> None:
    inputs = {"x": normal(2, 3, 4)} | {n: positive(3) for n in ("scale", "bias", "mean", "var")}
    case = operator(
        "BatchNormalization", inputs, outputs=["y", "m", "v"], training_mode=1, momentum=0.7,
        epsilon=0.1,
    )  # fmt: skip
    case.model.graph.output[0].name = outputs[0]
    check(case, wrt=wrt)


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_instance_normalization(normal: Any, shape: Any, epsilon: Any) -> None:
    inputs = {"x": normal(*shape), "scale": normal(3), "bias": normal(3)}
    check_operator("InstanceNormalization", inputs, fixed=["scale", "bias"], epsilon=epsilon)


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("biased", [True, False])
def test_layer_normalization_through_its_body(normal: Any, axis: Any, biased: Any) -> None:
    shape = (2, 3, 4)
    inputs = {"x": normal(*shape), "scale": normal(*shape[axis:])}
    if biased:
        inputs["bias"] = normal(*shape[axis:])
    check_operator("LayerNormalization", inputs, fixed=["scale", "bias"], axis=axis)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_normalization_through_its_body(normal: Any, groups: Any) -> None:
    # the reference evaluator computes it in float32
    def group_normalization(feeds: Any) -> Any:
        x = feeds["x"].reshape(2, groups, -1)
        deviation = np.sqrt(x.var(2, keepdims=True) + 1e-5)
        z = ((x - x.mean(2, keepdims=True)) / deviation).reshape(2, 4, 3, 5)
        return z * feeds["scale"].reshape(4, 1, 1) + feeds["bias"].reshape(4, 1, 1)

    inputs = {"x": normal(2, 4, 3, 5), "scale": normal(4), "bias": normal(4)}
    check_operator(
        "GroupNormalization", inputs, fixed=["scale", "bias"], num_groups=groups, double=False,
        function=group_normalization,
    )  # fmt: skip


@pytest.mark.parametrize("axes", [[0, 2, 3], [1], [-1]])
def test_mean_variance_normalization_through_its_body(normal: Any, axes: Any) -> None:
    # in its body the constants stay float32, and the reference evaluator refuses the mixture
    def standardized(feeds: Any) -> Any:
        x, over = feeds["x"], tuple(axes)
        return (x - x.mean(over, keepdims=True)) / x.std(over, keepdims=True)

    check_operator(
        "MeanVarianceNormalization", {"x": normal(2, 3, 4, 5)}, axes=axes, double=False,
        function=standardized,
    )  # fmt: skip


def test_large_values_are_normalised_like_small_ones(normal: Any) -> None:
    # float32 keeps few digits of x - mean x; the error must be that of the forward network
    x = normal(2, 3, 6, 6) + 100
    inputs = {"x": np.asarray(x), "scale": normal(3), "bias": normal(3)}
    check_operator("InstanceNormalization", inputs, fixed=["scale", "bias"])


# ---- Divisions by a norm ----


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_lp_normalization(normal: Any, axis: Any, p: Any) -> None:
    def function(f: Any) -> Any:  # onnx's evaluator does not take absolute values
        return f["x"] / (np.abs(f["x"]) ** p).sum(axis, keepdims=True) ** (1 / p)

    check_operator(
        "LpNormalization", {"x": normal(3, 4, 5)}, axis=axis, p=p, function=function, double=p == 2
    )


def test_nothing_flows_where_all_is_zero() -> None:
    case = operator("LpNormalization", {"x": np.zeros((1, 3), np.float32)})
    evaluator: Any = ReferenceEvaluator(vjp(case.model, "y", ["x"]))
    feeds = {**case.feeds, "y.cotangent": np.ones((1, 3), np.float32)}
    with np.errstate(all="ignore"):
        (g,) = evaluator.run(["x.grad"], feeds)
    assert not g.any()


@pytest.mark.parametrize("size", [1, 3, 5, 4])
def test_lrn(normal: Any, size: Any) -> Any:
    def function(f: Any) -> Any:
        x = f["x"]
        square = np.zeros_like(x)
        for c in range(x.shape[1]):
            low, high = max(0, c - (size - 1) // 2), min(x.shape[1] - 1, c + size // 2)
            square[:, c] = (x[:, low : high + 1] ** 2).sum(1)
        return x / (1.5 + 0.4 / size * square) ** 0.6

    x = normal(2, 6, 3, 4)
    if size % 2 == 0:  # ONNX Runtime does not run it
        return check_reference(x, function, size)
    return check_operator(
        "LRN", {"x": x}, size=size, alpha=0.4, beta=0.6, bias=1.5, function=function
    )


def check_reference(x: Any, function: Any, size: Any) -> None:
    """The gradient on onnx's evaluator against differences of the formula, element by element."""
    case = operator("LRN", {"x": x}, size=size, alpha=0.4, beta=0.6, bias=1.5)
    evaluator: Any = ReferenceEvaluator(vjp(case.model, "y", ["x"]))
    u = np.linspace(-1, 1, x.size, dtype=np.float32).reshape(x.shape)
    (g,) = evaluator.run(["x.grad"], {"x": x, "y.cotangent": u})
    expected = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-5
        slope = (function({"x": x + step}) - function({"x": x - step})) / 2e-5
        expected[place] = (u * slope).sum()
    np.testing.assert_allclose(g, expected, atol=1e-4)
