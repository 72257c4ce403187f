"""Writes ``cli.md``, the reference of the command line, from the commands' help.

``python docs/scripts/cli.py`` writes it; with ``--check`` it fails unless the page is current.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ortcam.cli import main

PAGE = Path(__file__).parents[1] / "cli.md"
WIDTH = 80


def page() -> str:
    """The whole page."""
    root = _context(main, "ortcam", None)
    parts = [
        "# The command line",
        "<!-- Written by docs/scripts/cli.py: run `nox -s docs` after changing a command. -->",
        "Results go to stdout or into files, everything else to stderr. The exit code is 0 for "
        "success, 2 for\na command that is typed wrongly, and 1 for any other error, which is "
        "described in one sentence; set\n`ORTCAM_DEBUG=1` in the environment to see its traceback "
        "instead.",
        _block(main, root),
    ]
    for name in main.list_commands(root):
        command = main.get_command(root, name)
        if command is None:
            raise LookupError(name)
        parts += [f"## ortcam {name}", _block(command, _context(command, name, root))]
    return "\n\n".join(parts) + "\n"


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command,
        parent,
        name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )


def _block(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context)}\n```"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
            sys.exit(f"{PAGE} is not current: run nox -s docs")
    else:
        PAGE.write_text(page(), encoding="utf-8")
