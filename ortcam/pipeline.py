"""The one way from pictures to explanations and segmentations, whether of one picture or of many.

1. :meth:`ArtifactModel.request` checks, before any picture is read, what is asked by name.
2. :func:`open_pictures` lets pictures of one size enter the network together; a single picture is a
   batch of one.
3. :func:`explain` resolves the questions in each picture (the classes seen there, and regions on
   the score's grid), lets the method answer them all in as few runs as memory allows, and turns
   each answer into an :class:`~ortcam.results.explanation.Explanation`.

:func:`explain_all` and :func:`segment_all` do so for pictures of any sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Artifact, Color, Layer
from ortcam.drawing.presets import DEFAULT, PRESETS, Preset, preset_named
from ortcam.errors import InputError, ModelError
from ortcam.grids.labels import classes_seen
from ortcam.grids.resample import check_method
from ortcam.inference.answer import Answer
from ortcam.inference.artifact_graph import ArtifactGraph, PictureBatch
from ortcam.inference.query import Progress, Query
from ortcam.messages import Option
from ortcam.methods.grad_cam import rectified, weighted_sums, why_blank
from ortcam.methods.registry import Method, method_named, require
from ortcam.pictures.network_inputs import Feeds, joined
from ortcam.questions.question import Question, Questions, Row, class_weights, rows
from ortcam.questions.regions import Region, Scene
from ortcam.questions.resolve import ResolvedQuestions, resolve, scene_of, why_unlabelled
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

__all__ = [
    "ArtifactModel",
    "ClassesOfEach",
    "OpenPicture",
    "Request",
    "explain",
    "explain_all",
    "for_each",
    "open_pictures",
    "score_all",
    "segment_all",
]

ClassesOfEach: TypeAlias = "Questions | Sequence[Sequence[str | int | Question] | None]"
"""Classes or questions for all pictures alike, or a list of lists, one for each picture."""


# What is asked


@dataclass(frozen=True, eq=False)
class ArtifactModel:
    """An artifact's graph, and the names and colours of its classes."""

    graph: ArtifactGraph
    classes: tuple[str, ...]
    colors: tuple[Color, ...]

    @property
    def artifact(self) -> Artifact:
        """The artifact's metadata."""
        return self.graph.artifact

    def request(
        self,
        classes: Questions | None,
        layers: Iterable[str] | str | None,
        upsample: str | None,
        method: str,
        preset: str,
    ) -> Request:
        """Check the arguments of :meth:`ortcam.Cam.explain` that name something.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: there is no such method, preset or upsampling, or a question weighs no
                class.
        """
        look = preset_named(preset)
        check_method(upsample or look.filter)
        chosen = method_named(method, look.methods)
        require(chosen, self.artifact, self.graph.session.source)
        targets = chosen.layers(layers, self.artifact)
        questions = None if classes is None else rows(classes, self.classes)
        if look.takes_signs:  # the graph's own maps are behind their ReLU
            targets = tuple(replace(layer, map=None) for layer in targets)
        return Request(questions, targets, upsample or look.filter, chosen, preset)


@dataclass(frozen=True)
class Request:
    """A request about a picture, with classes and layers resolved to indices.

    Attributes:
        rows: the questions; None for the classes seen in the picture.
        layers: the layers to explain.
        upsample: the filter that brings maps to the picture's grid.
        method: what makes the maps.
        preset: what finishes and draws them.
    """

    rows: tuple[Row, ...] | None
    layers: tuple[Layer, ...]
    upsample: str
    method: Method
    preset: str = DEFAULT

    def check_grid(self, grid: tuple[int, ...]) -> None:
        """Checks that the preset can draw such a picture.

        Raises:
            InputError: the picture is a volume, and the preset is for pictures.
        """
        if len(grid) == 3 and not PRESETS[self.preset].volumes:
            raise InputError(
                f"the preset {self.preset!r} draws pictures only, and this is a volume; leave ",
                Option("preset"),
                " out",
            )


def for_each(classes: ClassesOfEach | None, pictures: int) -> list[Questions | None]:
    """Return the questions about each picture.

    Raises:
        InputError: there are more or fewer lists than pictures.
    """
    if classes is None or isinstance(classes, str | int | Question):
        return [classes] * pictures
    listed = list(classes)
    if all(isinstance(entry, str) or not isinstance(entry, Sequence | None) for entry in listed):
        return [cast("list[str | int | Question]", listed)] * pictures
    if len(listed) != pictures:
        raise InputError(
            f"there are {pictures} pictures and {len(listed)} lists of classes; give one list for "
            "each picture, or classes for all alike"
        )
    return cast("list[Questions | None]", listed)


# Pictures in the network


@dataclass(frozen=True, eq=False)
class OpenPicture:
    """A picture in the network.

    Attributes:
        model: the artifact.
        feeds: the picture, and the network's inputs for it.
        batch: the pictures that entered the network with it.
        n: its position among them.
    """

    model: ArtifactModel
    feeds: Feeds
    batch: PictureBatch
    n: int = 0

    @property
    def score(self) -> NDArray[np.float32]:
        """The score [C, *axes]."""
        score: NDArray[np.float32] = self.batch.score[self.n]
        return score

    @property
    def is_segmented(self) -> bool:
        """True if the score gives each pixel a class."""
        return why_unlabelled(self.model.graph, self.feeds.grid) is None

    @cached_property
    def classes_seen(self) -> tuple[int, ...]:
        """The classes that the network sees in the picture, the largest first."""
        return classes_seen(self.score, self.model.artifact.score.kind)

    @cached_property
    def scene(self) -> Scene:
        """The picture as regions see it."""
        model = self.model
        return scene_of(self.batch, self.n, self.feeds.grid, model.classes, model.colors)

    @cached_property
    def segmentation(self) -> Segmentation:
        """The class of every pixel.

        Raises:
            ModelError: the score gives no class to each pixel.
        """
        check_segmented(self.model, self.feeds)
        return Segmentation(
            score=self.score,
            grid=self.feeds.grid,
            classes=self.model.classes,
            colors=self.model.colors,
            picture=self.feeds.rgb,
            artifact=self.model.artifact,
            notes=self.notes,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on every result about the picture: what was assumed of the network's inputs."""
        how = self.model.artifact.expects.preprocess
        if self.feeds.rgb is None or how is None or not how.assumed:
            return self.feeds.notes
        return (
            *self.feeds.notes,
            "the network's preprocessing is unknown, so it is a guess "
            f"({how.color_order} * {how.scale:.6g}, mean {how.mean}, std {how.std})",
        )


def open_pictures(model: ArtifactModel, feeds: Sequence[Feeds]) -> list[OpenPicture]:
    """Let pictures of one size enter the network together.

    Raises:
        PictureError: the network does not run on them.
    """
    graph = model.graph
    batch = graph.open(joined(feeds, graph.session.inputs, graph.artifact.picture))
    return [OpenPicture(model, one, batch, n) for n, one in enumerate(feeds)]


def check_segmented(model: ArtifactModel, feeds: Feeds) -> None:
    """Checks that the score gives each pixel a class.

    Raises:
        ModelError: it does not.
    """
    if (reason := why_unlabelled(model.graph, feeds.grid)) is not None:
        raise ModelError(reason, "; explain works nevertheless")


def _by_size(model: ArtifactModel, feeds: Sequence[Feeds], most: int) -> Iterator[list[int]]:
    """The positions of pictures that enter together: up to ``most`` of one size."""
    batch_axis = model.graph.session.inputs[model.artifact.picture].shape[0]
    most = 1 if isinstance(batch_axis, int) else most
    of_size: dict[object, list[int]] = {}
    for i, one in enumerate(feeds):
        of_size.setdefault(one.group(model.artifact.picture), []).append(i)
    for positions in of_size.values():
        for start in range(0, len(positions), most):
            yield positions[start : start + most]


# Results


def segment_all(model: ArtifactModel, feeds: Sequence[Feeds], *, batch: int) -> list[Segmentation]:
    """Return the segmentation of each picture.

    Args:
        model: the artifact.
        feeds: the inputs for each picture.
        batch: how many pictures enter the network together at most.

    Raises:
        ModelError: the score gives no class to each pixel.
        PictureError: the network does not run on a picture.
    """
    for one in feeds:
        check_segmented(model, one)
    segmentations: dict[int, Segmentation] = {}
    for positions in _by_size(model, feeds, batch):
        pictures = open_pictures(model, [feeds[i] for i in positions])
        segmentations.update((i, p.segmentation) for i, p in zip(positions, pictures, strict=True))
    return [segmentations[i] for i in range(len(feeds))]


def score_all(
    model: ArtifactModel, feeds: Sequence[Feeds], *, batch: int
) -> list[NDArray[np.float32]]:
    """Return the score [C, *axes] of each picture; see :func:`segment_all`.

    Raises:
        PictureError: the network does not run on a picture.
    """
    scores: dict[int, NDArray[np.float32]] = {}
    for positions in _by_size(model, feeds, batch):
        pictures = open_pictures(model, [feeds[i] for i in positions])
        scores.update((i, p.score) for i, p in zip(positions, pictures, strict=True))
    return [scores[i] for i in range(len(feeds))]


def explain_all(
    model: ArtifactModel,
    feeds: Sequence[Feeds],
    requests: Sequence[Request],
    regions: Sequence[Region | None],
    *,
    batch: int,
    memory: int,
    progress: Progress | None = None,
) -> list[Explanation]:
    """Return the explanation of each picture.

    Args:
        model: the artifact.
        feeds: the inputs for each picture.
        requests: what is asked about each picture, with the same layers and method.
        regions: the region of each picture.
        batch: how many pictures enter the network together at most.
        memory: see :meth:`ortcam.Cam.explain`.
        progress: see :meth:`ortcam.Cam.explain_batch`.

    Raises:
        InputError: the preset cannot draw a picture.
        LayerError, PictureError, RegionError: see :meth:`ortcam.Cam.explain_batch`.
    """
    for one, request in zip(feeds, requests, strict=True):
        request.check_grid(one.grid)
    explanations: dict[int, Explanation] = {}
    for positions in _by_size(model, feeds, batch):
        pictures = open_pictures(model, [feeds[i] for i in positions])
        group = [requests[i] for i in positions], [regions[i] for i in positions]
        explanations.update(
            zip(positions, explain(pictures, *group, memory, progress), strict=True)
        )
    return [explanations[i] for i in range(len(feeds))]


def explain(
    pictures: Sequence[OpenPicture],
    requests: Sequence[Request],
    regions: Sequence[Region | None],
    memory: int,
    progress: Progress | None = None,
) -> list[Explanation]:
    """Return the explanation of each picture of a batch; see :func:`explain_all`."""
    batch, classes = pictures[0].batch, len(pictures[0].model.classes)
    resolved = [
        resolve(picture.batch, picture.n, picture.scene, request.rows, region)
        for picture, request, region in zip(pictures, requests, regions, strict=True)
    ]
    most = max(len(questions.rows) for questions in resolved)
    weights = np.zeros((most, len(pictures), classes), np.float32)
    for n, questions in enumerate(resolved):
        weights[: len(questions.rows), n] = class_weights(questions.rows, classes)
    cells = _joined_cells([questions.cells for questions in resolved], most, batch)
    query = Query(batch, weights, cells, requests[0].layers, memory, progress)
    answers = requests[0].method.answer(query)
    return [
        _explanation(picture, request, questions, answer.first(len(questions.rows)))
        for picture, request, questions, answer in zip(
            pictures, requests, resolved, answers, strict=True
        )
    ]


def _joined_cells(
    cells: Sequence[NDArray[np.float32] | None], questions: int, batch: PictureBatch
) -> NDArray[np.float32] | None:
    """All regions, [questions or 1, N, *axes], with ones for None; None if all are None."""
    if all(one is None for one in cells):
        return None
    rows = 1 if all(one is None or len(one) == 1 for one in cells) else questions
    joint = np.ones((rows, len(cells), *batch.score_cells), np.float32)
    for n, one in enumerate(cells):
        if one is not None:
            joint[: rows if len(one) == 1 else len(one), n] = one
    return joint


def _explanation(
    picture: OpenPicture, request: Request, questions: ResolvedQuestions, answer: Answer
) -> Explanation:
    names = tuple(row.name for row in questions.rows)
    captions = tuple(row.caption for row in questions.rows)
    indices = tuple(row.index for row in questions.rows)
    raw, blank = _maps(answer, names, PRESETS[request.preset])
    return Explanation(
        classes=names,
        indices=indices,
        layers=tuple(layer.name for layer in request.layers),
        raw=raw,
        weights=answer.weights,
        grid=picture.feeds.grid,
        method=request.method.name,
        title=request.method.title,
        upsampling=request.upsample,
        picture=picture.feeds.rgb,
        segmentation=picture.segmentation if picture.is_segmented else None,
        artifact=picture.model.artifact,
        score=picture.score,
        notes=(*picture.notes, *questions.notes, *_faint(picture, indices), *blank),
        preset=request.preset,
        regions=questions.masks or (None,) * len(names),
        titles=() if captions == names else captions,
    )


def _faint(picture: OpenPicture, indices: Iterable[int | None]) -> list[str]:
    """Notes on the classes that label no pixel."""
    if not picture.is_segmented:
        return []
    return [
        f"no pixel is labelled {picture.model.classes[i]}, so its maps show faint evidence at most"
        for i in sorted({i for i in indices if i is not None} - set(picture.classes_seen))
    ]


def _maps(
    answer: Answer, names: tuple[str, ...], preset: Preset
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """The maps of every layer, and the reasons why some are blank."""
    raw = dict(answer.maps)
    remarks = zip(names, answer.remarks, strict=False)
    notes = [f"the map of {name} {remark}" for name, remark in remarks if remark]
    for layer in answer.weights | answer.results:
        if layer in raw:
            continue
        features = answer.features.get(layer)
        weights, slopes = answer.weights.get(layer), answer.slopes.get(layer)
        if weights is None:
            sums = answer.results[layer]
        else:
            sums = weighted_sums(answer.features[layer], weights)
        raw[layer] = sums if preset.takes_signs else rectified(sums)
        for k, name in enumerate(names):
            alpha, slope = (None if rows is None else rows[k] for rows in (weights, slopes))
            shows = preset.relu_is_left_out and np.isfinite(sums[k]).all() and sums[k].any()
            if not shows and (why := why_blank(features, alpha, sums[k], slope)):
                notes.append(f"the map of {name} at {layer} is {why}")
    return raw, notes
