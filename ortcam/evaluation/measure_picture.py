"""The metrics of one picture: each class, layer and method."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ortcam import metrics
from ortcam.batch.dataset import Item
from ortcam.batch.journal import Points, Record, Row, rounded
from ortcam.batch.workers import CancelCheck
from ortcam.evaluation.metric_names import METRICS
from ortcam.evaluation.options import Options, is_segmented
from ortcam.evaluation.perturbation import curves
from ortcam.evaluation.perturbation.curves import Curve
from ortcam.evaluation.sample import Sample, read_sample
from ortcam.grids.resample import upsample
from ortcam.results.explanation import Explanation

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["NO_CLASSES", "measure"]

NO_CLASSES = "the picture has none of the selected classes"
"""The note of a picture with nothing to measure."""

Map = NDArray[np.float32]
Key = tuple[str, str, str, str]
"""Picture, class, layer and method."""


def measure(cam: Cam, options: Options, item: Item, check: CancelCheck) -> Record:
    """Measure one picture.

    Raises:
        PictureError, RegionError: the picture cannot be evaluated.
        Stopped: the run was cancelled.
    """
    sample = read_sample(cam, options, item)
    if not sample.classes:
        return Record(item.name, notes=(NO_CLASSES,))
    rows: list[Row] = []
    points: list[Points] = []
    notes: list[str] = []
    for explanation in sample.explanations(sample.classes):
        notes += [f"{explanation.method}: {note}" for note in explanation.notes]
        for k, index in enumerate(sample.classes):
            for layer in explanation.layers:
                check()
                key = (item.name, cam.classes[index], layer, explanation.method)
                plane = explanation.raw[layer][k]
                values = dict(_localisation(sample, index, upsample(plane, sample.rgb.shape[:2])))
                for figures, drawn in _faithfulness(sample, index, plane, key):
                    check()
                    values |= figures
                    points += [p for curve in drawn for p in _points(key, curve)]
                rows += [Row(*key, name, "", rounded(v)) for name, v in values.items()]
            if "layers" in options.metrics:
                rows += _layer_agreement(sample, explanation, k, index)
    return Record(item.name, tuple(rows), tuple(points), tuple(dict.fromkeys(notes)))


def _localisation(sample: Sample, index: int, map: Map) -> Iterator[tuple[str, float]]:
    """The position and the concentration of a map."""
    options, object = sample.options, sample.reference == index
    if "pointing" in options.metrics:
        yield "pointing", metrics.pointing_game(map, object, options.tolerance)
    if "energy" in options.metrics:
        yield "energy", metrics.energy(map, object, sample.labelled)
    if "overlap" in options.metrics:
        yield "overlap", metrics.overlap(map, object)
    if "context" in options.metrics:
        yield "context", 1 - metrics.energy(map, sample.segmentation.labels == index)
    if "concentration" in options.metrics:
        yield "concentration", metrics.concentration(map)


def _faithfulness(
    sample: Sample, index: int, plane: Map, key: Key
) -> Iterator[tuple[dict[str, float], tuple[Curve, ...]]]:
    """The response to deletion, insertion and ROAD, if the network predicts the class at all."""
    names = [name for name in ("deletion", "insertion", "road") if name in sample.options.metrics]
    if not names or not plane.any() or not np.isfinite(plane).all():
        return
    picture = sample.perturbed
    if not picture.region(index).any():
        return
    map, steps = upsample(plane, picture.grid), sample.options.steps
    for name in names:
        random = sample.options.random(*key, name)
        drawn: tuple[Curve, ...]
        if name == "road":
            drawn = curves.road(picture, index, map, steps, random)
            figures = curves.road_combined(*drawn)
        else:
            draw = curves.deletion if name == "deletion" else curves.insertion
            drawn = (draw(picture, index, map, steps, random),)
            figures = drawn[0].areas
        values = dict(zip(METRICS[name], figures, strict=True))
        if not is_segmented(sample.cam):
            values.pop(f"{name}-iou")
        yield values, drawn


def _points(key: Key, curve: Curve) -> Iterator[Points]:
    """The curve of the score, and that of the IoU where pixels have classes."""
    shares = [rounded(s) or 0.0 for s in curve.shares]
    for quantity, values in (("score", curve.score), ("iou", curve.iou)):
        if np.isnan(values).any() and quantity == "iou":
            continue
        yield Points(*key, f"{curve.name}-{quantity}", shares, [rounded(v) or 0.0 for v in values])


def _layer_agreement(sample: Sample, explanation: Explanation, k: int, index: int) -> Iterator[Row]:
    """The similarity of the maps of every two layers."""
    grid = sample.rgb.shape[:2]
    maps = {layer: upsample(explanation.raw[layer][k], grid) for layer in explanation.layers}
    for one, other in combinations(maps, 2):
        key = (sample.name, sample.cam.classes[index], one, explanation.method)
        for name, similarity in (
            ("layers-spearman", metrics.spearman),
            ("layers-top-iou", metrics.top_iou),
        ):
            yield Row(*key, name, other, rounded(similarity(maps[one], maps[other])))
