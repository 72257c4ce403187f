"""What many figures come to: means, medians and intervals, mean curves, the worst pictures.

The unit is the picture: its classes are averaged first, so that a picture of many classes counts no
more than another, and intervals are of the mean over pictures like these.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ortcam.batch.journal import Points, Record, Row
from ortcam.evaluation.metric_names import FIGURES

__all__ = ["Line", "MeanCurve", "Summary", "interval", "summarise"]

DRAWS = 1000
"""Resamplings of an interval."""


class _Key(NamedTuple):
    metric: str
    layer: str
    method: str
    cls: str
    other: str


@dataclass(frozen=True)
class Line:
    """What one figure comes to.

    Attributes:
        metric, layer, method, cls, other: what it is of; ``cls`` is empty for all classes together.
        pictures: in how many it is defined.
        undefined: how often it is not, as for a map that shows nothing.
        mean, median: over the pictures.
        low, high: the mean's 95 % interval, by bootstrap; None for fewer than two pictures.
    """

    metric: str
    layer: str
    method: str
    cls: str
    other: str
    pictures: int
    undefined: int
    mean: float | None
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class MeanCurve:
    """A curve in the mean over the pictures, all classes together."""

    curve: str
    layer: str
    method: str
    pictures: int
    shares: list[float]
    values: list[float]


@dataclass(frozen=True)
class Summary:
    """All of it.

    Attributes:
        done: how many pictures were looked at.
        left_out: those for which it could not be done, and why.
        lines: the figures, those of all classes together first.
        curves: mean curves.
        worst: for each figure of which one way is good, its worst rows, at most one a picture.
        notes: what was said of pictures, and of how many.
    """

    done: int
    left_out: list[tuple[str, str]]
    lines: list[Line]
    curves: list[MeanCurve]
    worst: dict[str, list[Row]]
    notes: list[tuple[str, int]]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "done": self.done,
            "left_out": [{"picture": name, "error": error} for name, error in self.left_out],
            "figures": {
                name: {"words": f.words, "good": f.good}
                for name, f in FIGURES.items()
                if any(line.metric == name for line in self.lines)
            },
            "metrics": [asdict(line) for line in self.lines],
            "curves": [asdict(curve) for curve in self.curves],
            "worst": {name: [row._asdict() for row in rows] for name, rows in self.worst.items()},
            "notes": [{"note": note, "pictures": count} for note, count in self.notes],
        }


@dataclass
class _Values:
    values: array[float] = field(default_factory=lambda: array("d"))
    undefined: int = 0


def summarise(records: Iterable[Record], worst: int) -> Summary:
    """Takes in records one at a time; what is kept is a number for each figure and picture.

    Args:
        records: what a run gave.
        worst: how many of the worst rows are kept for each figure.
    """
    found: dict[_Key, _Values] = {}
    curves: dict[tuple[str, str, str], tuple[int, list[float], NDArray[np.float64]]] = {}
    poorest: dict[str, list[tuple[float, int, Row]]] = {}
    notes: dict[str, int] = {}
    left_out: list[tuple[str, str]] = []
    pictures: set[str] = set()
    for number, record in enumerate(records):
        if record.error:
            left_out.append((record.unit, record.error))
            continue
        pictures |= {row.picture for row in record.rows}
        for note in record.notes:
            notes[note] = notes.get(note, 0) + 1
        _take_rows(found, record.rows)
        _take_curves(curves, record.curves)
        _take_worst(poorest, record.rows, worst, number)
    keys = _ordered(found)
    return Summary(
        done=len(pictures),
        left_out=left_out,
        lines=[_line_of(key, found[key]) for key in keys],
        curves=[
            MeanCurve(*key, count, shares, [_short(v) for v in total / count])
            for key, (count, shares, total) in curves.items()
        ],
        worst={
            name: [row for _, _, row in sorted(rows, reverse=True)]
            for name, rows in sorted(poorest.items(), key=lambda e: list(FIGURES).index(e[0]))
        },
        notes=sorted(notes.items(), key=lambda e: -e[1]),
    )


def _ordered(keys: Iterable[_Key]) -> list[_Key]:
    """Layers, methods and what they are compared with in the order in which they were measured."""
    listed = list(keys)
    rank = {
        part: {name: i for i, name in enumerate(dict.fromkeys(getattr(k, part) for k in listed))}
        for part in ("layer", "method", "other")
    }

    def place(key: _Key) -> tuple[bool, int, int, int, str, int]:
        layer, method, other = (rank[part][getattr(key, part)] for part in rank)
        return key.cls != "", list(FIGURES).index(key.metric), layer, method, key.cls, other

    return sorted(listed, key=place)


def interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """The 95 % interval of the mean, by the bootstrap's percentiles.

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993: values are drawn with
    replacement, as many as there are, and their mean taken, 1000 times.

    Args:
        values: [pictures].

    Returns:
        The percentiles 2.5 and 97.5; None of fewer than two values.
    """
    if len(values) < 2:
        return None
    random = np.random.default_rng(0)
    at_once = max(1, 2**20 // len(values))
    means = [
        values[random.integers(len(values), size=(min(at_once, DRAWS - done), len(values)))].mean(1)
        for done in range(0, DRAWS, at_once)
    ]
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return float(low), float(high)


def _take_rows(found: dict[_Key, _Values], rows: Iterable[Row]) -> None:
    """A value for each class, and their mean for all together; for each picture of its own."""
    together: dict[tuple[str, _Key], list[float]] = {}
    for row in rows:
        if row.metric not in FIGURES:
            continue
        everything = _Key(row.metric, row.layer, row.method, "", row.other)
        keys = {everything, everything._replace(cls=row.cls)}
        for key in keys:
            values = found.setdefault(key, _Values())
            if row.value is None:
                values.undefined += 1
            elif key.cls:
                values.values.append(row.value)
        if row.value is not None:
            together.setdefault((row.picture, everything), []).append(row.value)
    for (_, key), several in together.items():
        found[key].values.append(math.fsum(several) / len(several))


def _take_curves(
    curves: dict[tuple[str, str, str], tuple[int, list[float], NDArray[np.float64]]],
    points: Iterable[Points],
) -> None:
    own: dict[tuple[str, str, str], list[Points]] = {}
    for one in points:
        own.setdefault((one.curve, one.layer, one.method), []).append(one)
    for key, several in own.items():
        mean = np.mean([one.values for one in several], axis=0)
        count, shares, total = curves.get(key, (0, several[0].shares, np.zeros_like(mean)))
        curves[key] = count + 1, shares, total + mean


def _take_worst(
    poorest: dict[str, list[tuple[float, int, Row]]], rows: Iterable[Row], most: int, number: int
) -> None:
    own: dict[str, tuple[float, int, Row]] = {}
    for row in rows:
        good = FIGURES[row.metric].good if row.metric in FIGURES else ""
        if not good or not row.layer or row.value is None or row.other or not row.cls:
            continue
        if row.value == {"high": 1, "low": 0}[good]:  # as good as can be
            continue
        badness = row.value if good == "low" else -row.value
        if row.metric not in own or badness > own[row.metric][0]:
            own[row.metric] = badness, -number, row
    for metric, entry in own.items():
        heap = poorest.setdefault(metric, [])
        heapq.heappush(heap, entry)
        if len(heap) > most:
            heapq.heappop(heap)


def _line_of(key: _Key, found: _Values) -> Line:
    values = np.array(found.values, np.float64)
    ends = interval(values)
    return Line(
        metric=key.metric,
        layer=key.layer,
        method=key.method,
        cls=key.cls,
        other=key.other,
        pictures=len(values),
        undefined=found.undefined,
        mean=_short(values.mean()) if len(values) else None,
        median=_short(np.median(values)) if len(values) else None,
        low=None if ends is None else _short(ends[0]),
        high=None if ends is None else _short(ends[1]),
    )


def _short(value: float) -> float:
    return float(f"{value:.6g}")
