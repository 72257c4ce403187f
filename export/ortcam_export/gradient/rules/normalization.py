"""Normalisations."""

from __future__ import annotations

from ortcam_export.gradient.rules.standardization import standard, standardized_back
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
    """y = z scale + bias with z of mean 0 and variance 1 over space."""
    z, deviation = _standard(n)
    return standardized_back(g * _per_channel(n, n.input(1)), z, deviation, _space(n))


@rule("InstanceNormalization", inputs=[1])
def instance_normalization_scale(n: Node, g: Tensor) -> Tensor:
    z, _ = _standard(n)
    return _over_channels(g * z)


@rule("InstanceNormalization", inputs=[2])
def instance_normalization_bias(n: Node, g: Tensor) -> Tensor:
    return _over_channels(g)


def _space(n: Node) -> list[int]:
    return list(range(2, n.x.rank))


def _standard(n: Node) -> tuple[Tensor, Tensor]:
    return standard(n.x, _space(n), n.attribute("epsilon", 1e-5))


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
