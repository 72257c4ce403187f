"""Windows: what a cotangent is contracted with where its mean is all that is wanted.

Grad-CAM needs the spatial mean of a gradient. <A, J'g> = <JA, g>: instead of carrying g through a
linear operator J and averaging then, ask for g's contraction with JA. A window is an outer product
of one vector a space axis, so a set of windows is one matrix an axis, [windows, extent]; contracted
with them a cotangent [K, N, C, H, W] becomes [K, N, C, a, b].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from ortcam_export.gradient.tensor import Dim, Tape, Tensor

__all__ = ["Ones", "Windows"]


@dataclass(frozen=True)
class Ones:
    """One window of ones along an axis: a plain sum."""

    extent: Dim


@dataclass(frozen=True)
class Windows:
    """A set of windows.

    Attributes:
        tape: where matrices are recorded.
        dtype: the element type of the cotangents they contract.
        axes: for each contracted axis its windows: a matrix [windows, extent], or :class:`Ones`.
    """

    tape: Tape
    dtype: ir.DataType
    axes: Mapping[int, Tensor | Ones]

    def matrix(self, axis: int) -> Tensor:
        """The windows along an axis as a matrix [windows, extent]."""
        window = self.axes[axis]
        if isinstance(window, Tensor):
            return window
        if isinstance(window.extent, int):
            return self.tape.constant([[1] * window.extent], self.dtype)
        return self.tape.constant([[1]], self.dtype).expand([1, window.extent])

    def count(self, axis: int) -> int:
        """How many windows there are along an axis."""
        window = self.axes[axis]
        if isinstance(window, Ones):
            return 1
        rows = window.shape[0]
        assert isinstance(rows, int)
        return rows

    @property
    def total(self) -> int:
        """How many windows there are."""
        return math.prod(self.count(axis) for axis in self.axes)

    def dims(self, x: Tensor) -> list[Dim]:
        """The extents of the contracted cotangent of a tensor."""
        return [self.count(a) if a in self.axes else x.dim(a) for a in range(x.rank)]

    def over(self, axes: Mapping[int, Tensor | Ones]) -> Windows:
        """Windows over these axes instead."""
        return Windows(self.tape, self.dtype, axes)

    def contract(self, g: Tensor) -> Tensor:
        """A cotangent contracted: each of the axes becomes as long as it has windows."""
        ones = [axis for axis, window in self.axes.items() if isinstance(window, Ones)]
        g = g.sum(ones, keepdims=True)
        for axis in sorted(self.axes, reverse=True):
            window = self.axes[axis]
            if isinstance(window, Tensor):
                g = g.along(axis, window)
        return g
