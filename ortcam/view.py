"""A picture before the network, and what is asked about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Layer
from ortcam.drawing.palette import Color
from ortcam.drawing.presets import DEFAULT, PRESETS, Preset, preset_named
from ortcam.errors import InputError, ModelError
from ortcam.grids.labels import classes_seen
from ortcam.grids.resample import check_method
from ortcam.inference.artifact_graph import Answer, Asking, Graph, Opened, Progress
from ortcam.methods import grad_cam as maps
from ortcam.methods.registry import GRAD_CAM, Method, method_named, require
from ortcam.pictures.network_inputs import Feeds
from ortcam.questions import masks as regions
from ortcam.questions.names import named_layers
from ortcam.questions.question import Questions, Row, class_weights, rows
from ortcam.questions.regions import Sight
from ortcam.questions.resolve import Placed, placed, sight_of
from ortcam.results.explanation import Explanation, Segmentation

__all__ = ["MEMORY", "View"]

MEMORY = 2 * 2**30
"""Bytes that the questions asked at once may take beside inference, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Named:
    """An artifact's graph, and how its classes are called and coloured."""

    graph: Graph
    classes: tuple[str, ...]
    colors: tuple[Color, ...]

    def sight(self, opened: Opened, n: int, grid: tuple[int, ...]) -> Sight:
        """What picture n is like, on its grid."""
        return sight_of(self.graph, opened, n, grid, self.classes, self.colors)

    def asked(
        self,
        classes: Questions | None,
        layers: Iterable[str] | str | None,
        upsample: str | None,
        method: str,
        preset: str,
    ) -> Asked:
        """What is asked, by index; it is checked before the work.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: there is no such method, preset or way to upsample, or a question weighs no
                class.
        """
        fixed = preset_named(preset)
        check_method(upsample or fixed.filter)
        way = method_named(method)
        require(way, self.graph.artifact, self.graph.session.source)
        chosen = way.layers(layers, self.graph.artifact)
        about = None if classes is None else rows(classes, self.classes)
        if fixed.takes_signs:  # the graph's own maps are behind their ReLU
            chosen = tuple(replace(layer, map=None) for layer in chosen)
        return Asked(about, chosen, upsample or fixed.filter, way, preset)


@dataclass(frozen=True)
class Asked:
    """Questions, None for the classes seen; layers; how maps are upsampled, made and finished."""

    rows: tuple[Row, ...] | None
    layers: tuple[Layer, ...]
    upsample: str
    method: Method
    preset: str = DEFAULT

    def check_grid(self, grid: tuple[int, ...]) -> None:
        """Finds out before the work whether the preset is one for such pictures.

        Raises:
            InputError: it is not.
        """
        if len(grid) == 3 and not PRESETS[self.preset].volumes:
            raise InputError(
                f"the preset {self.preset!r} is known for pictures alone, and this is a volume; "
                "leave preset= out"
            )


class View:
    """A picture that went through the network once, to be asked about as often as wanted.

    What :meth:`ortcam.Cam.open` gives.
    """

    def __init__(self, named: Named, fed: Feeds, opened: Opened) -> None:
        """A picture of its own."""
        self._named = named
        self._fed = fed
        self._opened = opened

    @cached_property
    def segmentation(self) -> Segmentation:
        """The class of every pixel.

        Raises:
            ModelError: the score labels no pixels, as a classifier's does not.
        """
        require_space(self._named, self._fed)
        return segmentation(self._named, self._fed, self._opened.score[0])

    def remember(self) -> None:
        """Keeps the gradient's last answer, so that methods that need the same take one run.

        HiResCAM, Layer-CAM and others need the features' whole gradients, and these take memory:
        as many as the questions together have.
        """
        self._opened.remember()

    def segment(self) -> Segmentation:
        """The class of every pixel, as :meth:`ortcam.Cam.segment` gives it.

        Raises:
            ModelError: the score labels no pixels, as a classifier's does not.
        """
        return self.segmentation

    def features(self, layers: Iterable[str] | str | None = None) -> dict[str, NDArray[np.float32]]:
        """The features of layers: see :meth:`ortcam.Cam.features`.

        Raises:
            LayerError: there is no such layer, or its features are no maps.
        """
        chosen = named_layers(layers, self._named.graph.artifact.layers)
        return {name: own[0] for name, own in self._opened.features(chosen).items()}

    @cached_property
    def _seen(self) -> tuple[int, ...]:
        return classes_seen(self._opened.score[0], self._named.graph.artifact.score.kind)

    @cached_property
    def _sight(self) -> Sight:
        return self._named.sight(self._opened, 0, self._fed.grid)

    def explain(
        self,
        classes: Questions | None = None,
        layers: Iterable[str] | str | None = None,
        region: regions.Region | None = None,
        *,
        method: str = GRAD_CAM,
        preset: str = DEFAULT,
        upsample: str | None = None,
        memory: int = MEMORY,
        progress: Progress | None = None,
    ) -> Explanation:
        """Where the evidence for each class lies: see :meth:`ortcam.Cam.explain`.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: there is no such method, or an option of it does not fit.
            PictureError: the network does not run on the picture.
            RegionError: the region has another size than the picture, or selects nothing.
        """
        asked = self._named.asked(classes, layers, upsample, method, preset)
        return self.answer(asked, region, memory, progress)

    def answer(
        self,
        asked: Asked,
        region: regions.Region | None,
        memory: int,
        progress: Progress | None = None,
    ) -> Explanation:
        """The same of a question that was checked."""
        asked.check_grid(self._fed.grid)
        there = placed(self._named.graph, self._opened, 0, self._sight, asked.rows, region)
        weights = class_weights(there.rows, len(self._named.classes))[:, None]
        cells = None if there.cells is None else there.cells[:, None]
        (answer,) = asked.method.answer(
            Asking(self._opened, weights, cells, asked.layers, memory, progress)
        )
        return explanation(self._named, self._fed, answer, there, asked, self._seen)


def segmentation(named: Named, fed: Feeds, score: NDArray[np.float32]) -> Segmentation:
    """What a score [C, h, w] says."""
    return Segmentation(
        score=score,
        grid=fed.grid,
        classes=named.classes,
        colors=named.colors,
        picture=fed.rgb,
        artifact=named.graph.artifact,
        notes=_notes(named, fed),
    )


def explanation(
    named: Named,
    fed: Feeds,
    answer: Answer,
    there: Placed,
    asked: Asked,
    seen: Iterable[int],
) -> Explanation:
    """What an answer says about the questions."""
    names = tuple(row.name for row in there.rows)
    indices = tuple(row.index for row in there.rows)
    raw, blank = _maps(answer, names, PRESETS[asked.preset])
    spatial = _spatial(named, fed)
    faint = [
        f"no pixel is labelled {named.classes[i]}, so its maps show faint evidence at most"
        for i in sorted({i for i in indices if i is not None} - set(seen))
        if spatial
    ]
    return Explanation(
        classes=names,
        indices=indices,
        layers=tuple(layer.name for layer in asked.layers),
        raw=raw,
        weights=answer.weights,
        grid=fed.grid,
        method=asked.method.name,
        title=asked.method.title,
        upsampling=asked.upsample,
        picture=fed.rgb,
        segmentation=segmentation(named, fed, answer.score) if spatial else None,
        artifact=named.graph.artifact,
        score=answer.score,
        notes=(*_notes(named, fed), *there.notes, *faint, *blank),
        preset=asked.preset,
        regions=there.masks or (None,) * len(names),
    )


def require_space(named: Named, fed: Feeds) -> None:
    """Checks that there is a segmentation.

    Raises:
        ModelError: the score labels no pixels, as a classifier's does not.
    """
    if not _spatial(named, fed):
        raise ModelError(
            f"the score {named.graph.artifact.score.name!r} of {named.graph.session.source} has no "
            "rows and columns, as a classifier's has not, so it labels no pixels; "
            "explain works on it all the same"
        )


def _spatial(named: Named, fed: Feeds) -> bool:
    """Whether the score labels what the picture shows, as a classifier's does not."""
    return named.graph.space_rank == len(fed.grid)


def _notes(named: Named, fed: Feeds) -> tuple[str, ...]:
    how = named.graph.artifact.expects.preprocess
    if fed.rgb is None or how is None or not how.assumed:
        return ()
    return (
        "nobody said what pixels the network expects, so its preprocessing is a guess "
        f"({how.color_order} * {how.scale:.6g}, mean {how.mean}, std {how.std})",
    )


def _maps(
    answer: Answer, classes: tuple[str, ...], preset: Preset
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """The maps of every layer, and why some show nothing."""
    raw = dict(answer.maps)
    remarks = zip(classes, answer.remarks, strict=False)
    notes = [f"the map of {name} {remark}" for name, remark in remarks if remark]
    for layer in answer.weights | answer.found:
        if layer in raw:
            continue
        features = answer.features.get(layer)
        weights, slopes = answer.weights.get(layer), answer.slopes.get(layer)
        if weights is None:
            sums = answer.found[layer]
        else:
            sums = maps.weighted_sums(answer.features[layer], weights)
        raw[layer] = sums if preset.takes_signs else maps.rectified(sums)
        for k, name in enumerate(classes):
            alpha, slope = (None if rows is None else rows[k] for rows in (weights, slopes))
            shows = preset.relu_is_left_out and np.isfinite(sums[k]).all() and sums[k].any()
            if not shows and (why := maps.why_blank(features, alpha, sums[k], slope)):
                notes.append(f"the map of {name} at {layer} is {why}")
    return raw, notes
