"""Write the tables of ``docs/benchmarks.md``, and its chart, from the results.

``python -m benchmarks.page out/benchmark.json`` copies new results into ``docs/``. Without a file
it writes the page again from the results there; ``--check`` fails if the page is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.record import dumped, read
from benchmarks.table import markdown

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "benchmarks.json"
PAGE = DOCS / "benchmarks.md"
MARK = "<!-- from here on written by benchmarks/page.py -->\n"


def page() -> str:
    """Return the current page: the prose above the mark, and the tables below it."""
    return PAGE.read_text(encoding="utf-8").split(MARK)[0] + MARK + "\n" + markdown(read(RESULTS))


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") != page():
            sys.exit("docs/benchmarks.md is not current: run python -m benchmarks.page")
    else:
        for path in sys.argv[1:]:
            RESULTS.write_text(dumped(read(Path(path))), encoding="utf-8")
        PAGE.write_text(page(), encoding="utf-8")
        if sys.argv[1:]:
            from benchmarks.chart import draw

            draw(read(RESULTS), DOCS / "benchmarks.png")
