"""Questions resolved in a picture: which classes, and which cells of the score each is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Color
from ortcam.errors import RegionError
from ortcam.grids.labels import classes_seen, label_image
from ortcam.inference.artifact_graph import PictureBatch
from ortcam.questions import masks
from ortcam.questions.coverage import coverage
from ortcam.questions.question import Row, class_rows
from ortcam.questions.regions import Region, Scene, Where

__all__ = ["ResolvedQuestions", "resolve", "scene_of"]


@dataclass(frozen=True, eq=False)
class ResolvedQuestions:
    """Questions about one picture.

    Attributes:
        rows: the questions, by class index.
        cells: the weight of each cell of the score, [1 or questions, *space]; None for everywhere.
        notes: the pixel counts of questions whose part of the picture depends on the prediction.
        masks: for each question its part of the picture, on the picture's grid, None for
            everywhere; empty if all are asked everywhere.
    """

    rows: tuple[Row, ...]
    cells: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    masks: tuple[NDArray[np.bool_] | None, ...] = ()


def scene_of(
    batch: PictureBatch,
    n: int,
    grid: tuple[int, ...],
    classes: tuple[str, ...],
    colors: tuple[Color, ...],
) -> Scene:
    """Return the scene of picture n; its prediction takes one run at most, if it is needed."""
    kind = batch.graph.artifact.score.kind
    return Scene(grid, classes, colors, lambda: label_image(batch.score[n], kind, grid))


def resolve(
    batch: PictureBatch,
    n: int,
    scene: Scene,
    rows: tuple[Row, ...] | None,
    region: Region | None,
) -> ResolvedQuestions:
    """Resolve the questions about picture n.

    Args:
        batch: the pictures.
        n: the picture's position among them.
        scene: the picture's grid and prediction.
        rows: the questions; None for the classes seen.
        region: the part of the picture for all questions, within their own parts.

    Raises:
        ClassError: a part of the picture names an unknown class.
        PictureError: a path leads to no picture, or the network does not run on this one.
        RegionError: a region does not fit the picture, or selects nothing.
    """
    graph = batch.graph
    if region is None and all(row.where is None for row in rows or ()):
        return ResolvedQuestions(rows or class_rows(_seen(batch, n), scene.classes))
    if graph.space_rank != len(scene.grid):
        raise RegionError(
            f"the score {graph.artifact.score.name!r} is a classifier's score without spatial "
            "axes, so no region of it can be explained; leave the region out"
        )
    if not isinstance(region, Where):
        count = None if rows is None else len(rows)
        weights = None if region is None else masks.read(region, scene.grid, count)
        if rows is not None:
            return _each(batch, scene, rows, weights)
        assert weights is not None  # without a region, rows would have a part
        cells = coverage(weights, batch.score_space)
        seen_there = class_rows(_seen(batch, n, cells[0]), scene.classes)
        return ResolvedQuestions(seen_there, cells, masks=(weights[0] > 0,) * len(seen_there))
    if rows is not None:
        return _each(batch, scene, [row.over(region) for row in rows], None)
    if not region.by_class:
        weights = masks.read(region.weights(scene, 0), scene.grid, None)
        indices = _seen(batch, n, coverage(weights, batch.score_space)[0])
        return _each(batch, scene, _over(region, indices, scene), None)
    candidates = _over(region, _seen(batch, n), scene)
    nonempty = [row for row in candidates if region.weights(scene, row.subject).any()]
    return _each(batch, scene, nonempty or candidates, None)


def _seen(batch: PictureBatch, n: int, cells: NDArray[np.float32] | None = None) -> tuple[int, ...]:
    return classes_seen(batch.score[n], batch.graph.artifact.score.kind, cells)


def _over(where: Where, indices: Iterable[int], scene: Scene) -> list[Row]:
    return [row.over(where) for row in class_rows(indices, scene.classes)]


def _each(
    batch: PictureBatch,
    scene: Scene,
    questions: Iterable[Row],
    region: NDArray[np.float32] | None,
) -> ResolvedQuestions:
    """Each question in its part of the picture, within its share of the region.

    If all have the same part, it is returned once, which makes the gradient cheaper.
    """
    rows = tuple(questions)
    parts: dict[object, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}
    keys: list[object] = []
    for k, row in enumerate(rows):
        share = k if region is not None and len(region) > 1 else 0
        subject = row.subject if row.where is not None and row.where.by_class else None
        key = (share, row.where, subject)
        keys.append(key)
        if key not in parts:
            weights = _weights(row, scene, None if region is None else region[share])
            parts[key] = coverage(weights, batch.score_space)[0], weights[0] > 0
    distinct = list(parts) if len(parts) == 1 else keys
    notes = [
        f"{row.name} asks about {_pixels(int(np.count_nonzero(parts[key][1])))}"
        for row, key in zip(rows, keys, strict=True)
        if row.where is not None and row.where.by_prediction
    ]
    cells = np.stack([parts[key][0] for key in distinct])
    row_masks = tuple(
        None if row.where is None and region is None else parts[key][1]
        for row, key in zip(rows, keys, strict=True)
    )
    return ResolvedQuestions(rows, cells, tuple(notes), row_masks)


def _weights(row: Row, scene: Scene, region: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """[1, *grid].

    Raises:
        RegionError: nothing is selected, or a weight is negative.
    """
    if row.where is None:
        return np.ones((1, *scene.grid), np.float32) if region is None else region[None]
    weights = row.where.weights(scene, row.subject)
    weights = weights if region is None else weights * region
    if not weights.any():
        raise RegionError(f"the region of {row.name!r} is empty: it selects no pixel")
    return masks.read(weights, scene.grid, None)


def _pixels(count: int) -> str:
    return f"{count} pixel" + ("" if count == 1 else "s")
