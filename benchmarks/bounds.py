"""The bounds in ``bounds.toml``, and whether the results keep them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Interval, median, speedup
from benchmarks.record import interval, pairs

__all__ = ["Verdict", "bounds", "ci_ratios", "figure", "verdicts"]

_FILE = Path(__file__).with_name("bounds.toml")


@dataclass(frozen=True)
class Verdict:
    """One bound at one place.

    Attributes:
        what: the bounded figure.
        where: its place, as ``network/row``.
        bound: the bound in words, ``"at most 1.02"``.
        result: the measurement; None if there is none.
        met: True if the median keeps the bound; None without a measurement.
    """

    what: str
    where: str
    bound: str
    result: Interval | None
    met: bool | None


def bounds() -> list[dict[str, Any]]:
    """The bounds in the file."""
    entries: list[dict[str, Any]] = _read()["bound"]
    return entries


def ci_ratios() -> tuple[dict[str, float], float]:
    """The expected ratios of the rows that CI watches, and the acceptable factor over them."""
    section = _read()["short"]
    return section["rows"], section["more"]


def verdicts(results: dict[str, Any]) -> Iterator[Verdict]:
    """Check every bound at each of its places against the results of one device."""
    for bound in bounds():
        least = bound.get("at_least")
        words = f"at most {bound['at_most']}" if least is None else f"at least {least}"
        for where in bound["at"]:
            result = figure(results, where, bound.get("over"))
            met = None
            if result is not None:
                met = result.median <= bound["at_most"] if least is None else result.median >= least
            yield Verdict(bound["what"], where, words, result, met)


def figure(results: dict[str, Any], where: str, over: str | None = None) -> Interval | None:
    """The measurement at a place; None if there is none.

    Args:
        results: the results of one device.
        where: a place as in ``bounds.toml``.
        over: a row of the same network; the figure is then the speed-up over it.
    """
    kind, row = where.split("/")
    if kind in ("memory", "start"):
        return _process(
            results.get("processes", {}), row, "memory" if kind == "memory" else "first"
        )
    if kind == "size":
        sizes = results.get("networks", {}).get(row, {}).get("bytes")
        return None if sizes is None else _exact(sizes["last"] / sizes["plain"])
    rows = results.get("networks", {}).get(kind, {}).get("rows", {})
    if "ratio" not in rows.get(row, {}) or (over and "ratio" not in rows.get(over, {})):
        return None
    if over:
        return speedup(pairs(rows[over]), pairs(rows[row]))
    return interval(rows[row]["ratio"])


def _process(processes: dict[str, Any], row: str, key: str) -> Interval | None:
    if row not in processes or "plain" not in processes:
        return None
    values, units = processes[row][key], processes["plain"][key]
    return median([value / unit for value, unit in zip(values, units, strict=True)])


def _exact(value: float) -> Interval:
    return Interval(value, value, value)


def _read() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
