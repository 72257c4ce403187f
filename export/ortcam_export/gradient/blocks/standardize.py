"""The core of normalizations: x with mean 0 and variance 1, or mean square 1, over some axes."""

from __future__ import annotations

from collections.abc import Sequence

from ortcam_export.gradient.tensor import Tensor

__all__ = ["scaled", "scaled_back", "standard", "standardized_back"]


def standard(x: Tensor, axes: Sequence[int], epsilon: float) -> tuple[Tensor, Tensor]:
    """x with mean 0 and variance 1 over axes, and its deviation."""
    return scaled(x - x.mean(axes, keepdims=True), axes, epsilon)


def scaled(x: Tensor, axes: Sequence[int], epsilon: float) -> tuple[Tensor, Tensor]:
    """x with mean square 1 over axes, and the root of its mean square."""
    root = ((x * x).mean(axes, keepdims=True) + epsilon).sqrt()
    return x / root, root


def standardized_back(g: Tensor, z: Tensor, deviation: Tensor, axes: Sequence[int]) -> Tensor:
    """z = (x - mean x) / deviation x: g_x = (g - mean g - z mean(g z)) / deviation."""
    return scaled_back(g - g.mean(axes, keepdims=True), z, deviation, axes)


def scaled_back(g: Tensor, z: Tensor, root: Tensor, axes: Sequence[int]) -> Tensor:
    """z = x / root, root^2 = mean x^2: g_x = (g - z mean(g z)) / root."""
    return (g - z * (g * z).mean(axes, keepdims=True)) / root
