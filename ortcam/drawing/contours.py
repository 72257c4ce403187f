"""Outlines of masks over a picture: a light line with a dark edge, visible on any background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Color
from ortcam.grids.morphology import border

__all__ = ["ASKED", "EDGE", "MEANINGS", "PREDICTED", "Outline", "draw"]

PREDICTED: Color = (255, 255, 255)
"""The colour of the outline of the pixels predicted as the class."""

ASKED: Color = (80, 255, 255)
"""The colour of the outline of the region asked about."""

MEANINGS = {
    PREDICTED: "pixels predicted as the class",
    ASKED: "region asked about",
}
"""The colours of outlines, and their meanings in figures."""

EDGE: Color = (20, 20, 30)
"""The colour of the dark line outside either."""

_FINE = 450  # the picture's mean side is so many times as long as a line is wide

Outline = tuple[NDArray[np.bool_], Color]
"""A mask [H, W] and the colour of its outline."""


def draw(picture: NDArray[np.uint8], outlines: Sequence[Outline]) -> NDArray[np.uint8]:
    """A copy of the picture with outlines, the later over the earlier.

    Each follows the boundary of its mask, between pixels: light inside, dark outside. There is no
    line where a mask meets the edge of the picture. A mask as small as the line's width gets a
    ring around it.

    Args:
        picture: [H, W, 3] uint8.
        outlines: masks of the picture's size.
    """
    drawn = picture.copy()
    width = max(1, round((picture.shape[0] * picture.shape[1]) ** 0.5 / _FINE))
    for mask, color in outlines:
        shape = _ringed(mask, width)
        drawn[border(~shape, width)] = EDGE
        drawn[border(shape, width)] = color
    return drawn


def _ringed(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The mask, or if it is too small for a line inside it, the mask grown to a ring around it."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows) or max(np.ptp(rows), np.ptp(columns)) >= 4 * width:
        return mask
    return mask | border(~mask, 3 * width)
