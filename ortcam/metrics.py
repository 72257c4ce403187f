"""Metrics of maps: functions of arrays, for any map, from ortcam or elsewhere.

A map M is [H, W], or [D, H, W] of a volume: numbers of 0 or more, larger where more evidence lies.
An object O is a mask of the same grid. What a formula leaves undefined, as where a map shows
nothing, is NaN. Sums run in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import InputError

__all__ = [
    "area_under",
    "concentration",
    "difference",
    "energy",
    "iou",
    "mean_inside",
    "overlap",
    "pearson",
    "pointing_game",
    "spearman",
    "top_iou",
]

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]


# A map and an object


def pointing_game(map: Map, object: Mask, tolerance: float = 0.0) -> float:
    """1 where the map's maximum lies on the object, else 0; of several maxima their mean.

    J. Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, who count a
    maximum within 15 pixels of the object as a hit.

    Args:
        map: [*space].
        object: [*space] bool.
        tolerance: how far off it a maximum may lie, in pixels, by Euclid.

    Returns:
        From 0 to 1; NaN of a map that shows nothing, or where there is no object.
    """
    _check(map, object)
    if not _shows(map) or not object.any():
        return np.nan
    return float(np.mean([_near(object, at, tolerance) for at in np.argwhere(map == map.max())]))


def energy(map: Map, object: Mask, known: Mask | None = None) -> float:
    """The share of the map that lies on the object: sum of M over O / sum of M.

    H. Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", CVPR Workshops 2020, the energy-based pointing game. 1 less this is the share of the
    map that lies in the object's context.

    Args:
        map: [*space].
        object: [*space] bool.
        known: [*space] bool, what counts, as where a label image says what is there; None for all.

    Returns:
        From 0 to 1; NaN of a map that shows nothing there.
    """
    _check(map, object)
    if known is not None:
        _check(map, known)
        object = object & known
    everywhere = _sum(map if known is None else map[known])
    return _sum(map[object]) / everywhere if everywhere > 0 else np.nan


def overlap(map: Map, object: Mask) -> float:
    """The IoU of the object and the map's highest places, as many as the object has.

    That is how well the map agrees with a prediction, whatever its scale: 1 where the object's
    places are the highest. Places that tie for the last are in by the share that there is room for.

    Args:
        map: [*space].
        object: [*space] bool.

    Returns:
        From 0 to 1; NaN of a map that shows nothing, or where there is no object.
    """
    _check(map, object)
    if not _shows(map) or not object.any():
        return np.nan
    return _soft_iou(_highest(map, int(object.sum())), object.astype(np.float64))


def concentration(map: Map) -> float:
    """The Gini index: 0 of a map that is the same everywhere, towards 1 of one bright place.

    With the n values in rising order, sum over i of (2 i - n - 1) M_i / (n sum of M), i from 1.
    N. Hurley and S. Rickard, "Comparing Measures of Sparsity", IEEE Transactions on Information
    Theory 55(10), 2009; for attributions P. Chalasani et al., "Concise Explanations of Neural
    Networks using Adversarial Training", ICML 2020.

    Args:
        map: [*space].

    Returns:
        From 0 to 1 - 1/n; NaN of a map that shows nothing.
    """
    if not _shows(map):
        return np.nan
    values = np.sort(map, axis=None).astype(np.float64)
    n = len(values)
    return float((2 * np.arange(1, n + 1) - n - 1) @ values / (n * values.sum()))


def iou(one: Mask, other: Mask) -> float:
    """Intersection over union of two masks; NaN where both are empty."""
    _check(one, other)
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else np.nan


def mean_inside(values: Map, weights: Map) -> float:
    """The mean of values [*space], each weighed, as of a class's score inside a region.

    Args:
        values: [*space].
        weights: [*space], 0 or more, bool or numbers.

    Returns:
        NaN where no weight is above 0.
    """
    _check(values, weights)
    total = _sum(weights)
    return _sum(values.astype(np.float64) * weights) / total if total > 0 else np.nan


# Two maps


def pearson(one: Map, other: Map) -> float:
    """The correlation of two maps [*space], place by place; NaN where one is level."""
    _check(one, other)
    return _correlation(one.astype(np.float64), other.astype(np.float64))


def spearman(one: Map, other: Map) -> float:
    """The rank correlation of two maps [*space]; ties share their mean rank.

    What J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, compare maps by. NaN
    where one is level.
    """
    _check(one, other)
    return _correlation(_ranks(one), _ranks(other))


def difference(one: Map, other: Map) -> float:
    """How far two maps [*space] of different scales differ: sum of |M / sum M - M' / sum M'| / 2.

    The total variation distance of the maps as distributions: the share of one map that would have
    to be moved to make the other, from 0 to 1. NaN where one shows nothing.
    """
    _check(one, other)
    if not (_shows(one) and _shows(other)):
        return np.nan
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)


def top_iou(one: Map, other: Map, share: float = 0.1) -> float:
    """The IoU of the highest places of two maps [*space], so large a share of all.

    Places that tie for the last are in by the share that there is room for: then it is sum of
    min / sum of max. NaN where one map shows nothing.

    Args:
        one: [*space].
        other: [*space].
        share: above 0, up to 1; the tenth is what lies above the quantile 0.9.
    """
    _check(one, other)
    if not 0 < share <= 1:
        raise InputError(f"share is {share}; it is above 0 and at most 1")
    if not (_shows(one) and _shows(other)):
        return np.nan
    count = max(1, round(share * one.size))
    return _soft_iou(_highest(one, count), _highest(other, count))


# Curves


def area_under(values: Sequence[float] | Doubles, at: Sequence[float] | Doubles) -> float:
    """The area under a curve by trapezoids, over the width: its mean height.

    Args:
        values: the curve, as of a score.
        at: where, rising, as the shares of the picture that are removed.
    """
    y, x = np.asarray(values, np.float64), np.asarray(at, np.float64)
    if y.shape != x.shape or y.ndim != 1 or len(x) < 2 or not (np.diff(x) > 0).all():
        raise InputError(
            f"a curve of {list(y.shape)} values at {list(x.shape)} places has no area: it takes "
            "two or more values, each at a place further on"
        )
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)) / (x[-1] - x[0]))


# What they are made of


def _check(one: NDArray[np.generic], other: NDArray[np.generic]) -> None:
    if one.shape != other.shape:
        raise InputError(
            f"one of the two is {list(one.shape)} and the other {list(other.shape)}; bring both to "
            "one grid first"
        )


def _sum(values: NDArray[np.generic]) -> float:
    return float(values.sum(dtype=np.float64))


def _shows(map: Map) -> bool:
    """Whether it is finite and anywhere above 0."""
    return bool(np.isfinite(map).all() and map.max(initial=0) > 0)


def _near(object: Mask, at: NDArray[np.int64], tolerance: float) -> bool:
    """Whether the object comes so near to a place."""
    reach = int(tolerance)
    window = object[tuple(slice(max(i - reach, 0), i + reach + 1) for i in at)]
    corner = np.maximum(at - reach, 0)
    steps = np.argwhere(window) + corner - at
    return bool((np.square(steps).sum(axis=1) <= tolerance**2).any())


def _highest(map: Map, count: int) -> Doubles:
    """By how much each place is one of so many highest: 1 or 0, of ties an equal share."""
    values = map.ravel()
    least = np.partition(values, values.size - count)[values.size - count]
    above, level = map > least, map == least
    room = count - np.count_nonzero(above)
    share = room / np.count_nonzero(level)
    return np.where(above, 1.0, np.where(level, share, 0.0))


def _soft_iou(one: Doubles, other: Doubles) -> float:
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def _ranks(map: Map) -> Doubles:
    _, places, counts = np.unique(map, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Doubles = (last - (counts - 1) / 2)[places.reshape(map.shape)]
    return means


def _correlation(one: Doubles, other: Doubles) -> float:
    if not all(np.isfinite(values).all() and np.ptp(values) > 0 for values in (one, other)):
        return np.nan
    a, b = one - one.mean(), other - other.mean()
    return float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)))
