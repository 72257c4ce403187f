"""Labels: the class of every pixel, from a score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.grids.resample import resample

__all__ = ["NONE", "classes_seen", "label_image", "least_score"]

NONE = -1
"""The label of a pixel without a class; see :func:`least_score`."""


def least_score(kind: str, classes: int) -> float:
    """The least highest score with which a pixel takes a class.

    0.5 for a sigmoid, 0 for a single channel of logits; competing classes, such as those of a
    softmax, have no threshold.
    """
    if kind == "sigmoid":
        return 0.5
    return 0.0 if kind == "logits" and classes == 1 else -np.inf


def label_image(score: NDArray[np.float32], kind: str, grid: tuple[int, ...]) -> NDArray[np.int32]:
    """The class with the highest score at every pixel of the picture.

    A score on another grid is interpolated linearly before the classes are compared, so that
    outlines are smooth. Only classes with the highest score in some cell take part; otherwise a
    class that is second on both sides of an outline could come first on it.

    Args:
        score: [C, h, w], or [C, d, h, w] for a volume.
        kind: ``"softmax"``, ``"sigmoid"`` or ``"logits"``.
        grid: the picture's (height, width), or the volume's (depth, height, width).

    Returns:
        Class indices, or :data:`NONE`, on the grid.

    Example:
        >>> label_image(np.float32([[[0.9, 0.2]], [[0.1, 0.8]]]), "softmax", (1, 2)).tolist()
        [[0, 1]]
    """
    planes: Iterable[tuple[int, NDArray[np.float32]]] = enumerate(score)
    if score.shape[1:] != grid:
        winners = np.bincount(_highest(planes, score.shape[1:])[0].ravel() + 1)[1:].nonzero()[0]
        planes = ((int(i), resample(score[i], grid, "bilinear")) for i in winners)
    labels, best = _highest(planes, grid)
    labels[best < least_score(kind, len(score))] = NONE
    return labels


def _highest(
    planes: Iterable[tuple[int, NDArray[np.float32]]], grid: tuple[int, ...]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The number of the highest plane at every place, the first of equals, and its value.

    One plane after the other, as they lie in memory, which takes a third of the time of argmax over
    the first axis and a pass for the values.
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
        score: [C, h, w], [C, d, h, w] for a volume, [C, *list] for a list, or [C] for a
            classifier.
        kind: one of :data:`ortcam.artifact.SCORES`.
        weights: the weight of each cell, on the score's grid; None for 1 each.

    Returns:
        Their indices: for a segmentation or a list the classes with labels, by the weight of their
        cells; for a classifier the class with the highest score, or with a sigmoid all that reach
        0.5. If there is none, or the score is linear, the class with the highest score in sum.
    """
    size: NDArray[Any]
    if kind == "linear":
        each = np.ones((), np.float32) if weights is None else weights
        size = np.zeros(len(score))
    elif score.ndim > 1:
        each = np.ones(score.shape[1:], np.float32) if weights is None else weights
        labels = label_image(score, kind, each.shape)
        labelled = labels != NONE
        size = np.bincount(labels[labelled], each[labelled], minlength=len(score))
    else:
        each = np.ones((), np.float32)
        size = np.where((kind == "sigmoid") & (score >= least_score(kind, len(score))), score, 0)
    seen = tuple(int(i) for i in np.argsort(-size, kind="stable") if size[i] > 0)
    return seen or (int((score * each).reshape(len(score), -1).sum(axis=1).argmax()),)
