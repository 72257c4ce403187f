"""A probability beside its complement: two classes written out as [1 - p, p]."""

from __future__ import annotations

import onnx_ir as ir

from ortcam_export.graph.values import constant_input

__all__ = ["complemented"]


def complemented(value: ir.Value) -> ir.Value | None:
    """Return p if a tensor is the Concat of p and 1 - p, in either order, else None."""
    node = value.producer()
    if node is None or node.op_type != "Concat" or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if first is None or second is None:
        return None
    for p, other in ((first, second), (second, first)):
        subtraction = other.producer()
        if subtraction is None or subtraction.op_type != "Sub" or subtraction.inputs[1] is not p:
            continue
        one = constant_input(subtraction, 0)
        if one is not None and bool((one == 1).all()):
            return p
    return None
