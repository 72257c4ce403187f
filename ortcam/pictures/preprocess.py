"""Preprocessing: from a picture to the network's input.

The picture is resized to the working size by Pillow's bilinear filter, which works on 8-bit pixels
and averages where it shrinks (antialiasing). The aspect ratio is not kept, so that the working size
covers the whole picture. Then ``x = (pixel * scale - mean) / std``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import Preprocessing
from ortcam.errors import InputError
from ortcam.messages import Option

__all__ = ["Size", "constant", "to_array", "working_size"]

Size = tuple[int, int] | str | None
"""(width, height), ``"native"`` for the picture's own, None for the artifact's working size."""


def working_size(
    picture: tuple[int, int],
    preprocessing: Preprocessing,
    size: Size = None,
    fixed: tuple[int | None, int | None] = (None, None),
) -> tuple[int, int]:
    """The (width, height) to which a picture is resized.

    Args:
        picture: the picture's (width, height).
        preprocessing: its working size is the default; sizes are rounded to the nearest multiple of
            its divisor, at least one.
        size: the requested size.
        fixed: the width and height of an input of fixed size, None where it is dynamic; they take
            precedence over the artifact's working size and over ``"native"``.

    Raises:
        InputError: the size is invalid, not that of a fixed input, or beyond Pillow's limit.

    Example:
        >>> working_size((100, 75), Preprocessing(divisor=32))
        (96, 64)
    """
    requested = _requested(size)
    if requested is not None and any(
        f not in (None, r) for f, r in zip(fixed, requested, strict=True)
    ):
        input_size = "x".join("any" if f is None else str(f) for f in fixed)
        raise InputError(
            f"size {requested[0]}x{requested[1]} does not fit: the network's input is fixed at "
            f"{input_size}"
        )
    base = requested or (picture if size == "native" else preprocessing.size or picture)
    width, height = (
        f if f is not None else _rounded(w, preprocessing.divisor)
        for f, w in zip(fixed, base, strict=True)
    )
    if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise InputError(
            f"the working size {width}x{height} exceeds Pillow's limit of "
            f"{Image.MAX_IMAGE_PIXELS} pixels; choose a smaller ",
            Option("size"),
        )
    return width, height


def to_array(
    rgb: NDArray[np.uint8],
    preprocessing: Preprocessing,
    size: tuple[int, int],
    dtype: type[np.generic] = np.float32,
) -> NDArray[Any]:
    """Return the network's input for one picture.

    Args:
        rgb: [H, W, 3] uint8.
        preprocessing: colour order, scale, mean, std and layout.
        size: the working size, (width, height).
        dtype: the type of the network's input; for integers, values are rounded and clipped.

    Returns:
        [1, channels, height, width] or [1, height, width, channels].

    Example:
        >>> to_array(np.zeros((4, 6, 3), np.uint8), Preprocessing(mean=(0.5,) * 3), (3, 2)).shape
        (1, 3, 2, 3)
    """
    image = Image.fromarray(rgb)
    if preprocessing.color_order == "L":
        image = image.convert("L")  # ITU-R 601 luma
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.atleast_3d(np.asarray(image, np.float32))
    if preprocessing.color_order == "BGR":
        pixels = pixels[..., ::-1]
    mean, std = (np.array(v, np.float32) for v in (preprocessing.mean, preprocessing.std))
    x = (pixels * np.float32(preprocessing.scale) - mean) / std
    if np.issubdtype(dtype, np.integer):
        ends = np.iinfo(dtype)  # type: ignore[type-var]
        x = np.clip(np.rint(x), ends.min, ends.max)
    x = x[None] if preprocessing.layout == "NHWC" else x.transpose(2, 0, 1)[None]
    return np.ascontiguousarray(x, dtype=dtype)


def constant(preprocessing: Preprocessing, value: int) -> NDArray[np.float64]:
    """The network's input for a picture whose pixels all have one value, from 0 to 255.

    Returns:
        One number a channel, [channels], or [channels, 1, 1] if the channels come first.
    """
    mean, std = (np.array(v, np.float64) for v in (preprocessing.mean, preprocessing.std))
    x: NDArray[np.float64] = (value * preprocessing.scale - mean) / std
    return x if preprocessing.layout == "NHWC" else x[:, None, None]


def _requested(size: Size) -> tuple[int, int] | None:
    if size is None or size == "native":
        return None
    try:
        extents: Iterable[Any] = size
        width, height = map(operator.index, extents)
    except (TypeError, ValueError):
        width = height = 0
    if min(width, height) < 1:
        raise InputError(f"size must be (width, height), 'native' or None, got {size!r}")
    return width, height


def _rounded(extent: int, divisor: int) -> int:
    return max(1, int(extent / divisor + 0.5)) * divisor
