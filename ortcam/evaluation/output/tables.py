"""Values and curves as CSV and the summary as JSON; each file is written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ortcam.batch.journal import Record
from ortcam.files.atomic import whole_file, write_whole

__all__ = ["CURVES", "METRICS", "SUMMARY", "write_curves", "write_metrics", "write_summary"]

METRICS = "metrics.csv"
CURVES = "curves.csv"
SUMMARY = "summary.json"


def write_metrics(folder: Path, records: Iterable[Record]) -> None:
    """Write a row per picture, class, layer, method and metric; undefined values are empty.

    Raises:
        OutputError: the file cannot be written.
    """
    header = ("picture", "class", "layer", "method", "metric", "other", "value")
    _write(folder / METRICS, header, (row for record in records for row in record.rows))


def write_curves(folder: Path, records: Iterable[Record]) -> None:
    """Write a row per point of each curve.

    Raises:
        OutputError: the file cannot be written.
    """

    def points() -> Iterator[Sequence[Any]]:
        for record in records:
            for *key, shares, values in record.curves:
                for share, value in zip(shares, values, strict=True):
                    yield (*key, share, value)

    _write(
        folder / CURVES,
        ("picture", "class", "layer", "method", "curve", "share", "value"),
        points(),
    )


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write the summary.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / SUMMARY, text.encode() + b"\n")


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
        text.detach()
