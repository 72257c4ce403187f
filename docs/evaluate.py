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

from ortcam.evaluation.figures import in_words

PAGE = Path(__file__).with_name("evaluate.md")
BEGIN, END = "<!-- Written by docs/evaluate.py. -->\n", "<!-- End. -->"


def tables(summary: dict[str, Any]) -> str:
    """What was measured, and of what: a table of figures, and one of each comparison."""
    lines = [line for line in summary["metrics"] if not line["cls"]]
    alone = [line for line in lines if not line["other"]]
    found = [_rows(alone, "metric")] if alone else []
    compared = dict.fromkeys(line["metric"] for line in lines if line["other"])
    found += [_rows([m for m in lines if m["metric"] == metric], "method") for metric in compared]
    versions = summary["versions"]
    about = (
        f"{summary['done']} pictures, objects {summary['objects']}, ortcam {summary['ortcam']}, "
        f"onnxruntime {versions['onnxruntime']} ({versions['provider']}), {versions['machine']}:"
    )
    return "\n".join([about + "\n", *found])


def _rows(lines: list[dict[str, Any]], across: str) -> str:
    """A column for each metric, or method, and a row for each of what else tells lines apart."""
    down = [key for key in ("metric", "layer", "method", "other") if key != across]
    told = {key: dict.fromkeys(line[key] for line in lines if line[key]) for key in down}
    varied = [key for key in down if len(told[key]) > 1]
    columns = list(dict.fromkeys(line[across] for line in lines))
    rows: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for line in lines:
        rows.setdefault(tuple(line[key] for key in varied), {})[line[across]] = line
    same = ", ".join(chain.from_iterable(told[key] for key in down if key not in varied))
    text = [[same, *columns], ["---"] * (len(columns) + 1)]
    for names, row in rows.items():
        text.append(
            [
                ", ".join(filter(None, names)) or "predictions",
                *(_cell(row.get(name)) for name in columns),
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in text) + "\n"


def _cell(line: dict[str, Any] | None) -> str:
    if line is None:
        return ""
    if line["mean"] is None:
        return "undefined"
    if line["low"] is None:
        return in_words(line["mean"])
    return f"{in_words(line['mean'])} ({in_words(line['low'])} to {in_words(line['high'])})"


def main(folders: list[str]) -> None:
    """Puts the tables into the page."""
    summaries = [json.loads(Path(folder, "summary.json").read_text("utf-8")) for folder in folders]
    written_tables = "\n".join(tables(summary) for summary in summaries)
    page = PAGE.read_text(encoding="utf-8")
    written, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{written_tables}\n{END}",
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
