"""A page's frame: its policy names its own style and script, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

import ortcam
from ortcam.report.html_page import frame

FOLDER = Path(ortcam.__file__).parent / "report"


def sources(policy: str, directive: str) -> list[str]:
    (values,) = (d.split()[1:] for d in policy.split("; ") if d.split()[0] == directive)
    return values


def test_the_policy_lets_nothing_in() -> None:
    before, after = frame("A page", styles=["base.css", "report.css"], scripts=["report.js"])
    html = before + after
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    policy = policy.replace("&#x27;", "'")
    assert sources(policy, "default-src") == ["'none'"]
    assert sources(policy, "img-src") == ["data:"]
    assert sources(policy, "base-uri") == sources(policy, "form-action") == ["'none'"]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert sources(policy, directive) == [f"'sha256-{digest}'"]
    assert "unsafe" not in policy


def test_a_title_is_text() -> None:
    before, _ = frame("</title><script>", styles=[], scripts=[])
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in before


def test_the_script_makes_no_markup_and_loads_nothing() -> None:
    script = (FOLDER / "report.js").read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                "Function(", "fetch(", "XMLHttpRequest", "import(", "http:", "https:"):  # fmt: skip
        assert way not in script


def luminance(color: str) -> float:
    """The relative luminance of #rrggbb, by WCAG 2.2."""
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_what_is_written_can_be_read(scheme: str) -> None:
    """WCAG 2.2: text at 4.5 to 1, the edges of controls at 3 to 1."""
    css = (FOLDER / "base.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    of = dict(zip(("light", "dark", "print"), blocks, strict=True))[scheme]
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", of))
    for ground in (colors["ground"], colors["raised"]):
        for text in ("ink", "muted", "accent"):
            assert contrast(colors[text], ground) >= 4.5, (text, ground)
        assert contrast(colors["control"], ground) >= 3
