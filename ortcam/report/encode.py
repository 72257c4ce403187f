"""Pictures and maps as text that a page holds."""

from __future__ import annotations

import base64
import zlib
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.drawing import colormap as colormaps

__all__ = ["coded", "levels", "packed", "picture_url"]

_QUALITY = 90  # of JPEG


def picture_url(rgb: NDArray[np.uint8]) -> str:
    """A picture as a ``data:`` URL: a PNG, or a JPEG of quality 90 where that is smaller.

    Args:
        rgb: [H, W, 3] uint8.
    """
    image = Image.fromarray(rgb)
    kinds: list[tuple[str, dict[str, int | bool]]] = [
        ("png", {"optimize": True}),
        ("jpeg", {"quality": _QUALITY, "optimize": True, "subsampling": 0}),
    ]
    encoded = []
    for kind, options in kinds:
        buffer = BytesIO()
        image.save(buffer, kind, **options)
        encoded.append((buffer.tell(), kind, buffer.getvalue()))
    _, kind, data = min(encoded)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def levels(plane: NDArray[np.float32], top: float, low: float = 0.0) -> NDArray[np.uint8]:
    """Values of ``low`` to ``top`` as 0 to 255, rounded; what is not a number as 0."""
    return np.rint(255 * colormaps.share(plane, top, low)).astype(np.uint8)


def coded(labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Numbers of 0 to 65535, [H, W], as [2 H, W]: all their low bytes, then all their high ones."""
    return np.concatenate([labels & 255, labels >> 8]).astype(np.uint8)


def packed(plane: NDArray[np.uint8]) -> str:
    """A plane as text: second differences, deflated, in base64.

    What is smooth differs little from the plane through its neighbours: of p[y, x] there is left
    p[y, x] - p[y - 1, x] - p[y, x - 1] + p[y - 1, x - 1], modulo 256. Sums along both axes undo
    it. No picture format is used, as browsers may alter what a script reads back from a picture
    to keep people from being told apart by it.

    Args:
        plane: [H, W] uint8.
    """
    differences = plane.copy()
    differences[1:] -= plane[:-1]
    differences[:, 1:] -= differences[:, :-1].copy()
    return base64.b64encode(zlib.compress(differences.tobytes())).decode()
