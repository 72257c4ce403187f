"""Text in columns."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows below a header, each column as wide as its widest cell.

    Example:
        >>> print(table(("layer", "rank"), [("relu1", "2"), ("relu10", "1")]))
        layer   rank
        relu1   2
        relu10  1
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
