"""Writes the tables of ``evaluate.md`` from the results of ``ortcam evaluate``.

``python docs/evaluate.py FOLDER...`` takes the folders that the commands in the page wrote, and
puts tables of each between the page's two comments: the mean over the pictures of each figure,
all classes together, and its 95 % interval.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from ortcam.evaluation.metric_names import format_value

PAGE = Path(__file__).with_name("evaluate.md")
BEGIN, END = "<!-- Written by docs/evaluate.py. -->\n", "<!-- End. -->"


def tables(name: str, summary: dict[str, Any]) -> str:
    """What was measured, and of what: a table of figures, and one of each comparison."""
    lines = [line for line in summary["metrics"] if not line["cls"]]
    alone = [line for line in lines if not line["other"]]
    found = [_rows(alone, "metric", summary["done"])] if alone else []
    kinds: dict[str, list[dict[str, Any]]] = {}  # "layers", "randomised"
    for line in lines:
        if line["other"]:
            kinds.setdefault(line["metric"].partition("-")[0], []).append(line)
    found += [_rows(compared, "method", summary["done"]) for compared in kinds.values()]
    about = f"**{name}**: {summary['done']} pictures, objects {summary['objects']}:"
    return "\n".join([about + "\n", *found])


def _versions(summary: dict[str, Any]) -> str:
    versions = summary["versions"]
    return (
        f"ortcam {summary['ortcam']}, onnxruntime {versions['onnxruntime']} "
        f"({versions['provider']}), {versions['machine']}.\n"
    )


def _rows(lines: list[dict[str, Any]], across: str, done: int) -> str:
    """A column for each metric, or method, and a row for each of what else tells lines apart."""
    down = [key for key in ("metric", "layer", "method", "other") if key != across]
    told = {key: dict.fromkeys(line[key] for line in lines if line[key]) for key in down}
    varied = [key for key in down if len(told[key]) > 1]
    columns = list(dict.fromkeys(line[across] for line in lines))
    rows: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for line in lines:
        rows.setdefault(tuple(line[key] for key in varied), {})[line[across]] = line
    same = [*chain.from_iterable(told[key] for key in down if key not in varied)]
    if (pictures := max(line["pictures"] for line in lines)) < done:
        same.append(f"{pictures} pictures")
    text = [[", ".join(same), *columns], ["---"] * (len(columns) + 1)]
    for names, row in rows.items():
        name = ", ".join(filter(None, names)) or "predictions"
        text.append([name, *(_cell(row.get(column)) for column in columns)])
    return "\n".join("| " + " | ".join(row) + " |" for row in text) + "\n"


def _cell(line: dict[str, Any] | None) -> str:
    if line is None:
        return ""
    if line["mean"] is None:
        return "undefined"
    if line["low"] is None:
        return format_value(line["mean"])
    mean, low, high = (format_value(line[key]) for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def main(folders: list[str]) -> None:
    """Puts the tables into the page."""
    paths = [Path(folder) / "summary.json" for folder in folders]
    summaries = {path.parent.name: json.loads(path.read_text("utf-8")) for path in paths}
    about = dict.fromkeys(map(_versions, summaries.values()))  # one line, unless they differ
    every = "\n".join([*about, *(tables(*entry) for entry in summaries.items())])
    page = PAGE.read_text(encoding="utf-8")
    written, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{every}\n{END}",
        page,
        flags=re.DOTALL,
    )
    if count != 1:
        sys.exit(f"{PAGE} has no place for the tables, between {BEGIN.strip()} and {END}")
    PAGE.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("usage: python docs/evaluate.py FOLDER...")
    main(sys.argv[1:])
