"""Quantization passes a cotangent straight through inside its range, and stops it outside.

That is no derivative, so no differences are taken: what is expected is worked out by NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ortcam_export.vjp import vjp

RANGES = {
    np.uint8: (0, 255),
    np.int8: (-128, 127),
    np.uint16: (0, 65535),
    np.int16: (-32768, 32767),
}


def network(nodes: Any, inputs: Any, constants: Any, opset: Any = 21) -> Any:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info(name, TensorProto.FLOAT, array.shape) for name, array in inputs.items()],
        [info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def gradient(model: Any, feeds: Any, u: Any, wrt: Any = "x") -> Any:
    bytes_ = vjp(model, "y", [wrt]).SerializeToString()
    session = onnxruntime.InferenceSession(bytes_, providers=["CPUExecutionProvider"])
    return session.run([f"{wrt}.grad"], {**feeds, "y.cotangent": u})[0]


def pair(**attributes: Any) -> Any:
    return [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], **attributes),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], **attributes),
    ]


@pytest.mark.parametrize("dtype", RANGES)
def test_a_pair(normal: Any, dtype: Any) -> None:
    low, high = RANGES[dtype]
    scale, zero = np.float32(0.02), dtype((low + high) // 2 + 20)
    x = normal(4, 50) * scale * (high - low)
    u = normal(4, 50)
    model = network(pair(), {"x": x}, {"scale": np.array(scale), "zero": np.array(zero)})
    place = np.round(x / scale) + zero.astype(np.float32)
    inside = (place >= low) & (place <= high)
    assert 0.1 < inside.mean() < 0.99
    np.testing.assert_allclose(gradient(model, {"x": x}, u), u * inside, rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "relu"),
    [
        ([helper.make_node("Sub", ["x", "moved"], ["c"])], True),
        ([helper.make_node("Add", ["x", "moved"], ["c"])], True),
        ([helper.make_node("Abs", ["x"], ["c"])], False),
    ],
)
def test_a_range_from_0_is_a_relu_of_what_may_be_negative(
    normal: Any, nodes: Any, relu: Any
) -> None:
    """Even where exactly 0 is read, as behind a convolution of zeros without a bias."""
    x, u = np.round(normal(40, 50) * 4) / 4, normal(40, 50)
    nodes = [
        *nodes,
        helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    constants = {
        "moved": np.array(0, np.float32),
        "scale": np.array(1 / 64, np.float32),
        "zero": np.array(-128, np.int8),
    }
    c = x if relu else abs(x)
    expected = u * np.where(relu, 1, np.sign(x)) * ((c > 0) | (not relu)) * (c < 255.5 / 64)
    found = gradient(network(nodes, {"x": x}, constants), {"x": x}, u)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (x == 0).any()


@pytest.mark.torch
@pytest.mark.parametrize("axis", [None, 1])
def test_it_is_what_pytorch_trains_quantized_networks_with(normal: Any, axis: Any) -> None:
    torch = pytest.importorskip("torch")
    x, u = normal(5, 3, 40) * 2, normal(5, 3, 40)
    scale, zero = np.array([0.01, 0.02, 0.005], np.float32), np.array([-100, 0, 60], np.int8)
    t = torch.tensor(x, requires_grad=True)
    if axis is None:
        scale, zero = scale[0], zero[0]
        y = torch.fake_quantize_per_tensor_affine(t, float(scale), int(zero), -128, 127)
    else:
        parts = torch.tensor(scale), torch.tensor(zero.astype(np.int32))
        y = torch.fake_quantize_per_channel_affine(t, *parts, axis, -128, 127)
    y.backward(torch.tensor(u))
    given = {} if axis is None else {"axis": axis}
    model = network(pair(**given), {"x": x}, {"scale": np.array(scale), "zero": np.array(zero)})
    found = gradient(model, {"x": x}, u)
    np.testing.assert_allclose(found, t.grad.numpy(), rtol=1e-5)
    assert 0.1 < (found == 0).mean() < 0.9


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_scale_along_an_axis(normal: Any, positive: Any, axis: Any) -> None:
    x, u = normal(3, 3, 3) * 2, normal(3, 3, 3)
    scale, zero = positive(3) / 64, np.array([1, -20, 60], np.int8)
    model = network(pair(axis=axis), {"x": x}, {"scale": scale, "zero": zero})
    shape = [1, 1, 1]
    shape[axis] = 3
    place = np.round(x / scale.reshape(shape)) + zero.reshape(shape)
    inside = (place >= -128) & (place <= 127)
    assert 0 < inside.mean() < 1
    np.testing.assert_allclose(gradient(model, {"x": x}, u), u * inside, rtol=1e-5)


def test_a_scale_for_each_block(normal: Any, positive: Any) -> None:
    x, u = normal(2, 6) * 2, normal(2, 6)
    scale, zero = positive(2, 2) / 64, np.array([[1, -20], [60, 5]], np.int8)
    model = network(pair(axis=1, block_size=3), {"x": x}, {"scale": scale, "zero": zero})
    spread, moved = np.repeat(scale, 3, 1), np.repeat(zero, 3, 1)
    place = np.round(x / spread) + moved
    inside = (place >= -128) & (place <= 127)
    assert 0 < inside.mean() < 1
    np.testing.assert_allclose(gradient(model, {"x": x}, u), u * inside, rtol=1e-5)


def test_a_float8_pair(normal: Any) -> None:
    x, u = normal(3, 40) * 300, normal(3, 40)
    zero = helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, [], [0.0])
    model = network(pair(), {"x": x}, {"scale": np.array(1, np.float32)}, opset=19)
    model.graph.initializer.append(zero)
    np.testing.assert_allclose(
        gradient(model, {"x": x}, u), u * (abs(np.round(x)) <= 448), rtol=1e-5
    )


def test_what_stands_between_the_two(normal: Any) -> None:
    """Elements are arranged, chosen and joined while they are integers."""
    x, u = normal(2, 3, 4, 4), normal(2, 6, 4)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("MaxPool", ["q"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Transpose", ["pooled"], ["turned"], perm=[0, 1, 3, 2]),
        helper.make_node("Concat", ["turned", "turned"], ["joined"], axis=1),
        helper.make_node("Reshape", ["joined", "shape"], ["flat"]),
        helper.make_node("DequantizeLinear", ["flat", "scale", "zero"], ["y"]),
    ]
    constants = {
        "scale": np.array(0.05, np.float32),
        "zero": np.array(0, np.int8),
        "shape": np.array([2, 6, 4], np.int64),
    }
    model = network(nodes, {"x": x}, constants)
    pooled = u.reshape(2, 2, 3, 2, 2).sum(1).transpose(0, 1, 3, 2)
    q = np.clip(np.round(x / np.float32(0.05)), -128, 127)
    windows = q.reshape(2, 3, 2, 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(2, 3, 2, 2, 4)
    expected = np.zeros((2, 3, 2, 2, 4), np.float32)
    np.put_along_axis(expected, windows.argmax(-1)[..., None], pooled[..., None], -1)
    expected = expected.reshape(2, 3, 2, 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(x.shape)
    np.testing.assert_allclose(gradient(model, {"x": x}, u), expected, rtol=1e-5, atol=1e-7)
    assert gradient(model, {"x": x}, u, "pooled").dtype == np.float32


def test_a_dynamic_range(normal: Any) -> None:
    x, u = normal(4, 5), normal(4, 5)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    np.testing.assert_allclose(gradient(network(nodes, {"x": x}, {}), {"x": x}, u), u, rtol=1e-5)


def test_quantized_weights_let_the_gradient_of_the_rest_pass(normal: Any) -> None:
    x, u = normal(2, 3), normal(2, 4)
    w = np.arange(12, dtype=np.int8).reshape(3, 4)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["weights"]),
        helper.make_node("MatMul", ["x", "weights"], ["y"]),
    ]
    model = network(nodes, {"x": x}, {"w": w, "scale": np.array(0.5, np.float32)})
    np.testing.assert_allclose(gradient(model, {"x": x}, u), u @ (w * 0.5).T, rtol=1e-5)
