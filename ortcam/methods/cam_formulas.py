"""Class activation mapping: formulas from features and gradients to weights or to a map.

With A [C, *space] the features of one picture at a layer, y_k the score that question k asks about
and G [K, C, *space] the gradients dy_k/dA, each function is the formula of a paper. Some return a
weight for each channel, [K, C], and the map is then the sum over c of w_c A_c
(:func:`ortcam.methods.grad_cam.weighted_sums`); the others return the map [K, *space]. Every method
ends in a ReLU, which is applied later.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ablation_cam",
    "eigen_cam",
    "eigen_grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "hires_cam",
    "layer_cam",
    "score_cam",
    "seg_xres_cam",
    "xgrad_cam",
]

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

_TINY = 1e-6
"""Keeps the denominators of Grad-CAM++ and XGrad-CAM above 0; pytorch-grad-cam's constant."""


def hires_cam(features: Array, gradients: Array) -> Array:
    """HiResCAM: the sum over c of G_c A_c, place by place.

    R. Draelos and L. Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of
    convolutional neural networks", 2020, equation 4.
    """
    sums: Array = np.sum(gradients * features, axis=1)
    return sums


def grad_cam_plus_plus(features: Array, gradients: Array) -> Array:
    """Grad-CAM++: w_c = sum over space of a relu(G_c), a = G^2 / (2 G^2 + G^3 sum over space of A).

    A. Chattopadhay et al., "Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep
    Convolutional Networks", WACV 2018, equations 5 and 19, which assume that y is the exponential
    of the network's output.
    """
    total = features.sum(axis=_space(features, 1), keepdims=True)
    square = gradients**2
    share = square / (2 * square + square * gradients * total + _TINY)
    weights: Array = np.sum(np.maximum(gradients, 0) * share, axis=_space(gradients))
    return weights


def xgrad_cam(features: Array, gradients: Array) -> Array:
    """XGrad-CAM: w_c = sum over space of G_c A_c / sum over space of A_c.

    R. Fu et al., "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs",
    BMVC 2020, equation 8.
    """
    total = features.sum(axis=_space(features, 1), keepdims=True) + _TINY / 10
    weights: Array = np.sum(gradients * features / total, axis=_space(gradients))
    return weights


def layer_cam(features: Array, gradients: Array) -> Array:
    """Layer-CAM: the sum over c of relu(G_c) A_c, place by place.

    P. Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
    IEEE TIP 30, 2021, equations 5 and 6.
    """
    sums: Array = np.sum(np.maximum(gradients, 0) * features, axis=1)
    return sums


def eigen_cam(features: Array, sign: str = "dark") -> Array:
    """EigenCAM: A projected on its first principal component; [*space], the same for every class.

    M. Muhammad and M. Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN
    2020; after subtracting the mean over space, as pytorch-grad-cam does. The sign of a principal
    component is arbitrary: with ``"dark"`` a place without features is 0 or less, dark in the map,
    and with ``"svd"`` it is that of LAPACK's decomposition, as in pytorch-grad-cam.
    """
    return _principal(features, sign)


def eigen_grad_cam(features: Array, gradients: Array, sign: str = "dark") -> Array:
    """EigenGradCAM: G A, place by place, projected on its first principal component.

    From pytorch-grad-cam, after :func:`eigen_cam`, whose sign it takes: with ``"dark"`` a place
    without features or gradients is 0 or less.
    """
    return np.stack([_principal(g * features, sign) for g in gradients])


def seg_xres_cam(
    features: Array, gradients: Array, block: int = 2, pool: str = "max", blocks: str = "cut"
) -> Array:
    """Seg-XRes-CAM: the sum over c of G'_c A_c with G' the gradients pooled over blocks.

    S. Hasany et al., "Seg-XRes-CAM: Explaining Spatially Local Regions in Image Segmentation",
    CVPR Workshops 2023: each block x block of places gets its maximum (``"max"``) or its mean
    (``"mean"``). A block of 1 is HiResCAM, the mean over one block as large as the layer is
    Grad-CAM.

    Blocks that do not divide the layer are cut off at the far edges (``"cut"``). The authors' code
    fills the last blocks up with zeros and stretches all of them over the layer (``"stretched"``),
    so that a place may get the value of a block that it does not lie in.
    """
    pooled = {"cut": _cut_blocks, "stretched": _stretched_blocks}[blocks](gradients, block, pool)
    return hires_cam(features, pooled)


def _cut_blocks(gradients: Array, block: int, pool: str) -> Array:
    over = {"max": np.maximum, "mean": np.add}[pool]
    pooled = gradients.astype(np.float32)
    for axis in _space(gradients):
        starts = np.arange(0, gradients.shape[axis], block)
        counts = np.diff(np.append(starts, gradients.shape[axis]))
        pooled = over.reduceat(pooled, starts, axis=axis)
        if pool == "mean":
            pooled /= counts.reshape([-1] + [1] * (gradients.ndim - 1 - axis))
        pooled = np.repeat(pooled, counts, axis=axis)
    return pooled


def _stretched_blocks(gradients: Array, block: int, pool: str) -> Array:
    pooled = gradients.astype(np.float32)
    for axis in _space(gradients):
        extent = gradients.shape[axis]
        count = -(-extent // block)
        after = [(0, count * block - extent if a == axis else 0) for a in range(gradients.ndim)]
        shape = (*pooled.shape[:axis], count, block, *pooled.shape[axis + 1 :])
        parts = np.pad(pooled, after).reshape(shape)
        pooled = parts.max(axis + 1) if pool == "max" else parts.mean(axis + 1)
        nearest = (2 * np.arange(extent) + 1) * count // (2 * extent)
        pooled = pooled.take(nearest, axis)
    return pooled


def score_cam(values: Doubles, nothing: Doubles, weights: str) -> Array:
    """Score-CAM's w_c = y_c - y_0: y through channel c alone, less y of an empty picture.

    H. Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", CVPR Workshops 2020, definitions 3 and 4; with ``"softmax"`` over the channels as in
    algorithm 1, which suits a score of about 1 but not a sum over many pixels.

    Args:
        values: y [K, C].
        nothing: y_0 [K].
        weights: ``"increase"`` or ``"softmax"``.
    """
    increase = values - nothing[:, None]
    if weights == "softmax":
        exponential = np.exp(increase - increase.max(axis=1, keepdims=True))
        increase = exponential / exponential.sum(axis=1, keepdims=True)
    return increase.astype(np.float32)


def ablation_cam(values: Doubles, drops: Array, divisor: str = "magnitude") -> Array:
    """Ablation-CAM's w_c = (y - y without channel c) / |y|.

    S. Desai and H. Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via
    Gradient-free Localization", WACV 2020, equations 1 and 2, for y above 0. For a y below 0, such
    as a difference of classes, the divisor is |y| (``"magnitude"``), so that a channel in favour
    still has a weight above 0; pytorch-grad-cam divides by y (``"score"``). If y is 0, the drops
    are not divided.

    Args:
        values: y [K, N].
        drops: y less y without a channel, [K, C, N].
        divisor: ``"magnitude"`` or ``"score"``.
    """
    size = (np.abs(values) if divisor == "magnitude" else values)[:, None]
    return (drops / np.where(size != 0, size, 1)).astype(np.float32)


def gradient(attributions: NDArray[Any], channels: str, sign: str) -> Array:
    """The map [K, *space] of gradients, or other attributions, [K, C, *space] of the input.

    Each value counts by its :func:`part`; the channels of a pixel are reduced to their ``"max"`` or
    ``"sum"``.
    """
    parts = part(attributions, sign)
    reduced: Array = parts.max(axis=1) if channels == "max" else parts.sum(axis=1)
    return reduced.astype(np.float32, copy=False)


def part(attributions: NDArray[Any], sign: str) -> NDArray[Any]:
    """The ``"absolute"`` values, or the ``"positive"`` or ``"negative"`` parts, all 0 or more."""
    signed = -attributions if sign == "negative" else attributions
    parts: NDArray[Any] = np.abs(signed) if sign == "absolute" else np.maximum(signed, 0)
    return parts


def _space(values: Array, first: int = 2) -> tuple[int, ...]:
    """The axes of space, which are the last ones."""
    return tuple(range(first, values.ndim))


def _principal(values: Array, sign: str) -> Array:
    """[C, *space] less its mean over space, projected on its first right singular vector."""
    total = values.sum(axis=0)
    if not np.isfinite(total).all():
        return np.full_like(total, np.nan)
    if sign == "svd":  # float32, since the sign depends on the decomposition's own steps
        cells = values.reshape(len(values), -1).T.astype(np.float32)
        cells = cells - cells.mean(axis=0)
        component = np.linalg.svd(cells, full_matrices=False)[2][0]
        projected: Array = cells @ component
        return projected.reshape(total.shape)
    cells = values.reshape(len(values), -1).T.astype(np.float64)
    mean = cells.mean(axis=0)
    cells -= mean
    if len(cells) < len(values):  # the smaller product has the same nonzero eigenvalues
        squares, vectors = np.linalg.eigh(cells @ cells.T)
        projection = vectors[:, -1] * np.sqrt(max(squares[-1], 0))
    else:
        projection = cells @ np.linalg.eigh(cells.T @ cells)[1][:, -1]
    # A place of zeros projects to -mean @ component; this has the sign of mean @ component.
    agreement = (cells @ mean) @ projection
    signed: Array = (projection if agreement >= 0 else -projection).astype(np.float32)
    return signed.reshape(total.shape)
