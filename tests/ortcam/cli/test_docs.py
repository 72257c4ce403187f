"""The page on the command line says what the commands say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ortcam.cli import main


def test_the_page_is_current(root: Path) -> None:
    page = runpy.run_path(str(root / "docs" / "cli.py"))["page"]()
    assert (root / "docs" / "cli.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_option_is_documented(root: Path, name: str) -> None:
    page = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.split(f"## ortcam {name}\n")[1].split("\n## ")[0]
    for parameter in main.commands[name].params:
        assert all(option in section for option in parameter.opts if option.startswith("-"))


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_has_a_help_text(name: str) -> None:
    for parameter in main.commands[name].params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{name} {parameter.opts}"
