"""Names that have better ones: they go on working, with a DeprecationWarning."""

from __future__ import annotations

import warnings
from typing import TypeVar

from ortcam.errors import InputError
from ortcam.messages import Option

__all__ = ["renamed"]

Value = TypeVar("Value")


def renamed(old: str, value: Value | None, new: str, current: Value | None) -> Value | None:
    """The value of an option that was given by its old name, or by its new one.

    Args:
        old: the old name.
        value: what was given by it, or None.
        new: the new name.
        current: what was given by that, or None.

    Raises:
        InputError: both were given.
    """
    if value is None:
        return current
    if current is not None:
        raise InputError(
            Option(old), " is the old name of ", Option(new), ", and both are given; leave it out"
        )
    warnings.warn(f"{old}= is now {new}=", DeprecationWarning, stacklevel=3)
    return value
