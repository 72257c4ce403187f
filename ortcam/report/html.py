"""HTML as values: all text is escaped where it enters, so that no name from a file becomes markup.

Pages are put together from :func:`element`; whatever is given to it is text unless it is
:class:`Markup`, which only this module makes.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["Markup", "element", "escaped", "joined", "json_block", "name"]

_EMPTY = {"br", "col", "hr", "img", "input", "link", "meta", "wbr"}  # elements without an end
_SIGNS = re.compile(r"(?<=[,._/:-])(?=\w)")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # what HTML cannot hold


class Markup(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Text as it stands between tags and in quoted attributes.

    What no page can hold, such as the lone surrogates of an undecodable file name, becomes U+FFFD.
    """
    return text if isinstance(text, Markup) else Markup(html.escape(_UNFIT.sub("\ufffd", text)))


def joined(parts: Iterable[str | None], between: str = "") -> Markup:
    """Parts one after the other; what is None is left out."""
    return Markup(escaped(between).join(escaped(part) for part in parts if part is not None))


def element(tag: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """An HTML element.

    Args:
        tag: its name.
        children: text, which is escaped, and markup; None for nothing.
        attributes: by name, where ``class_`` is class and ``aria_label`` is aria-label. True stands
            for an attribute without a value; one that is False or None is left out.
    """
    opening = [tag]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        opening.append(attribute if value is True else f'{attribute}="{escaped(str(value))}"')
    start = f"<{' '.join(opening)}>"
    return Markup(start if tag in _EMPTY else f"{start}{joined(children)}</{tag}>")


def name(text: str) -> Markup:
    """A name from a file.

    One that runs from right to left leaves what stands beside it alone, and a long one, such as a
    layer's path, is broken behind its signs.
    """
    pieces = _SIGNS.split(text)
    return element("bdi", joined(pieces, element("wbr")))


def json_block(value: Any, **attributes: str) -> Markup:
    """Data for a page's script, as an element that no browser runs.

    Args:
        value: what ``json.dumps`` takes, without NaN.
        attributes: of the element, as for :func:`element`.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # so that no "</script>" or "<!--" stands there
        text = text.replace(character, f"\\u{ord(character):04x}")
    return element("script", Markup(text), type="application/json", **attributes)
