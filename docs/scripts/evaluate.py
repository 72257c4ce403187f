"""Write the tables of ``evaluate.md`` from the results of ``ortcam evaluate``.

``python docs/scripts/evaluate.py FOLDER...`` takes the folders that the commands of the page
wrote. It puts their tables between the page's two comments: for each metric the mean over the
pictures, all classes together, with its 95 % interval.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from ortcam.evaluation.metric_names import format_value

PAGE = Path(__file__).parents[1] / "evaluate.md"
BEGIN, END = "<!-- Written by docs/scripts/evaluate.py. -->\n", "<!-- End. -->"


def tables(name: str, summary: dict[str, Any]) -> str:
    """Return the tables of one evaluation: one of metrics, and one for each comparison."""
    lines = [line for line in summary["metrics"] if not line["cls"]]
    alone = [line for line in lines if not line["other"]]
    parts = [_rows(alone, "metric", summary["done"])] if alone else []
    kinds: dict[str, list[dict[str, Any]]] = {}  # "layers", "randomised"
    for line in lines:
        if line["other"]:
            kinds.setdefault(line["metric"].partition("-")[0], []).append(line)
    parts += [_rows(compared, "method", summary["done"]) for compared in kinds.values()]
    about = f"**{name}**: {summary['done']} pictures, objects {summary['objects']}:"
    return "\n".join([about + "\n", *parts])


def _versions(summary: dict[str, Any]) -> str:
    versions = summary["versions"]
    return (
        f"ortcam {summary['ortcam']}, onnxruntime {versions['onnxruntime']} "
        f"({versions['provider']}), {versions['machine']}.\n"
    )


def _rows(lines: list[dict[str, Any]], across: str, done: int) -> str:
    """Return a table with a column per metric or method; what else varies labels the rows."""
    down = [key for key in ("metric", "layer", "method", "other") if key != across]
    values = {key: dict.fromkeys(line[key] for line in lines if line[key]) for key in down}
    varied = [key for key in down if len(values[key]) > 1]
    columns = list(dict.fromkeys(line[across] for line in lines))
    rows: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for line in lines:
        rows.setdefault(tuple(line[key] for key in varied), {})[line[across]] = line
    same = [*chain.from_iterable(values[key] for key in down if key not in varied)]
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
    """Write the tables into the page."""
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
        sys.exit(f"{PAGE} must have {BEGIN.strip()} and {END} once each, for the tables")
    PAGE.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("usage: python docs/scripts/evaluate.py FOLDER...")
    main(sys.argv[1:])
