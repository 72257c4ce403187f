"""A mean that is asked for is that of the whole: operators between channels, space and types."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.seed import Given
from ortcam_export.gradient.sweep import Sweep
from ortcam_export.gradient.tape import Tape
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.vjp import vjp

NODE = helper.make_node
PAIR = [
    NODE("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
    NODE("DequantizeLinear", ["q", "scale", "zero"], ["h"]),
]
BY_CHANNEL = [
    NODE("QuantizeLinear", ["x", "scales", "zeros"], ["q"], axis=1),
    NODE("DequantizeLinear", ["q", "scales", "zeros"], ["h"], axis=1),
]
BY_ROW = [
    NODE("QuantizeLinear", ["x", "scales", "zeros"], ["q"], axis=2),
    NODE("DequantizeLinear", ["q", "scales", "zeros"], ["h"], axis=2),
]
#: What is quantized a second time, to the same range and to half of it.
AGAIN = [
    *PAIR[:1],
    NODE("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
    NODE("AveragePool", ["d"], ["p"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    NODE("Concat", ["d", "p"], ["c"], axis=1),
    NODE("Slice", ["c", "four", "twelve", "one"], ["s"]),
    NODE("QuantizeLinear", ["s", "scale", "zero"], ["r"]),
    NODE("DequantizeLinear", ["r", "scale", "zero"], ["h"]),
]
NARROWER = [
    *AGAIN[:-2],
    NODE("QuantizeLinear", ["s", "half", "zero"], ["r"]),
    NODE("DequantizeLinear", ["r", "half", "zero"], ["h"]),
]
DYNAMIC = [
    NODE("DynamicQuantizeLinear", ["x"], ["q", "dynamic", "place"]),
    NODE("DequantizeLinear", ["q", "dynamic", "place"], ["h"]),
]

#: The nodes from x to h, the tensor that is pooled, the kernel of the convolution behind them, and
#: whether the mean comes without the whole.
CASES = {
    "DepthToSpace": ([NODE("DepthToSpace", ["x"], ["h"], blocksize=2)], "x", 3, True),
    "DepthToSpace, CRD": (
        [NODE("DepthToSpace", ["x"], ["h"], blocksize=2, mode="CRD")], "x", 3, True,
    ),
    "SpaceToDepth": ([NODE("SpaceToDepth", ["x"], ["h"], blocksize=2)], "x", 1, True),
    "SpaceToDepth, 3x3": ([NODE("SpaceToDepth", ["x"], ["h"], blocksize=2)], "x", 3, False),
    "DequantizeLinear": (PAIR, "q", 3, True),
    "DequantizeLinear, by channel": (BY_CHANNEL, "q", 3, True),
    "DequantizeLinear, by row": (BY_ROW, "q", 3, False),
    "QuantizeLinear": (PAIR, "x", 3, False),
    "QuantizeLinear, again": (AGAIN, "d", 3, True),
    "QuantizeLinear, to a narrower range": (NARROWER, "d", 3, False),
    "DynamicQuantizeLinear": (DYNAMIC, "x", 3, True),
}  # fmt: skip


def network(nodes: Any, kernel: Any) -> Any:
    channels = {"DepthToSpace": 2, "SpaceToDepth": 32}.get(nodes[0].op_type, 8)
    random = np.random.default_rng(1)
    constants: dict[str, Any] = {
        "w": random.standard_normal((3, channels, kernel, kernel)).astype(np.float32),
        "scale": np.array(0.02, np.float32),
        "zero": np.array(3, np.int8),
        "half": np.array(0.01, np.float32),
        "four": np.array([4], np.int64),
        "twelve": np.array([12], np.int64),
        "one": np.array([1], np.int64),
        "scales": random.uniform(0.01, 0.03, 8).astype(np.float32),
        "zeros": random.integers(-9, 9, 8).astype(np.int8),
    }
    graph = helper.make_graph(
        [*nodes, NODE("Conv", ["h", "w"], ["y"], pads=[kernel // 2] * 4)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8, 8, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def pooled(model: Any, name: Any, monkeypatch: pytest.MonkeyPatch | None) -> Any:
    """The network with the mean of a tensor's cotangent as its last output."""
    network = prepare(load(model))
    tape = Tape(network.graph, opset(network))
    y = tensor(network, "y")
    cotangent = ir.val("y.cotangent", dtype=y.dtype, shape=["K", *(y.shape or ())])
    network.graph.inputs.append(cotangent)
    g = tape.wrap(cotangent)
    tape.questions = g.dim(0)
    sweep = Sweep(tape, Given(y, g.leading()))
    if monkeypatch is not None:
        monkeypatch.setattr(sweep, "whole", None)  # not to be called
    finish(network, {"mean": sweep.mean(tensor(network, name), 1).revealed()})
    return ir.to_proto(network)


def run(model: Any, output: Any, feeds: Any) -> Any:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run([output], feeds)[0]


@pytest.mark.parametrize("name", CASES)
def test_the_mean_is_the_mean_of_the_whole(monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    nodes, of, kernel, spared = CASES[name]
    model = network(nodes, kernel)
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 8, 8, 6)).astype(np.float32)
    y = run(model, "y", {"x": x})
    feeds = {"x": x, "y.cotangent": random.standard_normal((3, *y.shape)).astype(np.float32)}
    whole = run(vjp(model, "y", [of], questions=True), f"{of}.grad", feeds)
    mean = run(pooled(model, of, monkeypatch if spared else None), "mean", feeds)
    np.testing.assert_allclose(mean, whole.mean((3, 4)), rtol=1e-4, atol=1e-5)
