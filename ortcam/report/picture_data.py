"""One picture's data for the page: its labels, maps and masks on the grid that the page shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.drawing import contours
from ortcam.drawing.colormap import DEFAULT, SIGNED
from ortcam.drawing.overlay import paint_evenly, paint_map
from ortcam.drawing.presets import PRESETS
from ortcam.drawing.style import SCALES, DrawingStyle, Scale, at_slice
from ortcam.grids.resample import resample
from ortcam.report.encode import label_bytes, levels, pack
from ortcam.report.statistics import (
    ClassStatistics,
    MapStatistics,
    class_statistics,
    label_scores,
    map_statistics,
)
from ortcam.results.explanation import Explanation

__all__ = ["GIVEN", "PictureData", "scales"]

LONGEST = 1600
"""Pixels of a picture's longer side on the page; a larger picture is shown smaller."""

GIVEN = "given"
"""The page's name for a scale given as numbers."""

_COLORS = (DEFAULT, min(SIGNED))
"""A plain and a signed colour map, which differ in a map's limits."""


def scales(scale: Scale) -> dict[str, Scale]:
    """The scales to choose from on the page, by name: a scale given as numbers is one more."""
    named: dict[str, Scale] = {name: name for name in SCALES}
    return named if isinstance(scale, str) else {GIVEN: scale, **named}


class PictureData:
    """An explanation on the grid that the page shows.

    Attributes:
        explanation: of the picture.
        title: of the picture.
        style: how maps are drawn at first, and which slice of a volume is shown.
        size: the (height, width) of the grid.
        classes: the statistics of each class in the legend, the largest first; none without a
            segmentation.
        labels: [height, width]; None without a segmentation.
    """

    def __init__(self, explanation: Explanation, title: str, style: DrawingStyle) -> None:
        self.explanation, self.title, self.style = explanation, title, style
        self.size = _shown_size(explanation.grid)
        self.classes: list[ClassStatistics] = []
        self.labels: NDArray[np.int32] | None = None
        self._scores: NDArray[np.float32] | None = None
        self._masks: list[NDArray[np.bool_]] = []  # the questions' regions, each once
        if (segmentation := explanation.segmentation) is not None:
            scores = label_scores(segmentation)
            self.classes = sorted(class_statistics(segmentation, scores), key=lambda c: -c.share)
            self.labels = self._nearest(self._slice(segmentation.labels))
            self._scores = self._nearest(self._slice(scores))

    def pixels(self) -> NDArray[np.uint8] | None:
        """The picture [height, width, 3], or None where there is none."""
        if self.explanation.picture is None:
            return None
        rgb: NDArray[np.uint8] = self._slice(self.explanation.picture)
        if rgb.shape[:2] == self.size:
            return rgb
        return np.asarray(Image.fromarray(rgb).resize(self.size[::-1], Image.Resampling.LANCZOS))

    def plane(self, position: int, layer: str) -> NDArray[np.float32]:
        """A map [height, width]."""
        plane = self._slice(self.explanation.plane(position, layer))
        return plane if plane.shape == self.size else resample(plane, self.size, "bilinear")

    def statistics(self, position: int, layer: str, plane: NDArray[np.float32]) -> MapStatistics:
        """The statistics of a map, given its plane; its peak is on the page's grid."""
        return map_statistics(self.explanation, position, layer, plane, self.labels)

    def on_picture(self, column: int, row: int) -> tuple[int, int]:
        """The picture's pixel at the middle of one of the page's grid."""
        height, width = self.explanation.grid[-2:]
        return (
            (2 * column + 1) * width // (2 * self.size[1]),
            (2 * row + 1) * height // (2 * self.size[0]),
        )

    def ranges(self, position: int, layer: str) -> dict[str, list[tuple[float, float]]]:
        """For each scale the limits of a map, in plain and in signed colours."""
        return {
            name: [self.explanation.limits(position, layer, scale, colors) for colors in _COLORS]
            for name, scale in scales(self.style.scale).items()
        }

    def map(
        self, position: int, layer: str, plane: NDArray[np.float32], sentence: str
    ) -> dict[str, Any]:
        """A map for the script, given its plane and a description."""
        ranges = self.ranges(position, layer)
        low, high = ranges["own"][0]
        low = float(np.min(plane, where=np.isfinite(plane), initial=low))
        predicted, asked = self._outlines(position)
        return {
            "class": self.explanation.captions[position],
            "layer": layer,
            "description": sentence,
            "ranges": ranges,
            "low": low,
            "high": high,
            "plane": pack(levels(plane, high, low)),
            "predicted": predicted,
            "asked": asked,
        }

    def all(self, maps: list[dict[str, Any]]) -> dict[str, Any]:
        """Everything that the script paints.

        Args:
            maps: all of :meth:`map`; they fix the masks.
        """
        height, width = self.size
        paint = PRESETS[self.explanation.preset].paint
        data: dict[str, Any] = {
            "name": self.title,
            "full": self.explanation.grid[:-3:-1],
            "width": width,
            "height": height,
            "maps": maps,
            "masks": [pack(self._nearest(mask).astype(np.uint8)) for mask in self._masks],
            "flat": paint is not paint_map,
            "evenly": paint is paint_evenly,
        }
        segmentation = self.explanation.segmentation
        if segmentation is None or self.labels is None or self._scores is None:
            return data
        codes = np.zeros(len(segmentation.classes) + 1, np.int32)  # NONE is -1: the last
        for code, entry in enumerate(self.classes, 1):
            codes[entry.index] = code
        finite = self._scores[np.isfinite(self._scores)]
        low, high = (float(v) for v in (finite.min(), finite.max())) if finite.size else (0.0, 0.0)
        plane = pack(levels(self._scores, high, low))
        return data | {
            "classes": [
                {"name": segmentation.classes[c.index], "color": segmentation.colors[c.index]}
                for c in self.classes
            ],
            "labels": pack(label_bytes(codes[self.labels])),
            "scores": {"low": low, "high": high, "plane": plane},
        }

    def _outlines(self, position: int) -> tuple[int, int]:
        """The code of the predicted class and the number of the region's mask, or 0 and -1."""
        outlines = self.explanation.outlines(position, self.style.slice)
        masks = {color: mask for mask, color in outlines}
        index, region = self.explanation.indices[position], masks.get(contours.ASKED)
        legend = [entry.index for entry in self.classes]
        code = legend.index(index) + 1 if contours.PREDICTED in masks and index in legend else 0
        if region is None:
            return code, -1
        for number, mask in enumerate(self._masks):
            if np.array_equal(mask, region):
                return code, number
        self._masks.append(region)
        return code, len(self._masks) - 1

    def _slice(self, values: NDArray[Any]) -> NDArray[Any]:
        return at_slice(self.style.slice, values)

    def _nearest(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A plane on the page's grid."""
        rows, columns = (
            (2 * np.arange(n) + 1) * extent // (2 * n)
            for n, extent in zip(self.size, plane.shape, strict=True)
        )
        nearest: NDArray[Any] = plane[rows[:, None], columns]
        return nearest


def _shown_size(grid: tuple[int, ...]) -> tuple[int, int]:
    """The (height, width) of a picture on the page."""
    height, width = grid[-2:]
    share = min(1.0, LONGEST / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))
