"""Activations that bend smoothly: exponential units, and x times a gate of x."""

from __future__ import annotations

import math

from ortcam_export.gradient.table import Node, elementwise, rule
from ortcam_export.gradient.tensor import Tensor


@rule("Selu", inputs=[0])
def selu(n: Node, g: Tensor) -> Tensor:
    """gamma, or gamma alpha exp x below 0."""
    alpha: float = n.attribute("alpha", 1.67326319217681884765625)
    gamma: float = n.attribute("gamma", 1.05070102214813232421875)
    return g * gamma * (n.x > 0).where(1, n.x.exp() * alpha)


@rule("Celu", inputs=[0])
def celu(n: Node, g: Tensor) -> Tensor:
    """1, or exp(x / alpha) below 0."""
    return g * (n.x > 0).where(1, (n.x / n.attribute("alpha", 1.0)).exp())


@rule("Gelu", inputs=[0])
def gelu(n: Node, g: Tensor) -> Tensor:
    """(x P(x))' = P(x) + x P'(x), P the normal distribution or its approximation by tanh."""
    x = n.x
    if n.attribute("approximate", "none") == "tanh":
        scale = math.sqrt(8 / math.pi)  # 1/2 (1 + tanh(u/2)) is the logistic function of u
        u = (x + x * x * x * 0.044715) * scale
        p = u.sigmoid()
        return g * (p + x * p * (-u).sigmoid() * (1 + x * x * 3 * 0.044715) * scale)
    p = ((x * math.sqrt(0.5)).apply("Erf") + 1) * 0.5
    return g * (p + x * (x * x * -0.5).exp() * math.sqrt(0.5 / math.pi))


@rule("Swish", inputs=[0])
def swish(n: Node, g: Tensor) -> Tensor:
    """(x s)' = s + alpha x s (1 - s), s the sigmoid of alpha x."""
    alpha: float = n.attribute("alpha", 1.0)
    u = n.x * alpha
    return g * u.sigmoid() * (1 + u * (-u).sigmoid())


def _mish(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """(x t)' = t + x (1 - t^2) sigmoid x, t = tanh(softplus x)."""
    t = x.apply("Softplus").apply("Tanh")
    return g * (t + x * (1 - t * t) * x.sigmoid())


elementwise("Mish", _mish)
