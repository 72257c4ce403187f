"""Methods of class activation mapping: from features and gradients to a map.

With A [C, *space] the features of one picture at a layer, y_k the score that question k asks about
and G [K, C, *space] the gradients dy_k/dA, each function is the formula of a paper. It returns
[K, *space] before the ReLU that ends every one of them, so that what lies below 0 is not lost to
who asks for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ablation_cam",
    "eigen_cam",
    "eigen_grad_cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "layer_cam",
    "score_cam",
    "seg_xres_cam",
    "weighted_sums",
    "xgrad_cam",
]

Array = NDArray[np.float32]

_TINY = 1e-6
"""Keeps denominators from 0 in Grad-CAM++ and XGrad-CAM: the constants of pytorch-grad-cam."""


def weighted_sums(features: NDArray[Any], weights: NDArray[Any]) -> Array:
    """The sum over c of w_c A_c, in float32.

    Args:
        features: [C, *space].
        weights: [K, C].
    """
    # NaN and infinity are looked for in the result, where why_blank tells of them.
    with np.errstate(invalid="ignore", over="ignore"):
        sums: Array = np.tensordot(
            weights.astype(np.float32), features.astype(np.float32), axes=1
        )
    return sums


def grad_cam(features: Array, gradients: Array) -> Array:
    """Grad-CAM: w_c = mean over space of G_c; the map is the sum of w_c A_c.

    R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017, equations 1 and 2.
    """
    return weighted_sums(features, gradients.mean(axis=_space(gradients)))


def hires_cam(features: Array, gradients: Array) -> Array:
    """HiResCAM: the sum over c of G_c A_c, place by place.

    R. Draelos and L. Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of
    convolutional neural networks", 2020, equation 4.
    """
    return (gradients * features).sum(axis=1)


def grad_cam_plus_plus(features: Array, gradients: Array) -> Array:
    """Grad-CAM++: w_c = sum over space of a relu(G_c), a = G^2 / (2 G^2 + G^3 sum over space of A).

    A. Chattopadhay et al., "Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep
    Convolutional Networks", WACV 2018, equations 5 and 19, which hold for y an exponential of what
    the network computes.
    """
    total = features.sum(axis=_space(features, 1), keepdims=True)
    square = gradients**2
    share = square / (2 * square + square * gradients * total + _TINY)
    return weighted_sums(features, (np.maximum(gradients, 0) * share).sum(axis=_space(gradients)))


def xgrad_cam(features: Array, gradients: Array) -> Array:
    """XGrad-CAM: w_c = sum over space of G_c A_c / sum over space of A_c.

    R. Fu et al., "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs",
    BMVC 2020, equation 8.
    """
    total = features.sum(axis=_space(features, 1), keepdims=True) + _TINY / 10
    return weighted_sums(features, (gradients * features / total).sum(axis=_space(gradients)))


def layer_cam(features: Array, gradients: Array) -> Array:
    """Layer-CAM: the sum over c of relu(G_c) A_c, place by place.

    P. Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
    IEEE TIP 30, 2021, equations 5 and 6.
    """
    return (np.maximum(gradients, 0) * features).sum(axis=1)


def eigen_cam(features: Array) -> Array:
    """EigenCAM: A projected on its first principal component; [*space], the same for every class.

    M. Muhammad and M. Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN
    2020; with the mean over space taken off first, as pytorch-grad-cam does. A principal
    component has no sign of its own: it gets the one with which the projection grows with the sum
    of the features.
    """
    return _principal(features)


def eigen_grad_cam(features: Array, gradients: Array) -> Array:
    """EigenGradCAM: G A, place by place, projected on its first principal component.

    By pytorch-grad-cam, after :func:`eigen_cam`; the sign is the one with which the projection
    grows with HiResCAM's map.
    """
    return np.stack([_principal(g * features) for g in gradients])


def seg_xres_cam(features: Array, gradients: Array, block: int = 2, pool: str = "max") -> Array:
    """Seg-XRes-CAM: the sum over c of G'_c A_c with G' the gradients pooled over blocks.

    S. Hasany et al., "Seg-XRes-CAM: Explaining Spatially Local Regions in Image Segmentation",
    CVPR Workshops 2023: each block x block of places gets its maximum (``"max"``) or its mean
    (``"mean"``); blocks at the far edges are cut off there. A block of 1 is HiResCAM, the mean
    over one block as large as the layer is Grad-CAM.
    """
    over = {"max": np.maximum, "mean": np.add}[pool]
    pooled = gradients.astype(np.float32)
    for axis in _space(gradients):
        starts = np.arange(0, gradients.shape[axis], block)
        counts = np.diff(np.append(starts, gradients.shape[axis]))
        pooled = over.reduceat(pooled, starts, axis=axis)
        if pool == "mean":
            pooled /= counts.reshape([-1] + [1] * (gradients.ndim - 1 - axis))
        pooled = np.repeat(pooled, counts, axis=axis)
    return hires_cam(features, pooled)


def score_cam(features: Array, scores: Array) -> Array:
    """Score-CAM: w = softmax over c of the score that the picture, masked by A_c, still gets.

    H. Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", CVPR Workshops 2020, equations 4 and 5.

    Args:
        features: [C, *space].
        scores: [K, C], y_k of the input times A_c, brought to the input's grid and to 0 to 1.
    """
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weighted_sums(features, e / e.sum(axis=1, keepdims=True))


def ablation_cam(features: Array, score: Array, without: Array) -> Array:
    """Ablation-CAM: w_c = (y - y without A_c) / y.

    S. Desai and H. Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via
    Gradient-free Localization", WACV 2020, equation 3.

    Args:
        features: [C, *space].
        score: [K], y.
        without: [K, C], y with A_c set to 0.
    """
    return weighted_sums(features, (score[:, None] - without) / score[:, None])


def _space(values: Array, first: int = 2) -> tuple[int, ...]:
    """The axes of space, which come last."""
    return tuple(range(first, values.ndim))


def _principal(values: Array) -> Array:
    """[C, *space] less its mean over space, projected on its first right singular vector."""
    total = values.sum(axis=0)
    cells = values.reshape(len(values), -1).T.astype(np.float64)
    cells -= cells.mean(axis=0)
    _, vectors = np.linalg.eigh(cells.T @ cells)
    projection = (cells @ vectors[:, -1]).reshape(total.shape)
    agreement = np.sum(projection * (total - total.mean()))
    return (projection if agreement >= 0 else -projection).astype(np.float32)
