"""Label colours: a palette for classes that come without, and legends."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Color

__all__ = ["Legend", "distinct_colors"]


class Legend(NamedTuple):
    """The names of classes, from top to bottom, and the colour of each."""

    names: tuple[str, ...]
    colors: tuple[Color, ...]


_STEPS = np.rint(np.linspace(15, 245, 12))

_MOST = 256

_LIGHTNESS = (0.42, 0.88)  # dark enough for white paper, and light enough for a picture


def distinct_colors(count: int) -> tuple[Color, ...]:
    """Colours as unlike each other as possible; the first ones are the same for any count.

    Each is the colour, out of a thousand, that is farthest from all before it in Oklab
    (B. Ottosson, "A perceptual color space for image processing", 2020).

    Returns:
        ``count`` colours (red, green, blue) from 0 to 255; after 256 they repeat.

    Example:
        >>> distinct_colors(2) == distinct_colors(3)[:2]
        True
    """
    order = _order()
    return tuple(order[i % len(order)] for i in range(count))


@functools.cache
def _order() -> tuple[Color, ...]:
    colors = np.stack(np.meshgrid(_STEPS, _STEPS, _STEPS, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _oklab(colors)
    visible = (lab[:, 0] > _LIGHTNESS[0]) & (lab[:, 0] < _LIGHTNESS[1])
    colors, lab = colors[visible], lab[visible]
    # The most colourful comes first, then the farthest from all before it.
    order = [int(np.hypot(lab[:, 1], lab[:, 2]).argmax())]
    distance = np.full(len(lab), np.inf)
    while len(order) < _MOST:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[order[-1]], axis=1))
        order.append(int(distance.argmax()))
    return tuple((int(r), int(g), int(b)) for r, g, b in colors[order])


def _oklab(colors: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3] sRGB from 0 to 255 as [n, 3] lightness, green to red, blue to yellow."""
    share = colors / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    lab: NDArray[np.float64] = np.cbrt(linear @ to_cones.T) @ to_lab.T
    return lab
