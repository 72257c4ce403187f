"""What is asked: classes, their differences and weighted sums, each with its place and name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import ClassError, InputError, nearest
from ortcam.questions.names import class_indices
from ortcam.questions.regions import Pixel, Where

__all__ = [
    "Question",
    "Questions",
    "Row",
    "about",
    "class_rows",
    "class_weights",
    "parse",
    "rows",
]

Term: TypeAlias = "tuple[str | int, float]"


@dataclass(frozen=True)
class Question:
    """Classes with their weights, where they are asked about, and what this is called.

    ``+`` and ``-`` join two questions, a number times one weighs it::

        car, road = about("Car"), about("Road")
        (car - road).at(120, 80)  # why car and not road, here
        (car + 0.5 * about("Truck")).over(Predicted("Car")).named("vehicles")

    Attributes:
        terms: classes by name or 0-based index, each with its weight.
        where: the part of the picture; None for all of it.
        name: what it is called; None for the name that its parts give it.
    """

    terms: tuple[Term, ...]
    where: Where | None = None
    name: str | None = None

    def at(self, x: int, y: int, z: int | None = None) -> Question:
        """The same about one pixel, column x and row y from 0; of a volume also its slice z."""
        return self.over(Pixel(x, y, z))

    def over(self, where: Where) -> Question:
        """The same about a part of the picture; asked about one before, about what they share."""
        return replace(self, where=where if self.where is None else self.where & where)

    def named(self, name: str) -> Question:
        """The same with a name of its own."""
        return replace(self, name=name)

    def __add__(self, other: Question) -> Question:
        if not isinstance(other, Question):
            return NotImplemented
        if self.where != other.where:
            raise InputError(
                "the two sides of a sum or difference are asked in one place: put it behind the "
                "brackets, as in (about('Car') - about('Road')).at(120, 80)"
            )
        return Question(self.terms + other.terms, self.where)

    def __sub__(self, other: Question) -> Question:
        return self + -other if isinstance(other, Question) else NotImplemented

    def __neg__(self) -> Question:
        return self * -1

    def __mul__(self, factor: float) -> Question:
        if not np.isreal(factor):
            return NotImplemented
        return Question(tuple((cls, weight * factor) for cls, weight in self.terms), self.where)

    __rmul__ = __mul__


Questions: TypeAlias = "Iterable[str | int | Question] | str | int | Question"
"""Classes by name or 0-based index, and questions."""


def about(*classes: str | int) -> Question:
    """A question about a class, by name or 0-based index; about several, their sum.

    Raises:
        ClassError: no class is given.
    """
    if not classes:
        raise ClassError("a question is about a class: name one, as in about('Car')")
    return Question(tuple((cls, 1.0) for cls in classes))


@dataclass(frozen=True)
class Row:
    """A question about the classes of one network.

    Attributes:
        name: what it is called.
        weights: the classes' indices and weights.
        where: the part of the picture; None for all of it.
    """

    name: str
    weights: tuple[tuple[int, float], ...]
    where: Where | None = None

    @property
    def index(self) -> int | None:
        """The class, where it is about one by itself."""
        return self.subject if len(self.weights) == 1 and self.weights[0][1] == 1 else None

    @property
    def subject(self) -> int:
        """The class that it is about: of several the one that comes first."""
        return self.weights[0][0]

    def over(self, where: Where) -> Row:
        """The same about what its part of the picture and another share."""
        part = where if self.where is None else self.where & where
        return Row(f"{self.name} {where}", self.weights, part)


def rows(asked: Questions, classes: Sequence[str]) -> tuple[Row, ...]:
    """Questions about the classes of a network.

    Args:
        asked: one or several.
        classes: the network's.

    Raises:
        ClassError: there is no such class, or nothing is asked.
        InputError: the weights of a question are all zero, or not finite.
    """
    if isinstance(asked, (str, Question)) or not isinstance(asked, Iterable):
        asked = [asked]
    listed = list(asked)
    if not listed:
        raise ClassError("no class was asked about; leave classes out for those in the picture")
    return tuple(_row(entry, classes) for entry in listed)


def class_rows(indices: Iterable[int], classes: Sequence[str]) -> tuple[Row, ...]:
    """A question about each of these classes by itself."""
    return tuple(Row(classes[index], ((index, 1.0),)) for index in indices)


def class_weights(asked: Sequence[Row], classes: int) -> NDArray[np.float32]:
    """[questions, classes]."""
    weights = np.zeros((len(asked), classes), np.float32)
    for k, row in enumerate(asked):
        for index, weight in row.weights:
            weights[k, index] = weight
    return weights


def parse(text: str, classes: Sequence[str]) -> Question | str | int:
    """What is typed: a class, or a sum or difference such as ``Car - 0.5*Road``.

    A class that is called so comes first, also where a sign or a number is in its name.

    Raises:
        ClassError: there is no such class.
    """
    if text in classes:
        return text
    if text.isdecimal():
        return int(text)
    parts = re.split(r"\s+([+-])\s+", text.strip())
    signs, typed = ["+", *parts[1::2]], parts[0::2]
    if len(typed) == 1 and _term(text, classes) is None:
        return text  # which is no class, as an error is going to say
    found = _terms(typed, signs, classes)
    if found is None:
        wrong = next((t for t in typed if _term(t, classes) is None), text)
        raise ClassError(f"there is no class {wrong!r}{nearest(wrong, classes)}")
    return Question(tuple(found))


def _terms(typed: Sequence[str], signs: Sequence[str], classes: Sequence[str]) -> list[Term] | None:
    """The longest names first, so that a sign within a class's name splits nothing."""
    if not typed:
        return []
    for end in range(len(typed), 0, -1):
        behind = zip(signs[1:end], typed[1:end], strict=True)
        first = _term(typed[0] + "".join(f" {sign} {name}" for sign, name in behind), classes)
        rest = None if first is None else _terms(typed[end:], signs[end:], classes)
        if first is not None and rest is not None:
            cls, weight = first
            return [(cls, weight if signs[0] == "+" else -weight), *rest]
    return None


def _term(typed: str, classes: Sequence[str]) -> Term | None:
    """A class, or a number times one; None where there is no such class."""
    weighed = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*\*\s*(.+)", typed)
    for name, weight in ((typed, "1"), *([(weighed[2], weighed[1])] if weighed else [])):
        if name in classes:
            return name, float(weight)
        if name.isdecimal() and int(name) < len(classes):
            return int(name), float(weight)
    return None


def _row(entry: str | int | Question, classes: Sequence[str]) -> Row:
    if not isinstance(entry, Question):
        return class_rows(class_indices(entry, classes), classes)[0]
    weights: dict[int, float] = {}
    for cls, weight in entry.terms:
        (index,) = class_indices(cls, classes)
        weights[index] = weights.get(index, 0) + weight
    if not any(weights.values()) or not np.isfinite(list(weights.values())).all():
        raise InputError(
            f"the question {entry.name or _name(weights, classes)!r} weighs no class, or one by a "
            "number that is not finite"
        )
    name = _name(weights, classes)
    if entry.where is not None:
        name = f"{name} {entry.where}"
    return Row(entry.name or name, tuple(weights.items()), entry.where)


def _name(weights: dict[int, float], classes: Sequence[str]) -> str:
    """``Car - 0.5*Road``."""
    text = ""
    for index, weight in weights.items():
        size = "" if abs(weight) == 1 else f"{abs(weight):g}*"
        sign = (" - " if weight < 0 else " + ") if text else ("-" if weight < 0 else "")
        text += f"{sign}{size}{classes[index]}"
    return text
