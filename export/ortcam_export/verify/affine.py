"""Parts of a network that are affine: y(x + t v) is a straight line in t."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from ortcam_export.graph.traversal import captured

__all__ = ["is_affine"]

#: Operators that are linear in all their float operands together.
_SUMS = frozenset(
    {"Add", "Cast", "CastLike", "Concat", "Identity", "Mean", "Neg", "Sub", "Sum", "Where"}
)

#: Operators that are linear in their first operand, where the others are constant.
_MAPS = frozenset(
    {
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "Div",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "GlobalAveragePool",
        "GridSample",
        "Pad",
        "ReduceMean",
        "ReduceSum",
        "Reshape",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)

#: Operators that are linear in each operand, where the others are constant.
_PRODUCTS = frozenset({"Einsum", "Gemm", "MatMul", "Mul"})


def is_affine(nodes: Iterable[ir.Node], start: ir.Value) -> bool:
    """Return True if nodes compute an affine function of a tensor.

    Args:
        nodes: the nodes behind the tensor, the last first.
        start: the tensor.
    """
    moving = {start}
    for node in reversed(list(nodes)):
        operands = node.inputs[:1] if node.op_type == "CastLike" else node.inputs
        places = [i for i, v in enumerate(operands) if v in moving and not _is_discrete(v)]
        if places and node.op_type not in ("Shape", "Size"):
            if not _keeps_lines(node, places):
                return False
            moving.update(node.outputs)
        elif moving.intersection(captured(node)):
            return False
    return True


def _keeps_lines(node: ir.Node, places: list[int]) -> bool:
    """True if a node is affine in the operands at these places."""
    if node.op_type in _SUMS:
        return True
    if node.op_type in _PRODUCTS:
        return len(places) == 1 or (node.op_type == "Gemm" and places == [0, 2])
    return node.op_type in _MAPS and places == [0]


def _is_discrete(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is not None and not value.dtype.is_floating_point()
