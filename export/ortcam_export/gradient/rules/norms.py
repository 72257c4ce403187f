"""Divisions by a norm: over an axis, or over neighbouring channels."""

from __future__ import annotations

from ortcam_export.gradient.table import Node, rule
from ortcam_export.gradient.tensor import Tensor


@rule("LpNormalization", inputs=[0])
def lp_normalization(n: Node, g: Tensor) -> Tensor:
    """y = x / |x|: g_x = (g - |x|' sum(g y)) / |x|, and 0 where all x are 0."""
    axis = n.axis(-1)
    if n.attribute("p", 2) == 1:
        norm = n.x.apply("Abs").sum([axis], keepdims=True)
        slope = n.x.sign()
    else:
        norm = (n.x * n.x).sum([axis], keepdims=True).sqrt()
        slope = n.y
    inner = (g * n.y).sum([axis], keepdims=True)
    return ((g - slope * inner) / norm).masked(norm > 0)


@rule("LRN", inputs=[0])
def lrn(n: Node, g: Tensor) -> Tensor:
    """g_x = g D^-b - 2 a b / size x B'(g x D^(-b-1)).

    y = x D^-b, D = bias + a/size B x^2, B the band of neighbouring channels.
    """
    size: int = n.attribute("size")
    alpha: float = n.attribute("alpha", 1e-4)
    beta: float = n.attribute("beta", 0.75)
    places = n.tape.arange(n.x.dim(1))
    ahead = places - places.unsqueeze([1])
    band = ((ahead >= -((size - 1) // 2)) & (ahead <= size // 2)).cast(g.dtype)
    bias: float = n.attribute("bias", 1.0)
    d = (n.x * n.x).along(1, band) * (alpha / size) + bias
    power = d**-beta
    spread = (g * n.x * power / d).along(1, band.mT)
    return g * power - n.x * spread * (2 * alpha * beta / size)
