"""Writes the tables of ``evaluate.md`` from the results of ``ortcam evaluate``.

``python docs/evaluate.py FOLDER...`` takes the folders that the commands in the page wrote, and
puts a table of each between the page's two comments: the mean over the pictures of each figure,
all classes together, and its 95 % interval.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("evaluate.md")
BEGIN, END = "<!-- Written by docs/evaluate.py. -->\n", "<!-- End. -->"


def table(summary: dict[str, Any]) -> str:
    """A row for each layer and method, a column for each figure."""
    lines = [m for m in summary["metrics"] if not m["cls"] and not m["other"]]
    metrics = list(dict.fromkeys(line["metric"] for line in lines))
    rows = dict.fromkeys((line["layer"], line["method"]) for line in lines)
    layers = {layer for layer, _ in rows}
    found = {(line["layer"], line["method"], line["metric"]): line for line in lines}
    header = ["", *metrics]
    text = [header, ["---"] * len(header)]
    for layer, method in sorted(rows, key=lambda row: _place(summary, row)):
        title = method if len(layers) == 1 else f"{layer}, {method}"
        text.append([title, *(_cell(found.get((layer, method, m))) for m in metrics)])
    versions = summary["versions"]
    about = (
        f"{summary['done']} pictures, {_listed(layers)}, objects {summary['objects']}, "
        f"ortcam {summary['ortcam']}, onnxruntime {versions['onnxruntime']} "
        f"({versions['provider']}), {versions['machine']}:"
    )
    return about + "\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in text) + "\n"


def _place(summary: dict[str, Any], row: tuple[str, str]) -> tuple[int, int]:
    layers, methods = summary["options"]["layers"], summary["options"]["methods"]
    return layers.index(row[0]), methods.index(row[1])


def _listed(layers: set[str]) -> str:
    return ("layer " if len(layers) == 1 else "layers ") + ", ".join(sorted(layers))


def _cell(line: dict[str, Any] | None) -> str:
    if line is None or line["mean"] is None:
        return "undefined"
    if line["low"] is None:
        return f"{line['mean']:.3f}"
    return f"{line['mean']:.3f} ({line['low']:.3f} to {line['high']:.3f})"


def main(folders: list[str]) -> None:
    """Puts the tables into the page."""
    summaries = [json.loads(Path(folder, "summary.json").read_text("utf-8")) for folder in folders]
    tables = "\n".join(table(summary) for summary in summaries)
    page = PAGE.read_text(encoding="utf-8")
    written, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{tables}\n{END}",
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
