"""Linear operators that act along each axis by a matrix: y = M x along every such axis."""

from __future__ import annotations

from collections.abc import Mapping

from ortcam_export.gradient.table import Ask, Node
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Edged, Ones, Window, Windows

__all__ = ["adjoint", "adjoint_contracted"]


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
    """<A, g_x> = <A M', g_y>, A's rows and columns each multiplied by their axis's matrix.

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
