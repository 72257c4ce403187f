"""A region on the picture's grid, as weights of the score's cells.

Every cell of the score lies over a rectangle of the picture; its weight is the mean of the region
there, so that the fraction of a cell that the region covers is what it counts. One pixel never
vanishes, a region of all ones asks the same as no region at all, and the sum of the weights is the
region's sum times (cells / pixels).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam.errors import RegionError
from ortcam.pictures import read as pictures

if TYPE_CHECKING:
    pass


__all__ = ["Given", "read"]

Given: TypeAlias = "ArrayLike | str | os.PathLike[str]"
"""[H, W] or [classes, H, W], bool or weights of 0 or more; or a picture's path.

Of a volume [D, H, W] or [classes, D, H, W].
"""


def read(region: Given, grid: tuple[int, ...], classes: int | None) -> NDArray[np.float32]:
    """Checks a region.

    Args:
        region: [H, W] for all classes alike or [classes, H, W], bool or weights of 0 or more; or
            the path of a picture of the same size, which selects where it is not black.
        grid: the picture's (height, width), or the volume's (depth, height, width); the region
            has as many axes.
        classes: how many classes are asked about, None where nobody has said.

    Returns:
        [1 or classes, H, W], or [1 or classes, D, H, W].

    Raises:
        RegionError: it has another size, selects nothing, or holds what is no weight.
        PictureError: the path leads to no picture.
    """
    if isinstance(region, (str, os.PathLike)):
        if len(grid) != 2:
            raise RegionError(
                f"{region} is a picture, and a region of a volume is an array of its grid "
                f"{list(grid)} (depth, height, width)"
            )
        mask = pictures.read(region).max(axis=2) > 0
    else:
        mask = np.asarray(region)
    if mask.dtype.kind not in "buif":
        raise RegionError(f"a region is bool or numbers, and this is {mask.dtype}")
    planes = mask[None] if mask.ndim == len(grid) else mask
    allowed = {1} if classes is None else {1, classes}
    if planes.ndim != 1 + len(grid) or planes.shape[1:] != grid or len(planes) not in allowed:
        what, axes = "picture", "(height, width)"
        if len(grid) == 3:
            what, axes = "volume", "(depth, height, width)"
        each = f", or {[classes, *grid]}, one a class" if classes else ""
        raise RegionError(
            f"the region is {list(mask.shape)} and the {what} {list(grid)} {axes}; "
            f"a region is of the {what}'s size{each}"
        )
    weights: NDArray[np.float32] = planes.astype(np.float32)
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise RegionError("the region holds a weight that is negative or not finite")
    empty = [k for k, plane in enumerate(weights) if not plane.any()]
    if empty:
        which = f" of class {empty[0] + 1} of {len(weights)}" if len(weights) > 1 else ""
        raise RegionError(f"the region{which} is empty: it selects no pixel")
    return weights
