"""Deprecated names, which still work, with a DeprecationWarning."""

from __future__ import annotations

import warnings
from typing import TypeVar

from ortcam.errors import InputError
from ortcam.messages import Option

__all__ = ["renamed"]

Value = TypeVar("Value")


def renamed(old: str, value: Value | None, new: str, current: Value | None) -> Value | None:
    """Return the value of an option that has a new name.

    Args:
        old: the old name.
        value: the value under the old name, or None.
        new: the new name.
        current: the value under the new name, or None.

    Raises:
        InputError: there are values under both names.
    """
    if value is None:
        return current
    if current is not None:
        raise InputError(
            Option(old), " is the old name of ", Option(new), "; pass only the new one"
        )
    warnings.warn(f"{old}= is now {new}=", DeprecationWarning, stacklevel=3)
    return value
