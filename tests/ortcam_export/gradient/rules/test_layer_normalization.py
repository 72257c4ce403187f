"""Normalisations over the last axes and over groups, of every input and every output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator
from onnx import TensorProto, helper


@pytest.mark.parametrize(("axis", "shape"), [(-1, (5,)), (1, (4, 5)), (-2, (4, 5)), (0, (3, 4, 5))])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_layer_normalization(normal: Any, axis: Any, shape: Any, epsilon: Any) -> None:
    inputs = {"x": normal(3, 4, 5), "scale": normal(*shape), "bias": normal(*shape)}
    check_operator("LayerNormalization", inputs, axis=axis, epsilon=epsilon)


def test_layer_normalization_without_bias(normal: Any) -> None:
    check_operator("LayerNormalization", {"x": normal(3, 5), "scale": normal(5)}, opset=17)


def test_layer_normalization_broadcasts_its_scale(normal: Any) -> None:
    inputs = {"x": normal(3, 4, 5), "scale": normal(1, 5), "bias": normal(4, 1)}
    check_operator("LayerNormalization", inputs, axis=1)


@pytest.mark.parametrize("of", ["mean", "inverse"])
def test_the_statistics_of_layer_normalization(normal: Any, of: Any) -> None:
    case = operator(
        "LayerNormalization", {"x": normal(3, 4, 5), "scale": normal(4, 5)},
        outputs=("y", "mean", "inverse"), axis=1,
    )  # fmt: skip
    case.model.graph.output.append(helper.make_tensor_value_info(of, TensorProto.FLOAT, None))
    check(case, wrt=["x"], of=of, double=False)  # these stay float32


@pytest.mark.parametrize(("axis", "shape"), [(-1, (5,)), (1, (4, 5))])
def test_rms_normalization(normal: Any, axis: Any, shape: Any) -> None:
    def function(f: Any) -> Any:
        axes = tuple(range(axis % 3, 3))
        square = np.mean(f["x"] ** 2, axes, keepdims=True)
        return f["x"] / np.sqrt(square + 0.1) * f["scale"]

    inputs = {"x": normal(3, 4, 5), "scale": normal(*shape)}
    check_operator("RMSNormalization", inputs, opset=23, axis=axis, epsilon=0.1, function=function)


@pytest.mark.parametrize("shape", [(2, 6, 3, 4), (2, 6, 5)])
@pytest.mark.parametrize(("opset", "parameters"), [(18, 3), (21, 6)])
def test_group_normalization(normal: Any, shape: Any, opset: Any, parameters: Any) -> None:
    inputs = {"x": normal(*shape), "scale": normal(parameters), "bias": normal(parameters)}

    def function(f: Any) -> Any:
        grouped = f["x"].reshape(2, 3, -1)
        centred = grouped - grouped.mean(2, keepdims=True)
        standard = centred / np.sqrt((centred**2).mean(2, keepdims=True) + 0.01)
        scale, bias = (np.repeat(f[name], 6 // parameters) for name in ("scale", "bias"))
        channels = (6, *[1] * (len(shape) - 2))
        return standard.reshape(shape) * scale.reshape(channels) + bias.reshape(channels)

    check_operator(
        "GroupNormalization", inputs, opset=opset, num_groups=3, epsilon=0.01, function=function
    )


@pytest.mark.parametrize("attributes", [{}, {"axes": [0, 2, 3]}, {"axes": [1]}, {"axes": [-1, 1]}])
def test_mean_variance_normalization(normal: Any, attributes: Any) -> None:
    axes = tuple(attributes.get("axes", [0, 2, 3]))

    def function(f: Any) -> Any:
        centred = f["x"] - f["x"].mean(axes, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axes, keepdims=True))

    check_operator(
        "MeanVarianceNormalization", {"x": normal(2, 3, 4, 5)}, function=function, double=False,
        **attributes,
    )  # fmt: skip
