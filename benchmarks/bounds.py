"""What the figures are to be, and whether they are: ``bounds.toml`` against the results."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Interval, median, speedup
from benchmarks.record import interval, pairs

__all__ = ["Verdict", "bounds", "figure", "short", "verdicts"]

_FILE = Path(__file__).with_name("bounds.toml")


@dataclass(frozen=True)
class Verdict:
    """One bound at one place.

    Attributes:
        what: what is bounded.
        where: the place, as ``network/row``.
        bound: as a reader writes it, ``"at most 1.02"``.
        found: what was measured; None where it was not.
        met: whether its median keeps the bound; None where it was not measured.
    """

    what: str
    where: str
    bound: str
    found: Interval | None
    met: bool | None


def bounds() -> list[dict[str, Any]]:
    """The bounds as they stand in the file."""
    found: list[dict[str, Any]] = _read()["bound"]
    return found


def short() -> tuple[dict[str, float], float]:
    """What CI watches: the rows' ratios, and how many times more they may be."""
    found = _read()["short"]
    return found["rows"], found["more"]


def verdicts(results: dict[str, Any]) -> Iterator[Verdict]:
    """Every bound at each of its places, against the results of one device."""
    for bound in bounds():
        least = bound.get("at_least")
        said = f"at most {bound['at_most']}" if least is None else f"at least {least}"
        for where in bound["at"]:
            found = figure(results, where, bound.get("over"))
            met = None
            if found is not None:
                met = found.median <= bound["at_most"] if least is None else found.median >= least
            yield Verdict(bound["what"], where, said, found, met)


def figure(results: dict[str, Any], where: str, over: str | None = None) -> Interval | None:
    """What was measured at a place; None where nothing was.

    Args:
        results: of one device.
        where: as in ``bounds.toml``.
        over: the row of the same network that this is so many times faster than.
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
    own, unit = processes[row][key], processes["plain"][key]
    return median([a / b for a, b in zip(own, unit, strict=True)])


def _exact(value: float) -> Interval:
    return Interval(value, value, value)


def _read() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
