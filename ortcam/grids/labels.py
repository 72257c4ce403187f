"""From a score to the label of every pixel."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ortcam.grids.resample import resample

__all__ = ["NONE", "classes_seen", "label_image", "least_score"]

NONE = -1
"""The label of a pixel that takes no class; see :func:`least_score`."""


def least_score(kind: str, classes: int) -> float:
    """What the highest score must reach for a pixel to take its class.

    One half of a sigmoid's, 0 of a single channel of logits; classes that compete, as those of a
    softmax do, always have a winner.
    """
    if kind == "sigmoid":
        return 0.5
    return 0.0 if kind == "logits" and classes == 1 else -np.inf


def label_image(score: NDArray[np.float32], kind: str, grid: tuple[int, ...]) -> NDArray[np.int32]:
    """The class with the highest score at every pixel of the picture.

    Where the score has another grid than the picture, it is interpolated linearly before the
    classes are compared, so that outlines are smooth; only classes that have the highest score in
    some cell of the score take part, lest a class that is second on both sides of an outline
    should come first on it.

    Args:
        score: [C, h, w], or [C, d, h, w] of a volume.
        kind: ``"softmax"``, ``"sigmoid"`` or ``"logits"``.
        grid: the picture's (height, width), or the volume's (depth, height, width).

    Returns:
        On that grid a class's index, or :data:`NONE`.
    """
    planes: Iterable[tuple[int, NDArray[np.float32]]] = enumerate(score)
    if score.shape[1:] != grid:
        ahead = np.bincount(_highest(planes, score.shape[1:])[0].ravel() + 1)[1:].nonzero()[0]
        planes = ((int(i), resample(score[i], grid, "bilinear")) for i in ahead)
    labels, best = _highest(planes, grid)
    labels[best < least_score(kind, len(score))] = NONE
    return labels


def _highest(
    planes: Iterable[tuple[int, NDArray[np.float32]]], grid: tuple[int, ...]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The number of the highest of numbered planes at every place, the first of equals; and it.

    Plane by plane, as each lies in memory: that takes less than argmax over the first axis, and
    with the highest itself a third of argmax and a pass for each class that it finds.
    """
    best = np.full(grid, -np.inf, np.float32)
    labels = np.full(grid, NONE, np.int32)
    for index, plane in planes:
        labels = np.where(plane > best, np.int32(index), labels)
        np.fmax(best, plane, out=best)
    return labels, best


def classes_seen(
    score: NDArray[np.float32], kind: str, weights: NDArray[np.float32] | None = None
) -> tuple[int, ...]:
    """The classes that a network sees, the largest first.

    Args:
        score: [C, h, w], [C, d, h, w] of a volume, or [C, ...] of a classifier.
        kind: ``"softmax"``, ``"sigmoid"`` or ``"logits"``.
        weights: on the score's grid, what each cell counts; None for one each.

    Returns:
        Their indices: of a segmentation those with labels, by area; of a classifier the one with
        the highest score, or by a sigmoid all that reach one half. Where that is none, the class
        with the highest score.
    """
    if score.ndim in (3, 4):
        each = np.ones(score.shape[1:], np.float32) if weights is None else weights
        labels = label_image(score, kind, each.shape)
        labelled = labels != NONE
        size = np.bincount(labels[labelled], each[labelled], minlength=len(score))
    else:
        each = np.ones((), np.float32)
        total = score.reshape(len(score), -1).sum(axis=1)
        size = np.where((kind == "sigmoid") & (total >= least_score(kind, len(score))), total, 0)
    seen = tuple(int(i) for i in np.argsort(-size, kind="stable") if size[i] > 0)
    return seen or (int((score * each).reshape(len(score), -1).sum(axis=1).argmax()),)
