"""Operators that only arrange elements: a cotangent is arranged back."""

from __future__ import annotations

from ortcam_export.gradient.table import Ask, Node, contracted, rule, summed_to
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Windows


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze", inputs=[0])
def reshape(n: Node, g: Tensor) -> Tensor:
    return g.reshape(n.x.dims)


@rule("Transpose", inputs=[0])
def transpose(n: Node, g: Tensor) -> Tensor:
    order = _order(n)
    return g.transpose([order.index(axis) for axis in range(len(order))])


@rule("Expand", inputs=[0])
def expand(n: Node, g: Tensor) -> Tensor:
    return summed_to(g, n.y.dims, n.x)


@contracted("Transpose")
def transpose_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <PA, g_y> transposed back, PA the same windows on the axes' new places."""
    order = _order(n)
    moved = {order.index(axis): window for axis, window in windows.axes.items()}
    return transpose(n, ask(n.node.outputs[0], windows.over(moved)))


def _order(n: Node) -> list[int]:
    return list(n.attribute("perm", range(n.x.rank - 1, -1, -1)))
