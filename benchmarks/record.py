"""The file of results: JSON, merged network by network."""

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

    Results of one network remain when another is measured, so that an interrupted run resumes.
    Another machine, or another version of any package, starts over.
    """

    def __init__(self, path: Path, device: str, machine: dict[str, Any]) -> None:
        self._path = path
        self.data: dict[str, Any] = read(path)
        self.device = device
        # through JSON, which turns tuples into lists
        if self.data.get(device, {}).get("machine") != json.loads(json.dumps(machine)):
            self.data[device] = {"machine": machine}

    def get(self, *keys: str) -> Any:
        """The value at a path of keys; None if there is none."""
        return self._find(keys[:-1]).get(keys[-1])

    def put(self, value: Any, *keys: str) -> None:
        """Set the value at a path of keys, and write the file."""
        self._find(keys[:-1])[keys[-1]] = value
        write_whole(self._path, dumped(self.data).encode())

    def _find(self, keys: tuple[str, ...]) -> dict[str, Any]:
        entry: dict[str, Any] = self.data[self.device]
        for key in keys:
            entry = entry.setdefault(key, {})
        return entry


def read(path: Path) -> dict[str, Any]:
    """The content of a file of results; empty if there is no file."""
    if not path.exists():
        return {}
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def dumped(data: dict[str, Any]) -> str:
    """Results as the text of a file, with each list of numbers on one line."""
    text = json.dumps(data, indent=1)
    return re.sub(r"\[[-+.\de,\s]+\]", lambda match: " ".join(match[0].split()), text) + "\n"


def row(measurement: Pairs) -> dict[str, Any]:
    """The times, rounded to microseconds, and their medians."""
    return {
        "ratio": asdict(median(measurement.ratios)),
        "seconds": asdict(median(measurement.times)),
        "times": [round(t, 6) for t in measurement.times],
        "units": [round(t, 6) for t in measurement.units],
    }


def pairs(entry: dict[str, Any]) -> Pairs:
    """The times of a row that :func:`row` wrote."""
    return Pairs(tuple(entry["times"]), tuple(entry["units"]))


def interval(entry: dict[str, float]) -> Interval:
    """A median from the file."""
    return Interval(**entry)
