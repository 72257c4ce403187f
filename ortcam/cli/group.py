"""The group of commands, which reports errors in a sentence instead of a traceback."""

from __future__ import annotations

import errno
import os
from typing import Any

import click

from ortcam.cli.spelling import spell
from ortcam.errors import OrtcamError

DEBUG = "ORTCAM_DEBUG"
"""The environment variable that shows tracebacks, unless it is empty or 0."""


class Commands(click.Group):
    """A group that reports exceptions of its commands in a sentence on stderr, with exit code 1.

    click itself handles wrong usage (exit code 2), Ctrl-C and closed pipes.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of their use, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get(DEBUG, "0") not in ("", "0") or _is_closed_pipe(error):
                raise
            raise click.ClickException(sentence(error)) from error


def sentence(error: Exception) -> str:
    """The sentence that describes an exception to the user."""
    if isinstance(error, OrtcamError):
        return spell(error.message)
    if isinstance(error, MemoryError):
        return "there is not enough memory; explain fewer classes or choose a smaller --size"
    if isinstance(error, OSError) and error.strerror:
        file = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{file}"
    words = " ".join(str(error).split())
    detail = f" ({words[:300]})" if words else ""
    return (
        f"ortcam failed with an unexpected {type(error).__name__}{detail}; "
        f"set {DEBUG}=1 to see where"
    )


def _is_closed_pipe(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE
