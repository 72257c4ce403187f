"""Operators that read elements at indices: the cotangent of each is added where it was read."""

from __future__ import annotations

import onnx_ir as ir

from ortcam_export.gradient.blocks.scatter_add import added, flat_places, put
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Tensor, product


@rule("GatherElements", inputs=[0])
def gather_elements(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y added up at the places that were read."""
    return put(g, n.input(1), n.x.dims, n.axis(0))


@rule("GatherND", inputs=[0])
def gather_nd(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y added up at the places that were read."""
    places, indexed = flat_places(n.x, n.input(1), n.attribute("batch_dims", 0))
    rest = product(n.x.dims[indexed:])
    rows = g.reshape([1, places.dim(0), rest])
    return added(rows, places, product(n.x.dims[:indexed])).reshape(n.x.dims)


@rule("Compress", inputs=[0])
def compress(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y at the places that were read, 0 elsewhere."""
    places = n.tape.op("NonZero", n.input(1)).reshape([-1])
    if n.attribute("axis") is None:
        return added(g.unsqueeze([0, 2]), places, product(n.x.dims)).reshape(n.x.dims)
    return _along_axis(n, g, places)


@rule("Unique", inputs=[0])
def unique(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y at the place of the first of equal elements, 0 elsewhere."""
    places = n.optional_output(1, ir.DataType.INT64, ir.Shape([None]))
    if n.attribute("axis") is None:
        return added(g.unsqueeze([0, 2]), places, product(n.x.dims)).reshape(n.x.dims)
    return _along_axis(n, g, places)


@rule("TopK", inputs=[0])
def top_k(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y at the places that were read, 0 elsewhere."""
    return put(g, n.output(1), n.x.dims, n.axis(-1))


def _along_axis(n: Node, g: Tensor, places: Tensor) -> Tensor:
    axis = n.axis()
    before, after = product(n.x.dims[:axis]), product(n.x.dims[axis + 1 :])
    rows = g.reshape([before, places.dim(0), after])
    return added(rows, places, n.x.dim(axis)).reshape(n.x.dims)
