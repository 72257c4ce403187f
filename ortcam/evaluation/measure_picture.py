"""One picture: the maps of its classes by every method, and their figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ortcam import metrics
from ortcam.batch.dataset import Item
from ortcam.batch.journal import Points, Record, Row
from ortcam.batch.workers import CancelCheck
from ortcam.evaluation.metric_names import ASKED
from ortcam.evaluation.options import Options
from ortcam.evaluation.perturbation import curves
from ortcam.evaluation.perturbation.curves import Curve, Scene
from ortcam.grids.labels import NONE
from ortcam.grids.resample import upsample
from ortcam.pictures import label_image as truth
from ortcam.pictures import read as pictures
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

if TYPE_CHECKING:
    from ortcam.cam import Cam
    from ortcam.view import View

__all__ = ["Looked", "look", "measure", "rounded"]

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Looked:
    """A picture, what the network sees in it, and what is there.

    Attributes:
        cam: the artifact.
        asked: the run's options.
        name: the picture's.
        rgb: [H, W, 3] uint8.
        truth: [H, W], each pixel's class, or :data:`ortcam.grids.labels.NONE`; None without label
            images.
    """

    cam: Cam
    asked: Options
    name: str
    rgb: NDArray[np.uint8]
    truth: NDArray[np.int32] | None

    @cached_property
    def view(self) -> View | None:
        """The picture, run once, where the artifact is in two parts."""
        if self.cam.artifact.gradient is None:
            return None
        view = self.cam.open(self.rgb, inputs=self.asked.inputs, size=self.asked.size)
        view.remember()
        return view

    @cached_property
    def segmentation(self) -> Segmentation:
        """What the network predicts."""
        if self.view is not None:
            return self.view.segmentation
        return self.cam.segment(self.rgb, inputs=self.asked.inputs, size=self.asked.size)

    @cached_property
    def scene(self) -> Scene:
        """The picture as it enters the network."""
        return Scene.of(self.cam, self.rgb, self.asked.size, self.asked.inputs)

    @property
    def reference(self) -> NDArray[np.int32]:
        """Where the objects are: by the label image, or without one by the prediction."""
        return self.segmentation.labels if self.truth is None else self.truth

    @property
    def known(self) -> Mask | None:
        """Where the label image says what is there; None for everywhere."""
        return None if self.truth is None else self.truth != NONE

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """Those asked about that are there, in as many pixels as count."""
        enough = max(1.0, self.asked.least * self.reference.size)
        return tuple(
            i for i in self.asked.classes if np.count_nonzero(self.reference == i) >= enough
        )

    def explained(self, classes: Sequence[int]) -> Iterator[Explanation]:
        """The maps of classes, by each method."""
        inputs, size = self.asked.inputs, self.asked.size
        for method in self.asked.methods:
            if self.view is not None:
                yield self.view.explain(classes, self.asked.layers, method=method)
            else:
                yield self.cam.explain(
                    self.rgb,
                    classes,
                    self.asked.layers,
                    inputs=inputs,
                    size=size,
                    method=method,
                )


def look(cam: Cam, asked: Options, item: Item) -> Looked:
    """Reads a picture and its label image.

    Raises:
        PictureError: one of them cannot be read.
        RegionError: the label image does not fit the picture.
    """
    rgb = pictures.read(item.path)
    labels = item.label_image()
    there = None if labels is None else truth.read(labels, rgb.shape[:2], cam.colors)
    return Looked(cam, asked, item.name, rgb, there)


def measure(cam: Cam, asked: Options, item: Item, going: CancelCheck) -> Record:
    """The figures of one picture.

    Raises:
        PictureError, RegionError: it cannot be done for this picture.
        Stopped: nobody waits for it any more.
    """
    looked = look(cam, asked, item)
    if not looked.classes:
        return Record(item.name, notes=("none of the classes asked about is there",))
    rows: list[Row] = []
    points: list[Points] = []
    notes: list[str] = []
    for explanation in looked.explained(looked.classes):
        notes += [f"{explanation.method}: {note}" for note in explanation.notes]
        for k, index in enumerate(looked.classes):
            for layer in explanation.layers:
                going()
                about = (item.name, cam.classes[index], layer, explanation.method)
                plane = explanation.raw[layer][k]
                found = dict(_located(looked, index, upsample(plane, looked.rgb.shape[:2])))
                for figures, drawn in _faithful(looked, index, plane, about):
                    going()
                    found |= figures
                    points += [p for curve in drawn for p in _points(about, curve)]
                rows += [Row(*about, name, "", rounded(v)) for name, v in found.items()]
            if "layers" in asked.metrics:
                rows += _agreement(looked, explanation, k, index)
    return Record(item.name, tuple(rows), tuple(points), tuple(dict.fromkeys(notes)))


def rounded(value: float) -> float | None:
    """As it is written: six digits, and None for what is not defined."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _located(looked: Looked, index: int, map: Map) -> Iterator[tuple[str, float]]:
    """Where a map lies, and how concentrated it is."""
    asked, object = looked.asked, looked.reference == index
    if "pointing" in asked.metrics:
        yield "pointing", metrics.pointing_game(map, object, asked.tolerance)
    if "energy" in asked.metrics:
        yield "energy", metrics.energy(map, object, looked.known)
    if "overlap" in asked.metrics:
        yield "overlap", metrics.overlap(map, object)
    if "context" in asked.metrics:
        yield "context", 1 - metrics.energy(map, looked.segmentation.labels == index)
    if "concentration" in asked.metrics:
        yield "concentration", metrics.concentration(map)


def _faithful(
    looked: Looked, index: int, plane: Map, about: tuple[str, str, str, str]
) -> Iterator[tuple[dict[str, float], tuple[Curve, ...]]]:
    """What the network says when the picture is taken away or put in, where it sees the class."""
    wanted = [name for name in ("deletion", "insertion", "road") if name in looked.asked.metrics]
    if not wanted or not plane.any() or not np.isfinite(plane).all():
        return
    scene = looked.scene
    if not scene.region(index).any():
        return
    map, steps = upsample(plane, scene.grid), looked.asked.steps
    for name in wanted:
        random = looked.asked.random(*about, name)
        drawn: tuple[Curve, ...]
        if name == "road":
            drawn = curves.road(scene, index, map, steps, random)
            figures = curves.road_combined(*drawn)
        else:
            draw = curves.deletion if name == "deletion" else curves.insertion
            drawn = (draw(scene, index, map, steps, random),)
            figures = drawn[0].areas
        yield dict(zip(ASKED[name], figures, strict=True)), drawn


def _points(about: tuple[str, str, str, str], curve: Curve) -> Iterator[Points]:
    shares = [rounded(s) or 0.0 for s in curve.shares]
    for what, values in (("score", curve.score), ("iou", curve.iou)):
        yield Points(*about, f"{curve.name}-{what}", shares, [rounded(v) or 0.0 for v in values])


def _agreement(looked: Looked, explanation: Explanation, k: int, index: int) -> Iterator[Row]:
    """How alike the maps of each two layers are."""
    grid = looked.rgb.shape[:2]
    maps = {layer: upsample(explanation.raw[layer][k], grid) for layer in explanation.layers}
    for one, other in combinations(maps, 2):
        about = (looked.name, looked.cam.classes[index], one, explanation.method)
        for name, likeness in (
            ("layers-spearman", metrics.spearman),
            ("layers-top-iou", metrics.top_iou),
        ):
            value = likeness(maps[one], maps[other])
            yield Row(*about, name, other, rounded(value))
