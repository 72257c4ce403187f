"""Sentences that name options, which each interface spells in its own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Message", "Option"]


@dataclass(frozen=True)
class Option:
    """An option in a message, with or without a value; as a string it is spelled as in Python.

    Example:
        >>> str(Option("size")), str(Option("score", "logits")), str(Option("verify", False))
        ('size=', "score='logits'", 'verify=False')
    """

    name: str
    value: str | bool | None = None

    def __str__(self) -> str:
        return f"{self.name}=" if self.value is None else f"{self.name}={self.value!r}"


class Message(str):
    """A sentence that names options; as a string it spells them as in Python.

    Attributes:
        parts: the text and the options, in order.

    Example:
        >>> message = Message("choose a smaller ", Option("size"))
        >>> str(message), message.spelled(lambda option: f"--{option.name}")
        ('choose a smaller size=', 'choose a smaller --size')
    """

    parts: tuple[str | Option, ...]

    def __new__(cls, *parts: str | Option) -> Message:
        """Joins text, options, and other messages."""
        message = super().__new__(cls, "".join(map(str, parts)))
        message.parts = tuple(
            inner
            for part in parts
            for inner in (part.parts if isinstance(part, Message) else (part,))
        )
        return message

    def __getnewargs__(self) -> tuple[str | Option, ...]:  # type: ignore[override]
        return self.parts

    def spelled(self, spell: Callable[[Option], str]) -> str:
        """Return the sentence with each option spelled by ``spell``."""
        return "".join(spell(part) if isinstance(part, Option) else part for part in self.parts)
