"""Metrics of maps: functions of arrays, for maps from any source.

A map M is [H, W], or [D, H, W] for a volume: numbers of at least 0, larger where there is more
evidence. An object O is a mask on the same grid. Where a formula is undefined, such as for a blank
map, the result is NaN. Sums run in float64.
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
    """1 if the map's maximum lies on the object, else 0; for several maxima their mean.

    J. Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, who count a
    maximum within 15 pixels of the object as a hit.

    Args:
        map: [*space].
        object: [*space] bool.
        tolerance: the largest Euclidean distance of a hit from the object, in pixels.

    Returns:
        From 0 to 1; NaN for a blank map or an empty object.

    Example:
        >>> pointing_game(np.float32([[0, 3], [1, 0]]), np.array([[0, 1], [0, 0]], bool))
        1.0
    """
    _check(map, object)
    if not _shows(map) or not object.any():
        return np.nan
    return float(np.mean([_near(object, at, tolerance) for at in np.argwhere(map == map.max())]))


def energy(map: Map, object: Mask, known: Mask | None = None) -> float:
    """The share of the map that lies on the object: sum of M over O / sum of M.

    H. Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", CVPR Workshops 2020, the energy-based pointing game. 1 minus this is the share of the
    map in the object's context.

    Args:
        map: [*space].
        object: [*space] bool.
        known: [*space] bool, the pixels that count, such as the labelled ones; None for all.

    Returns:
        From 0 to 1; NaN for a map that is blank there.

    Example:
        >>> energy(np.float32([[0, 3], [1, 0]]), np.array([[0, 1], [0, 0]], bool))
        0.75
    """
    _check(map, object)
    if known is not None:
        _check(map, known)
        object = object & known
    everywhere = _sum(map if known is None else map[known])
    return _sum(map[object]) / everywhere if everywhere > 0 else np.nan


def overlap(map: Map, object: Mask) -> float:
    """The IoU of the object and as many of the map's highest pixels.

    It tells how well the map agrees with a prediction, whatever the map's scale: 1 if the object's
    pixels are the highest. Pixels that tie for the last places count by the share that fits.

    Args:
        map: [*space].
        object: [*space] bool.

    Returns:
        From 0 to 1; NaN for a blank map or an empty object.

    Example:
        >>> overlap(np.float32([[0, 3], [1, 2]]), np.array([[0, 1], [0, 1]], bool))
        1.0
    """
    _check(map, object)
    if not _shows(map) or not object.any():
        return np.nan
    return _soft_iou(_highest(map, int(object.sum())), object.astype(np.float64))


def concentration(map: Map) -> float:
    """The Gini index: 0 for a constant map, close to 1 for a single bright pixel.

    With the n values in ascending order, sum over i of (2 i - n - 1) M_i / (n sum of M), i from 1.
    N. Hurley and S. Rickard, "Comparing Measures of Sparsity", IEEE Transactions on Information
    Theory 55(10), 2009; for attributions P. Chalasani et al., "Concise Explanations of Neural
    Networks using Adversarial Training", ICML 2020.

    Args:
        map: [*space].

    Returns:
        From 0 to 1 - 1/n; NaN for a blank map.

    Example:
        >>> concentration(np.float32([[0, 0], [0, 5]]))
        0.75
    """
    if not _shows(map):
        return np.nan
    values = np.sort(map, axis=None).astype(np.float64)
    n = len(values)
    return float((2 * np.arange(1, n + 1) - n - 1) @ values / (n * values.sum()))


def iou(one: Mask, other: Mask) -> float:
    """Intersection over union of two masks; NaN if both are empty.

    Example:
        >>> iou(np.array([True, True, False]), np.array([False, True, True]))
        0.3333333333333333
    """
    _check(one, other)
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else np.nan


def mean_inside(values: Map, weights: Map | Mask) -> float:
    """The weighted mean of values, such as of a class's score inside a region.

    Args:
        values: [*space].
        weights: [*space], bool or numbers of at least 0.

    Returns:
        The mean; NaN if all weights are 0.

    Example:
        >>> mean_inside(np.float32([1, 2, 9]), np.float32([1, 1, 0]))
        1.5
    """
    _check(values, weights)
    total = _sum(weights)
    return _sum(values.astype(np.float64) * weights) / total if total > 0 else np.nan


# Two maps


def pearson(one: Map, other: Map) -> float:
    """The correlation of two maps [*space], pixel by pixel; NaN if one is constant.

    Example:
        >>> round(pearson(np.float32([0, 1, 2]), np.float32([1, 3, 5])), 6)
        1.0
    """
    _check(one, other)
    return _correlation(one.astype(np.float64), other.astype(np.float64))


def spearman(one: Map, other: Map) -> float:
    """The rank correlation of two maps [*space]; ties share their mean rank.

    J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, compare maps by it. NaN if
    one map is constant.

    Example:
        >>> round(spearman(np.float32([0, 1, 2]), np.float32([0, 1, 50])), 6)
        1.0
    """
    _check(one, other)
    return _correlation(_ranks(one), _ranks(other))


def difference(one: Map, other: Map) -> float:
    """The difference of two maps [*space], whatever their scales: sum of |M/sum M - M'/sum M'| / 2.

    It is the total variation distance of the maps as distributions: the share of one map that has
    to be moved to make the other, from 0 to 1. NaN if one map is blank.

    Example:
        >>> difference(np.float32([1, 0]), np.float32([3, 1]))
        0.25
    """
    _check(one, other)
    if not (_shows(one) and _shows(other)):
        return np.nan
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)


def top_iou(one: Map, other: Map, share: float = 0.1) -> float:
    """The IoU of the highest pixels of two maps [*space], a given share of all pixels.

    Pixels that tie for the last places count by the share that fits; the IoU is then sum of min /
    sum of max. NaN if one map is blank.

    Args:
        one: [*space].
        other: [*space].
        share: above 0, up to 1; 0.1 for the pixels above the quantile 0.9.

    Example:
        >>> top_iou(np.float32([3, 2, 1, 0]), np.float32([0, 5, 9, 1]), share=0.5)
        0.3333333333333333
    """
    _check(one, other)
    if not 0 < share <= 1:
        raise InputError(f"share must be above 0 and at most 1, got {share}")
    if not (_shows(one) and _shows(other)):
        return np.nan
    count = max(1, round(share * one.size))
    return _soft_iou(_highest(one, count), _highest(other, count))


# Curves


def area_under(values: Sequence[float] | Doubles, at: Sequence[float] | Doubles) -> float:
    """The area under a curve by trapezoids, divided by its width: its mean height.

    Args:
        values: the curve, such as a score.
        at: the ascending positions, such as the removed shares of the picture.

    Example:
        >>> area_under([1.0, 0.0], at=[0.0, 1.0])
        0.5
    """
    y, x = np.asarray(values, np.float64), np.asarray(at, np.float64)
    if y.shape != x.shape or y.ndim != 1 or len(x) < 2 or not (np.diff(x) > 0).all():
        raise InputError(
            f"a curve of {list(y.shape)} values at {list(x.shape)} positions has no area; give at "
            "least two values at ascending positions"
        )
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)) / (x[-1] - x[0]))


# Parts of the formulas


def _check(one: NDArray[np.generic], other: NDArray[np.generic]) -> None:
    if one.shape != other.shape:
        raise InputError(
            f"the two arrays are {list(one.shape)} and {list(other.shape)}; resample both to one "
            "grid first"
        )


def _sum(values: NDArray[np.generic]) -> float:
    return float(values.sum(dtype=np.float64))


def _shows(map: Map) -> bool:
    """True if the map is finite and not all 0."""
    return bool(np.isfinite(map).all() and map.max(initial=0) > 0)


def _near(object: Mask, at: NDArray[np.int64], tolerance: float) -> bool:
    """True if the object has a pixel at most ``tolerance`` from a position."""
    reach = int(tolerance)
    window = object[tuple(slice(max(i - reach, 0), i + reach + 1) for i in at)]
    corner = np.maximum(at - reach, 0)
    steps = np.argwhere(window) + corner - at
    return bool((np.square(steps).sum(axis=1) <= tolerance**2).any())


def _highest(map: Map, count: int) -> Doubles:
    """Select the highest pixels: 1 or 0, for ties in the last places an equal share."""
    values = map.ravel()
    least = np.partition(values, values.size - count)[values.size - count]
    above, level = map > least, map == least
    room = count - np.count_nonzero(above)
    share = room / np.count_nonzero(level)
    return np.where(above, 1.0, np.where(level, share, 0.0))


def _soft_iou(one: Doubles, other: Doubles) -> float:
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def _ranks(map: Map) -> Doubles:
    _, indices, counts = np.unique(map, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Doubles = (last - (counts - 1) / 2)[indices.reshape(map.shape)]
    return means


def _correlation(one: Doubles, other: Doubles) -> float:
    if not all(np.isfinite(values).all() and np.ptp(values) > 0 for values in (one, other)):
        return np.nan
    a, b = one - one.mean(), other - other.mean()
    return float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)))
