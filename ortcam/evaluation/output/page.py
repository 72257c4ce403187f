"""A page in one file: what a run came to, its curves, and its worst pictures with their maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ortcam.batch.journal import Row
from ortcam.evaluation.metric_names import FIGURES, in_words
from ortcam.evaluation.output.summary import Line, MeanCurve, Summary
from ortcam.files.atomic import whole_file
from ortcam.report.encode import picture_url
from ortcam.report.html import Markup, element, join, name
from ortcam.report.html_page import frame

__all__ = ["PAGE", "Shown", "write_page"]

PAGE = "page.html"

COLORS = 8
"""Colours of curves, in ``evaluation.css``; after these they come again."""

Shown = Callable[[Row], Sequence[NDArray[np.uint8]]]
"""The pictures [H, W, 3] that show a row of the table: the picture, its maps."""


def write_page(
    folder: Path, title: str, facts: Sequence[tuple[str, str]], summary: Summary, shown: Shown
) -> None:
    """Writes the page.

    Args:
        folder: where it goes.
        title: what was evaluated.
        facts: what else to say of the run, a name and a value each.
        summary: what it came to.
        shown: draws a row's pictures; those of the worst are asked for.

    Raises:
        OutputError: it cannot be written.
    """
    before, after = frame(title, styles=["base.css", "evaluation.css"], scripts=[])
    with whole_file(folder / PAGE) as file:
        for part in (before, *_body(title, facts, summary, shown), after):
            file.write(part.encode() + b"\n")


def _body(
    title: str, facts: Sequence[tuple[str, str]], summary: Summary, shown: Shown
) -> Iterator[Markup]:
    yield element(
        "header", element("p", "Evaluation of maps", class_="kind"), element("h1", name(title))
    )
    told = [*facts, ("pictures", str(summary.done))]
    yield element("dl", *(element(t, name(v)) for f in told for t, v in zip(("dt", "dd"), f)))  # noqa: B905
    lines = [line for line in summary.lines if not line.cls]
    yield from _section("Figures", _tables(lines))
    yield from _section("Shuffled weights", _steps(lines))
    yield from _section("Curves", _charts(summary.curves))
    yield from _section("Class by class", _classes(summary.lines))
    yield from _section("The worst pictures", _worst(summary, shown))
    yield from _section("Left out", _left_out(summary))


def _section(title: str, parts: Iterator[Markup]) -> Iterator[Markup]:
    """A heading and what stands below it, piece by piece; nothing where that is nothing."""
    first = next(parts, None)
    if first is None:
        return
    yield join([Markup("<section>"), element("h2", title), first])
    yield from parts
    yield Markup("</section>")


# ---- Tables ---------------------------------------------------------------------------------


def _tables(lines: Sequence[Line]) -> Iterator[Markup]:
    """A row for each layer and method, a column for each figure."""
    plain = [line for line in lines if not line.other]
    yield from _table("layer, method", plain, lambda line: _about(line.layer, line.method))
    pairs = [line for line in lines if line.metric.startswith("layers-")]
    yield from _table(
        "two layers, method", pairs, lambda line: _about(f"{line.layer}, {line.other}", line.method)
    )
    yield element("ul", *(_explained(metric) for metric in dict.fromkeys(x.metric for x in lines)))


def _steps(lines: Sequence[Line]) -> Iterator[Markup]:
    """How alike maps are to those of a network whose last weights are shuffled."""
    steps = [line for line in lines if line.metric.startswith("randomised-")]
    steps.sort(key=lambda line: int(line.other.split()[0]))
    yield from _table(
        "weights shuffled, layer, method",
        steps,
        lambda line: f"{line.other}: {_about(line.layer, line.method)}",
    )


def _classes(lines: Sequence[Line]) -> Iterator[Markup]:
    """For each layer and method a table of the classes."""
    of_classes = [line for line in lines if line.cls and not line.other and line.layer]
    for about in dict.fromkeys((line.layer, line.method) for line in of_classes):
        own = [line for line in of_classes if (line.layer, line.method) == about]
        tables = _table("class", own, lambda line: line.cls)
        yield element("details", element("summary", name(_about(*about))), *tables)


def _table(corner: str, lines: Sequence[Line], heading: Callable[[Line], str]) -> Iterator[Markup]:
    if not lines:
        return
    metrics = list(dict.fromkeys(line.metric for line in lines))
    cells: dict[str, dict[str, Line]] = {}
    for line in lines:
        cells.setdefault(heading(line), {})[line.metric] = line
    head = element("tr", element("th", corner), *(element("th", metric) for metric in metrics))
    rows = [
        element("tr", element("th", name(title)), *(_cell(own.get(metric)) for metric in metrics))
        for title, own in cells.items()
    ]
    table = element("table", element("thead", head), element("tbody", *rows))
    yield element("div", table, class_="wide")


def _cell(line: Line | None) -> Markup:
    if line is None:
        return element("td")
    if line.mean is None:
        return element("td", "undefined")
    ends = None
    if line.low is not None and line.high is not None:
        between = f"{in_words(line.low)} to {in_words(line.high)}"
        ends = element("span", between, class_="interval")
    return element(
        "td", in_words(line.mean), ends, title=f"median {line.median}, n {line.pictures}"
    )


def _explained(metric: str) -> Markup:
    figure = FIGURES[metric]
    good = f" ({figure.good} is good)" if figure.good else ""
    return element("li", element("strong", metric), f": {figure.words}{good}")


def _about(layer: str, method: str) -> str:
    return ", ".join(part for part in (layer, method) if part) or "prediction"


# ---- Curves ---------------------------------------------------------------------------------


def _charts(curves: Sequence[MeanCurve]) -> Iterator[Markup]:
    """A chart for each kind of curve, a line for each layer and method."""
    if not curves:
        return
    keys = list(dict.fromkeys((curve.layer, curve.method) for curve in curves))
    place = {key: i % COLORS for i, key in enumerate(keys)}
    yield element(
        "ul",
        *(
            element(
                "li",
                element(
                    "svg",
                    element("path", d="M0 6H32", class_=f"curve c{place[key]}"),
                    viewBox="0 0 32 12",
                    aria_hidden="true",
                ),
                name(_about(*key)),
            )
            for key in keys
        ),
        class_="key",
    )
    kinds = dict.fromkeys(curve.curve for curve in curves)
    yield element(
        "div",
        *(_chart(kind, [c for c in curves if c.curve == kind], place) for kind in kinds),
        class_="charts",
    )


def _chart(kind: str, curves: Sequence[MeanCurve], place: dict[tuple[str, str], int]) -> Markup:
    """One chart: shares of the picture from left to right, 0 to 1 upwards."""

    def at(share: float, value: float) -> str:
        return f"{30 + 260 * share:.1f} {190 - 180 * min(max(value, 0), 1):.1f}"

    lines = [
        element(
            "path",
            d="M" + "L".join(at(*p) for p in zip(c.shares, c.values, strict=True)),
            class_=f"curve c{place[c.layer, c.method]}",
        )
        for c in curves
    ]
    dots = [
        element("circle", cx=x, cy=y, r=3, class_=f"dot c{place[c.layer, c.method]}")
        for c in curves
        for x, y in (at(*p).split() for p in zip(c.shares, c.values, strict=True))
    ]
    grid = [
        element("path", d=f"M{at(0, v)}L{at(1, v)}M{at(v, 0)}L{at(v, 1)}", class_="axis")
        for v in (0, 0.5, 1)
    ]
    labels = [element("text", f"{v:g}", x=4, y=194 - 180 * v) for v in (0, 0.5, 1)]
    labels += [element("text", f"{v:g}", x=26 + 258 * v, y=205) for v in (0, 0.5, 1)]
    said = f"{kind}: " + "; ".join(
        f"{_about(c.layer, c.method)} from {c.values[0]:.2f} to {c.values[-1]:.2f}" for c in curves
    )
    svg = element(
        "svg", *grid, *labels, *lines, *dots, viewBox="0 0 300 210", role="img", aria_label=said
    )
    caption = element("figcaption", kind, ", by the share of the picture")
    return element("figure", svg, caption)


# ---- Pictures -------------------------------------------------------------------------------


def _worst(summary: Summary, shown: Shown) -> Iterator[Markup]:
    """For each figure its worst pictures, drawn one at a time."""
    for metric, rows in summary.worst.items():
        if not rows:
            continue
        heading = element("h3", f"{metric}: {FIGURES[metric].words}")
        yield join([heading, Markup('<div class="cards">')])
        for row in rows:
            images = [element("img", src=picture_url(p), alt="") for p in shown(row)]
            value = "" if row.value is None else in_words(row.value)
            caption = element(
                "figcaption",
                element("strong", value),
                " ",
                name(row.picture),
                ", ",
                name(row.cls),
                ", ",
                name(_about(row.layer, row.method)),
            )
            yield element("figure", *images, caption)
        yield Markup("</div>")


def _left_out(summary: Summary) -> Iterator[Markup]:
    if summary.left_out:
        yield element(
            "ul",
            *(element("li", name(picture), f": {why}") for picture, why in summary.left_out),
        )
