"""The summary of a run: means, medians and intervals, mean curves, and the worst pictures.

The unit is the picture. Its classes are averaged first, so that a picture with many classes counts
no more than another; the intervals are those of the mean over pictures.
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

from ortcam.batch.journal import Points, Record, Row, rounded
from ortcam.evaluation.metric_names import FIGURES

__all__ = ["Line", "MeanCurve", "Summary", "interval", "summarise"]

DRAWS = 1000
"""Bootstrap samples of an interval."""


class _Key(NamedTuple):
    metric: str
    layer: str
    method: str
    cls: str
    other: str


@dataclass(frozen=True)
class Line:
    """The summary of one figure.

    Attributes:
        metric, layer, method, cls, other: as in a row; ``cls`` is empty for all classes together.
        pictures: the number of pictures in which it is defined.
        undefined: the number of undefined values, as of all-zero maps.
        mean, median: over the pictures.
        low, high: the 95 % interval of the mean, by bootstrap; None for fewer than two pictures.
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
    """A curve averaged over the pictures, all classes together."""

    curve: str
    layer: str
    method: str
    pictures: int
    shares: list[float]
    values: list[float]


@dataclass(frozen=True)
class Summary:
    """The summary of a run.

    Attributes:
        done: the number of pictures with results.
        left_out: the pictures that could not be evaluated, each with the reason.
        lines: the figures, those of all classes together first.
        curves: the mean curves.
        worst: the worst rows of each figure that has a better direction, at most one per picture.
        notes: the notes on pictures, each with its number of pictures.
    """

    done: int
    left_out: list[tuple[str, str]]
    lines: list[Line]
    curves: list[MeanCurve]
    worst: dict[str, list[Row]]
    notes: list[tuple[str, int]]

    def as_dict(self) -> dict[str, Any]:
        """As JSON data."""
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
    """Summarise records, read one at a time; memory holds one number per figure and picture.

    Args:
        records: the records of a run.
        worst: the number of worst rows of each figure.
    """
    values: dict[_Key, _Values] = {}
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
        _add_rows(values, record.rows)
        _add_curves(curves, record.curves)
        _add_worst(poorest, record.rows, worst, number)
    return Summary(
        done=len(pictures),
        left_out=left_out,
        lines=[_line(key, values[key]) for key in _ordered(values)],
        curves=[
            MeanCurve(*key, count, shares, [rounded(v) or 0.0 for v in total / count])
            for key, (count, shares, total) in curves.items()
        ],
        worst={
            name: [row for _, _, row in sorted(rows, reverse=True)]
            for name, rows in sorted(poorest.items(), key=lambda e: list(FIGURES).index(e[0]))
        },
        notes=sorted(notes.items(), key=lambda e: -e[1]),
    )


def _ordered(keys: Iterable[_Key]) -> list[_Key]:
    """Sort by figure; layers, methods and stages stay in the order of the work."""
    unsorted = list(keys)
    rank = {
        part: {name: i for i, name in enumerate(dict.fromkeys(getattr(k, part) for k in unsorted))}
        for part in ("layer", "method", "other")
    }

    def position(key: _Key) -> tuple[bool, int, int, int, str, int]:
        layer, method, other = (rank[part][getattr(key, part)] for part in rank)
        return key.cls != "", list(FIGURES).index(key.metric), layer, method, key.cls, other

    return sorted(unsorted, key=position)


def interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """The 95 % interval of the mean, by the percentile bootstrap with 1000 samples.

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993.

    Args:
        values: [pictures].

    Returns:
        The percentiles 2.5 and 97.5; None for fewer than two values.
    """
    if len(values) < 2:
        return None
    random = np.random.default_rng(0)
    chunk = max(1, 2**20 // len(values))
    means = [
        values[random.integers(len(values), size=(min(chunk, DRAWS - done), len(values)))].mean(1)
        for done in range(0, DRAWS, chunk)
    ]
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return float(low), float(high)


def _add_rows(by_key: dict[_Key, _Values], rows: Iterable[Row]) -> None:
    """Add the value of each class, and for each picture the mean over its classes."""
    by_picture: dict[tuple[str, _Key], list[float]] = {}
    for row in rows:
        if row.metric not in FIGURES:
            continue
        all_classes = _Key(row.metric, row.layer, row.method, "", row.other)
        for key in {all_classes, all_classes._replace(cls=row.cls)}:
            values = by_key.setdefault(key, _Values())
            if row.value is None:
                values.undefined += 1
            elif key.cls:
                values.values.append(row.value)
        if row.value is not None:
            by_picture.setdefault((row.picture, all_classes), []).append(row.value)
    for (_, key), class_values in by_picture.items():
        by_key[key].values.append(math.fsum(class_values) / len(class_values))


def _add_curves(
    curves: dict[tuple[str, str, str], tuple[int, list[float], NDArray[np.float64]]],
    points: Iterable[Points],
) -> None:
    by_key: dict[tuple[str, str, str], list[Points]] = {}
    for curve in points:
        by_key.setdefault((curve.curve, curve.layer, curve.method), []).append(curve)
    for key, of_classes in by_key.items():
        mean = np.mean([curve.values for curve in of_classes], axis=0)
        count, shares, total = curves.get(key, (0, of_classes[0].shares, np.zeros_like(mean)))
        curves[key] = count + 1, shares, total + mean


def _add_worst(
    poorest: dict[str, list[tuple[float, int, Row]]], rows: Iterable[Row], limit: int, number: int
) -> None:
    candidates: dict[str, tuple[float, int, Row]] = {}
    for row in rows:
        good = FIGURES[row.metric].good if row.metric in FIGURES else ""
        if not good or not row.layer or row.value is None or row.other or not row.cls:
            continue
        if row.value == {"high": 1, "low": 0}[good]:  # perfect
            continue
        badness = row.value if good == "low" else -row.value
        if row.metric not in candidates or badness > candidates[row.metric][0]:
            candidates[row.metric] = badness, -number, row
    for metric, entry in candidates.items():
        heap = poorest.setdefault(metric, [])
        heapq.heappush(heap, entry)
        if len(heap) > limit:
            heapq.heappop(heap)


def _line(key: _Key, entry: _Values) -> Line:
    values = np.array(entry.values, np.float64)
    ends = interval(values)
    return Line(
        metric=key.metric,
        layer=key.layer,
        method=key.method,
        cls=key.cls,
        other=key.other,
        pictures=len(values),
        undefined=entry.undefined,
        mean=rounded(values.mean()) if len(values) else None,
        median=rounded(float(np.median(values))) if len(values) else None,
        low=None if ends is None else rounded(ends[0]),
        high=None if ends is None else rounded(ends[1]),
    )
