"""Normalisations, with respect to all their inputs."""

from __future__ import annotations

import numpy as np
import pytest
from finite_differences import check, check_operator, operator

SHAPES = [(2, 3), (2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
@pytest.mark.parametrize("fixed", [("scale", "bias", "mean", "var"), ()], ids=["constant", "fed"])
def test_batch_normalization(normal, positive, shape, epsilon, fixed):
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
def test_batch_normalization_in_training(normal, positive, outputs, wrt):
    inputs = {"x": normal(2, 3, 4)} | {n: positive(3) for n in ("scale", "bias", "mean", "var")}
    case = operator(
        "BatchNormalization", inputs, outputs=["y", "m", "v"], training_mode=1, momentum=0.7,
        epsilon=0.1,
    )  # fmt: skip
    case.model.graph.output[0].name = outputs[0]
    check(case, wrt=wrt)


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_instance_normalization(normal, shape, epsilon):
    inputs = {"x": normal(*shape), "scale": normal(3), "bias": normal(3)}
    check_operator("InstanceNormalization", inputs, fixed=["scale", "bias"], epsilon=epsilon)


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("biased", [True, False])
def test_layer_normalization_through_its_body(normal, axis, biased):
    shape = (2, 3, 4)
    inputs = {"x": normal(*shape), "scale": normal(*shape[axis:])}
    if biased:
        inputs["bias"] = normal(*shape[axis:])
    check_operator("LayerNormalization", inputs, fixed=["scale", "bias"], axis=axis)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_normalization_through_its_body(normal, groups):
    # the reference evaluator computes it in float32
    def group_normalization(feeds):
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
def test_mean_variance_normalization_through_its_body(normal, axes):
    # in its body the constants stay float32, and the reference evaluator refuses the mixture
    def standardized(feeds):
        x, over = feeds["x"], tuple(axes)
        return (x - x.mean(over, keepdims=True)) / x.std(over, keepdims=True)

    check_operator(
        "MeanVarianceNormalization", {"x": normal(2, 3, 4, 5)}, axes=axes, double=False,
        function=standardized,
    )  # fmt: skip


def test_large_values_are_normalised_like_small_ones(normal):
    # float32 keeps few digits of x - mean x; the error must be that of the forward network
    x = normal(2, 3, 6, 6) + 100
    inputs = {"x": np.asarray(x), "scale": normal(3), "bias": normal(3)}
    check_operator("InstanceNormalization", inputs, fixed=["scale", "bias"])
