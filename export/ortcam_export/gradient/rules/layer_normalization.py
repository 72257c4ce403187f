"""Normalizations over the last axes, over groups of channels, or over any axes."""

from __future__ import annotations

from ortcam_export.gradient.blocks.standardize import (
    scaled,
    scaled_back,
    standard,
    standardized_back,
)
from ortcam_export.gradient.blocks.unbroadcast import summed_to
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Dim, Tensor, product


@rule("LayerNormalization", inputs=[0])
def layer_normalization(n: Node, g: Tensor) -> Tensor:
    """y = z scale + bias, z = x with mean 0 and variance 1 over the last axes."""
    axes = _last_axes(n)
    z, deviation = standard(n.x, axes, n.attribute("epsilon", 1e-5))
    total = standardized_back(g * n.input(1), z, deviation, axes)
    cells = product(n.x.dims[axes[0] :])
    count = cells.cast(g.dtype) if isinstance(cells, Tensor) else cells
    if n.needed(1):  # the mean, with derivative 1 / cells
        total = total + n.cotangent(1) / count
    if n.needed(2):  # the inverse deviation, with derivative -z / deviation^2 / cells
        total = total - n.cotangent(2) * z / (deviation * deviation) / count
    return total


@rule("LayerNormalization", inputs=[1])
def layer_normalization_scale(n: Node, g: Tensor) -> Tensor:
    """g_scale = the sum of g z."""
    z, _ = standard(n.x, _last_axes(n), n.attribute("epsilon", 1e-5))
    return summed_to(g * z, n.y.dims, n.here)


@rule("LayerNormalization", inputs=[2])
def layer_normalization_bias(n: Node, g: Tensor) -> Tensor:
    """g_bias = the sum of g."""
    return summed_to(g, n.y.dims, n.here)


@rule("RMSNormalization", inputs=[0])
def rms_normalization(n: Node, g: Tensor) -> Tensor:
    """y = z scale, z = x with mean square 1 over the last axes."""
    axes = _last_axes(n)
    z, root = scaled(n.x, axes, n.attribute("epsilon", 1e-5))
    return scaled_back(g * n.input(1), z, root, axes)


@rule("RMSNormalization", inputs=[1])
def rms_normalization_scale(n: Node, g: Tensor) -> Tensor:
    """g_scale = the sum of g z."""
    z, _ = scaled(n.x, _last_axes(n), n.attribute("epsilon", 1e-5))
    return summed_to(g * z, n.y.dims, n.here)


@rule("GroupNormalization", inputs=[0])
def group_normalization(n: Node, g: Tensor) -> Tensor:
    """y = z scale + bias, z = x with mean 0 and variance 1 in each group of channels."""
    z, deviation = _group_standard(n)
    g = (g * _over_channels(n, n.input(1))).reshape(_groups(n))
    return standardized_back(g, z, deviation, [2]).reshape(n.x.dims)


@rule("GroupNormalization", inputs=[1])
def group_normalization_scale(n: Node, g: Tensor) -> Tensor:
    """g_scale = the sum of g z."""
    z, _ = _group_standard(n)
    return _to_channels(n, g * z.reshape(n.x.dims))


@rule("GroupNormalization", inputs=[2])
def group_normalization_bias(n: Node, g: Tensor) -> Tensor:
    """g_bias = the sum of g."""
    return _to_channels(n, g)


@rule("MeanVarianceNormalization", inputs=[0])
def mean_variance_normalization(n: Node, g: Tensor) -> Tensor:
    """y = x with mean 0 and variance 1 over the axes."""
    axes = [int(axis) % n.x.rank for axis in n.attribute("axes", [0, 2, 3])]
    _, deviation = standard(n.x, axes, 0)
    return standardized_back(g, n.y, deviation, axes)


def _last_axes(n: Node) -> list[int]:
    return list(range(n.axis(-1), n.x.rank))


def _groups(n: Node) -> list[Dim]:
    """[N, groups, elements of a group]."""
    groups = n.attribute("num_groups")
    return [n.x.dim(0), groups, product(n.x.dims[1:]) // groups]


def _group_standard(n: Node) -> tuple[Tensor, Tensor]:
    return standard(n.x.reshape(_groups(n)), [2], n.attribute("epsilon", 1e-5))


def _over_channels(n: Node, values: Tensor) -> Tensor:
    """One value per channel, or in opset 18 to 20 per group, shaped to broadcast over x."""
    if _per_group(n):
        groups = n.attribute("num_groups")
        channels = n.x.dim(1)
        values = values.unsqueeze([1]).expand([groups, channels // groups]).reshape([channels])
    return values.unsqueeze(range(1, n.x.rank - 1))


def _to_channels(n: Node, g: Tensor) -> Tensor:
    sums = g.sum([axis for axis in range(g.rank) if axis != 1])
    if _per_group(n):
        groups = n.attribute("num_groups")
        sums = sums.reshape([groups, n.x.dim(1) // groups]).sum([1])
    return sums


def _per_group(n: Node) -> bool:
    return n.tape.opset < 21
