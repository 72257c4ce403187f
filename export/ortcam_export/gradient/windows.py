"""Windows: a cotangent of which only the mean is needed is contracted with them.

Grad-CAM needs the spatial mean of a gradient. <A, J'g> = <JA, g>: instead of carrying g through a
linear operator J and averaging the result, ask for the contraction of g with JA. A window is an
outer product of one vector per space axis, so a set of windows is one matrix per axis, [windows,
extent]; contracted with them, a cotangent [K, N, C, H, W] becomes [K, N, C, a, b].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import onnx_ir as ir

from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Dim, Tensor

__all__ = ["Edged", "Ones", "Window", "Windows"]


@dataclass(frozen=True)
class Ones:
    """One window of ones along an axis: a plain sum."""

    extent: Dim


@dataclass(frozen=True)
class Edged:
    """Windows along an axis that differ only near its ends, as the taps of a convolution see them.

    Work quadratic in the classes is done once for the common part and once for the few places at
    the ends, not once for each window.

    Attributes:
        common: the part they share, [1, extent] or ones.
        head: added to it at the first places, [windows, places].
        tail: added to it at the last places, [windows, places].
        extent: the extent of the axis.
    """

    common: Tensor | Ones
    head: Tensor
    tail: Tensor
    extent: Dim

    @property
    def ends(self) -> Tensor:
        """The head and the tail, [windows, places]."""
        return self.head.tape.concat([self.head, self.tail], 1)

    def at_ends(self, x: Tensor, axis: int) -> Tensor:
        """A tensor's first and last places along the axis."""
        first = x.slice(axis, 0, self.head.dim(1))
        last = x.slice(axis, self.extent - self.tail.dim(1), self.extent)
        return x.tape.concat([first, last], axis)

    def through(self, matrix: Tensor, *, ones_to_ones: bool) -> Edged:
        """The windows multiplied by a banded matrix [extent after, extent before].

        With ``ones_to_ones`` each row of the matrix adds up to one.
        """
        count, places = matrix.dim(0), matrix.tape.arange(matrix.dim(0))
        left = matrix.slice(1, 0, self.head.dim(1))
        right = matrix.slice(1, self.extent - self.tail.dim(1), self.extent)
        first = _furthest(left, places + 1)
        last = _furthest(right, count - places)
        common: Tensor | Ones = self.common
        if isinstance(common, Tensor):
            common = common @ matrix.mT
        elif ones_to_ones:
            common = Ones(count)
        else:
            common = matrix.sum([1]).unsqueeze([0])
        return Edged(
            common,
            self.head @ left.slice(0, 0, first).mT,
            self.tail @ right.slice(0, count - last, count).mT,
            count,
        )


def _furthest(matrix: Tensor, distances: Tensor) -> Dim:
    """The greatest distance of a row that is not zero."""
    reached = (matrix.apply("Abs").max([1]) > 0).cast(distances.dtype) * distances
    furthest = reached.max([0], keepdims=True)
    return furthest if furthest.const is None else int(furthest.item)


#: The windows along one axis, as a matrix [windows, extent] or something shorter.
Window: TypeAlias = Tensor | Ones | Edged


@dataclass(frozen=True)
class Windows:
    """A set of windows.

    Attributes:
        tape: records the matrices.
        dtype: the element type of the cotangents.
        axes: the windows of each contracted axis: a matrix [windows, extent], :class:`Ones` or
            :class:`Edged`.
    """

    tape: Tape
    dtype: ir.DataType
    axes: Mapping[int, Window]

    def matrix(self, axis: int) -> Tensor:
        """The windows along an axis as a matrix [windows, extent]."""
        window = self.axes[axis]
        if isinstance(window, Tensor):
            return window
        if isinstance(window, Edged):
            common = self.over({axis: window.common}).matrix(axis)
            behind, before = window.extent - window.head.dim(1), window.extent - window.tail.dim(1)
            return common + window.head.pad(1, 0, behind) + window.tail.pad(1, before, 0)
        if isinstance(window.extent, int):
            return self.tape.constant([[1] * window.extent], self.dtype)
        return self.tape.constant([[1]], self.dtype).expand([1, window.extent])

    def count(self, axis: int) -> int:
        """The number of windows along an axis."""
        window = self.axes[axis]
        if isinstance(window, Ones):
            return 1
        rows = (window.head if isinstance(window, Edged) else window).shape[0]
        assert isinstance(rows, int)
        return rows

    @property
    def total(self) -> int:
        """The number of windows."""
        return math.prod(self.count(axis) for axis in self.axes)

    def dims(self, x: Tensor) -> list[Dim]:
        """The extents of the contracted cotangent of a tensor."""
        return [self.count(a) if a in self.axes else x.dim(a) for a in range(x.rank)]

    def over(self, axes: Mapping[int, Window]) -> Windows:
        """Windows over other axes."""
        return Windows(self.tape, self.dtype, axes)

    def contract(self, g: Tensor) -> Tensor:
        """A cotangent contracted: the extent of each axis becomes its number of windows."""
        ones = [axis for axis, window in self.axes.items() if isinstance(window, Ones)]
        g = g.sum(ones, keepdims=True)
        for axis in sorted(self.axes, reverse=True):
            if axis not in ones:
                g = g.along(axis, self.matrix(axis))
        return g
