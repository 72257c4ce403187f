"""The results as a page of the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

__all__ = ["table"]

_HEAD = """\
# Networks that ortcam was not made for

Written by `python -m benchmarks.architectures`. Each network has random weights in a small
configuration and was exported by its library's own exporter with default options; `ortcam layers`
and `ortcam export` then read it without an option. What its outputs mean is known from the library,
so what they are taken for can be judged:

- **right**: classes, axes and kind are those of the output, and a map has the picture's extents.
  A score that is explained as it stands (`linear`) is right wherever its axes are.
- **refused**: no artifact is made, and a sentence says why.
- **wrong**: anything else. There must be none.

{counts}.

{versions}
"""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The page, from one row per network."""
    counts = Counter(row["verdict"] for row in rows)
    listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in dict.fromkeys(counts))
    versions = dict.fromkeys(
        ", ".join(f"{name} {version}" for name, version in row["versions"].items()) for row in rows
    )
    lines = [
        _HEAD.format(
            counts=f"Of {len(rows)} networks: {listed}",
            versions="\n".join(f"Made with {one}." for one in versions),
        ),
        "| network | its outputs | taken for | layer | verdict |",
        "|---|---|---|---|---|",
        *(_line(row) for row in rows),
    ]
    refusals = [row for row in rows if "sentence" in row]
    if refusals:
        lines += ["", "## Refusals", ""]
        lines += [f"- {row['network']}: {_plain(row['sentence'])}" for row in refusals]
    unmapped = [row for row in rows if "no_map" in row]
    if unmapped:
        lines += ["", "## Artifacts that make no map of an array", ""]
        lines += [f"- {row['network']}: {_plain(row['no_map'])}" for row in unmapped]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    taken, layer = "", ""
    if "score" in row:
        axes = ", ".join(row["axes"])
        taken = f"`{row['score']}`: {row['kind']}, {row['classes']} classes [{axes}]"
        layer = f"`{row['layer']}`"
    return f"| {row['network']} | {row['output']} | {taken} | {layer} | {row['verdict']} |"


def _plain(sentence: str) -> str:
    return " ".join(sentence.split())
