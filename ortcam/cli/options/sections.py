"""Sections of a command's help, which click lacks: each option names its heading."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click
from click.types import OptionHelpExtra

from ortcam.cli.options.decorators import Decorator

COLUMN = 27
"""The width of the column of option names, the same in every section."""


class Option(click.Option):
    """An option that its command's help lists under a heading.

    Attributes:
        section: the heading.
    """

    def __init__(self, *args: Any, section: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """Add the default to the help, without click's parentheses where it is a text."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra


class Command(click.Command):
    """A command whose help lists its options in sections, in the order of their first options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; options without one, such as ``--help``, end the last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or isinstance(parameter, click.Argument):  # None: hidden
                continue
            names, text = record
            if isinstance(parameter, Option):
                group = sections.setdefault(parameter.section, [])
            else:
                group = others
            group.append((names.ljust(COLUMN), text))
        sections.setdefault(next(reversed(sections), "Options"), []).extend(others)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=COLUMN)


def section(title: str) -> Callable[..., Decorator]:
    """Return a decorator like :func:`click.option`, for options under this heading.

    Example:
        >>> drawing = section("Drawing")
        >>> add_alpha = drawing("--alpha", type=float, help="Opacity of the colours.")
    """
    return partial(click.option, cls=Option, section=title)
