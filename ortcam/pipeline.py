"""Several pictures at once: those of one size enter the network together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Color, Layer
from ortcam.drawing.presets import DEFAULT, PRESETS, Preset, preset_named
from ortcam.errors import InputError, ModelError
from ortcam.grids.labels import classes_seen
from ortcam.grids.resample import check_method
from ortcam.inference.answer import Answer
from ortcam.inference.artifact_graph import Graph, PictureBatch
from ortcam.inference.query import Progress, Query
from ortcam.messages import Option
from ortcam.methods import grad_cam as maps
from ortcam.methods.registry import Method, method_named, require
from ortcam.pictures.network_inputs import Feeds, joined
from ortcam.questions.question import Question, Questions, Row, class_weights, rows
from ortcam.questions.regions import Region, Scene
from ortcam.questions.resolve import ResolvedQuestions, resolve, scene_of
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

__all__ = [
    "MEMORY",
    "ArtifactModel",
    "ClassesOfEach",
    "Request",
    "explain_all",
    "explanation",
    "for_each",
    "require_space",
    "segment_all",
    "segmentation",
]

ClassesOfEach: TypeAlias = "Questions | Sequence[Sequence[str | int | Question] | None]"
"""Classes or questions for all pictures alike, or a list of lists, one a picture."""


def for_each(classes: ClassesOfEach | None, pictures: int) -> list[Questions | None]:
    """The questions about each picture.

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
            f"there are {pictures} pictures and classes for {len(listed)}; give a list of classes "
            "for each picture, or classes for all alike"
        )
    return cast("list[Questions | None]", listed)


def explain_all(
    named: ArtifactModel,
    fed: Sequence[Feeds],
    asked: Sequence[Request],
    areas: Sequence[Region | None],
    *,
    batch: int,
    memory: int,
    progress: Progress | None = None,
) -> list[Explanation]:
    """The explanation of each picture.

    Args:
        named: the artifact's graph and classes.
        fed: what each picture is fed.
        asked: about each picture; the layers and the method are the same.
        areas: the region of each.
        batch: how many pictures enter the network together at most.
        memory: bytes that the classes asked about at once may take.
        progress: see :meth:`ortcam.Cam.explain_batch`.
    """
    for one, q in zip(fed, asked, strict=True):
        q.check_grid(one.grid)
    explained: dict[int, Explanation] = {}
    for places in _together(named, fed, batch):
        part = [fed[i] for i in places], [asked[i] for i in places], [areas[i] for i in places]
        explained.update(zip(places, _explain(named, *part, memory, progress), strict=True))
    return [explained[i] for i in range(len(fed))]


def segment_all(named: ArtifactModel, fed: Sequence[Feeds], *, batch: int) -> list[Segmentation]:
    """The segmentation of each picture; the arguments are those of :func:`explain_all`."""
    found: dict[int, Segmentation] = {}
    graph = named.graph
    for places in _together(named, fed, batch):
        opened = graph.open(
            joined([fed[i] for i in places], graph.session.inputs, graph.artifact.picture)
        )
        for n, i in enumerate(places):
            found[i] = segmentation(named, fed[i], opened.score[n])
    return [found[i] for i in range(len(fed))]


def _together(named: ArtifactModel, fed: Sequence[Feeds], batch: int) -> Iterator[list[int]]:
    """The places of pictures that enter together, in their order."""
    picture = named.graph.session.inputs[named.graph.artifact.picture]
    most = 1 if isinstance(picture.shape[0], int) else batch
    alike: dict[object, list[int]] = {}
    for i, one in enumerate(fed):
        alike.setdefault(one.shapes, []).append(i)
    for places in alike.values():
        for start in range(0, len(places), most):
            yield places[start : start + most]


def _explain(
    named: ArtifactModel,
    fed: Sequence[Feeds],
    asked: Sequence[Request],
    areas: Sequence[Region | None],
    memory: int,
    progress: Progress | None,
) -> Iterator[Explanation]:
    """The same of pictures of one size."""
    graph = named.graph
    opened = graph.open(joined(fed, graph.session.inputs, graph.artifact.picture))
    there = [
        resolve(graph, opened, n, named.sight(opened, n, one.grid), q.rows, area)
        for n, (one, q, area) in enumerate(zip(fed, asked, areas, strict=True))
    ]
    most = max(len(place.rows) for place in there)
    rows = np.zeros((most, len(fed), len(named.classes)), np.float32)
    for n, place in enumerate(there):
        rows[: len(place.rows), n] = class_weights(place.rows, len(named.classes))
    own = _cells([place.cells for place in there], most, opened)
    asking = Query(opened, rows, own, asked[0].layers, memory, progress)
    answers = asked[0].method.answer(asking)
    for one, q, place, answer in zip(fed, asked, there, answers, strict=True):
        for values in (answer.weights, answer.maps, answer.found):
            values.update((layer, e[: len(place.rows)]) for layer, e in tuple(values.items()))
        seen = classes_seen(answer.score, graph.artifact.score.kind)
        yield explanation(named, one, answer, place, q, seen)


def _cells(
    cells: Sequence[NDArray[np.float32] | None], questions: int, opened: PictureBatch
) -> NDArray[np.float32] | None:
    """All regions, [questions or 1, N, *space]; everywhere where there is none."""
    if all(one is None for one in cells):
        return None
    rows = 1 if all(one is None or len(one) == 1 for one in cells) else questions
    together = np.ones((rows, len(cells), *opened.score_space), np.float32)
    for n, one in enumerate(cells):
        if one is not None:
            together[: rows if len(one) == 1 else len(one), n] = one
    return together


MEMORY = 2 * 2**30
"""Bytes that the questions asked at once may take beside inference, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class ArtifactModel:
    """An artifact's graph, and how its classes are called and coloured."""

    graph: Graph
    classes: tuple[str, ...]
    colors: tuple[Color, ...]

    def sight(self, opened: PictureBatch, n: int, grid: tuple[int, ...]) -> Scene:
        """What picture n is like, on its grid."""
        return scene_of(self.graph, opened, n, grid, self.classes, self.colors)

    def asked(
        self,
        classes: Questions | None,
        layers: Iterable[str] | str | None,
        upsample: str | None,
        method: str,
        preset: str,
    ) -> Request:
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
        return Request(about, chosen, upsample or fixed.filter, way, preset)


@dataclass(frozen=True)
class Request:
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
                "leave ",
                Option("preset"),
                " out",
            )


def segmentation(named: ArtifactModel, fed: Feeds, score: NDArray[np.float32]) -> Segmentation:
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
    named: ArtifactModel,
    fed: Feeds,
    answer: Answer,
    there: ResolvedQuestions,
    asked: Request,
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


def require_space(named: ArtifactModel, fed: Feeds) -> None:
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


def _spatial(named: ArtifactModel, fed: Feeds) -> bool:
    """Whether the score labels what the picture shows, as a classifier's does not."""
    return named.graph.space_rank == len(fed.grid)


def _notes(named: ArtifactModel, fed: Feeds) -> tuple[str, ...]:
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
