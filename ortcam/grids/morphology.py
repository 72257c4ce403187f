"""Masks of pixels: the component that holds a pixel, and the border."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["border", "component"]

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


def component(mask: Mask, seed: Sequence[int]) -> Mask:
    """The connected part of a mask that holds a pixel; pixels that touch at a corner are connected.

    The mask is taken as runs of pixels along its last axis, of which there are far fewer. Every run
    points to a run of its component that comes earlier, and these are made to meet.

    Args:
        mask: [H, W] or [D, H, W].
        seed: the pixel's indices, of the mask.

    Returns:
        A mask of the same size.
    """
    *lines, width = mask.shape
    edges = np.diff(mask.reshape(-1, width).astype(np.int8), axis=1, prepend=0, append=0)
    line, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    one, other = _touching(lines, line, start, stop, width + 1)
    first = np.arange(len(line))  # of each run's component, as far as is known
    while len(one):
        apart = first[one] != first[other]
        one, other = one[apart], other[apart]
        pair = first[one], first[other]
        # The later one points to itself up to here: no circle can come about.
        first[np.maximum(*pair)] = np.minimum(*pair)
        while (first[first] != first).any():
            first = first[first]
    *at, column = seed
    here = np.ravel_multi_index(at, lines) == line
    (own,) = np.flatnonzero(here & (start <= column) & (column < stop))
    part = first == first[own]
    marks = np.zeros(edges.shape, np.int8)
    marks[line[part], start[part]] = 1
    marks[line[part], stop[part]] = -1
    found: Mask = np.cumsum(marks, axis=1, dtype=np.int8)[:, :-1].reshape(mask.shape) == 1
    return found


def _touching(
    lines: Sequence[int], line: Indices, start: Indices, stop: Indices, stride: int
) -> tuple[Indices, Indices]:
    """The pairs of runs that touch; runs come in the order of their lines and starts."""
    places = np.stack(np.unravel_index(line, tuple(lines)))
    starts, stops = line * stride + start, line * stride + stop  # as if all lines were one
    pairs = []
    steps = list(itertools.product((-1, 0, 1), repeat=len(lines)))
    for step in steps[: len(steps) // 2]:  # the other half are the same, back
        beside = places + np.array(step)[:, None]
        there = ((beside >= 0) & (beside < np.array(lines)[:, None])).all(axis=0)
        run = np.flatnonzero(there)
        across = np.ravel_multi_index(tuple(beside[:, run]), tuple(lines)) * stride
        low = np.searchsorted(stops, across + start[run], "left")
        count = np.searchsorted(starts, across + stop[run], "right") - low
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        pairs.append((np.repeat(run, count), np.repeat(low, count) + within))
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return one, other


def border(mask: Mask, width: int) -> Mask:
    """The pixels of a mask from which ``width`` steps, also diagonal ones, lead out of it.

    The edge of the picture is no border: what goes on behind it nobody knows.
    """
    inner = mask
    for axis, extent in enumerate(mask.shape):
        # Along this axis, how many pixels within the width are not in the mask, by their sums.
        outside = np.cumsum(~inner, axis=axis, dtype=np.int64)
        outside = np.insert(outside, 0, 0, axis=axis)
        place = np.arange(extent)
        before, behind = np.maximum(place - width, 0), np.minimum(place + width + 1, extent)
        inner = outside.take(behind, axis=axis) == outside.take(before, axis=axis)
    return mask & ~inner
