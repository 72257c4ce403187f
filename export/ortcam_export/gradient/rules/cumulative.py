"""Running sums and products along an axis."""

from __future__ import annotations

from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Tensor


@rule("CumSum", inputs=[0])
def cum_sum(n: Node, g: Tensor) -> Tensor:
    """y_i = sum of x_j, j <= i: g_x_j = sum of g_i, i >= j: a running sum backwards."""
    return _summed(n, g, reverse=1 - n.attribute("reverse", 0))


@rule("CumProd", inputs=[0])
def cum_prod(n: Node, g: Tensor) -> Tensor:
    """dy_i/dx_j = the product of the other factors of y_i."""
    zero = n.x.equals(0)
    attributes = {"exclusive": n.attribute("exclusive", 0), "reverse": n.attribute("reverse", 0)}
    product = n.tape.op("CumProd", zero.where(1, n.x), n.input(1), **attributes)
    zeros = _summed(n, zero.cast(g.dtype), reverse=attributes["reverse"])
    back = 1 - attributes["reverse"]
    none, one = (
        _summed(n, (g * product).masked(zeros.equals(count)), reverse=back) for count in (0, 1)
    )
    return zero.where(one, none / zero.where(1, n.x))


def _summed(n: Node, t: Tensor, *, reverse: int) -> Tensor:
    """CumSum along the node's axis, in this direction."""
    axis = n.input(1)
    if t.lead:
        axis = (axis < 0).where(axis, axis + 1)
    exclusive = n.attribute("exclusive", 0)
    return n.tape.op("CumSum", t, axis, lead=t.lead, exclusive=exclusive, reverse=reverse)
