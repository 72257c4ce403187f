"""The results as they stand in a file: JSON, merged network by network."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import Interval, Pairs, median
from ortcam.files.atomic import write_whole

__all__ = ["Record", "dumped", "interval", "pairs", "read", "row"]


class Record:
    """A file of results: by device, then machine, networks, processes and installed bytes.

    What was measured for one network stays when another is measured, so that a run that was broken
    off goes on where it was. Another machine, or another version of anything, begins anew.
    """

    def __init__(self, path: Path, device: str, machine: dict[str, Any]) -> None:
        self._path = path
        self.data: dict[str, Any] = read(path)
        self.device = device
        # as JSON has it, where there are lists for tuples
        if self.data.get(device, {}).get("machine") != json.loads(json.dumps(machine)):
            self.data[device] = {"machine": machine}

    def get(self, *keys: str) -> Any:
        """What stands there already; None where nothing does."""
        return self._find(keys[:-1]).get(keys[-1])

    def put(self, value: Any, *keys: str) -> None:
        """Writes something in its place, and the file with it."""
        self._find(keys[:-1])[keys[-1]] = value
        write_whole(self._path, dumped(self.data).encode())

    def _find(self, keys: tuple[str, ...]) -> dict[str, Any]:
        place: dict[str, Any] = self.data[self.device]
        for key in keys:
            place = place.setdefault(key, {})
        return place


def read(path: Path) -> dict[str, Any]:
    """What stands in a file of results; nothing where there is none."""
    if not path.exists():
        return {}
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def dumped(data: dict[str, Any]) -> str:
    """Results as they stand in a file: a list of numbers is one line."""
    text = json.dumps(data, indent=1)
    return re.sub(r"\[[-+.\de,\s]+\]", lambda found: " ".join(found[0].split()), text) + "\n"


def row(measured: Pairs) -> dict[str, Any]:
    """The times, rounded to microseconds, and what they come to."""
    return {
        "ratio": asdict(median(measured.ratios)),
        "seconds": asdict(median(measured.times)),
        "times": [round(t, 6) for t in measured.times],
        "units": [round(t, 6) for t in measured.units],
    }


def pairs(entry: dict[str, Any]) -> Pairs:
    """The times of a row that was written by :func:`row`."""
    return Pairs(tuple(entry["times"]), tuple(entry["units"]))


def interval(entry: dict[str, float]) -> Interval:
    """A median as it stands in the file."""
    return Interval(**entry)
