"""Operators on integers, rewritten in the QDQ form.

The output of each is compared with that of ONNX Runtime's kernel, and the gradient with
differences of the floating operator, in double precision by onnx's reference, at the same numbers.
"""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import QuantFormat, QuantType
from quantizing import SIZE, dynamically_quantized, picture, quantized

from ortcam_export import export
from ortcam_export.graph.model_io import open_session, opset
from ortcam_export.prepare.contrib_ops import CONTRIB
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.vjp import vjp

Array = NDArray[Any]
NODE = helper.make_node

#: Of what is quantized: each tensor's scale and zero point, wide enough for all that is computed.
X = ["x.scale", "x.zero"]
W = ["w.scale", "w.zero"]
Y = ["y.scale", "y.zero"]


def whole(*shape: int) -> Array:
    return np.random.default_rng([*shape]).integers(-100, 100, shape).astype(np.int8)


def per(*values: float) -> dict[str, Array]:
    """A scale and a zero point for each column or channel of w."""
    return {
        "w.scale": np.array(values, np.float32) / 100,
        "w.zero": np.zeros(len(values), np.int8),
    }


WEIGHTS = {"w": whole(4, 2, 3, 3), "bias": np.array([30000, -20000, 10000, 0], np.int32)}
CONV = {"pads": [1, 1, 1, 1], "strides": [2, 1], "dilations": [1, 2], "group": 2}
POOL = {"kernel_shape": [3, 2], "pads": [1, 0, 1, 0], "count_include_pad": 1}
CONCAT = [*Y, "q", *X, "w", *W, "q", *X]

#: The operator, its inputs, attributes and constants; then the floating one, its inputs and
#: attributes where they are others, and the scale of y.
CASES: dict[str, tuple[Any, ...]] = {
    "QLinearConv": ("QLinearConv", ["q", *X, "w", *W, *Y], CONV, WEIGHTS, "Conv", ["x", "w"], 0.1),
    "QLinearConv, bias, by channel": (
        "QLinearConv", ["q", *X, "w", *W, *Y, "bias"], CONV, {**WEIGHTS, **per(1, 2, 3, 4)},
        "Conv", ["x", "w", "bias"], 0.2,
    ),
    "QLinearMatMul": (
        "QLinearMatMul", ["q", *X, "w", *W, *Y], {}, {"w": whole(6, 5)}, "MatMul", ["x", "w"], 0.1,
    ),
    "QGemm": (
        "QGemm", ["q", *X, "w", *W, "bias", *Y], {"transB": 1, "alpha": 0.5},
        {"w": whole(4, 6), "bias": WEIGHTS["bias"], **per(1, 2, 3, 4)},
        "Gemm", ["x", "w", "bias"], 0.2,
    ),
    "QGemm, not quantized": (
        "QGemm", ["q", *X, "w", *W, ""], {"transA": 1}, {"w": whole(3, 4)},
        "Gemm", ["x", "w"], None,
    ),
    "QLinearAdd": (
        "QLinearAdd", ["q", *X, "w", *W, *Y], {}, {"w": whole(4, 1, 1)}, "Add", ["x", "w"], 0.04,
    ),
    "QLinearMul": (
        "QLinearMul", ["q", *X, "w", *W, *Y], {}, {"w": whole(4, 1, 1)}, "Mul", ["x", "w"], 0.023,
    ),
    "QLinearAveragePool": (
        "QLinearAveragePool", ["q", *X, *Y], POOL, {}, "AveragePool", ["x"], 0.02,
    ),
    "QLinearGlobalAveragePool": (
        "QLinearGlobalAveragePool", ["q", *X, *Y], {}, {}, "GlobalAveragePool", ["x"], 0.01,
    ),
    "QLinearSigmoid": ("QLinearSigmoid", ["q", *X, *Y], {}, {}, "Sigmoid", ["x"], 0.01),
    "QLinearLeakyRelu": (
        "QLinearLeakyRelu", ["q", *X, *Y], {"alpha": 0.3}, {}, "LeakyRelu", ["x"], 0.02,
    ),
    "QLinearSoftmax": (
        "QLinearSoftmax", ["q", *X, *Y], {"axis": 1, "opset": 13}, {}, "Softmax", ["x"], 0.008,
    ),
    "QLinearConcat": (
        "QLinearConcat", CONCAT, {"axis": 1}, {"w": whole(2, 3, 6, 5)},
        "Concat", ["x", "w", "x"], 0.02,
    ),
    "QLinearWhere": (
        "QLinearWhere", ["where", "q", *X, "w", *W, *Y], {},
        {"w": whole(5), "where": np.array([True, False, True, True, False])},
        "Where", ["where", "x", "w"], 0.02,
    ),
}  # fmt: skip

SHAPES = {"QLinearMatMul": (2, 3, 6), "QGemm": (3, 6), "QGemm, not quantized": (3, 6)}


def case(name: str) -> tuple[onnx.ModelProto, onnx.ModelProto, Array, float]:
    """The network on integers, the floating operator, the input of both, and y's step."""
    op_type, inputs, attributes, own, real, names, step = CASES[name]
    shape = SHAPES.get(name, (2, 4, 6, 5))
    constants: dict[str, Array] = {
        "x.scale": np.array(1 / 64, np.float32),
        "x.zero": np.array(5, np.int8),
        "w.scale": np.array(0.01, np.float32),
        "w.zero": np.array(0 if "Conv" in name else 3, np.int8),
        "y.scale": np.array(step or 1, np.float32),
        "y.zero": np.array(-7, np.int8),
        **own,
    }
    domain = "" if op_type in ("QLinearConv", "QLinearMatMul") else CONTRIB
    nodes = [
        NODE("QuantizeLinear", ["x", *X], ["q"]),
        NODE(op_type, inputs, ["r" if step else "y"], "it", domain=domain, **attributes),
        *([NODE("DequantizeLinear", ["r", *Y], ["y"])] if step else []),
    ]
    q = np.random.default_rng(0).integers(-128, 128, shape)
    x = ((q - 5) / 64).astype(np.float32)
    line = {name: constants[name].astype(np.float64) for name in (*X, *W)}
    real_constants = {n: v for n, v in own.items() if n not in W}
    if "w" in own:
        by_row = line["w.scale"].size > 1
        over = [-1] + [1] * (own["w"].ndim - 1) if by_row else []
        moved = own["w"] - line["w.zero"].reshape(over)
        real_constants["w"] = moved * line["w.scale"].reshape(over)
    if "bias" in own:
        alpha = attributes.get("alpha", 1)
        real_constants["bias"] = own["bias"] * alpha * line["x.scale"] * line["w.scale"]
    kept = {key: value for key, value in attributes.items() if key != "opset"}
    return (
        network(nodes, x.shape, constants),
        network([NODE(real, names, ["y"], **kept)], x.shape, real_constants, TensorProto.DOUBLE),
        x,
        step or 1e-5,
    )


def network(
    nodes: list[onnx.NodeProto],
    shape: tuple[int, ...],
    constants: dict[str, Array],
    element: int = TensorProto.FLOAT,
    version: int = 18,
) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", element, shape)],
        [info("y", element, None)],
        [numpy_helper.from_array(a, name) for name, a in constants.items() if name in read],
    )
    opsets = [helper.make_opsetid("", version), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(model: onnx.ModelProto | ir.Model, x: Array) -> Array:
    model = ir.from_proto(model) if isinstance(model, onnx.ModelProto) else model
    return open_session(model).run(["y"], {"x": x})["y"]


@pytest.mark.parametrize("name", CASES)
def test_it_computes_the_same_within_a_step(name: str) -> None:
    model, _, x, step = case(name)
    prepared = prepare(load(model))
    assert not any(node.op_type.startswith("QLinear") or node.domain for node in prepared.graph)
    onnx.checker.check_model(ir.to_proto(prepared), full_check=True)
    found, expected = run(prepared, x), run(model, x)
    assert abs(found - expected).max() <= 1.001 * step
    assert (abs(found - expected) > 1e-6).mean() < 0.05  # ties between steps
    assert len(np.unique(expected)) > 5


@pytest.mark.parametrize("name", CASES)
def test_its_gradient_is_that_of_the_floating_operator(name: str) -> None:
    model, real, x, _ = case(name)
    evaluator: Any = ReferenceEvaluator(real)

    def y(at: Array) -> Array:
        (y,) = evaluator.run(None, {"x": at})
        return np.asarray(y)

    random = np.random.default_rng(1)
    u = random.standard_normal(y(x.astype(np.float64)).shape).astype(np.float32)
    bytes_ = ir.from_proto(vjp(model, "y", ["x"]))
    g = open_session(bytes_).run(["x.grad"], {"x": x, "y.cotangent": u})["x.grad"]
    for _ in range(3):
        v = random.standard_normal(x.shape)
        change = y(x + 1e-6 * v) - y(x - 1e-6 * v)
        np.testing.assert_allclose((g * v).sum(), (u * change).sum() / 2e-6, rtol=1e-3, atol=1e-3)


def test_readers_of_a_tensor_share_its_dequantizer() -> None:
    """Even those that only move its integers: its gradient is that of all readers."""
    nodes = [
        NODE("QuantizeLinear", ["x", *X], ["a_quantized"]),
        NODE("MaxPool", ["a_quantized"], ["p_quantized"], kernel_shape=[1, 1]),
        NODE("QLinearAdd", ["a_quantized", *X, "p_quantized", *X, *Y], ["s"], domain=CONTRIB),
        NODE("QLinearSigmoid", ["a_quantized", *X, *Y], ["t"], domain=CONTRIB),
        NODE("QLinearAdd", ["s", *Y, "t", *Y, *Y], ["r"], domain=CONTRIB),
        NODE("DequantizeLinear", ["r", *Y], ["y"]),
    ]
    constants: dict[str, Array] = {
        "x.scale": np.array(1 / 64, np.float32),
        "x.zero": np.array(0, np.int8),
        "y.scale": np.array(1 / 16, np.float32),
        "y.zero": np.array(0, np.int8),
    }
    model = network(nodes, (1, 2, 3, 4), constants)
    prepared = prepare(load(model))
    readers = [n for n in prepared.graph if n.op_type == "DequantizeLinear"]
    shared = next(n for n in readers if n.outputs[0].name == "a_DequantizeLinear_Output")
    assert sorted(n.op_type for n in shared.outputs[0].consumers()) == ["Add", "MaxPool", "Sigmoid"]
    x = (np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4) - 12) / 64
    name = "a_DequantizeLinear_Output"
    session = open_session(ir.from_proto(vjp(model, "y", [name])))
    feeds = {"x": x, "y.cotangent": np.ones_like(x)}
    sigmoid = 1 / (1 + np.exp(-x))
    expected = 2 + sigmoid * (1 - sigmoid)
    np.testing.assert_allclose(session.run([f"{name}.grad"], feeds)[f"{name}.grad"], expected, 1e-5)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_quantizers_of_onnxruntime(dtype: type) -> None:
    """Those of 16 bits are standard ones from opset 21 on, to which the network is raised."""
    nodes = [
        NODE("QuantizeLinear", ["x", "s", "z"], ["q"], domain=CONTRIB),
        NODE("DequantizeLinear", ["q", "s", "z"], ["y"], domain=CONTRIB),
    ]
    constants = {"s": np.array(0.01, np.float32), "z": np.array(100, dtype)}
    model = network(nodes, (3, 4), constants)
    x = np.random.default_rng(0).random((3, 4), np.float32)
    prepared = prepare(load(model))
    assert opset(prepared) == (18 if np.dtype(dtype).itemsize == 1 else 21)
    np.testing.assert_array_equal(run(prepared, x), run(model, x))
    assert not any(node.domain for node in prepared.graph)


@pytest.mark.parametrize("op_type", ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_products_that_give_real_numbers(op_type: str) -> None:
    dynamic = op_type == "DynamicQuantizeMatMul"
    inputs = ["x", "w", *W, "b"] if dynamic else ["q", "w", "qs", "w.scale", "qz", "w.zero", "b"]
    nodes = [NODE(op_type, inputs, ["y"], domain=CONTRIB)]
    if not dynamic:
        nodes.insert(0, NODE("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]))
    bias = np.array([1, 2, 3, 4], np.float32)
    model = network(nodes, (3, 6), {"w": whole(6, 4), "b": bias, **per(1, 2, 3, 4)})
    x = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    np.testing.assert_allclose(run(prepare(load(model)), x), run(model, x), rtol=1e-4, atol=1e-4)
    u = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    session = open_session(ir.from_proto(vjp(model, "y", ["x"])))
    found = session.run(["x.grad"], {"x": x, "y.cotangent": u})["x.grad"]
    np.testing.assert_allclose(found, u @ (whole(6, 4) * per(1, 2, 3, 4)["w.scale"]).T, rtol=1e-4)


# ---- Whole networks ---------------------------------------------------------------------------

FORMATS: dict[str, dict[str, Any]] = {
    "int8": {},
    "uint8": {"activation_type": QuantType.QUInt8},
    "uint8, by channel": {"per_channel": True, "activation_type": QuantType.QUInt8},
}


def weights(model: onnx.ModelProto, layer: str) -> Array:
    made = export(model, feature_layers=[layer], size=SIZE[::-1])
    feeds = {
        "input": picture(0),
        "class_weights": np.eye(4, dtype=np.float32)[:, None],
        "region": np.ones((1, 1, 1, 1), np.float32),
    }
    session = open_session(ir.from_proto(onnx.load_from_string(made.model)))
    return session.run([made.artifact.layers[0].weights], feeds)[made.artifact.layers[0].weights]


def least(ours: Array, theirs: Array) -> float:
    pairs = zip(ours[:, 0], theirs[:, 0], strict=True)
    return min(float(np.corrcoef(a, b)[0, 1]) for a, b in pairs)


@pytest.mark.parametrize("name", FORMATS)
def test_a_network_of_whole_numbers_is_explained(name: str) -> None:
    model = quantized(networks.deployed(), QuantFormat.QOperator, **FORMATS[name])
    chosen = export(model, size=SIZE[::-1]).artifact
    assert chosen.layers[0].name == "e_DequantizeLinear_Output"
    assert chosen.verification is not None
    assert chosen.verification.form == "without the rounding of its quantizers"
    for layer, real in {"depth": "depth_relu", "sum": "sum_relu", "cat": "cat"}.items():
        found = weights(model, f"{layer}_DequantizeLinear_Output")
        assert least(found, weights(networks.deployed(), real)) > 0.98


def test_a_network_quantized_when_it_runs_is_explained() -> None:
    model = dynamically_quantized(networks.deployed())
    assert "ConvInteger" in {node.op_type for node in model.graph.node}
    for layer in ("e_relu", "sum_relu"):
        assert least(weights(model, layer), weights(networks.deployed(), layer)) > 0.98


def with_product(op_type: str, opset: int) -> onnx.ModelProto:
    """Two convolutions, and a third one or a MatMul on channels last, which makes the logits."""
    g = networks.Builder(0)
    a = g.relu(g.conv("input", 3, 8, "a"), "a_relu")
    x = g.relu(g.conv(a, 8, 8, "b"), "b_relu")
    if op_type == "MatMul":
        last = g.node("Transpose", [x], "last", perm=[0, 2, 3, 1])
        y = g.node("MatMul", [last, g.weight("w", 8, 4, fan_in=8)], "product")
        x = g.node("Transpose", [y], "logits", perm=[0, 3, 1, 2])
    else:
        x = g.conv(x, 8, 4, "logits", k=1)
    return g.model({x: (TensorProto.FLOAT, ["N", 4, "H", "W"])}, opset=opset, ir_version=7)


@pytest.mark.parametrize("op_type", ["Conv", "MatMul"])
@pytest.mark.parametrize("opset", [11, 13, 17, 18])
def test_an_integer_product_is_int32_and_its_real_form_is_not(op_type: str, opset: int) -> None:
    """A file with value_info, and one whose opset is raised, state the type of the product."""
    network = with_product(op_type, opset)
    model = onnx.shape_inference.infer_shapes(dynamically_quantized(network))
    assert f"{op_type}Integer" in {node.op_type for node in model.graph.node}
    assert TensorProto.INT32 in {v.type.tensor_type.elem_type for v in model.graph.value_info}
    for layer in ("a_relu", "b_relu"):
        assert least(weights(model, layer), weights(network, layer)) > 0.97
