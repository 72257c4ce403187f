"""Morphology of masks: the component around a pixel, and the border."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["border", "component"]

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


def component(mask: Mask, seed: Sequence[int]) -> Mask:
    """The connected part of a mask around a pixel; pixels that touch at a corner are connected.

    The algorithm works on runs of pixels along the last axis, of which there are far fewer. Every
    run points to an earlier run of its component, until all point to the first.

    Args:
        mask: [H, W] or [D, H, W].
        seed: the indices of a pixel in the mask.

    Returns:
        A mask of the same size.

    Example:
        >>> component(np.array([[True, False, True]]), (0, 2)).tolist()
        [[False, False, True]]
    """
    *lines, width = mask.shape
    edges = np.diff(mask.reshape(-1, width).astype(np.int8), axis=1, prepend=0, append=0)
    line, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    one, other = _touching(lines, line, start, stop, width + 1)
    first = np.arange(len(line))  # the first known run of each run's component
    while len(one):
        apart = first[one] != first[other]
        one, other = one[apart], other[apart]
        pair = first[one], first[other]
        # The later one has pointed to itself so far, so there is no cycle.
        first[np.maximum(*pair)] = np.minimum(*pair)
        while (first[first] != first).any():
            first = first[first]
    *at, column = seed
    here = np.ravel_multi_index(at, lines) == line
    (run,) = np.flatnonzero(here & (start <= column) & (column < stop))
    part = first == first[run]
    marks = np.zeros(edges.shape, np.int8)
    marks[line[part], start[part]] = 1
    marks[line[part], stop[part]] = -1
    connected: Mask = np.cumsum(marks, axis=1, dtype=np.int8)[:, :-1].reshape(mask.shape) == 1
    return connected


def _touching(
    lines: Sequence[int], line: Indices, start: Indices, stop: Indices, stride: int
) -> tuple[Indices, Indices]:
    """The pairs of runs that touch; runs are in the order of their lines and starts."""
    positions = np.stack(np.unravel_index(line, tuple(lines)))
    starts, stops = line * stride + start, line * stride + stop  # as if all lines were one
    pairs = []
    steps = list(itertools.product((-1, 0, 1), repeat=len(lines)))
    for step in steps[: len(steps) // 2]:  # the other half are their opposites
        neighbours = positions + np.array(step)[:, None]
        inside = ((neighbours >= 0) & (neighbours < np.array(lines)[:, None])).all(axis=0)
        run = np.flatnonzero(inside)
        across = np.ravel_multi_index(tuple(neighbours[:, run]), tuple(lines)) * stride
        low = np.searchsorted(stops, across + start[run], "left")
        count = np.searchsorted(starts, across + stop[run], "right") - low
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        pairs.append((np.repeat(run, count), np.repeat(low, count) + within))
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return one, other


def border(mask: Mask, width: int) -> Mask:
    """The pixels of a mask at most ``width`` steps, diagonal ones too, from its outside.

    The edge of the picture is no border, since the mask may go on beyond it.

    Example:
        >>> border(np.array([[False, True, True, True]]), 1).tolist()
        [[False, True, False, False]]
    """
    inner = mask
    for axis, extent in enumerate(mask.shape):
        # The number of pixels outside within the width, along this axis, from cumulative sums.
        outside = np.cumsum(~inner, axis=axis, dtype=np.int64)
        outside = np.insert(outside, 0, 0, axis=axis)
        index = np.arange(extent)
        start, stop = np.maximum(index - width, 0), np.minimum(index + width + 1, extent)
        inner = outside.take(stop, axis=axis) == outside.take(start, axis=axis)
    return mask & ~inner
