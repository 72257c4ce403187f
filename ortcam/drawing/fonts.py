"""Fonts that have the letters of a text, from matplotlib's list of installed fonts.

matplotlib's own font has Latin, Greek, Cyrillic, Arabic and more, but no Chinese, Japanese,
Korean, Indian or Thai letters; class names use all of these.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from matplotlib import font_manager

__all__ = ["OWN", "UNKNOWN", "families", "in_one", "legible", "width"]

OWN = "DejaVu Sans"
"""The font that comes with matplotlib."""

UNKNOWN = "\ufffd"
"""The substitute for a letter that no font has."""

_LAST_RESORT = "Last Resort"
"""Another font of matplotlib's, which has a box for every letter."""


def families(text: str) -> list[str]:
    """Font families for matplotlib, which takes each letter from the first that has it."""
    return [OWN, *(entry.name for entry in _beside(frozenset(text))[0])]


def legible(text: str) -> str:
    """The text with :data:`UNKNOWN` for each letter that no installed font has."""
    missing = _beside(frozenset(text))[1]
    return "".join(UNKNOWN if letter in missing else letter for letter in text)


def in_one(text: str) -> tuple[str, str]:
    """The text, and the file of one font for all of it, since Pillow takes no more.

    If no font has all of its letters, matplotlib's own is used, and the missing letters become
    :data:`UNKNOWN`.
    """
    text = legible(text)
    letters, own = frozenset(text), font_manager.findfont(OWN)
    if not (missing := _missing(own, letters)):
        return text, own
    for entry in _preferred():
        if not _missing(entry.fname, letters):
            return text, entry.fname
    return "".join(UNKNOWN if letter in missing else letter for letter in text), own


def width(text: str) -> int:
    """The width of a text in Latin letters; East Asian letters count twice."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


@lru_cache(256)
def _beside(
    letters: frozenset[str],
) -> tuple[tuple[font_manager.FontEntry, ...], frozenset[str]]:
    """The fonts to use beside matplotlib's own, and the letters that none has."""
    missing = _missing(font_manager.findfont(OWN), letters)
    fonts: list[font_manager.FontEntry] = []
    for entry in _preferred() if missing else ():
        rest = _missing(entry.fname, missing)
        if rest < missing:
            fonts.append(entry)
            missing = rest
        if not missing:
            break
    return tuple(fonts), missing


def _preferred() -> list[font_manager.FontEntry]:
    """The installed fonts, upright sans-serif ones of regular weight first."""
    entries = (
        entry
        for entry in font_manager.fontManager.ttflist
        if not entry.name.startswith(_LAST_RESORT)
    )
    return sorted(
        entries,
        key=lambda e: (e.style != "normal", "Sans" not in e.name, e.weight != 400, e.name),
    )


def _missing(file: str, letters: frozenset[str]) -> frozenset[str]:
    """The letters that a font lacks; all of them if it cannot be read."""
    try:
        font = font_manager.get_font(file)
    except (OSError, RuntimeError):
        return letters
    return frozenset(c for c in letters if not font.get_char_index(ord(c)))
