"""A picture before the network, and what is asked about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ortcam import maps
from ortcam import region as regions
from ortcam.artifact import Layer
from ortcam.errors import ModelError, RegionError
from ortcam.feeds import Feeds
from ortcam.graph import Answer, Graph, Opened
from ortcam.labels import classes_seen
from ortcam.names import Classes, class_indices, named_layers
from ortcam.palette import Color
from ortcam.results import Explanation, Segmentation
from ortcam.upsample import check_method

__all__ = ["MEMORY", "View"]

MEMORY = 2 * 2**30
"""Bytes that the questions asked at once may take beside inference, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Named:
    """An artifact's graph, and how its classes are called and coloured."""

    graph: Graph
    classes: tuple[str, ...]
    colors: tuple[Color, ...]

    def question(
        self, classes: Classes | None, layers: Iterable[str] | str | None, upsample: str
    ) -> Question:
        """What is asked, by index; it is checked before the work.

        Raises:
            ClassError, LayerError: there is no such class or layer.
            InputError: there is no such way to upsample.
        """
        check_method(upsample)
        chosen = named_layers(layers, self.graph.artifact.layers)
        indices = None if classes is None else class_indices(classes, self.classes)
        return Question(indices, chosen, upsample)


@dataclass(frozen=True)
class Question:
    """Classes by index, None for those seen; layers; and how maps are upsampled."""

    classes: tuple[int, ...] | None
    layers: tuple[Layer, ...]
    upsample: str


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
        graph = self._named.graph
        if not _spatial(self._named, self._fed):
            raise ModelError(
                f"the score {graph.artifact.score.name!r} of {graph.session.source} has no "
                "rows and columns, as a classifier's has not, so it labels no pixels; "
                "explain works on it all the same"
            )
        return segmentation(self._named, self._fed, self._opened.score[0])

    def segment(self) -> Segmentation:
        """The class of every pixel, as :meth:`ortcam.Cam.segment` gives it.

        Raises:
            ModelError: the score labels no pixels, as a classifier's does not.
        """
        return self.segmentation

    @cached_property
    def _seen(self) -> tuple[int, ...]:
        return self._seen_in(None)

    def _seen_in(self, cells: NDArray[np.float32] | None) -> tuple[int, ...]:
        kind = self._named.graph.artifact.score.kind
        return classes_seen(self._opened.score[0], kind, cells)

    def explain(
        self,
        classes: Classes | None = None,
        layers: Iterable[str] | str | None = None,
        region: regions.Region | None = None,
        *,
        upsample: str = "bicubic",
        memory: int = MEMORY,
    ) -> Explanation:
        """Where the evidence for each class lies: see :meth:`ortcam.Cam.explain`.

        Raises:
            ClassError, LayerError: there is no such class or layer.
            PictureError: the network does not run on the picture.
            RegionError: the region has another size than the picture, or selects nothing.
        """
        return self.answer(self._named.question(classes, layers, upsample), region, memory)

    def answer(self, asked: Question, region: regions.Region | None, memory: int) -> Explanation:
        """The same of a question that was checked."""
        indices = asked.classes
        count = None if indices is None else len(indices)
        cells = cells_of(self._named.graph, self._opened, region, self._fed, count)
        if indices is None:
            indices = self._seen if cells is None else self._seen_in(cells[0])
        rows = np.eye(len(self._named.classes), dtype=np.float32)[list(indices), None]
        own = None if cells is None else cells[:, None]
        (answer,) = self._opened.ask(rows, own, asked.layers, memory)
        return explanation(self._named, self._fed, answer, indices, asked, self._seen)


def cells_of(
    graph: Graph, opened: Opened, region: regions.Region | None, fed: Feeds, classes: int | None
) -> NDArray[np.float32] | None:
    """A region on the score's grid, [1 or classes, *space].

    Raises:
        RegionError: it has another size than the picture, or selects nothing.
    """
    if region is None:
        return None
    if graph.space_rank != len(fed.grid):
        raise RegionError(
            f"the score {graph.artifact.score.name!r} has no rows and columns, as a "
            "classifier's has not, so there is no region of it to explain"
        )
    weights = regions.read(region, fed.grid, classes)
    return regions.coverage(weights, opened.score_space)


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
    indices: Sequence[int],
    asked: Question,
    seen: Iterable[int],
) -> Explanation:
    """What an answer says about the classes of these indices."""
    names = tuple(named.classes[i] for i in indices)
    raw, blank = _grad_cams(answer, names)
    spatial = _spatial(named, fed)
    faint = [
        f"no pixel is labelled {named.classes[i]}, so its maps show faint evidence at most"
        for i in sorted(set(indices) - set(seen))
        if spatial
    ]
    return Explanation(
        classes=names,
        indices=tuple(indices),
        layers=tuple(layer.name for layer in asked.layers),
        raw=raw,
        weights=answer.weights,
        grid=fed.grid,
        method=asked.upsample,
        picture=fed.rgb,
        segmentation=segmentation(named, fed, answer.score) if spatial else None,
        artifact=named.graph.artifact,
        notes=(*_notes(named, fed), *faint, *blank),
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


def _grad_cams(
    answer: Answer, classes: tuple[str, ...]
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """The maps of every layer, and why some show nothing."""
    raw, notes = dict(answer.maps), []
    for layer, features in answer.features.items():
        weights = answer.weights[layer]
        sums = maps.weighted_sums(features, weights)
        raw[layer] = maps.grad_cam(sums)
        for k, name in enumerate(classes):
            if why := maps.why_blank(features, weights[k], sums[k]):
                notes.append(f"the map of {name} at {layer} is {why}")
    return raw, notes
