"""Linear operators that apply a matrix along each axis: y = M x."""

from __future__ import annotations

from collections.abc import Mapping

from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Edged, Ones, Window, Windows

__all__ = ["adjoint", "adjoint_contracted", "along_band"]

#: The number of runs of rows in :func:`along_band`: 4 are slower on a large map, 16 no faster.
_RUNS = 8


def adjoint(g: Tensor, matrices: Mapping[int, Tensor]) -> Tensor:
    """g_x = M' g_y along each axis; a matrix is [output extent, input extent]."""
    for axis, matrix in matrices.items():
        g = g.along(axis, matrix.mT)
    return g


def adjoint_contracted(
    n: Node,
    windows: Windows,
    ask: Ask,
    matrices: Mapping[int, Tensor],
    *,
    ones_to_ones: bool = False,
) -> Tensor:
    """<A, g_x> = <A M', g_y>, the windows of each axis multiplied by its matrix.

    With ``ones_to_ones`` each row of every matrix adds up to one.
    """
    axes: dict[int, Window] = dict(windows.axes)
    for axis, window in windows.axes.items():
        if axis in matrices and isinstance(window, Ones) and ones_to_ones:
            axes[axis] = Ones(n.y.dim(axis))
        elif axis in matrices and isinstance(window, Edged):
            axes[axis] = window.through(matrices[axis], ones_to_ones=ones_to_ones)
        elif axis in matrices:
            axes[axis] = windows.matrix(axis) @ matrices[axis].mT
    g = ask(n.node.outputs[0], windows.over(axes))
    return adjoint(g, {axis: m for axis, m in matrices.items() if axis not in windows.axes})


def along_band(g: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """A matrix [rows, extent] applied along an axis, in runs of its rows.

    Each run is multiplied only by the columns from its first to its last that are not zero: of a
    banded matrix about an eighth. The product is right for any matrix.
    """
    tape, rows = g.tape, matrix.dim(0)
    bounds = tape.arange(_RUNS + 1) * rows // _RUNS
    starts, stops = bounds.slice(0, 0, _RUNS), bounds.slice(0, 1, _RUNS + 1)
    place = tape.arange(rows)
    member = (place >= starts.unsqueeze([1])) & (place < stops.unsqueeze([1]))
    reached = (member.cast(matrix.dtype) @ matrix.apply("Abs") > 0).cast(matrix.dtype)
    first = tape.op("ArgMax", reached, axis=1, keepdims=0)
    last = tape.op("ArgMax", reached, axis=1, keepdims=0, select_last_index=1) + 1
    both = tape.constant([0, 1])
    along = tape.constant([axis % g.rank + g.lead])
    parts = []
    for begin, end, corner, opposite in zip(
        _single(first), _single(last), _pairs(starts, first), _pairs(stops, last), strict=True
    ):
        run = tape.op("Slice", matrix, corner, opposite, both)
        if run.shape[0] != 0:
            cut = tape.op("Slice", g, begin, end, along, lead=g.lead)
            parts.append(cut.along(axis, run))
    joined = tape.concat(parts, axis)
    physical = list(g.shape)
    physical[axis % g.rank + g.lead] = matrix.shape[0]
    return joined.stamped(physical)


def _single(numbers: Tensor) -> list[Tensor]:
    """Numbers [runs], each as [1]: by one operator, as even small ones cost time."""
    return numbers.tape.ops("Split", numbers, outputs=_RUNS, axis=0, num_outputs=_RUNS)


def _pairs(rows: Tensor, columns: Tensor) -> list[Tensor]:
    """Pairs of numbers [runs], each as [2]."""
    joined = rows.tape.concat([rows.unsqueeze([1]), columns.unsqueeze([1])], 1)
    return _single(joined.reshape([2 * _RUNS]))
