"""What a gradient costs, against counting by hand."""

from __future__ import annotations

from typing import Any

import networks
import onnx
import onnx_ir as ir
import pytest
from networks import Builder
from onnx import TensorProto

from ortcam_export import Candidate, export, layers
from ortcam_export.layers.cost import multiplications

INFERENCE = (
    16 * 16 * 6 * (3 * 9)  # a: 3 to 6 channels, 3 x 3, on 16 x 16
    + 8 * 8 * 8 * (6 * 9)  # b: 6 to 8, of stride 2
    + 8 * 8 * 8 * (8 * 9)  # c: 8 to 8
    + 8 * 8 * 4 * 8  # the scorer: 8 to 4, 1 x 1
)

# Of one class with the logits as the score, from the scorer back.
AT_C = 4 * 8  # pooled: the scorer's matrix times one vector of 4
WHOLE_C = 8 * 8 * 8 * 4  # the whole cotangent, before c's ReLU
WHOLE_B = 8 * 8 * 8 * (8 * 9)  # through c


def through(channels: int) -> int:
    """A whole cotangent [8, 8, 8] summed as each of 3 x 3 taps sees it, and what these make."""
    columns, rows = 8 * 8 * 8 * 3, 8 * 3 * 8 * 3
    return columns + rows + channels * (8 * 9)


def network() -> onnx.ModelProto:
    g = Builder(0)
    a = g.relu(g.conv("input", 3, 6, "a"), "a_relu")
    b = g.relu(g.conv(a, 6, 8, "b", strides=[2, 2]), "b_relu")
    c = g.relu(g.conv(b, 8, 8, "c"), "c_relu")
    g.conv(c, 8, 4, "logits", k=1)
    return g.model(
        {"logits": (TensorProto.FLOAT, [1, 4, 8, 8])},
        {"input": (TensorProto.FLOAT, [1, 3, 16, 16])},
    )


def by_name(model: onnx.ModelProto, **options: Any) -> dict[str, Candidate]:
    return {c.name: c for c in layers(model, **options)}


def test_by_hand_of_logits() -> None:
    found = by_name(network(), score="logits")
    assert found["c_relu"].cost == pytest.approx(AT_C / INFERENCE)
    assert found["b_relu"].cost == pytest.approx((WHOLE_C + through(8)) / INFERENCE)
    assert found["a_relu"].cost == pytest.approx((WHOLE_C + WHOLE_B + through(6)) / INFERENCE)
    assert [found[n].pooled for n in ("a_relu", "b_relu", "c_relu")] == [False, False, True]


def test_by_hand_of_a_softmax() -> None:
    """Pooled, S diag(r) S' is 4 x 4 over 64 cells; whole, two sums over 4 classes a cell."""
    found = by_name(network())
    assert found["c_relu"].cost == pytest.approx((4 * 4 * 64 + AT_C) / INFERENCE)
    whole = 2 * 4 * 64 + WHOLE_C
    assert found["b_relu"].cost == pytest.approx((whole + through(8)) / INFERENCE)
    assert found["a_relu"].cost == pytest.approx((whole + WHOLE_B + through(6)) / INFERENCE)


def node(op: str, shapes: list[list[int]], output: list[int], **attributes: Any) -> ir.Node:
    inputs = [ir.val(f"x{i}", ir.DataType.FLOAT, shape) for i, shape in enumerate(shapes)]
    y = ir.val("y", ir.DataType.FLOAT, output)
    return ir.node(op, inputs, attributes, outputs=[y])


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (node("Conv", [[2, 6, 9, 9], [4, 3, 3, 5]], [2, 4, 7, 5], group=2), 2 * 4 * 35 * 45),
        (node("ConvTranspose", [[1, 6, 5, 5], [6, 2, 3, 3]], [1, 4, 7, 7], group=2), 6 * 25 * 18),
        (node("MatMul", [[3, 1, 4, 5], [2, 5, 6]], [3, 2, 4, 6]), 3 * 2 * 4 * 6 * 5),
        (node("MatMul", [[5], [5]], []), 5),
        (node("Gemm", [[5, 4], [6, 5]], [4, 6], transA=1, transB=1), 4 * 6 * 5),
        (node("Einsum", [[2, 3], [3, 4]], [2, 4], equation="ij,jk->ik"), 2 * 3 * 4),
        (node("Einsum", [[2], [3], [4]], [2, 3, 4], equation="i,j,k->ijk"), 2 * 24),
        (node("Mul", [[8], [8]], [8]), 0),
        (node("MaxPool", [[1, 4, 8, 8]], [1, 4, 4, 4], kernel_shape=[2, 2]), 0),
    ],
)
def test_one_node(made: ir.Node, count: int) -> None:
    assert multiplications(made) == count


def test_an_unknown_shape_is_not_guessed() -> None:
    made = node("MatMul", [[3, 5], [5, 2]], [3, 2])
    made.outputs[0].shape = ir.Shape([None, 2])
    assert multiplications(made) is None


@pytest.mark.parametrize("make", [networks.unet, networks.deployed, networks.channels_last])
def test_what_is_pooled_is_what_an_export_finds_pooled(make: Any) -> None:
    model = make()
    found = [c for c in layers(model) if c.kind == "feature" and c.reached]
    exported = export(model, feature_layers=[c.name for c in found], verify=False)
    assert {c.name: c.pooled for c in found} == {
        layer.name: layer.pooled for layer in exported.artifact.layers
    }
