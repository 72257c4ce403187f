"""Questions in a picture: what each is about there, as weights of the score's cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Color
from ortcam.errors import RegionError
from ortcam.grids.labels import classes_seen, label_image
from ortcam.inference.artifact_graph import Graph, PictureBatch
from ortcam.questions import masks
from ortcam.questions.coverage import coverage
from ortcam.questions.question import Row, class_rows
from ortcam.questions.regions import Region, Scene, Where

__all__ = ["ResolvedQuestions", "resolve", "scene_of"]


@dataclass(frozen=True, eq=False)
class ResolvedQuestions:
    """Questions in a picture.

    Attributes:
        rows: what is asked.
        cells: on the score's grid, what each cell counts, [1 or questions, *space]; None for
            everywhere.
        notes: how many pixels a question is about that depends on the prediction.
        masks: for each question on the picture's grid where it is asked, None for everywhere;
            nothing where all are asked everywhere.
    """

    rows: tuple[Row, ...]
    cells: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    masks: tuple[NDArray[np.bool_] | None, ...] = ()


def scene_of(
    graph: Graph,
    opened: PictureBatch,
    n: int,
    grid: tuple[int, ...],
    classes: tuple[str, ...],
    colors: tuple[Color, ...],
) -> Scene:
    """Picture n, on its grid, as the network sees it; the prediction takes a run at most."""
    kind = graph.artifact.score.kind
    return Scene(grid, classes, colors, lambda: label_image(opened.score[n], kind, grid))


def resolve(
    graph: Graph,
    opened: PictureBatch,
    n: int,
    sight: Scene,
    asked: tuple[Row, ...] | None,
    region: Region | None,
) -> ResolvedQuestions:
    """The questions about picture n.

    Args:
        graph: the artifact's.
        opened: the pictures.
        n: which of them.
        sight: what it is like.
        asked: the questions; None for the classes seen.
        region: where all of them are asked, beside where each is.

    Raises:
        ClassError: a part of the picture names a class that there is not.
        PictureError: a path leads to no picture, or the network does not run on this one.
        RegionError: a region does not fit the picture, or selects nothing.
    """
    if region is None and all(row.where is None for row in asked or ()):
        return ResolvedQuestions(asked or class_rows(_seen(graph, opened, n, None), sight.classes))
    if graph.space_rank != len(sight.grid):
        raise RegionError(
            f"the score {graph.artifact.score.name!r} has no rows and columns, as a "
            "classifier's has not, so there is no region of it to explain"
        )
    if not isinstance(region, Where):
        count = None if asked is None else len(asked)
        given = None if region is None else masks.read(region, sight.grid, count)
        if asked is not None:
            return _each(opened, sight, asked, given)
        assert given is not None  # else nothing would be asked anywhere but everywhere
        cells = coverage(given, opened.score_space)
        there = class_rows(_seen(graph, opened, n, cells[0]), sight.classes)
        return ResolvedQuestions(there, cells, masks=(given[0] > 0,) * len(there))
    if asked is not None:
        return _each(opened, sight, [row.over(region) for row in asked], None)
    if not region.by_class:
        whole = masks.read(region.weights(sight, 0), sight.grid, None)
        within = _seen(graph, opened, n, coverage(whole, opened.score_space)[0])
        return _each(opened, sight, _over(region, within, sight), None)
    over = _over(region, _seen(graph, opened, n, None), sight)
    some = [row for row in over if region.weights(sight, row.subject).any()]
    return _each(opened, sight, some or over, None)


def _seen(
    graph: Graph, opened: PictureBatch, n: int, cells: NDArray[np.float32] | None
) -> tuple[int, ...]:
    return classes_seen(opened.score[n], graph.artifact.score.kind, cells)


def _over(where: Where, indices: Iterable[int], sight: Scene) -> list[Row]:
    return [row.over(where) for row in class_rows(indices, sight.classes)]


def _each(
    opened: PictureBatch, sight: Scene, rows: Iterable[Row], given: NDArray[np.float32] | None
) -> ResolvedQuestions:
    """Each question where it is asked, and within its share of what is given for all.

    Where all are asked in one place it stands there once: the gradient is cheaper then.
    """
    asked = tuple(rows)
    found: dict[object, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}
    keys: list[object] = []
    for k, row in enumerate(asked):
        part = None if given is None else given[k if len(given) > 1 else 0]
        subject = row.subject if row.where is not None and row.where.by_class else None
        key = (k if given is not None and len(given) > 1 else 0, row.where, subject)
        keys.append(key)
        if key not in found:
            weights = _weights(row, sight, part)
            cells = coverage(weights, opened.score_space)[0]
            found[key] = cells, weights[0] > 0
    unlike = list(found) if len(found) == 1 else keys
    notes = [
        f"{row.name} asks about {_pixels(int(np.count_nonzero(found[key][1])))}"
        for row, key in zip(asked, keys, strict=True)
        if row.where is not None and row.where.by_prediction
    ]
    cells = np.stack([found[key][0] for key in unlike])
    masks = tuple(
        None if row.where is None and given is None else found[key][1]
        for row, key in zip(asked, keys, strict=True)
    )
    return ResolvedQuestions(asked, cells, tuple(notes), masks)


def _weights(row: Row, sight: Scene, given: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """[1, *grid].

    Raises:
        RegionError: nothing is selected, or a weight is negative.
    """
    if row.where is None:
        return np.ones((1, *sight.grid), np.float32) if given is None else given[None]
    weights = row.where.weights(sight, row.subject)
    weights = weights if given is None else weights * given
    if not weights.any():
        raise RegionError(f"the region of {row.name!r} is empty: it selects no pixel")
    return masks.read(weights, sight.grid, None)


def _pixels(count: int) -> str:
    return f"{count} pixel" + ("" if count == 1 else "s")
