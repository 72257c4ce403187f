"""A report's parts: one picture with its segmentation, maps and numbers; what the artifact is."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import Artifact
from ortcam.drawing import colormap as colormaps
from ortcam.drawing import contours
from ortcam.drawing.overlay import RISE, paint_evenly, paint_map
from ortcam.drawing.presets import DEFAULT, PRESETS
from ortcam.drawing.style import SCALES, DrawingStyle
from ortcam.grids.labels import NONE
from ortcam.grids.resample import resample
from ortcam.report import statistics as facts
from ortcam.report.encode import coded, levels, packed, picture_url
from ortcam.report.html import Markup, element, joined, json_block, name
from ortcam.report.statistics import MapFacts, Seen
from ortcam.results import describe_artifact as identity
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation
from ortcam.version import __version__

__all__ = ["artifact_section", "data_section", "help_section", "picture_section"]

LONGEST = 1600
"""Pixels of a picture's longer side, as shown; a larger picture is shown smaller."""

GIVEN = "given"
"""The scale whose values were given as numbers."""

_SCALES = ("the layer's greatest", "this map's own greatest", "all layers' greatest", "1")
_NAMED = 3  # classes that a short description names
_SCORES = 10  # of a classifier's classes, those with the highest score


def picture_section(
    explanation: Explanation, title: str, number: int, look: DrawingStyle
) -> Markup:
    """All of one picture.

    Args:
        explanation: its.
        title: what it is called.
        number: its number in the report, from 1.
        look: how maps are drawn at first, and of a volume which slice is.

    Raises:
        LayerError: the look's scale tells nothing of a layer.
    """
    return _Picture(explanation, title, number, look).section()


class _Picture:
    """What the parts of one picture's section have in common."""

    def __init__(
        self, explanation: Explanation, title: str, number: int, look: DrawingStyle
    ) -> None:
        self.explanation, self.title, self.number = explanation, title, number
        self.look, self.slice = look, look.slice
        self.shown = facts.reduced(explanation.grid, LONGEST)
        self.masks: list[NDArray[np.bool_]] = []  # what questions are asked about
        self.labels: NDArray[np.int32] | None = None
        self.seen: list[Seen] = []
        self.scores: NDArray[np.float32] | None = None
        if explanation.segmentation is not None:
            scores = facts.confidence(explanation.segmentation)
            self.seen = sorted(facts.seen(explanation.segmentation, scores), key=lambda s: -s.share)
            self.labels = self._nearest(self._at(explanation.segmentation.labels))
            self.scores = self._nearest(self._at(scores))

    def section(self) -> Markup:
        heading = f"picture-{self.number}"
        maps, groups = self._maps()
        segmentation = self.explanation.segmentation
        return element(
            "article",
            element("h2", name(self.title), id=heading),
            element("p", self._facts(), class_="facts"),
            element(
                "div",
                None if segmentation is None else self._segmentation_view(segmentation),
                self._map_view(with_picture=segmentation is None),
                class_="views",
            ),
            self._classifier_scores() if segmentation is None else None,
            element("div", *groups, class_="maps", role="radiogroup", aria_label="Maps"),
            json_block(self._data(maps), class_="data"),
            class_="picture",
            aria_labelledby=heading,
        )

    def _facts(self) -> Markup:
        *depth, height, width = self.explanation.grid
        size = f"{width}x{height} pixels"
        if depth:
            size += f", slice {self.slice} of {depth[0]}, counted from 0"
        if self.shown != (height, width):
            size += f", shown at {self.shown[1]}x{self.shown[0]}"
        how, preset = self.explanation.upsampling, self.explanation.preset
        made = self.explanation.title
        if preset != DEFAULT:
            made += f" {PRESETS[preset].words}"
        made += ", on the layers' grids" if how == "none" else f", enlarged by {how} interpolation"
        return joined([size, made], " · ")

    # The two large views

    def _segmentation_view(self, segmentation: Segmentation) -> Markup:
        return element(
            "section",
            element("h3", "Segmentation"),
            self._stage("labels", f"{self.title}, segmented: {self._seen_in_short()}."),
            _reading(),
            element("div", self._opacity("labels", "Opacity of the labels"), class_="controls"),
            self._legend(segmentation),
            class_="view",
        )

    def _map_view(self, *, with_picture: bool) -> Markup:
        return element(
            "section",
            element("h3", "Map", element("span", class_="chosen")),
            self._stage("map", "", with_picture=with_picture),
            _reading(),
            element(
                "div",
                element("canvas", width=256, height=1, class_="bar", aria_hidden="true"),
                *(element("span") for _ in range(3)),
                class_="scale live",
            ),
            element("p", class_="said live", aria_live="polite"),
            element(
                "div",
                self._opacity("map", "Opacity of the map"),
                element(
                    "label",
                    "Colours",
                    element(
                        "select",
                        *(element("option", c, value=c) for c in colormaps.COLORMAPS),
                        name="colormap",
                    ),
                ),
                element(
                    "label",
                    "Last colour at",
                    element(
                        "select",
                        *(element("option", text, value=v) for v, text in self._scales().items()),
                        name="scale",
                    ),
                ),
                element(
                    "label",
                    element("input", type="checkbox", name="outline"),
                    element("span", "Outlines", class_="outlined"),
                ),
                element(
                    "label", element("input", type="checkbox", name="alone"), "Picture by itself"
                ),
                class_="controls live",
            ),
            self._notes(),
            class_="view",
        )

    def _scales(self) -> dict[str, str]:
        """Which value takes the last colour, by what the script calls it."""
        words = dict(zip(SCALES, _SCALES, strict=True))
        return words if isinstance(self.look.scale, str) else {GIVEN: "a given value", **words}

    def _stage(self, kind: str, says: str, *, with_picture: bool = True) -> Markup:
        """The picture, which the script lays labels or a map over."""
        image = None
        if with_picture and self.explanation.picture is not None:
            height, width = self.shown
            url = picture_url(self._pixels(self.explanation.picture))
            says_picture = f"The picture {self.title}"
            image = element("img", src=url, alt=says_picture, width=width, height=height)
        return element("div", image, class_="stage", data_kind=kind, data_says=says)

    def _opacity(self, kind: str, label: str) -> Markup:
        return element(
            "label",
            label,
            element("input", type="range", name=f"{kind}-opacity", min=0, max=100, step=1),
            element("output"),
            class_="live",
        )

    def _legend(self, segmentation: Segmentation) -> Markup:
        rows = [
            element(
                "tr",
                element(
                    "th",
                    element(
                        "label",
                        element(
                            "input",
                            type="checkbox",
                            name="shown",
                            value=position,
                            checked=True,
                            class_="live",
                        ),
                        _swatch(segmentation.colors[entry.index]),
                        name(segmentation.classes[entry.index]),
                    ),
                    scope="row",
                ),
                element("td", _percent(entry.share)),
                element("td", _score(entry.score, segmentation) if entry.share else "-"),
                class_=None if entry.share else "absent",
            )
            for position, entry in enumerate(self.seen)
        ]
        none = 1 - sum(entry.share for entry in self.seen)
        if (segmentation.labels == NONE).any():
            cells = element("td", _percent(none)), element("td", "-")
            rows.append(element("tr", element("th", "no class", scope="row"), *cells))
        whole = "volume" if len(self.explanation.grid) == 3 else "picture"
        return element(
            "fieldset",
            element("legend", "Classes"),
            element(
                "div",
                element("button", "Show all", type="button", name="all"),
                element("button", "Hide all", type="button", name="none"),
                class_="buttons live",
            ),
            element(
                "table",
                element(
                    "thead",
                    element(
                        "tr",
                        element("th", "Class", scope="col"),
                        element("th", f"Of the {whole}", scope="col"),
                        element("th", "Mean score", scope="col"),
                    ),
                ),
                element("tbody", *rows),
            ),
            class_="legend",
        )

    def _seen_in_short(self) -> str:
        assert self.explanation.segmentation is not None
        classes = self.explanation.segmentation.classes
        there = [entry for entry in self.seen if entry.share]
        told = [f"{classes[entry.index]} {_percent(entry.share)}" for entry in there[:_NAMED]]
        more = len(there) - len(told)
        if more:
            told.append(f"{more} more class{'es' if more > 1 else ''}")
        return " and ".join(filter(None, [", ".join(told[:-1]), told[-1]])) if told else "no class"

    # The maps, a group for each layer

    def _maps(self) -> tuple[list[dict[str, Any]], list[Markup]]:
        """The maps as data, and as cards to choose from."""
        order = [layer.name for layer in self.explanation.artifact.layers]
        layers = sorted(
            dict.fromkeys(self.explanation.layers),
            key=lambda layer: order.index(layer) if layer in order else len(order),
        )
        data: list[dict[str, Any]] = []
        groups = []
        for layer in layers:
            cards = []
            for position in range(len(self.explanation.classes)):
                plane = self._plane(position, layer)
                told = facts.map_facts(self.explanation, position, layer, plane, self.labels)
                cards.append(self._card(position, told, len(data)))
                data.append(self._map_data(position, layer, plane, told))
            grid = "x".join(map(str, self.explanation.raw[layer].shape[1:]))
            greatest = _number(self._ranges(0, layer)["shared"][0][1])
            says = f"grid of {grid} · greatest value {greatest}"
            groups.append(
                element(
                    "fieldset",
                    element("legend", element("code", name(layer)), " ", element("small", says)),
                    element("div", *cards, class_="cards"),
                    class_="layer",
                )
            )
        return data, groups

    def _plane(self, position: int, layer: str) -> NDArray[np.float32]:
        """A map on the grid that is shown."""
        plane = self._at(self.explanation.plane(position, layer))
        return plane if plane.shape == self.shown else resample(plane, self.shown, "bilinear")

    def _card(self, position: int, told: MapFacts, number: int) -> Markup:
        cls = self.explanation.classes[position]
        if told.why:
            lines = [told.why.partition(":")[0]]
        else:
            lines = [f"greatest\u00a0{_number(told.own)}"]
            if told.faint:
                lines.append(f"faint: {_percent(told.own / told.shared)} of the layer")
            if told.inside is not None:
                lines.append(f"{_percent(told.inside)} on its pixels")
        return element(
            "label",
            element("input", type="radio", name=f"map-{self.number}", value=number, class_="live"),
            element("canvas", class_="live", aria_hidden="true"),
            element("span", name(cls), class_="name"),
            *(element("small", line) for line in lines),
            class_="card",
        )

    def _map_data(
        self, position: int, layer: str, plane: NDArray[np.float32], told: MapFacts
    ) -> dict[str, Any]:
        ranges = self._ranges(position, layer)
        low, high = ranges["own"][0]
        low = float(np.min(plane, where=np.isfinite(plane), initial=low))
        predicted, asked = self._outlines(position)
        return {
            "class": self.explanation.classes[position],
            "layer": layer,
            "says": self._says(position, told),
            "ranges": ranges,
            "low": low,
            "high": high,
            "plane": packed(levels(plane, high, low)),
            "predicted": predicted,
            "asked": asked,
        }

    def _ranges(self, position: int, layer: str) -> dict[str, list[tuple[float, float]]]:
        """On each scale the values of the first and last colour, of plain and of signed colours."""
        given = self.look.scale
        scales = {s: s if s != GIVEN else given for s in self._scales()}
        return {
            name: [
                self.explanation.limits(position, layer, scale, colors)
                for colors in (colormaps.DEFAULT, min(colormaps.SIGNED))
            ]
            for name, scale in scales.items()
        }

    def _outlines(self, position: int) -> tuple[int, int]:
        """What is outlined: the code of a predicted class and the number of a mask, or 0 and -1."""
        drawn = {color: m for m, color in self.explanation.outlines(position, self.slice)}
        codes = [entry.index for entry in self.seen]
        index, asked = self.explanation.indices[position], drawn.get(contours.ASKED)
        code = codes.index(index) + 1 if contours.PREDICTED in drawn and index in codes else 0
        if asked is None:
            return code, -1
        for number, mask in enumerate(self.masks):
            if np.array_equal(mask, asked):
                return code, number
        self.masks.append(asked)
        return code, len(self.masks) - 1

    def _says(self, position: int, told: MapFacts) -> str:
        """What a map shows, in a sentence or three."""
        if told.peak is None:
            return f"The map is {told.why}." if told.why else "The map shows nothing here."
        height, width = self.explanation.grid[-2:]
        column, row = (
            (2 * at + 1) * extent // (2 * shown)
            for at, extent, shown in zip(told.peak, (width, height), self.shown[::-1], strict=True)
        )
        says = f"Greatest at column {column}, row {row}."
        if told.inside is not None:
            cls = self._predicted(position)
            says += f" {_percent(told.inside)} of it lies on the pixels predicted as {cls}."
        if told.faint:
            share = _percent(told.own / told.shared)
            says += f" Faint: its greatest value is {share} of the layer's."
        return says + (f" It is {told.why}." if told.why else "")

    def _predicted(self, position: int) -> str:
        """The class that a question is about, whatever the question is called."""
        index, segmentation = self.explanation.indices[position], self.explanation.segmentation
        assert index is not None
        assert segmentation is not None
        return segmentation.classes[index]

    # The rest

    def _classifier_scores(self) -> Markup:
        score = self.explanation.score.reshape(len(self.explanation.score), -1).mean(axis=1)
        names = self.explanation.artifact.expects.classes
        rows = [
            element(
                "tr",
                element("th", name(names[i] if names else f"class {i}"), scope="row"),
                element("td", _number(float(score[i]))),
            )
            for i in np.argsort(-score, kind="stable")[:_SCORES]
        ]
        return element(
            "table",
            element("caption", "Highest scores"),
            element("tbody", *rows),
            class_="scores",
        )

    def _notes(self) -> Markup | None:
        if not self.explanation.notes:
            return None
        notes = (element("li", f"{note[:1].upper()}{note[1:]}.") for note in self.explanation.notes)
        return element("div", element("h4", "Notes"), element("ul", *notes), class_="notes")

    def _data(self, maps: list[dict[str, Any]]) -> dict[str, Any]:
        """What the script paints."""
        height, width = self.shown
        paint = PRESETS[self.explanation.preset].paint
        data: dict[str, Any] = {
            "name": self.title,
            "full": self.explanation.grid[:-3:-1],
            "width": width,
            "height": height,
            "maps": maps,
            "masks": [packed(self._nearest(mask).astype(np.uint8)) for mask in self.masks],
            "flat": paint is not paint_map,
            "evenly": paint is paint_evenly,
        }
        segmentation = self.explanation.segmentation
        if segmentation is None or self.labels is None or self.scores is None:
            return data
        codes = np.zeros(len(segmentation.classes) + 1, np.int32)  # NONE is -1: the last
        for code, entry in enumerate(self.seen, 1):
            codes[entry.index] = code
        finite = self.scores[np.isfinite(self.scores)]
        low, high = (float(v) for v in (finite.min(), finite.max())) if finite.size else (0.0, 0.0)
        return data | {
            "classes": [
                {
                    "name": segmentation.classes[entry.index],
                    "color": segmentation.colors[entry.index],
                }
                for entry in self.seen
            ],
            "labels": packed(coded(codes[self.labels])),
            "scores": {
                "low": low,
                "high": high,
                "plane": packed(levels(self.scores, high, low)),
            },
        }

    def _pixels(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rgb = self._at(picture)
        if rgb.shape[:2] == self.shown:
            return rgb
        image = Image.fromarray(rgb).resize(self.shown[::-1], Image.Resampling.LANCZOS)
        return np.asarray(image)

    def _at(self, values: NDArray[Any]) -> NDArray[Any]:
        """A plane, or the slice of a volume that is shown."""
        return values if self.slice is None else values[self.slice]

    def _nearest(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A plane on the grid that is shown."""
        rows, columns = (
            (2 * np.arange(n) + 1) * extent // (2 * n)
            for n, extent in zip(self.shown, plane.shape, strict=True)
        )
        there: NDArray[Any] = plane[rows[:, None], columns]
        return there


def artifact_section(artifact: Artifact, about: Mapping[str, str]) -> Markup:
    """What the artifact is and what ran it.

    Args:
        artifact: its metadata.
        about: what else is known, such as its file's name; comes first.
    """
    rows = [
        *about.items(),
        ("ortcam", __version__),
        ("onnxruntime", _version("onnxruntime")),
        *identity.rows(artifact),
    ]
    return element(
        "section",
        element("h2", "The artifact"),
        element("dl", *(joined([element("dt", key), element("dd", value)]) for key, value in rows)),
        class_="identity",
    )


def help_section() -> Markup:
    """How a map is read."""
    return element(
        "section",
        element("h2", "How to read a map"),
        *map(_paragraph, _HELP),
        class_="help",
    )


_HELP = (
    "A Grad-CAM map is bright where the features of its layer raise the class's summed score, by "
    "the gradient at this picture. It is as coarse as its layer: no segmentation, no probability, "
    "and no proof of cause.",
    "Values of one layer can be compared with each other, over classes and over pictures; those "
    "of different layers cannot, as features have other magnitudes. Where the last colour stands "
    "for the greatest value of the layer, a faint map looks faint; where it stands for the map's "
    "own, that shows where a faint one lies.",
    "A map can be faint on what the network is surest of: there the score hardly changes.",
)


def data_section(look: DrawingStyle) -> Markup:
    """What the script knows beside the pictures: the colours, and how maps are shown first."""
    return json_block(
        {
            "colormaps": {c: colormaps.table(c).tobytes().hex() for c in colormaps.COLORMAPS},
            "signed": sorted(colormaps.SIGNED),
            "rise": RISE,
            "outlines": [contours.PREDICTED, contours.ASKED, contours.EDGE],
            "opacity": look.alpha,
            "colormap": look.colormap,
            "scale": look.scale if isinstance(look.scale, str) else GIVEN,
            "outline": look.contours,
        },
        id="settings",
    )


def _reading() -> Markup:
    return element("output", class_="reading live", aria_live="polite")


def _swatch(color: Sequence[int]) -> Markup:
    """A field of a colour; not by a style, which the page's policy keeps out."""
    fill = "#{:02x}{:02x}{:02x}".format(*color)
    field = element("rect", width=16, height=16, fill=fill)
    return element("svg", field, viewBox="0 0 16 16", class_="swatch", aria_hidden="true")


def _paragraph(text: str) -> Markup:
    return element("p", text)


def _percent(share: float) -> str:
    """With a space that keeps number and sign together."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<\u00a00.1\u00a0%"
    return f"{percent:.1f}\u00a0%" if 0 < percent < 10 else f"{percent:.0f}\u00a0%"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"


def _score(value: float, segmentation: Segmentation) -> str:
    """A probability with the same digits everywhere, a logit as it comes."""
    return _number(value) if segmentation.artifact.score.kind == "logits" else f"{value:.3f}"


def _version(module: str) -> str:
    """Of a module with any of the distributions that it may come from."""
    try:
        return str(importlib.import_module(module).__version__)
    except ImportError:
        return "not known"
