"""Questions resolved in a picture: which classes, and which cells of the score each is about."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Color
from ortcam.errors import RegionError
from ortcam.grids.labels import classes_seen, label_image
from ortcam.inference.artifact_graph import ArtifactGraph, PictureBatch
from ortcam.messages import Message, Option
from ortcam.questions import masks
from ortcam.questions.list_places import entries, on_cells
from ortcam.questions.question import Row, class_rows, directions
from ortcam.questions.regions import Region, Scene, Where

__all__ = ["ResolvedQuestions", "resolve", "scene_of", "why_unlabelled"]


@dataclass(frozen=True, eq=False)
class ResolvedQuestions:
    """Questions about one picture.

    Attributes:
        rows: the questions, by class index.
        cells: the weight of each cell of the score, [1 or questions, *axes]; None for everywhere.
        notes: the pixel counts of questions whose part of the picture depends on the prediction;
            what was chosen, and what a sum over a list is.
        masks: for each question its part of the picture, on the picture's grid, None for
            everywhere; empty if all are asked everywhere.
    """

    rows: tuple[Row, ...]
    cells: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    masks: tuple[NDArray[np.bool_] | None, ...] = ()


def why_unlabelled(graph: ArtifactGraph, grid: tuple[int, ...]) -> Message | None:
    """Return why the score gives no class to each pixel; None if it does."""
    score = graph.artifact.score
    name = f"{score.name!r} of {graph.session.source}"
    if score.kind == "linear":
        return Message(
            f"the score {name} holds values that are no class scores as far as is known, "
            "so there is no segmentation; if they are, export the network again with ",
            Option("score", "softmax"),
            ", sigmoid or logits",
        )
    if graph.has_list:
        return Message(
            f"the score {name} is over a list, whose entries have no place in the picture, so "
            "there is no segmentation; choose an entry by ",
            Option("index"),
        )
    if graph.space_rank != len(grid):
        return Message(
            f"the score {name} is a classifier's score without spatial axes, so there is no "
            "segmentation"
        )
    return None


def scene_of(
    batch: PictureBatch,
    n: int,
    grid: tuple[int, ...],
    classes: tuple[str, ...],
    colors: tuple[Color, ...],
) -> Scene:
    """Return the scene of picture n; its prediction takes one run at most, if it is needed."""

    def predict() -> NDArray[np.int32]:
        if (reason := why_unlabelled(batch.graph, grid)) is not None:
            raise RegionError(reason)
        return label_image(batch.score[n], batch.graph.artifact.score.kind, grid)

    return Scene(grid, classes, colors, predict, lambda: batch.list_extents)


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
        rows: the questions; None for the classes seen, or of a linear score for what raises and
            what lowers its value, of several the largest.
        region: the part of the picture for all questions, within their own parts.

    Raises:
        ClassError: a part of the picture names an unknown class.
        PictureError: a path leads to no picture, or the network does not run on this one.
        RegionError: a region does not fit the picture or the score, or selects nothing.
    """
    is_linear = batch.graph.artifact.score.kind == "linear"
    asked = rows
    if rows is None and is_linear and batch.graph.classes == 1:
        rows = directions(0, scene.classes[0])
    resolved = _resolved(batch, n, scene, rows, region)
    notes = list(resolved.notes)
    if rows is None and is_linear:
        notes.append(
            f"of the {len(scene.classes)} values of the score the largest is explained, "
            f"{resolved.rows[0].name}; ask about another by its name or index"
        )
    if batch.graph.has_list:
        by_list = isinstance(region, Where) and region.by_list
        notes += _list_notes(batch, resolved.rows, by_list=by_list, by_default=asked is None)
    return replace(resolved, notes=tuple(notes))


def _resolved(
    batch: PictureBatch,
    n: int,
    scene: Scene,
    rows: tuple[Row, ...] | None,
    region: Region | None,
) -> ResolvedQuestions:
    if region is None and all(row.where is None for row in rows or ()):
        return ResolvedQuestions(rows or class_rows(_seen(batch, n), scene.classes))
    for part in (region, *(row.where for row in rows or ())):
        _check_places(batch.graph, part, scene.grid)
    if not isinstance(region, Where):
        count = None if rows is None else len(rows)
        weights = None if region is None else masks.read(region, scene.grid, count)
        if rows is not None:
            return _each(batch, scene, rows, weights)
        assert weights is not None  # without a region, rows would have a part
        cells = _cells(batch, scene, weights[0])
        seen_there = class_rows(_seen(batch, n, cells), scene.classes)
        return ResolvedQuestions(seen_there, cells[None], masks=(weights[0] > 0,) * len(seen_there))
    if rows is not None:
        return _each(batch, scene, [row.over(region) for row in rows], None)
    if not region.by_class:
        weights = _checked(region.weights(scene, 0), scene)
        indices = _seen(batch, n, _cells(batch, scene, weights))
        return _each(batch, scene, _over(region, indices, scene), None)
    candidates = _over(region, _seen(batch, n), scene)
    nonempty = [row for row in candidates if region.weights(scene, row.subject).any()]
    return _each(batch, scene, nonempty or candidates, None)


def _check_places(graph: ArtifactGraph, part: Region | None, grid: tuple[int, ...]) -> None:
    """Checks that the score has the axes that a part of the picture or of a list is about.

    Raises:
        RegionError: it has not.
    """
    by_place = part.by_place if isinstance(part, Where) else part is not None
    if not by_place or graph.space_rank == len(grid):
        return
    name = graph.artifact.score.name
    if graph.has_list:
        raise RegionError(
            f"the score {name!r} is over a list, whose entries have no place in the picture, so no "
            "region of the picture can be explained; leave the region out, and choose an entry by ",
            Option("index"),
        )
    raise RegionError(
        f"the score {name!r} is a classifier's score without spatial axes, so no region of it can "
        "be explained; leave the region out"
    )


def _list_notes(
    batch: PictureBatch, rows: Sequence[Row], *, by_list: bool, by_default: bool
) -> list[str]:
    """What the maps of a score over a list are about, where no entry is chosen."""
    extents = batch.list_extents
    if by_list or math.prod(extents) == 1:
        return []
    if all(row.where is not None and row.where.by_list for row in rows):
        return []
    whole = (
        f"the score is over a list of {entries(extents)}, and a map explains a class's sum over "
        "all of them; choose one by "
    )
    notes: list[str] = [Message(whole, Option("index"))]
    if by_default and batch.graph.artifact.score.kind != "linear":
        notes.append("the classes explained are those with the highest score at some entry")
    return notes


def _seen(batch: PictureBatch, n: int, cells: NDArray[np.float32] | None = None) -> tuple[int, ...]:
    return classes_seen(batch.score[n], batch.graph.artifact.score.kind, cells)


def _cells(batch: PictureBatch, scene: Scene, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weight of each cell of the score, [*axes]."""
    return on_cells(weights, batch.graph.axes, batch.score_cells, scene.grid)


def _checked(weights: NDArray[np.float32], scene: Scene) -> NDArray[np.float32]:
    """The weights of a part, which are valid and select something.

    Raises:
        RegionError: they do not.
    """
    if weights.shape == scene.grid:
        (plane,) = masks.read(weights, scene.grid, None)
        checked: NDArray[np.float32] = plane
        return checked
    if not weights.any():
        raise RegionError("the region is empty: it selects nothing")
    return weights


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
            parts[key] = _cells(batch, scene, weights), _mask(weights, scene.grid)
    distinct = list(parts) if len(parts) == 1 else keys
    notes = [
        f"{row.name} asks about {_pixels(int(np.count_nonzero(parts[key][1])))}"
        for row, key in zip(rows, keys, strict=True)
        if row.where is not None and row.where.by_prediction
    ]
    cells = np.stack([parts[key][0] for key in distinct])
    row_masks = tuple(
        parts[key][1] if region is not None or _is_of_pixels(row.where) else None
        for row, key in zip(rows, keys, strict=True)
    )
    return ResolvedQuestions(rows, cells, tuple(notes), row_masks)


def _is_of_pixels(where: Where | None) -> bool:
    return where is not None and where.by_place


def _mask(weights: NDArray[np.float32], grid: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels that have a weight, for some entry of a list, on the picture's grid."""
    lists = tuple(range(weights.ndim - len(grid)))
    return np.broadcast_to((weights > 0).any(axis=lists), grid)


def _weights(row: Row, scene: Scene, region: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """[*grid], or [*list, *grid] with an extent of 1 for axes that it does not depend on.

    Raises:
        RegionError: nothing is selected, or a weight is negative.
    """
    if row.where is None:
        return np.ones(scene.grid, np.float32) if region is None else region
    weights = row.where.weights(scene, row.subject)
    weights = weights if region is None else weights * region
    if not weights.any():
        what = "pixel" if row.where.by_place else "entry"
        raise RegionError(f"the region of {row.name!r} is empty: it selects no {what}")
    return _checked(weights, scene)


def _pixels(count: int) -> str:
    return f"{count} pixel" + ("" if count == 1 else "s")
