"""Decorators that add options to a command: several at once, or one under its old name."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def stack(*decorators: Decorator) -> Decorator:
    """One decorator in place of several, which keeps their order in the help."""
    return lambda command: reduce(lambda c, add: add(c), reversed(decorators), command)


def renamed_option(old: str, new: str, parameter: str) -> Decorator:
    """Accept the old name of an option that takes a value, with a warning, but do not document it.

    Args:
        old: the old name, such as ``--scale``.
        new: the option's name today, such as ``--rescale``.
        parameter: the command's parameter that the option sets.
    """

    def forward(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is None:
            return
        click.echo(f"warning: {old} is now {new}", err=True)
        # As the new option's default the value is converted, checked and reported as its own.
        context.default_map = {**(context.default_map or {}), parameter: value}

    return click.option(
        old,
        hidden=True,
        is_eager=True,  # before the new option is read
        expose_value=False,
        callback=forward,
        help=f"The old name of {new}.",
    )
