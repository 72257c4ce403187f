"""Operators that cut tensors into parts or join parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tensor import Dim, Tensor, at_least, at_most, product
from ortcam_export.gradient.windows import Ones, Windows


@rule("Concat")
def concat(n: Node, g: Tensor) -> Tensor:
    """g_x = the part of g_y that holds x."""
    axis = n.axis(0)
    start = _total(x.dim(axis) for x in n.inputs[: n.index])
    return g.slice(axis, start, start + n.here.dim(axis))


@rule("Split", inputs=[0])
def split(n: Node, g: Tensor) -> Tensor:
    """g_x = the cotangents of the parts, joined."""
    parts = [n.cotangent(i) for i in range(len(n.node.outputs))]
    return n.tape.concat(parts, n.axis(0))


@rule("Slice", inputs=[0])
def slice_(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y at the places that were read, 0 elsewhere."""
    for cut in _cuts(n):
        g = _put_back(g, cut)
    return g


@rule("Gather", inputs=[0])
def gather(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y added up at the places that were read."""
    axis, x = n.axis(0), n.x
    indices = n.input(1)
    count = product(indices.dims)
    before, after = product(x.dims[:axis]), product(x.dims[axis + 1 :])
    places = indices.cast(n.tape.constant(0).dtype).reshape([1, count, 1])
    zeros = n.tape.zeros([before, x.dim(axis), after], g.dtype, lead=1)
    scattered = n.tape.op(
        "ScatterElements",
        zeros,
        places.asked().expand([before, count, after]),
        g.reshape([before, count, after]),
        lead=1,
        axis=2,
        reduction="add",
    )
    return scattered.reshape(x.dims)


@contracted("Concat", inputs=None)
def concat_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = the channels of <A, g_y> that are x's; along a window's axis <A padded, g_y>."""
    axis = n.axis(0)
    start = _total(x.dim(axis) for x in n.inputs[: n.index])
    if axis not in windows.axes:
        g = ask(n.node.outputs[0], windows)
        return g.slice(axis, start, start + n.here.dim(axis))
    rest = n.y.dim(axis) - (start + n.here.dim(axis))
    embedded = windows.matrix(axis).pad(1, start, rest)
    return ask(n.node.outputs[0], windows.over({**windows.axes, axis: embedded}))


@contracted("Split")
def split_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = the <A, g_y> joined; along a window's axis the sum of the <part of A, g_y>."""
    axis, outputs = n.axis(0), n.node.outputs
    if axis not in windows.axes:
        return n.tape.concat([ask(output, windows) for output in outputs], axis)
    matrix, extents = windows.matrix(axis), [n.output(i).dim(axis) for i in range(len(outputs))]
    total: Tensor | None = None
    for i, output in enumerate(outputs):
        start = _total(extents[:i])
        part = matrix.slice(1, start, start + extents[i])
        answer = ask(output, windows.over({**windows.axes, axis: part}))
        total = answer if total is None else total + answer
    assert total is not None
    return total


@contracted("Slice")
def slice_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <A sliced, g_y>; along other axes 0 at places that were not read."""
    cuts = _cuts(n)
    axes = dict(windows.axes)
    for cut in cuts:
        window = axes.get(cut.axis)
        if isinstance(window, Ones):
            axes[cut.axis] = Ones(n.y.dim(cut.axis))
        elif window is not None:
            axes[cut.axis] = windows.matrix(cut.axis).slice(1, cut.start, cut.stop, cut.step)
    g = ask(n.node.outputs[0], windows.over(axes))
    for cut in cuts:
        if cut.axis not in axes:
            g = _put_back(g, cut)
    return g


@dataclass(frozen=True)
class _Cut:
    """The slice along one axis: its bounds as ONNX counts them, and the axis's extents."""

    axis: int
    start: Dim
    stop: Dim
    step: int
    extent: Dim
    count: Dim

    @property
    def first(self) -> Dim:
        """The place of the first element read, counted from the front and clamped."""
        highest = self.extent if self.step > 0 else self.extent - 1
        start = self.start
        if isinstance(start, Tensor):
            start = (start < 0).where(start + self.extent, start)
        elif start < 0:
            start = self.extent + start
        return at_least(at_most(start, highest), 0)


def _cuts(n: Node) -> list[_Cut]:
    starts, stops = _bounds(n, 1), _bounds(n, 2)
    axes = [int(a) % n.x.rank for a in n.constants(3) or range(len(starts))]
    steps = [int(s) for s in n.constants(4) or [1] * len(starts)]
    return [
        _Cut(axis, start, stop, step, n.x.dim(axis), n.y.dim(axis))
        for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True)
    ]


def _bounds(n: Node, index: int) -> list[Dim]:
    """The bounds along each axis, numbers where they are known."""
    bounds = n.input(index)
    if bounds.const is not None:
        return [int(v) for v in bounds.const]
    count = bounds.extent(0)
    if not isinstance(count, int):
        raise n.refuse("slices a number of axes that is known only when the network runs")
    long = bounds.cast(n.tape.constant(0).dtype)
    return [long.slice(0, i, i + 1) for i in range(count)]


def _put_back(g: Tensor, cut: _Cut) -> Tensor:
    """The elements g at the places they were read from along one axis, 0 between them."""
    axis, step, first = cut.axis, abs(cut.step), cut.first
    if step > 1:  # step - 1 zeros behind each element
        dims = g.dims
        g = g.unsqueeze([axis + 1]).pad(axis + 1, 0, step - 1)
        g = g.reshape([*dims[:axis], dims[axis] * step, *dims[axis + 1 :]])
    if cut.step < 0:  # the last element read comes first; the zeros stand before each element
        g = g.flip(axis)
        before = first + 1 - cut.count * step
    else:
        before = first
    return g.pad(axis, before, cut.extent - before - cut.count * step)


def _total(dims: Iterable[Dim]) -> Dim:
    total: Dim = 0
    for dim in dims:
        total = dim + total
    return total
