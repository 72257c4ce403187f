"""Tensors read at points between their cells: weighted sums over the cells around each point.

Along each axis a point has a few taps; their combinations are the cells it is read from.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from ortcam_export.gradient.blocks.scatter_add import put
from ortcam_export.gradient.tensor import Dim, Tensor, product

__all__ = ["Points", "Tap", "cubic_taps", "linear_taps", "nearest_taps"]

#: Keys' coefficient.
_A = -0.75


@dataclass(frozen=True)
class Tap:
    """A place along an axis that each point is read from.

    Attributes:
        place: [M, P], integers, perhaps outside.
        weight: [M, P].
        slope: the weight's derivative by the point's coordinate, [M, P]; None where it is 0.
        inside: the mask of the places that count; None where all do.
    """

    place: Tensor
    weight: Tensor
    slope: Tensor | None
    inside: Tensor | None = None


def nearest_taps(x: Tensor) -> list[Tap]:
    """The nearest cell of each point; between two, the even one."""
    near = x.apply("Round")
    return [Tap(near.cast(ir.DataType.INT64), near.equals(near).cast(x.dtype), None)]


def linear_taps(x: Tensor) -> list[Tap]:
    """The cells below and above each point."""
    below = x.floor()
    t, place = x - below, below.cast(ir.DataType.INT64)
    one = below.equals(below).cast(x.dtype)
    return [Tap(place, 1 - t, -one), Tap(place + 1, t, one)]


def cubic_taps(x: Tensor) -> list[Tap]:
    """Two cells below and two above each point, weighted by Keys' kernel (1981)."""
    below = x.floor()
    t, place = x - below, below.cast(ir.DataType.INT64)
    return [
        Tap(place - 1, _far(t + 1), _far_slope(t + 1)),
        Tap(place, _near(t), _near_slope(t)),
        Tap(place + 1, _near(1 - t), -_near_slope(1 - t)),
        Tap(place + 2, _far(2 - t), -_far_slope(2 - t)),
    ]


def _near(d: Tensor) -> Tensor:
    return (d * (_A + 2) - (_A + 3)) * d * d + 1


def _near_slope(d: Tensor) -> Tensor:
    return (d * (3 * _A + 6) - (2 * _A + 6)) * d


def _far(d: Tensor) -> Tensor:
    return ((d * _A - 5 * _A) * d + 8 * _A) * d - 4 * _A


def _far_slope(d: Tensor) -> Tensor:
    return (d * (3 * _A) - 10 * _A) * d + 8 * _A


class Points:
    """Points at which M tensors [C, *space] are read, P points each.

    Args of the constructor:
        taps: for each space axis the taps along it, their places inside the axis.
        space: the extents of these axes.
    """

    def __init__(self, taps: Sequence[Sequence[Tap]], space: Sequence[Dim]) -> None:
        self._cells = product(space)
        self._corners = list(itertools.product(*taps))
        steps = [product(space[i + 1 :]) for i in range(len(space))]
        self._places = [
            _total([tap.place * step for tap, step in zip(corner, steps, strict=True)])
            for corner in self._corners
        ]

    def values(self, x: Tensor) -> Tensor:
        """The values of x [M, C, cells] at the points: [M, C, P]."""
        return _total(
            [
                self._read(x, place) * _weight(corner).unsqueeze([1])
                for corner, place in zip(self._corners, self._places, strict=True)
            ]
        )

    def back(self, g: Tensor) -> Tensor:
        """The cotangents of the values, [M, C, P], added up at the cells: [M, C, cells]."""
        parts = [g * _weight(corner).unsqueeze([1]) for corner in self._corners]
        places = g.tape.concat(self._places, 1).unsqueeze([1])
        joined = g.tape.concat(parts, 2)
        dims = [joined.dim(0), joined.dim(1), self._cells]
        return put(joined, places.expand(joined.dims), dims, 2)

    def slopes(self, g: Tensor, x: Tensor, axis: int) -> Tensor | None:
        """The cotangent of the points' coordinate along a space axis, [M, P].

        Args:
            g: the cotangent of the values, [M, C, P].
            x: the tensor, [M, C, cells].
            axis: of space.
        """
        terms = []
        for corner, place in zip(self._corners, self._places, strict=True):
            slope = _slope(corner, axis)
            if slope is not None:
                terms.append((g * self._read(x, place)).sum([1]) * slope)
        return _total(terms) if terms else None

    def _read(self, x: Tensor, place: Tensor) -> Tensor:
        indices = place.unsqueeze([1]).expand([x.dim(0), x.dim(1), place.dim(1)])
        return x.tape.op("GatherElements", x, indices, axis=2)


def _weight(corner: Sequence[Tap]) -> Tensor:
    return _product([_counted(tap, tap.weight) for tap in corner])


def _slope(corner: Sequence[Tap], axis: int) -> Tensor | None:
    """The derivative of the weight by the coordinate along an axis."""
    slope = corner[axis].slope
    if slope is None:
        return None
    return _product(
        [_counted(tap, slope if i == axis else tap.weight) for i, tap in enumerate(corner)]
    )


def _counted(tap: Tap, factor: Tensor) -> Tensor:
    return factor if tap.inside is None else factor.masked(tap.inside)


def _product(factors: Sequence[Tensor]) -> Tensor:
    return functools.reduce(operator.mul, factors)


def _total(terms: Sequence[Tensor]) -> Tensor:
    return functools.reduce(operator.add, terms)
