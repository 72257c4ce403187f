"""Which installed fonts have the letters of a text, by matplotlib's list of them.

matplotlib's own font has Latin, Greek, Cyrillic, Arabic and more, but no Chinese, Japanese or
Korean, Indian or Thai letters; classes have names in all of these.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from matplotlib import font_manager

__all__ = ["OWN", "UNKNOWN", "families", "in_one", "legible", "width"]

OWN = "DejaVu Sans"
"""The font that comes with matplotlib."""

UNKNOWN = "\ufffd"
"""What stands for a letter that no font has."""

_LAST_RESORT = "Last Resort"
"""matplotlib comes with this font, too; it has a box for every letter."""


def families(text: str) -> list[str]:
    """Font families for matplotlib, which takes each letter from the first that has it."""
    return [OWN, *(entry.name for entry in _beside(frozenset(text))[0])]


def legible(text: str) -> str:
    """A text with :data:`UNKNOWN` for each letter that no installed font has."""
    nowhere = _beside(frozenset(text))[1]
    return "".join(UNKNOWN if letter in nowhere else letter for letter in text)


def in_one(text: str) -> tuple[str, str]:
    """A text, and the file of one font to draw it all in, as Pillow draws.

    Where no font has all of its letters the own one is taken, and those that it lacks are unknown.
    """
    text = legible(text)
    letters, own = frozenset(text), font_manager.findfont(OWN)
    if not (lacking := _lacking(own, letters)):
        return text, own
    for entry in _preferred():
        if not _lacking(entry.fname, letters):
            return text, entry.fname
    return "".join(UNKNOWN if letter in lacking else letter for letter in text), own


def width(text: str) -> int:
    """How wide a text is, in letters of usual width: Chinese ones and their like are two wide."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


@lru_cache(256)
def _beside(
    letters: frozenset[str],
) -> tuple[tuple[font_manager.FontEntry, ...], frozenset[str]]:
    """The fonts to take beside the own one, and the letters that none has."""
    left = _lacking(font_manager.findfont(OWN), letters)
    taken: list[font_manager.FontEntry] = []
    for entry in _preferred() if left else ():
        lacking = _lacking(entry.fname, left)
        if lacking < left:
            taken.append(entry)
            left = lacking
        if not left:
            break
    return tuple(taken), left


def _preferred() -> list[font_manager.FontEntry]:
    """What is installed, upright fonts without serifs of usual weight first."""
    entries = (
        entry
        for entry in font_manager.fontManager.ttflist
        if not entry.name.startswith(_LAST_RESORT)
    )
    return sorted(
        entries,
        key=lambda e: (e.style != "normal", "Sans" not in e.name, e.weight != 400, e.name),
    )


def _lacking(file: str, letters: frozenset[str]) -> frozenset[str]:
    """Those of some letters that a font has not; all of them where it cannot be read."""
    try:
        font = font_manager.get_font(file)
    except (OSError, RuntimeError):
        return letters
    return frozenset(c for c in letters if not font.get_char_index(ord(c)))
