"""The frame of a page in one file, which loads nothing and runs no script but its own.

The page's policy (Content Security Policy, Level 3) names its style and its script by their hashes
and allows embedded pictures, and nothing else: no network, no frames, no forms, no script or style
in attributes. Text that became markup in spite of :mod:`~ortcam.report.html` would be inert.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template

from ortcam.report.html import Markup, escape
from ortcam.version import __version__

__all__ = ["frame"]


def frame(title: str, *, styles: Sequence[str], scripts: Sequence[str]) -> tuple[Markup, Markup]:
    """The parts of a page before and after its body.

    Args:
        title: of the page.
        styles: files of this package, such as ``"base.css"``, in this order.
        scripts: likewise; they run after the body is parsed.
    """
    style, script = ("\n" + "\n".join(_read(file) for file in names) for names in (styles, scripts))
    # Styles and scripts are not escaped: these files must not end their own elements.
    assert "</style" not in style.lower()
    assert "</script" not in script.lower()
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    before, after = _read("page.html").split("$body\n")
    values = {
        "policy": escape(policy),
        "generator": escape(f"ortcam {__version__}"),
        "title": escape(title),
        "style": style,
        "script": script,
    }
    return Markup(Template(before).substitute(values)), Markup(Template(after).substitute(values))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _read(file: str) -> str:
    return files(__package__).joinpath(file).read_text(encoding="utf-8")
