"""A single-file page: the results of a run, its curves, and its worst pictures with their maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ortcam.batch.journal import Row
from ortcam.evaluation.metric_names import FIGURES, format_value
from ortcam.evaluation.output.summary import Line, MeanCurve, Summary
from ortcam.files.atomic import whole_file
from ortcam.report.encode import picture_url
from ortcam.report.html import Markup, element, join, name
from ortcam.report.html_page import frame

__all__ = ["PAGE", "DrawRow", "write_page"]

PAGE = "page.html"

COLORS = 8
"""The number of curve colours in ``evaluation.css``, which are used cyclically."""

DrawRow = Callable[[Row], Sequence[NDArray[np.uint8]]]
"""Draws a row of the table as pictures [H, W, 3]: the picture, then its maps."""


def write_page(
    folder: Path, title: str, facts: Sequence[tuple[str, str]], summary: Summary, draw: DrawRow
) -> None:
    """Write the page.

    Args:
        folder: the folder for the page.
        title: the name of the artifact.
        facts: further facts of the run, each a name and a value.
        summary: the results.
        draw: draws a row; called for the worst rows.

    Raises:
        OutputError: the page cannot be written.
    """
    before, after = frame(title, styles=["base.css", "evaluation.css"], scripts=[])
    with whole_file(folder / PAGE) as file:
        for part in (before, *_body(title, facts, summary, draw), after):
            file.write(part.encode() + b"\n")


def _body(
    title: str, facts: Sequence[tuple[str, str]], summary: Summary, draw: DrawRow
) -> Iterator[Markup]:
    yield element(
        "header", element("p", "Evaluation of maps", class_="kind"), element("h1", name(title))
    )
    terms = [*facts, ("pictures", str(summary.done))]
    yield element(
        "dl", *(part for t, d in terms for part in (element("dt", name(t)), element("dd", name(d))))
    )
    lines = [line for line in summary.lines if not line.cls]
    yield from _section("Metrics", _tables(lines))
    yield from _section("Weight shuffling", _stages(lines))
    yield from _section("Curves", _charts(summary.curves))
    yield from _section("By class", _classes(summary.lines))
    yield from _section("Worst pictures", _worst(summary, draw))
    yield from _section("Pictures left out", _left_out(summary))


def _section(title: str, parts: Iterator[Markup]) -> Iterator[Markup]:
    """A heading and its content, part by part; nothing if there is no content."""
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
    yield from _table("layer, method", plain, lambda line: _label(line.layer, line.method))
    pairs = [line for line in lines if line.metric.startswith("layers-")]
    yield from _table(
        "two layers, method", pairs, lambda line: _label(f"{line.layer}, {line.other}", line.method)
    )
    yield element(
        "ul", *(_description(metric) for metric in dict.fromkeys(x.metric for x in lines))
    )


def _stages(lines: Sequence[Line]) -> Iterator[Markup]:
    """The similarity of the maps before and after the last weights are shuffled."""
    stages = [line for line in lines if line.metric.startswith("randomised-")]
    stages.sort(key=lambda line: int(line.other.split()[0]))
    yield from _table(
        "nodes shuffled, layer, method",
        stages,
        lambda line: f"{line.other}: {_label(line.layer, line.method)}",
    )


def _classes(lines: Sequence[Line]) -> Iterator[Markup]:
    """A table of the classes for each layer and method."""
    of_classes = [line for line in lines if line.cls and not line.other and line.layer]
    for key in dict.fromkeys((line.layer, line.method) for line in of_classes):
        lines_of_key = [line for line in of_classes if (line.layer, line.method) == key]
        tables = _table("class", lines_of_key, lambda line: line.cls)
        yield element("details", element("summary", name(_label(*key))), *tables)


def _table(corner: str, lines: Sequence[Line], heading: Callable[[Line], str]) -> Iterator[Markup]:
    if not lines:
        return
    metrics = list(dict.fromkeys(line.metric for line in lines))
    cells: dict[str, dict[str, Line]] = {}
    for line in lines:
        cells.setdefault(heading(line), {})[line.metric] = line
    head = element("tr", element("th", corner), *(element("th", metric) for metric in metrics))
    rows = [
        element("tr", element("th", name(title)), *(_cell(row.get(metric)) for metric in metrics))
        for title, row in cells.items()
    ]
    table = element("table", element("thead", head), element("tbody", *rows))
    yield element("div", table, class_="wide")


def _cell(line: Line | None) -> Markup:
    if line is None:
        return element("td")
    if line.mean is None:
        return element("td", "undefined")
    interval = None
    if line.low is not None and line.high is not None:
        text = f"{format_value(line.low)} to {format_value(line.high)}"
        interval = element("span", text, class_="interval")
    return element(
        "td", format_value(line.mean), interval, title=f"median {line.median}, n {line.pictures}"
    )


def _description(metric: str) -> Markup:
    figure = FIGURES[metric]
    better = f" ({figure.good} is better)" if figure.good else ""
    return element("li", element("strong", metric), f": {figure.words}{better}")


def _label(layer: str, method: str) -> str:
    return ", ".join(part for part in (layer, method) if part) or "prediction"


# ---- Curves ---------------------------------------------------------------------------------


def _charts(curves: Sequence[MeanCurve]) -> Iterator[Markup]:
    """A legend, and a chart for each kind of curve with a line for each layer and method."""
    if not curves:
        return
    keys = list(dict.fromkeys((curve.layer, curve.method) for curve in curves))
    colors = {key: i % COLORS for i, key in enumerate(keys)}
    yield element(
        "ul",
        *(
            element(
                "li",
                element(
                    "svg",
                    element("path", d="M0 6H32", class_=f"curve c{colors[key]}"),
                    viewBox="0 0 32 12",
                    aria_hidden="true",
                ),
                name(_label(*key)),
            )
            for key in keys
        ),
        class_="key",
    )
    kinds = dict.fromkeys(curve.curve for curve in curves)
    yield element(
        "div",
        *(_chart(kind, [c for c in curves if c.curve == kind], colors) for kind in kinds),
        class_="charts",
    )


def _chart(kind: str, curves: Sequence[MeanCurve], colors: dict[tuple[str, str], int]) -> Markup:
    """One chart: fractions of the picture from left to right, 0 to 1 or all values upwards."""
    low, high = (
        best(edge, *(value for curve in curves for value in curve.values))
        for best, edge in ((min, 0.0), (max, 1.0))
    )

    def point(share: float, value: float) -> str:
        return f"{30 + 260 * share:.1f} {190 - 180 * (value - low) / (high - low):.1f}"

    lines = [
        element(
            "path",
            d="M" + "L".join(point(*p) for p in zip(c.shares, c.values, strict=True)),
            class_=f"curve c{colors[c.layer, c.method]}",
        )
        for c in curves
    ]
    dots = [
        element("circle", cx=x, cy=y, r=3, class_=f"dot c{colors[c.layer, c.method]}")
        for c in curves
        for x, y in (point(*p).split() for p in zip(c.shares, c.values, strict=True))
    ]
    shares = [(v, low + v * (high - low)) for v in (0, 0.5, 1)]
    grid = [
        element(
            "path",
            d=f"M{point(0, height)}L{point(1, height)}M{point(v, low)}L{point(v, high)}",
            class_="axis",
        )
        for v, height in shares
    ]
    labels = [element("text", f"{h:.3g}", x=4, y=194 - 180 * v) for v, h in shares]
    labels += [element("text", f"{v:g}", x=26 + 258 * v, y=205) for v in (0, 0.5, 1)]
    description = f"{kind}: " + "; ".join(
        f"{_label(c.layer, c.method)} from {c.values[0]:.2f} to {c.values[-1]:.2f}" for c in curves
    )
    svg = element(
        "svg",
        *grid,
        *labels,
        *lines,
        *dots,
        viewBox="0 0 300 210",
        role="img",
        aria_label=description,
    )
    caption = element("figcaption", kind, ", by fraction of the picture")
    return element("figure", svg, caption)


# ---- Pictures -------------------------------------------------------------------------------


def _worst(summary: Summary, draw: DrawRow) -> Iterator[Markup]:
    """The worst pictures of each figure, drawn one at a time."""
    for metric, rows in summary.worst.items():
        if not rows:
            continue
        heading = element("h3", f"{metric}: {FIGURES[metric].words}")
        yield join([heading, Markup('<div class="cards">')])
        for row in rows:
            images = [element("img", src=picture_url(p), alt="") for p in draw(row)]
            value = "" if row.value is None else format_value(row.value)
            caption = element(
                "figcaption",
                element("strong", value),
                " ",
                name(row.picture),
                ", ",
                name(row.cls),
                ", ",
                name(_label(row.layer, row.method)),
            )
            yield element("figure", *images, caption)
        yield Markup("</div>")


def _left_out(summary: Summary) -> Iterator[Markup]:
    if summary.left_out:
        yield element(
            "ul",
            *(element("li", name(picture), f": {reason}") for picture, reason in summary.left_out),
        )
