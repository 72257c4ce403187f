"""Normalizations with statistics of a batch, of space, of a vector or of neighbouring channels."""

from __future__ import annotations

from ortcam_export.gradient.blocks.standardize import standard, standardized_back
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tensor import Tensor, product
from ortcam_export.gradient.windows import Windows


@rule("BatchNormalization", inputs=[0])
def batch_normalization(n: Node, g: Tensor) -> Tensor:
    """y = (x - mean) scale / sqrt(var + eps) + bias: g_x = g scale / sqrt(var + eps).

    In training mode mean and var are the batch's, and outputs 1 and 2 move the running ones
    towards them.
    """
    if not _trains(n):
        return g * _per_channel(n, _slope(n))
    axes = _all_but_channels(n)
    z, deviation = _standard(n, axes)
    total = standardized_back(g * _per_channel(n, n.input(1)), z, deviation, axes)
    moved = (1 - _momentum(n)) / _cells(n, axes)
    if n.needed(1):
        total = total + _per_channel(n, n.cotangent(1)) * moved
    if n.needed(2):
        centred = n.x - n.x.mean(axes, keepdims=True)
        total = total + _per_channel(n, n.cotangent(2)) * centred * 2 * moved
    return total


@rule("BatchNormalization", inputs=[1])
def batch_normalization_scale(n: Node, g: Tensor) -> Tensor:
    """g_scale = the sum of g (x - mean) / sqrt(var + eps)."""
    if _trains(n):
        return _over_channels(g * _standard(n, _all_but_channels(n))[0])
    centred = n.x - _per_channel(n, n.input(3))
    return _over_channels(g * centred) / _deviation(n)


@rule("BatchNormalization", inputs=[2])
def batch_normalization_bias(n: Node, g: Tensor) -> Tensor:
    """g_bias = the sum of g."""
    return _over_channels(g)


@rule("BatchNormalization", inputs=[3])
def batch_normalization_mean(n: Node, g: Tensor) -> Tensor:
    """g_mean = -the sum of g scale / sqrt(var + eps)."""
    if _trains(n):
        return n.cotangent(1) * _momentum(n)
    return -_over_channels(g) * _slope(n)


@rule("BatchNormalization", inputs=[4])
def batch_normalization_var(n: Node, g: Tensor) -> Tensor:
    """g_var = -1/2 the sum of g (x - mean) scale / sqrt(var + eps)^3."""
    if _trains(n):
        return n.cotangent(2) * _momentum(n)
    centred = n.x - _per_channel(n, n.input(3))
    return _over_channels(g * centred) * n.input(1) * -0.5 / _deviation(n) ** 3


@contracted("BatchNormalization")
def batch_normalization_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A, g_y> scale / sqrt(var + eps)."""
    if 1 in windows.axes or _trains(n):
        return None
    return ask(n.node.outputs[0], windows) * _per_channel(n, _slope(n))


@rule("InstanceNormalization", inputs=[0])
def instance_normalization(n: Node, g: Tensor) -> Tensor:
    """y = z scale + bias, z = x with mean 0 and variance 1 over space."""
    z, deviation = _standard(n, _space(n))
    return standardized_back(g * _per_channel(n, n.input(1)), z, deviation, _space(n))


@rule("InstanceNormalization", inputs=[1])
def instance_normalization_scale(n: Node, g: Tensor) -> Tensor:
    """g_scale = the sum of g z."""
    z, _ = _standard(n, _space(n))
    return _over_channels(g * z)


@rule("InstanceNormalization", inputs=[2])
def instance_normalization_bias(n: Node, g: Tensor) -> Tensor:
    """g_bias = the sum of g."""
    return _over_channels(g)


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


def _space(n: Node) -> list[int]:
    return list(range(2, n.x.rank))


def _all_but_channels(n: Node) -> list[int]:
    return [axis for axis in range(n.x.rank) if axis != 1]


def _trains(n: Node) -> bool:
    return bool(n.attribute("training_mode", 0))


def _momentum(n: Node) -> float:
    return float(n.attribute("momentum", 0.9))


def _standard(n: Node, axes: list[int]) -> tuple[Tensor, Tensor]:
    return standard(n.x, axes, n.attribute("epsilon", 1e-5))


def _cells(n: Node, axes: list[int]) -> Tensor | int:
    cells = product(n.x.dim(axis) for axis in axes)
    return cells.cast(n.x.dtype) if isinstance(cells, Tensor) else cells


def _deviation(n: Node) -> Tensor:
    epsilon: float = n.attribute("epsilon", 1e-5)
    return (n.input(4) + epsilon).sqrt()


def _slope(n: Node) -> Tensor:
    return n.input(1) / _deviation(n)


def _per_channel(n: Node, values: Tensor) -> Tensor:
    """One value per channel, shaped to broadcast over x."""
    return values.unsqueeze(range(1, n.x.rank - 1))


def _over_channels(t: Tensor) -> Tensor:
    return t.sum([axis for axis in range(t.rank) if axis != 1])
