"""Pages of small pictures with a few words below each, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ortcam.drawing.figures import cut, place, plain, sheet
from ortcam.drawing.fonts import families

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Thumbnail", "thumbnail_pages"]

_DPI = 150
_WIDTH = 2.4  # the width of a thumbnail's cell, in inches
_HIGHEST = 3.2
_GAP = 0.14
_TITLE = 0.15  # the height of a line of a title
_LETTERS = 31  # in a line of a title, about
_LINE = 0.135  # the height of a line below a thumbnail
_HEADING = 0.52
_WIDE = 1.5  # a page's width over its height, about


@dataclass(frozen=True, eq=False, kw_only=True)
class Thumbnail:
    """A small picture.

    Attributes:
        title: above it, in two lines if it is long; the second is cut in its middle if it does
            not fit.
        lines: below it.
        image: [H, W, 3] uint8.
    """

    title: str
    lines: tuple[str, ...]
    image: NDArray[np.uint8]


def thumbnail_pages(
    thumbnails: Sequence[Thumbnail], heading: str, below: str, *, most: int = 60
) -> list[Figure]:
    """Thumbnails of one size, row by row, on as many pages as they take.

    Args:
        thumbnails: at least one.
        heading: of each page.
        below: small text below the heading.
        most: thumbnails on a page.
    """
    count = -(-len(thumbnails) // most)
    each = -(-len(thumbnails) // count)
    parts = [thumbnails[i : i + each] for i in range(0, len(thumbnails), each)]
    return [
        _page(part, heading if len(parts) == 1 else f"{heading} ({i} of {len(parts)})", below, each)
        for i, part in enumerate(parts, 1)
    ]


def _page(thumbnails: Sequence[Thumbnail], heading: str, below: str, most: int) -> Figure:
    high, wide = thumbnails[0].image.shape[:2]
    height = min(_WIDTH * high / wide, _HIGHEST)
    width = height * wide / high
    titles = [_in_lines(thumbnail.title) for thumbnail in thumbnails]
    lines = max(len(thumbnail.lines) for thumbnail in thumbnails)
    above = max(map(len, titles)) * _TITLE + 0.05
    across, up = _WIDTH + _GAP, above + height + lines * _LINE + _GAP
    columns = min(most, max(2, round((_WIDE * most * up / across) ** 0.5)))
    rows = -(-len(thumbnails) // columns)
    total = rows * up + _HEADING
    figure = sheet(columns * across + _GAP, total, _DPI)
    room = columns * across - _GAP
    _write(figure, heading, _GAP, total - 0.24, room, fontsize=11)
    _write(figure, below, _GAP, total - 0.42, room, fontsize=7.5, color="0.25")
    for i, thumbnail in enumerate(thumbnails):
        row, column = divmod(i, columns)
        left, top = _GAP + column * across, total - _HEADING - row * up - above
        axes = place(figure, left, top - height, width, height)
        axes.imshow(thumbnail.image, interpolation="antialiased")
        style: dict[str, Any] = {"fontsize": 8.5, "fontweight": "bold"}
        for n, line in enumerate(reversed(titles[i])):
            _write(figure, line, left, top + 0.05 + n * _TITLE, _WIDTH, **style)
        for n, line in enumerate(thumbnail.lines, 1):
            bottom = top - height - n * _LINE - 0.01
            _write(figure, line, left, bottom, _WIDTH, fontsize=7.5, color="0.25")
    return figure


def _in_lines(title: str) -> list[str]:
    """The title, broken after a separator if it is long: layers' names differ in the middle."""
    if len(title) <= _LETTERS:
        return [title]
    at = max(title.rfind(separator, 0, _LETTERS) for separator in "/._ ") + 1
    at = at if at > _LETTERS // 2 else _LETTERS
    return [title[:at], title[at:]]


def _write(
    figure: Figure, words: str, left: float, bottom: float, room: float, **style: Any
) -> None:
    """Write text at a place in inches, and cut its middle out until it fits."""
    width, height = figure.get_size_inches()
    style["fontfamily"] = families(plain(words))
    text = figure.text(left / width, bottom / height, plain(words), **style)
    letters = len(words)
    while (length := text.get_window_extent().width / figure.dpi) > room and letters > 3:
        letters = min(letters - 1, int(letters * room / length))
        text.set_text(plain(cut(words, letters)))
