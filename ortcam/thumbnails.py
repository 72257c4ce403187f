"""Pages of small pictures with a few words below each, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ortcam.figure import cut, place, plain, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Thumbnail", "thumbnail_pages"]

_DPI = 150
_WIDTH = 2.4  # of a thumbnail, in inches
_HIGHEST = 3.2
_GAP = 0.14
_TITLE = 0.2  # the height of a title
_LINE = 0.135  # the height of a line below a thumbnail
_HEADING = 0.42
_LETTERS = 37
_WIDE = 1.5  # a page is so many times as wide as high, about


@dataclass(frozen=True, eq=False, kw_only=True)
class Thumbnail:
    """A small picture.

    Attributes:
        title: above it.
        lines: below it.
        image: [H, W, 3] uint8.
    """

    title: str
    lines: tuple[str, ...]
    image: NDArray[np.uint8]


def thumbnail_pages(
    thumbnails: Sequence[Thumbnail], heading: str, *, most: int = 60
) -> list[Figure]:
    """Thumbnails of one size, row by row, on as many pages as that takes.

    Args:
        thumbnails: at least one.
        heading: above each page.
        most: how many a page holds.
    """
    count = -(-len(thumbnails) // most)
    each = -(-len(thumbnails) // count)
    parts = [thumbnails[i : i + each] for i in range(0, len(thumbnails), each)]
    return [
        _page(part, heading if len(parts) == 1 else f"{heading} ({i} of {len(parts)})", each)
        for i, part in enumerate(parts, 1)
    ]


def _page(thumbnails: Sequence[Thumbnail], heading: str, most: int) -> Figure:
    high, wide = thumbnails[0].image.shape[:2]
    width, height = _WIDTH, _WIDTH * high / wide
    if height > _HIGHEST:
        width, height = max(_HIGHEST * wide / high, _WIDTH / 2), _HIGHEST
    lines = max(len(thumbnail.lines) for thumbnail in thumbnails)
    across, up = width + _GAP, _TITLE + height + lines * _LINE + _GAP
    columns = min(most, max(2, round((_WIDE * most * up / across) ** 0.5)))
    rows = -(-len(thumbnails) // columns)
    figure = sheet(columns * across + _GAP, rows * up + _HEADING, _DPI)
    total = figure.get_figheight()
    figure.text(
        _GAP / figure.get_figwidth(), 1 - 0.5 * _HEADING / total, plain(heading), va="center",
        fontsize=11,
    )  # fmt: skip
    for i, thumbnail in enumerate(thumbnails):
        row, column = divmod(i, columns)
        top = total - _HEADING - row * up - _TITLE
        axes = place(figure, _GAP + column * across, top - height, width, height)
        axes.imshow(thumbnail.image, interpolation="antialiased")
        left = (_GAP + column * across) / figure.get_figwidth()
        letters = round(_LETTERS * width / _WIDTH)
        title = plain(cut(thumbnail.title, letters))
        figure.text(left, (top + 0.05) / total, title, fontsize=8.5, fontweight="bold")
        for n, line in enumerate(thumbnail.lines):
            at = (top - height - (n + 1) * _LINE - 0.01) / total
            figure.text(left, at, plain(line), fontsize=7.5, color="0.25")
    return figure
