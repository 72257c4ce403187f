"""Several pictures at once: those of one size enter the network together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import InputError
from ortcam.grids.labels import classes_seen
from ortcam.inference.artifact_graph import Asking, Opened, Progress
from ortcam.pictures.network_inputs import Feeds, joined
from ortcam.questions import masks as regions
from ortcam.questions.question import Question, Questions, class_weights
from ortcam.questions.resolve import placed
from ortcam.results.explanation import Explanation, Segmentation
from ortcam.view import Asked, Named, explanation, segmentation

__all__ = ["ClassesOfEach", "explain_all", "for_each", "segment_all"]

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
    named: Named,
    fed: Sequence[Feeds],
    asked: Sequence[Asked],
    areas: Sequence[regions.Region | None],
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


def segment_all(named: Named, fed: Sequence[Feeds], *, batch: int) -> list[Segmentation]:
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


def _together(named: Named, fed: Sequence[Feeds], batch: int) -> Iterator[list[int]]:
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
    named: Named,
    fed: Sequence[Feeds],
    asked: Sequence[Asked],
    areas: Sequence[regions.Region | None],
    memory: int,
    progress: Progress | None,
) -> Iterator[Explanation]:
    """The same of pictures of one size."""
    graph = named.graph
    opened = graph.open(joined(fed, graph.session.inputs, graph.artifact.picture))
    there = [
        placed(graph, opened, n, named.sight(opened, n, one.grid), q.rows, area)
        for n, (one, q, area) in enumerate(zip(fed, asked, areas, strict=True))
    ]
    most = max(len(place.rows) for place in there)
    rows = np.zeros((most, len(fed), len(named.classes)), np.float32)
    for n, place in enumerate(there):
        rows[: len(place.rows), n] = class_weights(place.rows, len(named.classes))
    own = _cells([place.cells for place in there], most, opened)
    asking = Asking(opened, rows, own, asked[0].layers, memory, progress)
    answers = asked[0].method.answer(asking)
    for one, q, place, answer in zip(fed, asked, there, answers, strict=True):
        for values in (answer.weights, answer.maps, answer.found):
            values.update((layer, e[: len(place.rows)]) for layer, e in tuple(values.items()))
        seen = classes_seen(answer.score, graph.artifact.score.kind)
        yield explanation(named, one, answer, place, q, seen)


def _cells(
    cells: Sequence[NDArray[np.float32] | None], questions: int, opened: Opened
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
