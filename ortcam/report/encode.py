"""Pictures and maps as text for a page."""

from __future__ import annotations

import base64
import zlib
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.drawing.colormap import share

__all__ = ["label_bytes", "levels", "pack", "picture_url"]

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
    files = []
    for kind, options in kinds:
        buffer = BytesIO()
        image.save(buffer, kind, **options)
        files.append((buffer.tell(), kind, buffer.getvalue()))
    _, kind, data = min(files)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def levels(plane: NDArray[np.float32], top: float, low: float = 0.0) -> NDArray[np.uint8]:
    """Values from ``low`` to ``top`` as 0 to 255, rounded; NaN like the value 0."""
    return np.rint(255 * share(plane, top, low)).astype(np.uint8)


def label_bytes(labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Labels from 0 to 65535, [H, W], as [2 H, W]: all their low bytes, then all high bytes."""
    return np.concatenate([labels & 255, labels >> 8]).astype(np.uint8)


def pack(plane: NDArray[np.uint8]) -> str:
    """A plane as text: second differences, deflated, in base64.

    Each value becomes p[y, x] - p[y - 1, x] - p[y, x - 1] + p[y - 1, x - 1], modulo 256, which is
    small where the plane is smooth. Sums along both axes undo it. A picture format would not do:
    browsers may alter the pixels that a script reads back, against fingerprinting.

    Args:
        plane: [H, W] uint8.
    """
    differences = plane.copy()
    differences[1:] -= plane[:-1]
    differences[:, 1:] -= differences[:, :-1].copy()
    return base64.b64encode(zlib.compress(differences.tobytes())).decode()
