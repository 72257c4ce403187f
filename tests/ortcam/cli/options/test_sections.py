"""Sections of the help."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

from ortcam.cli import main
from ortcam.cli.options.sections import COLUMN, Command, section

Run = Callable[..., Result]

SECTIONS = {
    "layers": [
        *("Maps of a picture", "Output", "Layers and score", "Classes and preprocessing"),
        "Running",
    ],
    "export": ["Output", "Layers and score", "Classes and preprocessing", "Artifact"],
    "info": ["Output"],
    "segment": ["Output", "Drawing", "Running"],
    "explain": ["Output", "Question", "Where", "Method", "Drawing", "Running"],
    "report": ["Output", "Question", "Where", "Method", "Drawing", "Running"],
    "evaluate": ["Output", "Pictures", "Maps", "Metrics", "Running"],
}


def test_options_are_listed_under_their_headings() -> None:
    @click.command(cls=Command)
    @click.argument("file")
    @section("First")("--one", help="The first.", show_default="detected")
    @section("Second")("--two", type=click.IntRange(min=1), help="The second.", show_default="3")
    @section("First")("--again", default=4, show_default=True, help="Joins its section.")
    @section("Second")("--hidden", hidden=True)
    def command(**_: object) -> None: ...

    lines = CliRunner().invoke(command, ["--help"]).stdout.splitlines()
    pad = COLUMN + 2
    assert lines[2:] == [
        "First:",
        f"  {'--one TEXT':{pad}}The first.  [default: detected]",
        f"  {'--again INTEGER':{pad}}Joins its section.  [default: 4]",
        "",
        "Second:",
        f"  {'--two INTEGER RANGE':{pad}}The second.  [default: 3; x>=1]",
        f"  {'--help':{pad}}Show this message and exit.",
    ]


def test_without_sections_the_help_is_that_of_click() -> None:
    command = click.Command("none", params=[click.Option(["--one"])])
    sectioned = Command("none", params=[click.Option(["--one"])])
    outputs = [CliRunner().invoke(c, ["--help"]).stdout.split() for c in (command, sectioned)]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("name", SECTIONS)
def test_the_help_of_every_command_is_grouped(run: Run, name: str) -> None:
    text = run(name, "--help").stdout
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == SECTIONS[name]
    assert max(map(len, text.splitlines())) <= 80
    assert set(SECTIONS) == set(main.commands)
