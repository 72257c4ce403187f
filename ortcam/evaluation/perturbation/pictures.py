"""Pictures whose pixels are removed, or inserted, in the order of a map.

They make the curves of V. Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of
Black-box Models", BMVC 2018, and of ROAD (:mod:`ortcam.evaluation.perturbation.imputation`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["BLUR", "blurred", "deleted", "first_pixels", "inserted", "pixel_order"]

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

BLUR = 0.05
"""The standard deviation of the blur, as a fraction of the picture's shorter side."""


def pixel_order(map: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.int64]:
    """The pixels of a map [H, W], as indices into the flat map, from highest to lowest.

    Ties are in random order. After its ReLU much of a map is zero, and in row order the upper part
    of the picture would always come first.

    Example:
        >>> pixel_order(np.array([[0.1, 0.3], [0.7, 0.2]]), np.random.default_rng(0)).tolist()
        [2, 1, 3, 0]
    """
    shuffled = random.permutation(map.size)
    order: NDArray[np.int64] = shuffled[np.argsort(-map.ravel()[shuffled], kind="stable")]
    return order


def first_pixels(order: NDArray[np.int64], share: float, grid: tuple[int, ...]) -> Mask:
    """The mask [H, W] of the first pixels in an order, a share of all."""
    mask = np.zeros(order.size, np.bool_)
    mask[order[: round(share * order.size)]] = True
    return mask.reshape(grid)


def deleted(picture: Picture, mask: Mask) -> Picture:
    """A picture [H, W, 3] whose pixels in the mask have its mean colour."""
    mean = np.rint(picture.mean(axis=(0, 1))).astype(np.uint8)
    return np.where(mask[..., None], mean, picture)


def inserted(picture: Picture, blurred: Picture, mask: Mask) -> Picture:
    """A blurred picture [H, W, 3] whose pixels in the mask are sharp."""
    return np.where(mask[..., None], picture, blurred)


def blurred(picture: Picture, share: float = BLUR) -> Picture:
    """A picture [H, W, 3] after a Gaussian blur (Pillow's, by three box filters).

    Args:
        picture: uint8.
        share: the standard deviation, as a fraction of the shorter side.
    """
    sigma = share * min(picture.shape[:2])
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))
