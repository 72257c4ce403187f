"""What a report says of one picture: how much of each class is there, and where a map lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortcam.drawing import colormap as colormaps
from ortcam.grids.labels import NONE
from ortcam.grids.resample import resample
from ortcam.metrics import energy
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

__all__ = ["MapFacts", "Seen", "confidence", "map_facts", "reduced", "seen"]

_FAINT = (
    0.1  # a map whose greatest value is less than this share of its layer's is told to be faint
)


@dataclass(frozen=True)
class Seen:
    """A class in a segmented picture.

    Attributes:
        index: the class's.
        share: of all pixels, from 0 to 1.
        score: the mean of its score over its own pixels; NaN where it has none.
    """

    index: int
    share: float
    score: float


@dataclass(frozen=True)
class MapFacts:
    """A map in numbers.

    Attributes:
        own: its greatest value, 0 where that is below.
        shared: the greatest value of all its layer's maps.
        peak: the (column, row) of its greatest value; None where it shows nothing.
        inside: the share of the map, where it is above 0, that lies on the pixels predicted as
            its class; None of a question that is about no single class, or where there is no such
            pixel.
        why: why it shows nothing, "all zero: ..." or "not a number ..."; empty where it does.
    """

    own: float
    shared: float
    peak: tuple[int, int] | None
    inside: float | None
    why: str

    @property
    def faint(self) -> bool:
        """Whether little of it is to be seen on the layer's scale."""
        return 0 < self.own < _FAINT * self.shared


def confidence(segmentation: Segmentation) -> NDArray[np.float32]:
    """Of every pixel the score of the class that it is labelled as; NaN where that is none.

    Returns:
        On the picture's grid.
    """
    labels, score = segmentation.labels, segmentation.score
    values = np.full(labels.shape, np.nan, np.float32)
    for index in np.unique(labels[labels != NONE]):
        plane = score[index]
        if plane.shape != labels.shape:
            plane = resample(plane, labels.shape, "bilinear")
        np.copyto(values, plane, where=labels == index)
    return values


def seen(segmentation: Segmentation, scores: NDArray[np.float32]) -> Iterator[Seen]:
    """What is in the picture of each class that its legend names.

    Args:
        segmentation: the picture's.
        scores: its :func:`confidence`.
    """
    labels = segmentation.labels
    for index in segmentation.legend:
        there = labels == index
        count = int(np.count_nonzero(there))
        mean = float(scores[there].mean(dtype=np.float64)) if count else float("nan")
        yield Seen(index, count / labels.size, mean)


def map_facts(
    explanation: Explanation,
    position: int,
    layer: str,
    plane: NDArray[np.float32],
    labels: NDArray[np.int32] | None,
) -> MapFacts:
    """One map in numbers.

    Args:
        explanation: the picture's.
        position: of the class in its ``classes``.
        layer: a layer asked about.
        plane: [h, w], the map on the grid that is shown.
        labels: [h, w], the labels there; None where there are none.
    """
    own, shared = (
        explanation.limits(position, layer, scale, colormaps.DEFAULT)[1]
        for scale in ("own", "shared")
    )
    finite = np.maximum(np.nan_to_num(plane, nan=0.0, posinf=0.0, neginf=0.0), 0)
    row, column = np.unravel_index(int(finite.argmax()), plane.shape)
    index, inside = explanation.indices[position], None
    if own > 0 and labels is not None and index is not None and (labels == index).any():
        inside = energy(finite, labels == index)
    beginning = f"the map of {explanation.classes[position]} at {layer} is "
    return MapFacts(
        own=own,
        shared=shared,
        peak=(int(column), int(row)) if own > 0 else None,
        inside=inside,
        why=next(
            (n.removeprefix(beginning) for n in explanation.notes if n.startswith(beginning)), ""
        ),
    )


def reduced(grid: tuple[int, ...], longest: int) -> tuple[int, int]:
    """The (height, width) at which a picture is shown: its own, or with this longest side."""
    height, width = grid[-2:]
    share = min(1.0, longest / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))
