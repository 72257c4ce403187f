"""Nasty names, a smooth picture, and readers of a page, which the tests of reports share."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = (
    "<script>window.pwned = 1</script>",
    '"><img src=x onerror="window.pwned = 1">',
    "</script><!-- & 'Car'",
    "Tree",
)
COLORS = ((128, 128, 128), (128, 64, 128), (64, 0, 128), (128, 128, 0))
TITLE = "</title><script>window.pwned = 1</script>"
PICTURES = ("first <b>.png", '"second" & last.png')


def waves(width: int, height: int, shift: float = 0.0) -> NDArray[np.uint8]:
    """A smooth picture."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [np.sin(x / 15 + c + shift) * np.cos(y / 11 - c) for c in range(3)]
    return np.asarray(np.rint(127 + 120 * np.stack(channels, axis=-1)), np.uint8)


class Read(HTMLParser):
    """The tags, attributes and text of a page, as Python's own parser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def blocks(path: Path) -> list[dict[str, Any]]:
    """The data of each picture."""
    html = path.read_text(encoding="utf-8")
    texts = re.findall(r'<script type="application/json" class="data">(.*?)</script>', html)
    return [json.loads(text) for text in texts]


def plane(text: str, width: int) -> NDArray[Any]:
    """A plane of the data, unpacked; see :func:`ortcam.report.encode.pack`."""
    differences = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    sums = differences.reshape(-1, width).astype(np.int64)
    return sums.cumsum(axis=0).cumsum(axis=1) % 256
