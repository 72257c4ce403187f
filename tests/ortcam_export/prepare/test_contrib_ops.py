"""Operators of ONNX Runtime's domain, replaced by standard ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ortcam.errors import OperatorError
from ortcam_export.prepare.contrib_ops import CONTRIB
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.vjp import vjp


def f(*shape: Any) -> Any:
    return np.random.default_rng([*shape]).standard_normal(shape).astype(np.float32)


CONV: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
X, W, B, Z = f(2, 4, 6, 6), f(3, 4, 3, 3), f(3), f(2, 3, 3, 3)

CASES = {
    "Gelu": ("Gelu", [f(3, 4)], {}),
    "BiasGelu": ("BiasGelu", [f(3, 4), f(4)], {}),
    "FastGelu": ("FastGelu", [f(3, 4)], {}),
    "FastGelu, bias": ("FastGelu", [f(3, 4), f(4)], {}),
    "QuickGelu": ("QuickGelu", [f(3, 4)], {}),
    "QuickGelu, alpha": ("QuickGelu", [f(3, 4)], {"alpha": 1.3}),
    "FusedMatMul": ("FusedMatMul", [f(2, 3, 4), f(4, 5)], {"alpha": 0.7}),
    "FusedMatMul, both transposed": (
        "FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], {"transA": 1, "transB": 1},
    ),
    "FusedMatMul, the batch of A inside": (
        "FusedMatMul", [f(3, 2, 4), f(2, 4, 5)], {"transBatchA": 1},
    ),
    "FusedMatMul, the batch of B inside": (
        "FusedMatMul", [f(2, 3, 4), f(4, 2, 5)], {"transBatchB": 1, "alpha": 0.3},
    ),
    "FusedMatMul, both batches inside, both transposed": (
        "FusedMatMul", [f(4, 2, 3, 5), f(6, 2, 3, 4)],
        {"transBatchA": 1, "transA": 1, "transBatchB": 1, "transB": 1},
    ),
    "FusedGemm": (
        "FusedGemm", [f(3, 4), f(5, 4), f(5)],
        {"transB": 1, "alpha": 0.5, "activation": "LeakyRelu", "activation_alpha": 0.2},
    ),
    "FusedConv": ("FusedConv", [X, W, B], {**CONV, "activation": "Relu"}),
    "FusedConv, Clip": (
        "FusedConv", [X, W, B], {**CONV, "activation": "Clip", "activation_params": [0.0, 6.0]},
    ),
    "FusedConv, LeakyRelu": (
        "FusedConv", [X, W], {**CONV, "activation": "LeakyRelu", "activation_params": [0.3]},
    ),
    "FusedConv, sum": ("FusedConv", [X, W, B, Z], {**CONV, "activation": "Relu"}),
    "SkipLayerNormalization": (
        "SkipLayerNormalization", [f(2, 3, 4), f(2, 3, 4) + 1, f(4), f(4)], {"epsilon": 0.01},
    ),
    "SkipLayerNormalization, bias": (
        "SkipLayerNormalization", [f(2, 3, 4), f(2, 3, 4) + 1, f(4), f(4), f(4) * 2],
        {"epsilon": 0.01},
    ),
    "SkipSimplifiedLayerNormalization": (
        "SkipSimplifiedLayerNormalization", [f(2, 3, 4), f(2, 3, 4) + 1, f(4), f(4) * 2], {},
    ),
}  # fmt: skip


def network(op_type: Any, inputs: Any, attributes: Any, outputs: Any = ("y",)) -> Any:
    names = [f"x{i}" for i in range(len(inputs))]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(op_type, names, outputs, "fused", domain=CONTRIB, **attributes)],
        "g",
        [info("x0", TensorProto.FLOAT, inputs[0].shape)],
        [info(name, TensorProto.FLOAT, None) for name in outputs if name],
        [
            numpy_helper.from_array(array, name)
            for name, array in zip(names[1:], inputs[1:], strict=True)
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(model: Any, outputs: Any, feeds: Any) -> Any:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(outputs, feeds)


@pytest.mark.parametrize("name", CASES)
def test_it_computes_the_same(name: Any) -> None:
    model = network(*CASES[name])
    x = CASES[name][1][0]
    standard = ir.to_proto(prepare(load(model)))
    assert not any(node.domain for node in standard.graph.node)
    assert [imported.domain for imported in standard.opset_import] == [""]
    onnx.checker.check_model(standard)
    (fused,), (plain,) = (run(m, ["y"], {"x0": x}) for m in (model, standard))
    np.testing.assert_allclose(plain, fused, rtol=1e-4, atol=1e-5)
    feeds = {"x0": x, "y.cotangent": f(*plain.shape)}
    (g,) = run(vjp(model, "y", ["x0"]), ["x0.grad"], feeds)
    assert np.isfinite(g).all()
    assert g.any()


def test_the_sum_that_a_normalisation_passes_on() -> None:
    inputs = CASES["SkipLayerNormalization"][1]
    model = network("SkipLayerNormalization", inputs, {}, ("y", "", "", "sum"))
    standard = ir.to_proto(prepare(load(model)))
    feeds = {"x0": inputs[0]}
    for ours, theirs in zip(
        run(standard, ["y", "sum"], feeds), run(model, ["y", "sum"], feeds), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_network_that_the_optimiser_wrote(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x0", "w", "b"], ["c"], **CONV),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "v"], ["d"]),
        helper.make_node("LeakyRelu", ["d"], ["y"], alpha=0.1),
    ]
    info = helper.make_tensor_value_info
    constants = {"w": W, "b": B, "v": f(2, 3, 1, 1)}
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x0", TensorProto.FLOAT, X.shape)],
        [info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        plain.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    optimised = onnx.load(tmp_path / "optimised.onnx")
    assert any(node.op_type == "FusedConv" for node in optimised.graph.node)
    feeds = {"x0": X, "y.cotangent": f(2, 2, 3, 3)}
    found, expected = (run(vjp(m, "y", ["x0"]), ["x0.grad"], feeds)[0] for m in (optimised, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "way_out"),
    [
        ("NhwcConv", [f(2, 6, 6, 4), f(3, 3, 3, 4)], {}, "ORT_ENABLE_BASIC"),
        ("QLinearReduceSum", [f(2, 3), f(1)], {}, "QDQ form"),
    ],
)
def test_what_stays_says_the_way_out(
    op_type: Any, inputs: Any, attributes: Any, way_out: Any
) -> None:
    model = network(op_type, inputs, attributes)
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 2
    with pytest.raises(OperatorError, match=rf"com.microsoft.{op_type} .*{way_out}"):
        vjp(model, "y", ["x0"])
