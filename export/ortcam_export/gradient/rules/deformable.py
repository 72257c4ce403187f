"""DeformConv: a convolution whose taps are displaced by offsets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ortcam_export.gradient.blocks.interpolate import Points, Tap, linear_taps
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Dim, Tensor, product


@rule("DeformConv", inputs=[0])
def deform_conv_x(n: Node, g: Tensor) -> Tensor:
    """g_x = W' g, sent back to the cells that the columns were read from."""
    d = _Deformed(n)
    return d.points.back(d.masked(d.columns_back(g))).reshape(n.x.dims)


@rule("DeformConv", inputs=[1])
def deform_conv_w(n: Node, g: Tensor) -> Tensor:
    """y = W columns: g_W = g columns'."""
    d = _Deformed(n)
    columns = d.grouped(d.masked(d.points.values(d.x)))
    return (d.cotangent(g) @ columns.mT).sum([0]).reshape(n.here.dims)


@rule("DeformConv", inputs=[2])
def deform_conv_offset(n: Node, g: Tensor) -> Tensor:
    """g_offset = W' g times the slope of x at the displaced point."""
    d = _Deformed(n)
    columns = d.masked(d.columns_back(g))
    parts = []
    for axis in range(2):
        slope = d.points.slopes(columns, d.x, axis)
        assert slope is not None
        parts.append(slope.reshape([*d.batch, d.taps, 1, *n.y.dims[2:]]))
    return n.tape.concat(parts, 3).reshape(n.here.dims)


@rule("DeformConv", inputs=[3])
def deform_conv_bias(n: Node, g: Tensor) -> Tensor:
    """g_b = the sum of g_y over pictures and space."""
    return g.sum([0, *range(2, g.rank)])


@rule("DeformConv", inputs=[4])
def deform_conv_mask(n: Node, g: Tensor) -> Tensor:
    """g_mask = the sum over channels of W' g times the columns."""
    d = _Deformed(n)
    return (d.columns_back(g) * d.points.values(d.x)).sum([1]).reshape(n.here.dims)


@dataclass(frozen=True)
class _Deformed:
    """The columns of a node: for each picture and offset group [channels, taps times cells]."""

    n: Node

    @property
    def batch(self) -> list[Dim]:
        """Pictures and offset groups."""
        return [self.n.x.dim(0), self.n.attribute("offset_group", 1)]

    @property
    def kernel(self) -> list[int]:
        """The extents of the kernel."""
        kernel = [extent for extent in self.n.input(1).shape[2:] if isinstance(extent, int)]
        if len(kernel) != 2:
            raise self.n.refuse("has no kernel of two fixed extents")
        return kernel

    @property
    def taps(self) -> int:
        """The number of taps."""
        return self.kernel[0] * self.kernel[1]

    @property
    def _rows(self) -> Dim:
        return product(self.batch)

    @property
    def _cells(self) -> Dim:
        return product(self.n.y.dims[2:])

    @property
    def x(self) -> Tensor:
        """[rows, channels, cells of x]."""
        x = self.n.x
        channels = x.dim(1) // self.n.attribute("offset_group", 1)
        return x.reshape([self._rows, channels, product(x.dims[2:])])

    @property
    def points(self) -> Points:
        """The points at which x is read."""
        n, kernel = self.n, self.kernel
        shape = [self._rows, kernel[0], kernel[1], *n.y.dims[2:]]
        offsets = n.input(2).reshape([self._rows, self.taps, 2, self._cells])
        taps = []
        for axis in range(2):
            stride, dilation = _along(n, "strides", axis, 1), _along(n, "dilations", axis, 1)
            first = n.tape.arange(n.y.dim(2 + axis)) * stride - _along(n, "pads", axis, 0)
            tap = n.tape.arange(kernel[axis]) * dilation
            tap = tap.unsqueeze([1, 2, 3] if axis == 0 else [0, 2, 3])
            first = first.unsqueeze([0, 1, 3] if axis == 0 else [0, 1, 2])
            offset = offsets.slice(2, axis, axis + 1).reshape(shape)
            x = (tap + first).cast(offset.dtype) + offset
            flat = x.reshape([self._rows, self.taps * self._cells])
            extent = n.x.dim(2 + axis)
            taps.append([_inside(t, extent) for t in linear_taps(flat)])
        return Points(taps, n.x.dims[2:])

    def cotangent(self, g: Tensor) -> Tensor:
        """g as [N, group, channels of y, cells]."""
        group = self.n.attribute("group", 1)
        return g.reshape([g.dim(0), group, g.dim(1) // group, self._cells])

    def columns_back(self, g: Tensor) -> Tensor:
        """The columns' cotangent W' g, [rows, channels, taps times cells]."""
        w, group = self.n.input(1), self.n.attribute("group", 1)
        matrix = w.reshape([group, w.dim(0) // group, w.dim(1) * self.taps])
        columns = matrix.mT @ self.cotangent(g)
        return columns.reshape([self._rows, self.x.dim(1), self.taps * self._cells])

    def grouped(self, columns: Tensor) -> Tensor:
        """Columns as [N, group, channels times taps, cells]."""
        group = self.n.attribute("group", 1)
        rows = self.n.x.dim(1) // group * self.taps
        return columns.reshape([self.n.x.dim(0), group, rows, self._cells])

    def masked(self, columns: Tensor) -> Tensor:
        """Columns times the mask."""
        if not self.n.has(4):
            return columns
        return columns * self.n.input(4).reshape([self._rows, 1, self.taps * self._cells])


def _along(n: Node, name: str, axis: int, default: int) -> int:
    values = n.attribute(name)
    return int(values[axis]) if values else default


def _inside(tap: Tap, extent: Dim) -> Tap:
    inside = (tap.place >= 0) & (tap.place < extent)
    return replace(tap, place=tap.place.clip(0, extent - 1), inside=inside)
