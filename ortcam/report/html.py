"""HTML as values: all text is escaped on entry, so that no name from a file becomes markup.

Pages are built from :func:`element`, which takes everything for text but :class:`Markup`, which
only this module makes.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["Markup", "element", "escape", "join", "json_block", "name"]

_EMPTY = {"br", "col", "hr", "img", "input", "link", "meta", "wbr"}  # elements without an end tag
_AFTER_PUNCTUATION = re.compile(r"(?<=[,._/:-])(?=\w)")
_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]"
)  # characters that HTML cannot hold


class Markup(str):
    """Text that is already HTML, and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Text for use between tags and in quoted attributes.

    Characters that no page can hold, such as the lone surrogates of an undecodable file name,
    become U+FFFD.
    """
    return text if isinstance(text, Markup) else Markup(html.escape(_UNFIT.sub("\ufffd", text)))


def join(parts: Iterable[str | None], between: str = "") -> Markup:
    """Parts one after the other, without those that are None."""
    return Markup(escape(between).join(escape(part) for part in parts if part is not None))


def element(tag: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """An HTML element.

    Args:
        tag: its name.
        children: text, which is escaped, and markup; None for nothing.
        attributes: by name, where ``class_`` is class and ``aria_label`` is aria-label. True gives
            an attribute without a value, False or None no attribute.
    """
    opening = [tag]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        opening.append(attribute if value is True else f'{attribute}="{escape(str(value))}"')
    start = f"<{' '.join(opening)}>"
    return Markup(start if tag in _EMPTY else f"{start}{join(children)}</{tag}>")


def name(text: str) -> Markup:
    """A name from a file.

    A right-to-left name leaves the text beside it in order; a long one, such as a layer's path,
    may break after its punctuation.
    """
    pieces = _AFTER_PUNCTUATION.split(text)
    return element("bdi", join(pieces, element("wbr")))


def json_block(value: Any, **attributes: str) -> Markup:
    """Data for a page's script, as an element that browsers do not run.

    Args:
        value: as for ``json.dumps``, without NaN.
        attributes: of the element, as for :func:`element`.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # so that no "</script>" or "<!--" remains
        text = text.replace(character, f"\\u{ord(character):04x}")
    return element("script", Markup(text), type="application/json", **attributes)
