"""A page in one file: its frame, which lets nothing in from outside and runs its own script alone.

The page's policy (Content Security Policy, Level 3) names its style and its script by their hashes
and allows pictures that the page itself holds, and nothing else: no network, no frames, no forms,
no attribute that is script or style. A text that became markup after all would be inert.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template

from ortcam.report.html import Markup, escaped
from ortcam.version import __version__

__all__ = ["frame"]


def frame(title: str, *, styles: Sequence[str], scripts: Sequence[str]) -> tuple[Markup, Markup]:
    """What stands before a page's body and behind it.

    Args:
        title: the page's.
        styles: files of this package, such as ``"page.css"``, in this order.
        scripts: likewise; they run once the body is there.

    Returns:
        The two parts; between them comes the body, piece by piece if it is long.
    """
    style, script = (
        "\n" + "\n".join(_read(file) for file in chosen) for chosen in (styles, scripts)
    )
    # Nothing escapes a style or a script; these files are ours and must not end their elements.
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
        "policy": escaped(policy),
        "generator": escaped(f"ortcam {__version__}"),
        "title": escaped(title),
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
