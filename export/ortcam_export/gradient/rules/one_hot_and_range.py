"""Tensors made from a few numbers."""

from __future__ import annotations

from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Tensor


@rule("Range", inputs=[0, 2])
def range_(n: Node, g: Tensor) -> Tensor:
    """y_i = start + i step: g_start = sum of g, g_step = sum of i g_i."""
    if n.index == 2:
        g = g * n.tape.arange(n.y.dim(0)).cast(g.dtype)
    return g.sum([0])


@rule("OneHot", inputs=[2])
def one_hot(n: Node, g: Tensor) -> Tensor:
    """y = off + (on - off) hot: g_on = sum of g hot, g_off = sum of g (1 - hot)."""
    values = n.tape.constant([0, 1], g.dtype)
    hot = n.tape.op("OneHot", n.input(0), n.input(1), values, axis=n.attribute("axis", -1))
    hot = hot.ranked(g.rank)
    axes = range(g.rank)
    on = (g * hot).sum(axes)
    return n.tape.concat([(g.sum(axes) - on).unsqueeze([0]), on.unsqueeze([0])], 0)
