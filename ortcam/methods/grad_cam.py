"""Grad-CAM's arithmetic, from features and weights to a map.

R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, equations 1 and 2: alpha_k is the spatial mean of dy/dA_k, and the map
is ReLU(sum over k of alpha_k A_k). Other methods: :mod:`ortcam.methods.cam_formulas`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rectified", "weighted_sums", "why_blank"]

_FEW = 8
"""Up to so many classes are summed by one thread, since the threads of NumPy's BLAS wait for cores
on which those of onnxruntime still spin. After a run on two cores, 2 classes of 128 channels of
90 x 120 cells take 1 ms on one thread and 1 to 15 ms by BLAS; 11 classes take 3 ms and 1 to 14."""


def weighted_sums(features: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float32]:
    """The sum over k of alpha_k A_k, before the ReLU.

    Args:
        features: [C, h, w], or [C, d, h, w] of a volume or of frames, the activations A of one
            picture.
        weights: [classes, C], the alphas; or [classes, d, C], those of each frame.

    Returns:
        [classes, h, w], or [classes, d, h, w].

    Example:
        >>> features = np.ones((2, 1, 3))
        >>> weighted_sums(features, np.array([[1.0, -3.0]])).tolist()
        [[[-2.0, -2.0, -2.0]]]
    """
    a = features.astype(np.float32, copy=False)
    alphas = weights.astype(np.float32, copy=False)
    # NaN and infinity are looked for in the result, and explained by why_blank.
    with np.errstate(invalid="ignore", over="ignore"):
        if alphas.ndim == 2 and len(alphas) > _FEW:
            return np.tensordot(alphas, a, axes=1)
        axes = "kc,c...->k..." if alphas.ndim == 2 else "ktc,ct...->kt..."
        sums: NDArray[np.float32] = np.einsum(axes, alphas, a)
    return sums


def rectified(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maps: the sums after their ReLU, not rescaled.

    Example:
        >>> rectified(np.float32([-1, 2])).tolist()
        [0.0, 2.0]
    """
    return np.maximum(sums, 0)


def why_blank(
    features: NDArray[Any] | None,
    weights: NDArray[Any] | None,
    sums: NDArray[np.float32],
    gradients: NDArray[Any] | None = None,
) -> str | None:
    """Return the reason why a map is blank.

    Args:
        features: [C, h, w] or [C, d, h, w]; None for a method about the picture itself.
        weights: the class's weights, [C] or [d, C]; None for a method without channel weights.
        sums: the class's map before its ReLU, [h, w] or [d, h, w].
        gradients: the largest gradient of each channel, [C]; None if unknown.

    Returns:
        The end of a sentence that begins "the map is ..."; None if the map is not blank.
    """
    slopes = weights if gradients is None else gradients
    if not np.isfinite(sums).all():
        if features is not None and not np.isfinite(features).all():
            return "not a number in places: the features are not finite"
        if slopes is not None and not np.isfinite(slopes).all():
            return "not a number: the gradient is not finite"
        return "not a number in places: the sums overflow float32"
    if sums.max() > 0:
        return None
    if features is not None and not features.any():
        return "all zero: the features are all zero"
    if slopes is not None and not slopes.any():
        what = "weight" if gradients is None else "gradient"
        return f"all zero: every {what} is zero, so the score does not depend on the layer"
    if weights is not None and not weights.any():
        return "all zero: every weight is zero, though not every gradient"
    if sums.any():
        return "all zero: every sum is negative before the ReLU"
    return "all zero: every sum is zero before the ReLU"
