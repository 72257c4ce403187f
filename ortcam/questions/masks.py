"""A region given as an array or a picture: read, checked, as weights on the picture's grid."""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam.errors import RegionError
from ortcam.pictures.read import read as read_picture

__all__ = ["Given", "read"]

Given: TypeAlias = "ArrayLike | str | os.PathLike[str]"
"""[H, W] or [classes, H, W], bool or weights of at least 0; or a picture's path.

For a volume [D, H, W] or [classes, D, H, W].
"""


def read(region: Given, grid: tuple[int, ...], classes: int | None) -> NDArray[np.float32]:
    """Return a region as weights.

    Args:
        region: [H, W] for all classes alike or [classes, H, W], bool or weights of at least 0; or
            the path of a picture of the same size, which selects the pixels that are not black.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        classes: the number of classes asked about; None if not yet known.

    Returns:
        [1 or classes, H, W], or [1 or classes, D, H, W].

    Raises:
        RegionError: it has another size, selects nothing, or holds invalid weights.
        PictureError: the path leads to no picture.
    """
    if isinstance(region, (str, os.PathLike)):
        if len(grid) != 2:
            raise RegionError(
                f"{region} is a picture; the region of a volume must be an array "
                f"{list(grid)} (depth, height, width)"
            )
        mask = read_picture(region).max(axis=2) > 0
    else:
        mask = np.asarray(region)
    if mask.dtype.kind not in "buif":
        raise RegionError(f"a region must be bool or numbers, got {mask.dtype}")
    planes = mask[None] if mask.ndim == len(grid) else mask
    allowed = {1} if classes is None else {1, classes}
    if planes.ndim != 1 + len(grid) or planes.shape[1:] != grid or len(planes) not in allowed:
        what, axes = "picture", "(height, width)"
        if len(grid) == 3:
            what, axes = "volume", "(depth, height, width)"
        each = f", or {[classes, *grid]} for one a class" if classes else ""
        raise RegionError(
            f"the region is {list(mask.shape)} and the {what} {list(grid)} {axes}; "
            f"give a region of the {what}'s size{each}"
        )
    weights: NDArray[np.float32] = planes.astype(np.float32)
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise RegionError("the region holds a weight that is negative or not finite")
    empty = [k for k, plane in enumerate(weights) if not plane.any()]
    if empty:
        which = f" of class {empty[0] + 1} of {len(weights)}" if len(weights) > 1 else ""
        raise RegionError(f"the region{which} is empty: it selects no pixel")
    return weights
