"""Linear operators that act along each axis by a matrix: y = M x along every such axis."""

from __future__ import annotations

from collections.abc import Mapping

from ortcam_export.gradient.table import Ask, Node
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Edged, Window, Windows

__all__ = ["adjoint", "adjoint_contracted"]


def adjoint(g: Tensor, matrices: Mapping[int, Tensor]) -> Tensor:
    """g_x = M' g_y along each axis; a matrix is [output extent, input extent]."""
    for axis, matrix in matrices.items():
        g = g.along(axis, matrix.mT)
    return g


def adjoint_contracted(
    n: Node, windows: Windows, ask: Ask, matrices: Mapping[int, Tensor]
) -> Tensor:
    """<A, g_x> = <A M', g_y>, A's rows and columns each multiplied by their axis's matrix."""
    axes: dict[int, Window] = dict(windows.axes)
    for axis, window in windows.axes.items():
        if axis in matrices and isinstance(window, Edged):
            axes[axis] = window.through(matrices[axis])
        elif axis in matrices:
            axes[axis] = windows.matrix(axis) @ matrices[axis].mT
    g = ask(n.node.outputs[0], windows.over(axes))
    return adjoint(g, {axis: m for axis, m in matrices.items() if axis not in windows.axes})
