"""Pictures with their pixels taken away, or put in, in the order of a map.

The curves of V. Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box
Models", BMVC 2018, and of ROAD (:mod:`ortcam.evaluation.perturbation.imputation`) are of what a
network says of these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["blurred", "deleted", "first", "inserted", "order"]

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

BLUR = 0.05
"""The blur's standard deviation, as a share of the picture's shorter side."""


def order(map: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.int64]:
    """The pixels of a map [H, W], as places in the flat map, from the highest to the lowest.

    Ties are in random order: after its ReLU much of a map is 0, and row by row the picture's upper
    part would always go first.
    """
    shuffled = random.permutation(map.size)
    places: NDArray[np.int64] = shuffled[np.argsort(-map.ravel()[shuffled], kind="stable")]
    return places


def first(places: NDArray[np.int64], share: float, grid: tuple[int, ...]) -> Mask:
    """The mask [H, W] of the first pixels in an order, so large a share of all."""
    mask = np.zeros(places.size, np.bool_)
    mask[places[: round(share * places.size)]] = True
    return mask.reshape(grid)


def deleted(picture: Picture, gone: Mask) -> Picture:
    """A picture [H, W, 3] with some pixels of its mean colour."""
    mean = np.rint(picture.mean(axis=(0, 1))).astype(np.uint8)
    return np.where(gone[..., None], mean, picture)


def inserted(picture: Picture, blurred: Picture, there: Mask) -> Picture:
    """A blurred picture [H, W, 3] with some pixels as they are."""
    return np.where(there[..., None], picture, blurred)


def blurred(picture: Picture, share: float = BLUR) -> Picture:
    """A picture [H, W, 3] after a Gaussian blur (Pillow's, by three boxes).

    Args:
        picture: uint8.
        share: the standard deviation, as a share of the shorter side.
    """
    sigma = share * min(picture.shape[:2])
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))
