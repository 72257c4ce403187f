"""What a run has found so far: a line for each picture, written whole, so that it can go on.

The file's first line says what was asked of what; a run that asks something else does not go on
with it. It is JSON, line by line; a last line without its end, as a power cut leaves it, is taken
away. What is read back is checked: the file may come from anywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ortcam.errors import InputError, OutputError
from ortcam.files.atomic import write_whole
from ortcam.messages import Option

__all__ = ["Journal", "Points", "Record", "Row"]

FORMAT = 1
_LONGEST = 2**26
"""Bytes of a line at most."""


class Row(NamedTuple):
    """One figure.

    Attributes:
        picture: its name.
        cls: the class's name; empty where it is about none.
        layer: the feature layer.
        method: how the map was made; empty where it is about no map.
        metric: what was measured.
        other: of an agreement of two layers the other; of a randomisation how far it went.
        value: the figure; None where it is not defined, as for a map that shows nothing.
    """

    picture: str
    cls: str
    layer: str
    method: str
    metric: str
    other: str
    value: float | None


class Points(NamedTuple):
    """One curve.

    Attributes:
        picture, cls, layer, method: as for a row.
        curve: its name.
        shares: of the picture.
        values: at these.
    """

    picture: str
    cls: str
    layer: str
    method: str
    curve: str
    shares: list[float]
    values: list[float]


@dataclass(frozen=True)
class Record:
    """What a unit of work gave.

    Attributes:
        unit: what was done: a picture, or a step of a check over several.
        rows: figures.
        curves: curves.
        notes: what a reader should know.
        error: why it could not be done; empty where it was.
    """

    unit: str
    rows: tuple[Row, ...] = ()
    curves: tuple[Points, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""


class Journal:
    """The file, and which units are in it.

    Attributes:
        path: the file.
        done: the units in it.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, restart: bool = False) -> None:
        """Begins a file, or goes on with one.

        Args:
            path: the file, there or not.
            identity: what is asked of what, as JSON has it.
            restart: begin anew whatever is there.

        Raises:
            InputError: what is there was asked of something else, or is no journal.
            OutputError: it cannot be written.
        """
        self.path = path
        head = json.loads(json.dumps({"format": FORMAT, **identity}))
        if restart or not path.exists() or not path.stat().st_size:
            write_whole(path, _line(head))
        else:
            _cut_off(path)
            self._compare(head)
        self.done = {record.unit for record in self.records()}

    def append(self, record: Record) -> None:
        """Writes a record whole, and sees that it is on the disk.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            with self.path.open("ab") as file:
                file.write(_line(asdict(record)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror or error}"
            ) from error
        self.done.add(record.unit)

    def records(self) -> Iterator[Record]:
        """All records, one at a time.

        Raises:
            InputError: a line is damaged.
        """
        for number, line in enumerate(self._lines(), start=1):
            if number == 1:
                continue
            try:
                yield _record(json.loads(line))
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise self._damaged(number) from error

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                number = 0
                while line := file.readline(_LONGEST):
                    number += 1
                    if not line.endswith(b"\n"):
                        raise self._damaged(number)
                    yield line
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _damaged(self, number: int) -> InputError:
        return InputError(
            f"line {number} of {self.path} is damaged, so the run cannot go on; begin anew with ",
            Option("restart", True),
            ", or in another folder",
        )

    def _compare(self, head: dict[str, Any]) -> None:
        try:
            there = json.loads(next(self._lines(), b""))
            if not isinstance(there, dict) or not isinstance(there.get("format"), int):
                raise TypeError
        except (TypeError, ValueError, RecursionError) as error:
            raise self._damaged(1) from error
        for key in {**head, **there}:
            if there.get(key) != head.get(key):
                raise InputError(
                    f"{self.path.parent} holds a run whose {key} was {_short(there.get(key))}, and "
                    f"now it is {_short(head.get(key))}; begin anew with ",
                    Option("restart", True),
                    ", or in another folder",
                )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def _line(value: object) -> bytes:
    # allow_nan=False: NaN is no JSON, and stands as null.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _cut_off(path: Path) -> None:
    """Takes away what stands behind the last whole line, but never the first one."""
    try:
        with path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                begin = max(0, end - 65536)
                file.seek(begin)
                at = file.read(end - begin).rfind(b"\n")
                if at >= 0:
                    file.truncate(begin + at + 1)
                    return
                end = begin
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def _record(data: dict[str, Any]) -> Record:
    """A record of what was read, which is checked."""
    for text in (data["unit"], data["error"], *data["notes"]):
        _check(text, str)
    rows = tuple(Row(*row) for row in data["rows"])
    curves = tuple(Points(*points) for points in data["curves"])
    for row in rows:
        for text in row[:-1]:
            _check(text, str)
        if row.value is not None:
            _check(row.value, float, int)
    for points in curves:
        for text in points[:5]:
            _check(text, str)
        if len(points.shares) != len(points.values):
            raise ValueError(points.curve)
        for value in (*points.shares, *points.values):
            _check(value, float, int)
    return Record(data["unit"], rows, curves, tuple(data["notes"]), data["error"])


def _check(value: object, *kinds: type) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(value)
