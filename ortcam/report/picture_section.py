"""The section of one picture in a report: its segmentation, its maps, and their statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ortcam.drawing.presets import DEFAULT, PRESETS
from ortcam.drawing.style import DrawingStyle
from ortcam.grids.labels import NONE
from ortcam.questions.names import class_names
from ortcam.report.encode import picture_url
from ortcam.report.html import Markup, element, join, json_block, name
from ortcam.report.map_controls import color_bar, map_controls, opacity_slider, reading
from ortcam.report.picture_data import PictureData
from ortcam.report.statistics import ClassStatistics, MapStatistics
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

__all__ = ["picture_section"]

_NAMED = 3  # classes that a short description names
_SCORES = 10  # of a classifier's classes, those with the highest score


def picture_section(
    explanation: Explanation, title: str, number: int, style: DrawingStyle
) -> Markup:
    """The section of one picture.

    Args:
        explanation: of the picture.
        title: of the picture.
        number: of the picture in the report, from 1.
        style: how maps are drawn at first, and which slice of a volume is shown.

    Raises:
        LayerError: the style's scale has no value for a layer.
    """
    picture = PictureData(explanation, title, style)
    heading = f"picture-{number}"
    maps, groups = _maps(picture, number)
    segmentation = explanation.segmentation
    return element(
        "article",
        element("h2", name(title), id=heading),
        element("p", _caption(picture), class_="facts"),
        element(
            "div",
            None if segmentation is None else _segmentation_view(picture, segmentation),
            _map_view(picture),
            class_="views",
        ),
        _scores(explanation) if segmentation is None else None,
        element("div", *groups, class_="maps", role="radiogroup", aria_label="Maps"),
        json_block(picture.all(maps), class_="data"),
        class_="picture",
        aria_labelledby=heading,
    )


def _caption(picture: PictureData) -> Markup:
    """The picture's size, and how its maps were computed."""
    explanation = picture.explanation
    *depth, height, width = explanation.grid
    size = f"{width}x{height} pixels"
    if depth:
        size += f", slice {picture.style.slice} of {depth[0]}, counted from 0"
    if picture.size != (height, width):
        size += f", shown at {picture.size[1]}x{picture.size[0]}"
    method, upsampling = explanation.title, explanation.upsampling
    if explanation.preset != DEFAULT:
        method += f" {PRESETS[explanation.preset].words}"
    if upsampling == "none":
        method += ", on the layers' grids"
    else:
        method += f", upsampled by {upsampling} interpolation"
    return join([size, method], " · ")


# The two large views


def _segmentation_view(picture: PictureData, segmentation: Segmentation) -> Markup:
    sentence = f"{picture.title}, segmented: {_summary(picture.classes, segmentation)}."
    slider = opacity_slider("labels", "Opacity of the labels")
    return element(
        "section",
        element("h3", "Segmentation"),
        _stage(picture, "labels", sentence),
        reading(),
        element("div", slider, class_="controls"),
        _legend(picture.classes, segmentation),
        class_="view",
    )


def _map_view(picture: PictureData) -> Markup:
    alone = picture.explanation.segmentation is None
    return element(
        "section",
        element("h3", "Map", element("span", class_="chosen")),
        _stage(picture, "map", "", with_pixels=alone),
        reading(),
        color_bar(),
        element("p", class_="description live", aria_live="polite"),
        map_controls(picture.style.scale),
        _notes(picture.explanation),
        class_="view",
    )


def _stage(picture: PictureData, kind: str, sentence: str, *, with_pixels: bool = True) -> Markup:
    """The picture, over which the script paints labels or a map."""
    image = None
    if with_pixels and (pixels := picture.pixels()) is not None:
        height, width = picture.size
        alt = f"The picture {picture.title}"
        image = element("img", src=picture_url(pixels), alt=alt, width=width, height=height)
    return element("div", image, class_="stage", data_kind=kind, data_description=sentence)


def _summary(classes: Sequence[ClassStatistics], segmentation: Segmentation) -> str:
    """The largest classes and their shares, for a sentence."""
    present = [entry for entry in classes if entry.share]
    parts = [f"{segmentation.classes[c.index]} {_percent(c.share)}" for c in present[:_NAMED]]
    more = len(present) - len(parts)
    if more:
        parts.append(f"{more} more class{'es' if more > 1 else ''}")
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else "no class"


def _legend(classes: Sequence[ClassStatistics], segmentation: Segmentation) -> Markup:
    """A table of the classes: colour, name, share of the picture, mean score."""
    rows = [_legend_row(position, entry, segmentation) for position, entry in enumerate(classes)]
    if (segmentation.labels == NONE).any():
        rest = 1 - sum(entry.share for entry in classes)
        cells = element("td", _percent(rest)), element("td", "-")
        rows.append(element("tr", element("th", "no class", scope="row"), *cells))
    whole = "volume" if len(segmentation.grid) == 3 else "picture"
    titles = ("Class", f"Share of {whole}", "Mean score")
    head = element("tr", *(element("th", title, scope="col") for title in titles))
    return element(
        "fieldset",
        element("legend", "Classes"),
        element(
            "div",
            element("button", "Show all", type="button", name="all"),
            element("button", "Hide all", type="button", name="none"),
            class_="buttons live",
        ),
        element("table", element("thead", head), element("tbody", *rows)),
        class_="legend",
    )


def _legend_row(position: int, entry: ClassStatistics, segmentation: Segmentation) -> Markup:
    checkbox = element(
        "input", type="checkbox", name="shown", value=position, checked=True, class_="live"
    )
    swatch = _swatch(segmentation.colors[entry.index])
    label = element("label", checkbox, swatch, name(segmentation.classes[entry.index]))
    return element(
        "tr",
        element("th", label, scope="row"),
        element("td", _percent(entry.share)),
        element("td", _score(entry.score, segmentation) if entry.share else "-"),
        class_=None if entry.share else "absent",
    )


def _swatch(color: Sequence[int]) -> Markup:
    """A patch of colour, without a style attribute, which the page's policy forbids."""
    fill = "#{:02x}{:02x}{:02x}".format(*color)
    patch = element("rect", width=16, height=16, fill=fill)
    return element("svg", patch, viewBox="0 0 16 16", class_="swatch", aria_hidden="true")


# The maps, a group for each layer


def _maps(picture: PictureData, number: int) -> tuple[list[dict[str, Any]], list[Markup]]:
    """The maps as data, and as groups of cards to choose from."""
    explanation = picture.explanation
    order = [layer.name for layer in explanation.artifact.layers]
    layers = sorted(
        dict.fromkeys(explanation.layers),
        key=lambda layer: order.index(layer) if layer in order else len(order),
    )
    data: list[dict[str, Any]] = []
    groups = []
    for layer in layers:
        cards = []
        for position, cls in enumerate(explanation.captions):
            plane = picture.plane(position, layer)
            statistics = picture.statistics(position, layer, plane)
            cards.append(_card(cls, statistics, f"map-{number}", len(data)))
            sentence = _sentence(picture, position, statistics)
            data.append(picture.map(position, layer, plane, sentence))
        grid = "x".join(map(str, explanation.raw[layer].shape[1:]))
        maximum = _number(picture.ranges(0, layer)["shared"][0][1])
        facts = f"grid of {grid} · maximum {maximum}"
        legend = element("legend", element("code", name(layer)), " ", element("small", facts))
        cards_box = element("div", *cards, class_="cards")
        groups.append(element("fieldset", legend, cards_box, class_="layer"))
    return data, groups


def _card(cls: str, statistics: MapStatistics, group: str, value: int) -> Markup:
    """A small map to choose, with its statistics."""
    if statistics.reason:
        lines = [statistics.reason.partition(":")[0]]
    else:
        lines = [f"max\u00a0{_number(statistics.maximum)}"]
        if statistics.faint:
            share = statistics.maximum / statistics.layer_maximum
            lines.append(f"faint: {_percent(share)} of the layer's max")
        if statistics.inside is not None:
            lines.append(f"{_percent(statistics.inside)} inside the class")
    return element(
        "label",
        element("input", type="radio", name=group, value=value, class_="live"),
        element("canvas", class_="live", aria_hidden="true"),
        element("span", name(cls), class_="name"),
        *(element("small", line) for line in lines),
        class_="card",
    )


def _sentence(picture: PictureData, position: int, statistics: MapStatistics) -> str:
    """A description of a map, in one to three sentences."""
    reason = statistics.reason
    if statistics.peak is None:
        return f"The map is {reason}." if reason else "The map is blank here."
    column, row = picture.on_picture(*statistics.peak)
    text = f"Maximum at column {column}, row {row}."
    if statistics.inside is not None:
        cls = _predicted_class(picture.explanation, position)
        text += f" {_percent(statistics.inside)} of the map lies on pixels predicted as {cls}."
    if statistics.faint:
        share = _percent(statistics.maximum / statistics.layer_maximum)
        text += f" Faint: its maximum is {share} of the layer's."
    return text + (f" It is {reason}." if reason else "")


def _predicted_class(explanation: Explanation, position: int) -> str:
    """The class of a question, whatever the question is called."""
    index, segmentation = explanation.indices[position], explanation.segmentation
    assert index is not None
    assert segmentation is not None
    return segmentation.classes[index]


# The rest


def _scores(explanation: Explanation) -> Markup:
    """A table of the highest scores; of a list, those of the entry where they are highest."""
    artifact = explanation.artifact
    flat = explanation.score.reshape(len(explanation.score), -1)
    score = flat.max(axis=1) if artifact.score.is_over_list else flat.mean(axis=1)
    names = class_names(artifact, len(score))
    rows = [
        element(
            "tr",
            element("th", name(names[i]), scope="row"),
            element("td", _number(float(score[i]))),
        )
        for i in np.argsort(-score, kind="stable")[:_SCORES]
    ]
    title = "Highest values" if artifact.score.kind == "linear" else "Highest scores"
    if len(score) == 1:
        title = title.removeprefix("Highest ").capitalize()[:-1]
    if artifact.score.is_over_list:
        title += " at any entry"
    return element("table", element("caption", title), element("tbody", *rows), class_="scores")


def _notes(explanation: Explanation) -> Markup | None:
    if not explanation.notes:
        return None
    notes = (element("li", f"{note[:1].upper()}{note[1:]}.") for note in explanation.notes)
    return element("div", element("h4", "Notes"), element("ul", *notes), class_="notes")


def _percent(share: float) -> str:
    """A percentage, with a no-break space before its sign."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<\u00a00.1\u00a0%"
    return f"{percent:.1f}\u00a0%" if 0 < percent < 10 else f"{percent:.0f}\u00a0%"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"


def _score(value: float, segmentation: Segmentation) -> str:
    """A probability with three decimals, a logit with three significant digits."""
    return _number(value) if segmentation.artifact.score.kind == "logits" else f"{value:.3f}"
