"""A softmax over an axis that is not the last, in the form that runs faster, and back again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ortcam_export import export
from ortcam_export.append.fast_softmax import DecomposeSoftmax, RecomposeSoftmax


def softmax(
    shape: Sequence[int | str], axis: int, dtype: int = TensorProto.FLOAT, name: str = "y"
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], [name], axis=axis)],
        "softmax",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(name, dtype, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def rewritten(
    model: onnx.ModelProto, *passes: ir.passes.PassBase, modified: bool = True
) -> onnx.ModelProto:
    """Decompose each softmax, or apply other passes."""
    inside = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    result = ir.passes.Sequential(*passes or [DecomposeSoftmax()])(inside)
    assert result.modified == modified
    proto = ir.to_proto(result.model)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def run(model: onnx.ModelProto, x: NDArray[Any]) -> Any:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"x": x})
    return y


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    ("dtype", "bound"), [(TensorProto.FLOAT, 3e-6), (TensorProto.DOUBLE, 1e-14)]
)
@pytest.mark.parametrize(("shape", "axis"), [((2, 11, 24, 30), 1), ((3, 7, 5), -2), ((6, 4), 0)])
def test_it_is_the_softmax_to_rounding(
    shape: tuple[int, ...], axis: int, dtype: int, bound: float
) -> None:
    x = np.random.default_rng(0).normal(0, 9, shape)
    x = x.astype(helper.tensor_dtype_to_np_dtype(dtype))
    model = rewritten(softmax([f"d{i}" for i in range(len(shape))], axis, dtype))
    assert "Softmax" not in operators(model)
    e = np.exp(x.astype(np.longdouble) - x.max(axis, keepdims=True))
    truth = e / e.sum(axis, keepdims=True)
    # the relative error of every element, also of a class that is all but ruled out
    np.testing.assert_allclose(run(model, x), truth, rtol=bound, atol=1e-30)


@pytest.mark.parametrize(
    ("shape", "axis", "dtype"),
    [
        ((2, 3, 4), -1, TensorProto.FLOAT),  # the kernel is faster
        ((2, 3, 4), 2, TensorProto.FLOAT),
        ((2, 3, 4), 1, TensorProto.FLOAT16),  # sums in half precision lose digits
    ],
)
def test_what_gains_nothing_stays(shape: tuple[int, ...], axis: int, dtype: int) -> None:
    assert operators(rewritten(softmax(shape, axis, dtype), modified=False)) == ["Softmax"]


@pytest.mark.parametrize(("shape", "axis"), [((2, 11, 24, 30), 1), ((3, 7, 5), -2), ((6, 4), 0)])
def test_recomposing_is_the_inverse(shape: tuple[int, ...], axis: int) -> None:
    model = rewritten(softmax(shape, axis), DecomposeSoftmax(), RecomposeSoftmax())
    assert operators(model) == ["Softmax"]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(run(model, x), run(softmax(shape, axis), x))


def test_large_logits_do_not_overflow() -> None:
    x = np.array([[[1e4, -1e4], [-1e4, 3e38]]], np.float32)
    y = run(rewritten(softmax((1, 2, 2), 1)), x)
    np.testing.assert_array_equal(y, np.array([[[1, 0], [0, 1]]], np.float32))


def test_one_inside_a_branch_is_rewritten_too() -> None:
    branch = [
        helper.make_graph(
            [helper.make_node("Softmax", ["x"], [out], axis=1)],
            out,
            [],
            [helper.make_tensor_value_info(out, TensorProto.FLOAT, [2, 3, 4])],
        )
        for out in ("then_y", "else_y")
    ]
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=branch[0], else_branch=branch[1])],
        "branches",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    decomposed = rewritten(model)
    branches = [a.g for a in decomposed.graph.node[0].attribute]
    assert all("Softmax" not in [n.op_type for n in g.node] for g in branches)
    session = onnxruntime.InferenceSession(
        decomposed.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    (y,) = session.run(None, {"x": x, "c": np.array(True)})
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)


def test_the_names_of_an_artifact_stay(shipped_network: Path) -> None:
    artifact = onnx.load_from_string(export(shipped_network, verify=False).model)
    network = onnx.load(shipped_network)
    assert [o.name for o in artifact.graph.output][:1] == [o.name for o in network.graph.output]
    assert "Softmax" in operators(network)
    assert "Softmax" not in operators(artifact)


def test_a_name_that_is_taken_is_left_to_its_owner() -> None:
    model = softmax((2, 3, 4), 1)
    model.graph.node.insert(0, helper.make_node("Neg", ["x"], ["y.parts"]))
    model.graph.node[1].input[0] = "y.parts"
    decomposed = rewritten(model)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(run(decomposed, x), run(softmax((2, 3, 4), 1), -x), rtol=1e-5)
