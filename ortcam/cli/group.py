"""The group of commands, and how one ends badly: in a sentence, never in a traceback."""

from __future__ import annotations

import errno
import os
from typing import Any

import click

from ortcam.cli.spelling import spell
from ortcam.errors import OrtcamError

DEBUG = "ORTCAM_DEBUG"
"""The environment variable that, set to anything but 0, shows tracebacks."""


class Commands(click.Group):
    """A group whose commands' exceptions become one sentence on stderr and exit code 1.

    click itself sees to wrong usage (exit code 2), to Ctrl-C and to a closed pipe.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a user meets them."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get(DEBUG, "0") not in ("", "0") or _is_closed_pipe(error):
                raise
            raise click.ClickException(sentence(error)) from error


def sentence(error: Exception) -> str:
    """What to tell the user of an exception."""
    if isinstance(error, OrtcamError):
        return spell(error.message)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; ask for fewer classes or a smaller --size"
    if isinstance(error, OSError) and error.strerror:
        at = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{at}"
    words = " ".join(str(error).split())
    said = f" ({words[:300]})" if words else ""
    return (
        f"ortcam failed with an unexpected {type(error).__name__}{said}; set {DEBUG}=1 to see where"
    )


def _is_closed_pipe(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE
