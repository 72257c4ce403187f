"""Colour maps without matplotlib, by matplotlib's names.

viridis, inferno and magma (S. van der Walt and N. Smith, CC0), turbo (A. Mikhailov, Google,
Apache-2.0) and coolwarm (K. Moreland, "Diverging Color Maps for Scientific Visualization", 2009)
are stored as colours at equal steps, linear between them: at most 1/255 from the originals. jet is
piecewise linear by definition; MATLAB's and OpenCV's have other corners.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import InputError, nearest

__all__ = ["COLORMAPS", "DEFAULT", "SIGNED", "apply", "apply_evenly", "share", "table"]

DEFAULT = "inferno"
"""Perceptually uniform, and legible with colour blindness."""

_TABLES = {
    "viridis": (
        "440154 470d60 48186a 482374 472d7b 453681 424086 3f4989 3b528b 375a8d 33638d "
        "2f6a8e 2c728e 297a8e 26818e 23898e 21908d 1f988b 1e9f88 21a685 27ae80 31b57b "
        "3dbc74 4cc26c 5cc963 6ece58 81d44c 96d840 abdc32 c0df24 d5e219 eae519 fde724"
    ),
    "inferno": (
        "000003 030312 0a0724 150b37 210c4a 2e0a5b 3c0965 4a0b6b 57106e 63146f 70196e "
        "7d1e6d 89226a 962766 a32b62 af315c bb3755 c63d4d d14545 db4f3c e45932 eb6528 "
        "f1711e f67f14 f98d09 fb9c05 fcab0f fbba1f f9ca32 f5d949 f2e865 f2f586 fcffa5"
    ),
    "magma": (
        "000003 030311 0a0822 130d33 1d1146 28125a 36106b 430f76 50127c 5d177f 691c81 "
        "762181 822682 8f2a81 9c2e7f a9327d b6377a c33b75 d04170 db486a e65063 ef5c5e "
        "f5695b f9785c fc8761 fd9668 fea571 feb47b fec387 fed194 fde0a1 fceeb0 fcfdbf"
    ),
    "coolwarm": (
        "3a4cc0 435acc 4d67d7 5775e1 6182ea 6c8ef1 779af6 82a5fb 8caffd 98b9fe a3c1fe "
        "adc9fc b8cff8 c2d4f3 cbd8ed d4dbe5 dcdcdc e4d8d1 ebd3c5 f0ccb9 f4c4ac f6bba0 "
        "f7b193 f6a587 f49a7a f08d6f eb7f63 e57057 dd604c d44f42 ca3d38 bf282e b30326"
    ),
    "turbo": (
        "31123c 3a2a74 4040a2 4556c7 476be4 477ff7 4393ff 37a8fb 29bbec 1ccdd8 17dcc3 "
        "1de8b0 30f299 4cf97e 6bfe63 8aff4c a3fd3c b8f734 cced34 dee037 edd03a f8c03a "
        "fdae35 fe982c fc8022 f56817 ec520e e14009 d23105 c12302 ac1701 950c01 7a0403"
    ),
}

_JET = {  # the corners' values, and the channel at each
    "red": ((0, 0.35, 0.66, 0.89, 1), (0, 0, 1, 1, 0.5)),
    "green": ((0, 0.125, 0.375, 0.64, 0.91, 1), (0, 0, 1, 1, 0, 0)),
    "blue": ((0, 0.11, 0.34, 0.65, 1), (0.5, 1, 1, 0, 0)),
}

COLORMAPS = (
    *("inferno", "jet", "jet-matlab", "jet-opencv"),
    *("magma", "turbo", "viridis", "coolwarm"),
)

SIGNED = frozenset({"coolwarm"})
"""Colour maps whose middle stands for 0, with one side for negative values."""


@functools.cache
def table(name: str) -> NDArray[np.uint8]:
    """The colours of a colour map, [256, 3] uint8 RGB, from the least value to the greatest.

    Raises:
        InputError: there is no such colour map.
    """
    channels: list[NDArray[np.floating]]
    if name == "jet":
        at = np.linspace(0, 1, 256)
        channels = [255 * np.interp(at, *corners) for corners in _JET.values()]
    elif name == "jet-matlab":  # jet(256): 4/256 a step, and 1 at the end of the first rise
        channels = [255 * (1.5 - abs(np.arange(4, 1028, 4) / 256 - c)) for c in (3, 2, 1)]
    elif name == "jet-opencv":  # COLORMAP_JET: 4/255 a step
        channels = [382.5 - abs(np.arange(0, 1024, 4) - 255 * c) for c in (3, 2, 1)]
        channels[2][159] = 1  # OpenCV's table rounds this half the other way
    elif name in _TABLES:
        knots = np.array([list(bytes.fromhex(color)) for color in _TABLES[name].split()])
        at = np.linspace(0, len(knots) - 1, 256)
        channels = [np.interp(at, np.arange(len(knots)), channel) for channel in knots.T]
    else:
        raise InputError(f"there is no colour map {name!r}{nearest(name, COLORMAPS)}")
    colors: NDArray[np.uint8] = np.rint(np.stack(channels, axis=1).clip(0, 255)).astype(np.uint8)
    colors.flags.writeable = False  # the cache shares it
    return colors


def apply(
    values: NDArray[np.float32], top: float, name: str = DEFAULT, *, low: float = 0.0
) -> NDArray[np.uint8]:
    """The colours of values from ``low`` to ``top``; values beyond take the colour of the end.

    Args:
        values: of any shape; NaN is coloured like 0.
        top: the value of the last colour; if it is not above ``low``, all take the first.
        name: one of :data:`COLORMAPS`.
        low: the value of the first colour; ``-top`` for a signed colour map.

    Returns:
        [..., 3] uint8, RGB.
    """
    at = np.rint(255 * share(values, top, low)).astype(np.uint8)
    colored: NDArray[np.uint8] = table(name)[at]
    return colored


def apply_evenly(
    values: NDArray[np.float32], top: float, name: str = DEFAULT, *, low: float = 0.0
) -> NDArray[np.uint8]:
    """Like :func:`apply`, but the first and last colours cover as much of the range as the others.

    MATLAB's imagesc and matplotlib's imshow do this; :func:`apply` gives the ends half as much.
    """
    at = np.minimum(256 * share(values, top, low), 255).astype(np.uint8)
    colored: NDArray[np.uint8] = table(name)[at]
    return colored


def share(values: NDArray[np.float32], top: float, low: float = 0.0) -> NDArray[np.float32]:
    """Values from ``low`` to ``top`` as 0 to 1, clipped; NaN like the value 0.

    If ``top`` is not above ``low``, all are 0.

    Example:
        >>> share(np.array([0, 1, 3], np.float32), 2).tolist()
        [0.0, 0.5, 1.0]
    """
    if not top > low:
        return np.zeros_like(values)
    # In float64: the reciprocal of a tiny top overflows float32.
    shares = (np.nan_to_num(values, nan=0.0) - np.float64(low)) / (np.float64(top) - low)
    return np.clip(shares, 0, 1).astype(np.float32)
