"""Softmax and its logarithm."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ortcam_export.gradient.blocks.saturated import complemented
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Tensor


@rule("Softmax", inputs=[0])
def softmax(n: Node, g: Tensor) -> Tensor:
    """g_x = s (g - sum_j g_j s_j), arranged so that no digits are lost where one s is near 1.

    A row that is masked entirely is NaN until a later node replaces it; then its cotangent is 0,
    and so is that of x.
    """
    axis = n.axis(-1)
    s = n.y if _finite(n.node.inputs[0]) else n.y.apply("IsNaN").where(0, n.y)
    dominant, others, rest = complemented(s, axis)
    at_dominant = (g * dominant).sum([axis], keepdims=True)
    beside = (g * others).sum([axis], keepdims=True) - at_dominant * rest
    return s * ((g - at_dominant) - beside)


@rule("LogSoftmax", inputs=[0])
def log_softmax(n: Node, g: Tensor) -> Tensor:
    """g_x = g - s sum_j g_j."""
    return g - n.y.exp() * g.sum([n.axis(-1)], keepdims=True)


def _finite(value: ir.Value | None) -> bool:
    """True if certainly no mask takes part in a tensor: it is computed by sums of products."""
    visited, stack = set(), [value]
    while stack:
        value = stack.pop()
        if value is None or value in visited:
            continue
        visited.add(value)
        node = value.producer()
        if value.const_value is not None:
            if not np.isfinite(value.const_value.numpy()).all():
                return False
        elif node is None or node.op_type not in _SUMS | _PASSES:
            return False
        elif node.op_type in _PASSES:
            stack.extend(node.inputs)
    return True


_SUMS = {"Conv", "Einsum", "Gemm", "MatMul"}
_PASSES = {"Add", "Cast", "Div", "Identity", "Mul", "Reshape", "Sub", "Transpose"}
