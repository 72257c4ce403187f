"""Questions: classes, their differences and weighted sums, each with a region and a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import ClassError, InputError, nearest
from ortcam.questions.list_places import Index
from ortcam.questions.names import class_indices
from ortcam.questions.regions import Pixel, Where

__all__ = [
    "Question",
    "Questions",
    "Row",
    "about",
    "class_rows",
    "class_weights",
    "directions",
    "parse",
    "rows",
]

Term: TypeAlias = "tuple[str | int, float]"


@dataclass(frozen=True)
class Question:
    """A weighted sum of class scores in a part of the picture.

    ``+`` and ``-`` join two questions, and a number times a question weighs it.

    Attributes:
        terms: classes by name or 0-based index, each with its weight.
        where: the part of the picture; None for all of it.
        name: its name; None for one made of its terms and part.

    Example:
        >>> car, road = about("Car"), about("Road")
        >>> (car - road).at(120, 80).terms  # why car and not road, here
        (('Car', 1.0), ('Road', -1.0))
        >>> vehicles = (car + 0.5 * about("Truck")).named("vehicles")
        >>> vehicles.terms, vehicles.name
        ((('Car', 1.0), ('Truck', 0.5)), 'vehicles')
    """

    terms: tuple[Term, ...]
    where: Where | None = None
    name: str | None = None

    def at(self, x: int, y: int, z: int | None = None) -> Question:
        """The same at one pixel: column x and row y from 0, and in a volume slice z.

        Example:
            >>> str(about("Car").at(120, 80).where)
            'at 120,80'
        """
        return self.over(Pixel(x, y, z))

    def at_index(self, *position: int) -> Question:
        """The same at one entry of a score over a list, counted from 0.

        Args:
            position: one number for each axis of the list, such as a query's, an anchor's or a
                time step's.

        Raises:
            RegionError: no number is given, or one is below 0.

        Example:
            >>> str(about("Car").at_index(3).where), str(about("Car").at_index(3, 1).where)
            ('at index 3', 'at index 3,1')
        """
        return self.over(Index(*position))

    def over(self, where: Where) -> Question:
        """The same in a part of the picture; in the intersection if there is a part already.

        Example:
            >>> from ortcam import Box, Predicted
            >>> str(about("Car").over(Predicted()).over(Box(0, 0, 9, 9)).where)
            'where predicted and in the box 0,0,9,9'
        """
        return replace(self, where=where if self.where is None else self.where & where)

    def named(self, name: str) -> Question:
        """The same with another name.

        Example:
            >>> about("Car", "Truck").named("vehicles").name
            'vehicles'
        """
        return replace(self, name=name)

    def __add__(self, other: Question) -> Question:
        if not isinstance(other, Question):
            return NotImplemented
        if self.where != other.where:
            raise InputError(
                "the terms of a sum or difference share one part of the picture; give it after the "
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
    """Ask about a class, by name or 0-based index; about several, their sum.

    Raises:
        ClassError: no class is given.

    Example:
        >>> about("Car", 3).terms
        (('Car', 1.0), (3, 1.0))
    """
    if not classes:
        raise ClassError("a question needs a class, as in about('Car')")
    return Question(tuple((cls, 1.0) for cls in classes))


@dataclass(frozen=True)
class Row:
    """A question about the classes of one network.

    Attributes:
        name: its name.
        weights: the classes' indices and weights.
        where: the part of the picture; None for all of it.
        title: its name in figures; "" for the same.
    """

    name: str
    weights: tuple[tuple[int, float], ...]
    where: Where | None = None
    title: str = ""

    @property
    def caption(self) -> str:
        """Its name in figures."""
        return self.title or self.name

    @property
    def index(self) -> int | None:
        """The class of a question about a single class, else None."""
        return self.subject if len(self.weights) == 1 and self.weights[0][1] == 1 else None

    @property
    def subject(self) -> int:
        """The class that it is about, the first of several."""
        return self.weights[0][0]

    def over(self, where: Where) -> Row:
        """The same in the intersection of its part of the picture and another."""
        part = where if self.where is None else self.where & where
        title = f"{self.title} {where}" if self.title else ""
        return Row(f"{self.name} {where}", self.weights, part, title)


def rows(questions: Questions, classes: Sequence[str]) -> tuple[Row, ...]:
    """Return questions by class index.

    Args:
        questions: one or several.
        classes: the names of the network's classes.

    Raises:
        ClassError: there is no such class, or the list is empty.
        InputError: the weights of a question are all zero, or not finite.
    """
    if isinstance(questions, (str, Question)) or not isinstance(questions, Iterable):
        questions = [questions]
    listed = list(questions)
    if not listed:
        raise ClassError("the list of classes is empty; leave it out for those in the picture")
    return tuple(_row(entry, classes) for entry in listed)


def class_rows(indices: Iterable[int], classes: Sequence[str]) -> tuple[Row, ...]:
    """Return one question about each class."""
    return tuple(Row(classes[index], ((index, 1.0),)) for index in indices)


def directions(channel: int, name: str) -> tuple[Row, Row]:
    """Return what raises a value, and what lowers it."""
    return (
        Row(name, ((channel, 1.0),), title=f"what raises {name}"),
        Row(f"-{name}", ((channel, -1.0),), title=f"what lowers {name}"),
    )


def class_weights(questions: Sequence[Row], classes: int) -> NDArray[np.float32]:
    """The class weights [questions, classes]."""
    weights = np.zeros((len(questions), classes), np.float32)
    for k, row in enumerate(questions):
        for index, weight in row.weights:
            weights[k, index] = weight
    return weights


def parse(text: str, classes: Sequence[str]) -> Question | str | int:
    """Read a class, or a sum or difference such as ``Car - 0.5*Road``, or ``-Car``.

    The name of a class takes precedence, even if it contains a sign or a number.

    Raises:
        ClassError: there is no such class.

    Example:
        >>> parse("Car - 0.5*Road", ("Sky", "Road", "Car")).terms
        (('Car', 1.0), ('Road', -0.5))
    """
    if text in classes:
        return text
    if text.isdecimal():
        return int(text)
    parts = re.split(r"\s+([+-])\s+", text.strip())
    signs, words = ["+", *parts[1::2]], parts[0::2]
    terms = _terms(words, signs, classes)
    if terms is None and words[0].startswith("-"):
        signs, words = ["-", *signs[1:]], [words[0][1:].lstrip(), *words[1:]]
        terms = _terms(words, signs, classes)
    elif terms is None and len(words) == 1:
        return text  # no class, as an error says later
    if terms is None:
        wrong = next((t for t in words if _term(t, classes) is None), text)
        raise ClassError(f"there is no class {wrong!r}{nearest(wrong, classes)}")
    return Question(tuple(terms))


def _terms(words: Sequence[str], signs: Sequence[str], classes: Sequence[str]) -> list[Term] | None:
    """The terms, longest names first, so that a sign within a class's name does not split it."""
    if not words:
        return []
    for end in range(len(words), 0, -1):
        following = zip(signs[1:end], words[1:end], strict=True)
        first = _term(words[0] + "".join(f" {sign} {name}" for sign, name in following), classes)
        rest = None if first is None else _terms(words[end:], signs[end:], classes)
        if first is not None and rest is not None:
            cls, weight = first
            return [(cls, weight if signs[0] == "+" else -weight), *rest]
    return None


def _term(text: str, classes: Sequence[str]) -> Term | None:
    """A class, or a number times a class; None if there is no such class."""
    product = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*\*\s*(.+)", text)
    for name, weight in ((text, "1"), *([(product[2], product[1])] if product else [])):
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
            f"the question {entry.name or _name(weights, classes)!r} has only zero weights, or one "
            "that is not finite"
        )
    name = _name(weights, classes)
    terms = tuple(weights.items())
    title = ""
    if entry.name is None and len(terms) == 1 and terms[0][1] < 0:
        ((index, weight),) = terms
        title = f"what lowers {_name({index: -weight}, classes)}"
    if entry.where is not None:
        name, title = f"{name} {entry.where}", title and f"{title} {entry.where}"
    return Row(entry.name or name, terms, entry.where, title)


def _name(weights: dict[int, float], classes: Sequence[str]) -> str:
    """``Car - 0.5*Road``."""
    text = ""
    for index, weight in weights.items():
        size = "" if abs(weight) == 1 else f"{abs(weight):g}*"
        sign = (" - " if weight < 0 else " + ") if text else ("-" if weight < 0 else "")
        text += f"{sign}{size}{classes[index]}"
    return text
