"""The page on the command line matches the commands' help."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
import pytest

from ortcam.cli import main


def test_the_page_is_current(root: Path) -> None:
    page = runpy.run_path(str(root / "docs" / "scripts" / "cli.py"))["page"]()
    assert (root / "docs" / "cli.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_option_is_documented(root: Path, name: str) -> None:
    page = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.split(f"## ortcam {name}\n")[1].split("\n## ")[0]
    words = re.split(r"[\s,]+", section)
    for parameter in main.commands[name].params:
        documented = not (isinstance(parameter, click.Option) and parameter.hidden)
        for option in parameter.opts:
            if option.startswith("-"):
                assert (option in words) == documented, option


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_has_a_help_text(name: str) -> None:
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
