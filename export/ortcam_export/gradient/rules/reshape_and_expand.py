"""Operators that only rearrange or repeat elements: a cotangent is rearranged back, or summed."""

from __future__ import annotations

from collections.abc import Sequence

from ortcam_export.gradient.blocks.unbroadcast import summed_to
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Ones, Window, Windows


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze", inputs=[0])
def reshape(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y in the shape of x."""
    return g.reshape(n.x.dims)


@rule("Transpose", inputs=[0])
def transpose(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y in the order of x's axes."""
    order = _order(n)
    return g.transpose([order.index(axis) for axis in range(len(order))])


@rule("Expand", inputs=[0])
def expand(n: Node, g: Tensor) -> Tensor:
    """g_x = the sum of g_y over the copies."""
    return summed_to(g, n.y.dims, n.x)


@contracted("Transpose")
def transpose_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <P A, g_y> transposed back, P A the windows on the axes of y."""
    order = _order(n)
    moved = {order.index(axis): window for axis, window in windows.axes.items()}
    return transpose(n, ask(n.node.outputs[0], windows.over(moved)))


@contracted("Squeeze", "Unsqueeze", "Reshape", "Flatten")
def reshape_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A, g_y> where each window's axis is one of y's too, or several in a row.

    Axes merged into one get the outer product of their windows, [windows of both, cells]; axes that
    one is split into get ones for ones.
    """
    axes: dict[int, Window] = {}
    groups = _groups(n.x, n.y)
    for before, after in groups:
        group = [windows.axes[axis] for axis in before if axis in windows.axes]
        if not group:
            continue
        if len(group) < len(before):
            return None  # a window over a part of an axis of y
        if len(before) == len(after) == 1:
            axes[after[0]] = group[0]
        elif all(isinstance(window, Ones) for window in group):
            axes.update((axis, Ones(n.y.dim(axis))) for axis in after)
        elif len(after) == 1:
            axes[after[0]] = _outer([windows.matrix(axis) for axis in before])
        else:
            return None
    grouped = {axis for before, _ in groups for axis in before}
    for axis, window in windows.axes.items():  # ones over one element change nothing
        if axis not in grouped and not (n.x.extent(axis) == 1 and isinstance(window, Ones)):
            return None
    return ask(n.node.outputs[0], windows.over(axes)).reshape(windows.dims(n.x))


@contracted("Expand")
def expand_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A repeated, g_y>, along the axes that x is repeated along."""
    if n.x.rank != n.y.rank:
        return None
    axes: dict[int, Window] = {}
    for axis in range(n.x.rank):
        before, after = n.x.extent(axis), n.y.extent(axis)
        if axis not in windows.axes:
            if before is None or before != after:
                return None
        elif before != 1:
            if before is None or before != after:
                return None
            axes[axis] = windows.axes[axis]
        elif isinstance(windows.axes[axis], Ones):
            axes[axis] = Ones(n.y.dim(axis))
        else:
            axes[axis] = windows.matrix(axis).expand([windows.count(axis), n.y.dim(axis)])
    return ask(n.node.outputs[0], windows.over(axes))


def _groups(x: Tensor, y: Tensor) -> list[tuple[list[int], list[int]]]:
    """Axes of x and of y that hold the same elements, as far as the extents prove it.

    From both ends those of equal extent, without axes of 1; the axes between are one group.
    """
    before = [axis for axis in range(x.rank) if x.extent(axis) != 1]
    after = [axis for axis in range(y.rank) if y.extent(axis) != 1]
    groups: list[tuple[list[int], list[int]]] = []
    for end in (0, -1):
        while before and after and _same(x, before[end], y, after[end]):
            groups.append(([before.pop(end)], [after.pop(end)]))
    return [*groups, (before, after)] if before and after else groups


def _same(x: Tensor, axis: int, y: Tensor, other: int) -> bool:
    extent = x.extent(axis)
    return extent is not None and extent == y.extent(other)


def _outer(matrices: Sequence[Tensor]) -> Tensor:
    """The outer products of windows along several axes, as windows along these axes merged."""
    outer, *rest = matrices
    for matrix in rest:
        a, b = outer, matrix
        outer = a.unsqueeze([1, 3]) * b.unsqueeze([0, 2])
        outer = outer.reshape([a.dim(0) * b.dim(0), a.dim(1) * b.dim(1)])
    return outer


def _order(n: Node) -> list[int]:
    return list(n.attribute("perm", range(n.x.rank - 1, -1, -1)))
