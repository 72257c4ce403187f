"""Statistics of one picture: the share of each class, and where each map lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortcam.drawing.colormap import DEFAULT
from ortcam.grids.labels import NONE
from ortcam.grids.resample import resample
from ortcam.metrics import energy
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

__all__ = ["ClassStatistics", "MapStatistics", "class_statistics", "label_scores", "map_statistics"]

_FAINT = 0.1  # a map is faint if its maximum is below this share of its layer's


@dataclass(frozen=True)
class ClassStatistics:
    """A class in a segmented picture.

    Attributes:
        index: of the class.
        share: of all pixels, from 0 to 1.
        score: its mean score over its own pixels; NaN where it has none.
    """

    index: int
    share: float
    score: float


@dataclass(frozen=True)
class MapStatistics:
    """A map in numbers.

    Attributes:
        maximum: its greatest value, at least 0.
        layer_maximum: the greatest value of all its layer's maps.
        peak: the (column, row) of its maximum; None if it is blank.
        inside: the share of the map, where it is above 0, on the pixels predicted as its class;
            None for questions about several classes, and where there is no such pixel.
        reason: why it is blank, "all zero: ..." or "not a number ..."; empty if it is not.
    """

    maximum: float
    layer_maximum: float
    peak: tuple[int, int] | None
    inside: float | None
    reason: str

    @property
    def faint(self) -> bool:
        """True if the map is hard to see on the layer's scale."""
        return 0 < self.maximum < _FAINT * self.layer_maximum


def label_scores(segmentation: Segmentation) -> NDArray[np.float32]:
    """The score of each pixel's label, on the picture's grid; NaN where there is no label."""
    labels, score = segmentation.labels, segmentation.score
    values = np.full(labels.shape, np.nan, np.float32)
    for index in np.unique(labels[labels != NONE]):
        plane = score[index]
        if plane.shape != labels.shape:
            plane = resample(plane, labels.shape, "bilinear")
        np.copyto(values, plane, where=labels == index)
    return values


def class_statistics(
    segmentation: Segmentation, scores: NDArray[np.float32]
) -> Iterator[ClassStatistics]:
    """The statistics of each class in the legend.

    Args:
        segmentation: of the picture.
        scores: its :func:`label_scores`.
    """
    labels = segmentation.labels
    for index in segmentation.legend:
        pixels = labels == index
        count = int(np.count_nonzero(pixels))
        mean = float(scores[pixels].mean(dtype=np.float64)) if count else float("nan")
        yield ClassStatistics(index, count / labels.size, mean)


def map_statistics(
    explanation: Explanation,
    position: int,
    layer: str,
    plane: NDArray[np.float32],
    labels: NDArray[np.int32] | None,
) -> MapStatistics:
    """The statistics of one map.

    Args:
        explanation: of the picture.
        position: of the class in its ``classes``.
        layer: one of its layers.
        plane: [h, w], the map on the page's grid.
        labels: [h, w], the labels on that grid, or None.
    """
    maximum, layer_maximum = (
        explanation.limits(position, layer, scale, DEFAULT)[1] for scale in ("own", "shared")
    )
    positive = np.maximum(np.nan_to_num(plane, nan=0.0, posinf=0.0, neginf=0.0), 0)
    row, column = np.unravel_index(int(positive.argmax()), plane.shape)
    index, inside = explanation.indices[position], None
    if maximum > 0 and labels is not None and index is not None and (labels == index).any():
        inside = energy(positive, labels == index)
    beginning = f"the map of {explanation.classes[position]} at {layer} is "
    reasons = (n.removeprefix(beginning) for n in explanation.notes if n.startswith(beginning))
    return MapStatistics(
        maximum=maximum,
        layer_maximum=layer_maximum,
        peak=(int(column), int(row)) if maximum > 0 else None,
        inside=inside,
        reason=next(reasons, ""),
    )
