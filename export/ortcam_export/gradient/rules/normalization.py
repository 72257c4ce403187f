"""Normalisations."""

from __future__ import annotations

from ortcam_export.gradient.table import Ask, Node, contracted, rule
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Windows


@rule("BatchNormalization", inputs=[0])
def batch_normalization(n: Node, g: Tensor) -> Tensor:
    """y = (x - mean) scale / sqrt(var + eps) + bias, with the statistics of training."""
    return g * _per_channel(n, _slope(n))


@rule("BatchNormalization", inputs=[1])
def batch_normalization_scale(n: Node, g: Tensor) -> Tensor:
    centred = n.x - _per_channel(n, n.input(3))
    return _over_channels(g * centred) / _deviation(n)


@rule("BatchNormalization", inputs=[2])
def batch_normalization_bias(n: Node, g: Tensor) -> Tensor:
    return _over_channels(g)


@rule("BatchNormalization", inputs=[3])
def batch_normalization_mean(n: Node, g: Tensor) -> Tensor:
    return -_over_channels(g) * _slope(n)


@rule("BatchNormalization", inputs=[4])
def batch_normalization_var(n: Node, g: Tensor) -> Tensor:
    centred = n.x - _per_channel(n, n.input(3))
    return _over_channels(g * centred) * n.input(1) * -0.5 / _deviation(n) ** 3


@contracted("BatchNormalization")
def batch_normalization_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A, g_y> scale / sqrt(var + eps)."""
    if 1 in windows.axes:
        return None
    return ask(n.node.outputs[0], windows) * _per_channel(n, _slope(n))


@rule("InstanceNormalization", inputs=[0])
def instance_normalization(n: Node, g: Tensor) -> Tensor:
    space = range(2, n.x.rank)
    return _standardized(n, g * _per_channel(n, n.input(1)), list(space))


@rule("InstanceNormalization", inputs=[1])
def instance_normalization_scale(n: Node, g: Tensor) -> Tensor:
    standard, _ = _standard(n, list(range(2, n.x.rank)))
    return _over_channels(g * standard)


@rule("InstanceNormalization", inputs=[2])
def instance_normalization_bias(n: Node, g: Tensor) -> Tensor:
    return _over_channels(g)


def _standard(n: Node, axes: list[int]) -> tuple[Tensor, Tensor]:
    """x with mean 0 and variance 1 over axes, and its deviation there."""
    centred = n.x - _mean(n.x, axes)
    deviation = (_mean(centred * centred, axes) + n.attribute("epsilon", 1e-5)).sqrt()
    return centred / deviation, deviation


def _standardized(n: Node, g: Tensor, axes: list[int]) -> Tensor:
    """For z = (x - mean x) / deviation x: g_x = (g - mean g - z mean(g z)) / deviation."""
    z, deviation = _standard(n, axes)
    return (g - _mean(g, axes) - z * _mean(g * z, axes)) / deviation


def _mean(t: Tensor, axes: list[int]) -> Tensor:
    return t.mean(axes, keepdims=True)


def _deviation(n: Node) -> Tensor:
    if n.attribute("training_mode", 0):
        raise n.refuse("is in training mode, and takes its statistics from the batch")
    epsilon: float = n.attribute("epsilon", 1e-5)
    return (n.input(4) + epsilon).sqrt()


def _slope(n: Node) -> Tensor:
    return n.input(1) / _deviation(n)


def _per_channel(n: Node, values: Tensor) -> Tensor:
    """One value a channel, shaped to broadcast over x."""
    return values.unsqueeze(range(1, n.x.rank - 1))


def _over_channels(t: Tensor) -> Tensor:
    return t.sum([axis for axis in range(t.rank) if axis != 1])
