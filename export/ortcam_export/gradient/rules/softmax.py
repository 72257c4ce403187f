"""Softmax and its logarithm."""

from __future__ import annotations

from ortcam_export.gradient.saturated import complemented
from ortcam_export.gradient.table import Node, rule
from ortcam_export.gradient.tensor import Tensor


@rule("Softmax", inputs=[0])
def softmax(n: Node, g: Tensor) -> Tensor:
    """g_x = s (g - sum_j g_j s_j), arranged so that no digits are lost where one s is near 1."""
    axis = n.axis(-1)
    dominant, others, rest = complemented(n.y, axis)
    at_dominant = (g * dominant).sum([axis], keepdims=True)
    beside = (g * others).sum([axis], keepdims=True) - at_dominant * rest
    return n.y * ((g - at_dominant) - beside)


@rule("LogSoftmax", inputs=[0])
def log_softmax(n: Node, g: Tensor) -> Tensor:
    """g_x = g - s sum_j g_j."""
    return g - n.y.exp() * g.sum([n.axis(-1)], keepdims=True)
