"""The results of a run so far, one line per picture, so that an interrupted run can resume.

The file is JSON Lines. Its first line identifies the run: the artifact and the options; a run that
differs in these is refused. A partial last line, as a power cut leaves it, is dropped. Everything
that is read back is validated, since the file may come from anywhere.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ortcam.errors import InputError, OutputError
from ortcam.files.atomic import write_whole
from ortcam.messages import Option

__all__ = ["Journal", "Points", "Record", "Row", "rounded"]

FORMAT = 1
_MAX_LINE = 2**26
"""The longest line that is read, in bytes."""


class Row(NamedTuple):
    """The value of one metric.

    Attributes:
        picture: the picture's name.
        cls: the class's name; empty for a value that concerns no class.
        layer: the feature layer.
        method: the method that made the map; empty for a value that concerns no map.
        metric: the metric's name.
        other: the second layer of a comparison of two layers; the stage of a randomisation.
        value: the value; None if it is undefined, as for an all-zero map.
    """

    picture: str
    cls: str
    layer: str
    method: str
    metric: str
    other: str
    value: float | None


class Points(NamedTuple):
    """The points of one curve.

    Attributes:
        picture, cls, layer, method: as in :class:`Row`.
        curve: the curve's name.
        shares: fractions of the picture.
        values: the curve's values at these.
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
    """The result of one unit of work.

    Attributes:
        unit: the unit: a picture, or a step of a check over several pictures.
        rows: values.
        curves: curves.
        notes: remarks for the reader.
        error: why the unit failed; empty if it succeeded.
    """

    unit: str
    rows: tuple[Row, ...] = ()
    curves: tuple[Points, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""


class Journal:
    """The file, and which units it holds.

    Attributes:
        path: the file.
        done: the units in the file.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, restart: bool = False) -> None:
        """Create the file, or resume from it.

        Args:
            path: the file, existing or not.
            identity: what identifies the run, as JSON data.
            restart: start over even if the file exists.

        Raises:
            InputError: the file belongs to another run, or is no journal.
            OutputError: the file cannot be written.
        """
        self.path = path
        header = json.loads(json.dumps({"format": FORMAT, **identity}))
        if restart or not path.exists() or not path.stat().st_size:
            write_whole(path, _line(header))
        else:
            _drop_partial_line(path)
            self._check_header(header)
        self.done = {record.unit for record in self.records()}

    def append(self, record: Record) -> None:
        """Append a record, and wait until it is on the disk.

        Raises:
            OutputError: the file cannot be written.
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
        """Yield all records, one at a time.

        Raises:
            InputError: a line is damaged.
        """
        for number, line in enumerate(self._lines(), start=1):
            if number == 1:
                continue
            try:
                yield _record(json.loads(line))
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise self._damage(number) from error

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                number = 0
                while line := file.readline(_MAX_LINE):
                    number += 1
                    if not line.endswith(b"\n"):
                        raise self._damage(number)
                    yield line
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _damage(self, number: int) -> InputError:
        return InputError(
            f"line {number} of {self.path} is damaged, so the run cannot resume; start over with ",
            Option("restart", True),
            ", or use another folder",
        )

    def _check_header(self, header: dict[str, Any]) -> None:
        try:
            stored = json.loads(next(self._lines(), b""))
            if not isinstance(stored, dict) or not isinstance(stored.get("format"), int):
                raise TypeError
        except (TypeError, ValueError, RecursionError) as error:
            raise self._damage(1) from error
        for key in {**header, **stored}:
            if stored.get(key) != header.get(key):
                raise InputError(
                    f"{self.path.parent} holds a different run ({key}: "
                    f"{_abbreviation(stored.get(key))} there, {_abbreviation(header.get(key))} "
                    "here); start over with ",
                    Option("restart", True),
                    ", or use another folder",
                )


def rounded(value: float) -> float | None:
    """A value as it is stored: six significant digits, None if it is undefined.

    Example:
        >>> rounded(1 / 3), rounded(float("nan"))
        (0.333333, None)
    """
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _abbreviation(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def _line(value: object) -> bytes:
    # allow_nan=False: NaN is not JSON; undefined values are null.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _drop_partial_line(path: Path) -> None:
    """Truncate the file after its last complete line, but never before the end of the first."""
    try:
        with path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                begin = max(0, end - 65536)
                file.seek(begin)
                position = file.read(end - begin).rfind(b"\n")
                if position >= 0:
                    file.truncate(begin + position + 1)
                    return
                end = begin
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def _record(data: dict[str, Any]) -> Record:
    """The record in a line's JSON data, validated."""
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
