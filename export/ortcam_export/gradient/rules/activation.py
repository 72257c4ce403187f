"""Activations."""

from __future__ import annotations

from ortcam_export.gradient.blocks.saturated import sigmoid_slope
from ortcam_export.gradient.table import Node, elementwise, rule
from ortcam_export.gradient.tensor import Tensor

# onnxruntime's CPU provider, [2, 128, 90, 120]: product with the mask 2 ms, Where 12 ms
elementwise("Relu", lambda g, y, x: g.passed(y > 0))
elementwise("Sigmoid", lambda g, y, x: g * sigmoid_slope(x))
elementwise("Tanh", lambda g, y, x: g * (1 - y * y))
elementwise("Softplus", lambda g, y, x: g * x.sigmoid())
elementwise("Softsign", lambda g, y, x: g / (1 + x.apply("Abs")) ** 2)
elementwise(
    "PRelu",
    lambda g, y, x, slope: g * (x > 0).where(1, slope),
    lambda g, y, x, slope: g * (x > 0).where(0, x),
)


@rule("LeakyRelu", inputs=[0])
def leaky_relu(n: Node, g: Tensor) -> Tensor:
    return (n.x > 0).where(g, g * n.attribute("alpha", 0.01))


@rule("Elu", inputs=[0])
def elu(n: Node, g: Tensor) -> Tensor:
    alpha = n.attribute("alpha", 1.0)
    return g * (n.x > 0).where(1, n.y + alpha)


@rule("ThresholdedRelu", inputs=[0])
def thresholded_relu(n: Node, g: Tensor) -> Tensor:
    return g.passed(n.x > n.attribute("alpha", 1.0))


@rule("HardSigmoid", inputs=[0])
def hard_sigmoid(n: Node, g: Tensor) -> Tensor:
    alpha: float = n.attribute("alpha", 0.2)
    return (g * alpha).passed((n.y > 0) & (n.y < 1))


@rule("HardSwish", inputs=[0])
def hard_swish(n: Node, g: Tensor) -> Tensor:
    """x max(0, min(1, x/6 + 1/2))': 0 below -3, 1 above 3, x/3 + 1/2 between."""
    slope = (n.x > 3).where(1, n.x / 3 + 0.5)
    return (g * slope).passed(n.x > -3)
