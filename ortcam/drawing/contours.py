"""Outlines of masks over a picture: a light line with a dark edge, to be seen on any ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Color
from ortcam.grids.morphology import border

__all__ = ["ASKED", "EDGE", "MEANINGS", "PREDICTED", "Outline", "draw"]

PREDICTED: Color = (255, 255, 255)
"""The line around what is predicted as the class."""

ASKED: Color = (80, 255, 255)
"""The line around what is asked about."""

MEANINGS = {
    PREDICTED: "around what is predicted as the class",
    ASKED: "around what is asked about",
}
"""The colours of outlines, and what a figure says of each."""

EDGE: Color = (20, 20, 30)
"""The dark line outside either."""

_FINE = 450  # a line is as wide as one in so many of the picture's mean extent

Outline = tuple[NDArray[np.bool_], Color]
"""A mask [H, W] and the colour of its outline."""


def draw(picture: NDArray[np.uint8], outlines: Sequence[Outline]) -> NDArray[np.uint8]:
    """Draws outlines, the later over the earlier.

    Along the boundary of each mask, between pixels: light within, dark without. Where a mask runs
    over the picture's edge there is no line. One as small as the line's width gets a ring around
    it.

    Args:
        picture: [H, W, 3] uint8.
        outlines: the masks are of the picture's size.

    Returns:
        Another picture.
    """
    drawn = picture.copy()
    width = max(1, round((picture.shape[0] * picture.shape[1]) ** 0.5 / _FINE))
    for mask, color in outlines:
        shape = _ringed(mask, width)
        drawn[border(~shape, width)] = EDGE
        drawn[border(shape, width)] = color
    return drawn


def _ringed(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """A mask that is too small for a line within it, grown until there is one around it."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows) or max(np.ptp(rows), np.ptp(columns)) >= 4 * width:
        return mask
    return mask | border(~mask, 3 * width)
