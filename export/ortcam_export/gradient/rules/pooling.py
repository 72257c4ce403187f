"""Pools: averages, norms and maxima over windows or over all of space."""

from __future__ import annotations

import onnx_ir as ir

from ortcam_export.gradient.blocks.autopad import padding
from ortcam_export.gradient.blocks.scatter_add import put
from ortcam_export.gradient.blocks.separable import adjoint, adjoint_contracted
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tensor import Dim, Tensor, at_least, maximum, product
from ortcam_export.gradient.windows import Ones, Windows

__all__ = ["averages", "indices"]


@rule("MaxPool", inputs=[0])
def max_pool(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y added up at the largest element of each window."""
    places = _places(n)
    batch = places.dim(0)
    flat, extent = g.reshape([product(places.dims)]), batch * product(n.x.dims[1:])
    return put(flat, places.reshape([-1]), [extent], 0).reshape(n.x.dims)


@rule("MaxUnpool", inputs=[0])
def max_unpool(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y at the place that each element was put."""
    flat = g.reshape([product(n.y.dims)])
    gathered = n.tape.op("Gather", flat, n.input(1).reshape([-1]), lead=1, axis=1)
    return gathered.reshape(n.x.dims)


@rule("AveragePool", inputs=[0])
def average_pool(n: Node, g: Tensor) -> Tensor:
    """y = M x along each axis, M the averages: g_x = M' g_y."""
    return adjoint(g, averages(n))


@contracted("AveragePool")
def average_pool_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <A M', g_y>, M the averages along each axis."""
    return adjoint_contracted(n, windows, ask, averages(n))


@rule("GlobalAveragePool", inputs=[0])
def global_average_pool(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y / cells, repeated over space."""
    return (g / _cells(n)).expand(n.x.dims)


@contracted("GlobalAveragePool")
def global_average_pool_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = g_y times the mean of A."""
    space = range(2, n.x.rank)
    if set(windows.axes) != set(space):
        return None
    g = ask(n.node.outputs[0], windows.over({axis: Ones(1) for axis in space})) / _cells(n)
    for axis in space:
        sums = windows.matrix(axis).sum([1])
        g = g * sums.unsqueeze(range(1, n.x.rank - axis))
    return g


@rule("LpPool", inputs=[0])
def lp_pool(n: Node, g: Tensor) -> Tensor:
    """y = (sum |x|^p)^(1/p): dy/dx = sign x (|x| / y)^(p-1), and 0 where y = 0."""
    power = n.attribute("p", 2) - 1
    share = (g / n.y.equals(0).where(1, n.y) ** power).masked(n.y > 0)
    return adjoint(share, _sums(n)) * _powered(n.x, power)


@rule("GlobalLpPool", inputs=[0])
def global_lp_pool(n: Node, g: Tensor) -> Tensor:
    """y = (sum |x|^p)^(1/p) over space: dy/dx = sign x (|x| / y)^(p-1), and 0 where y = 0."""
    power = n.attribute("p", 2) - 1
    return (g * _powered(n.x / n.y.equals(0).where(1, n.y), power)).masked(n.y > 0)


@rule("GlobalMaxPool", inputs=[0])
def global_max_pool(n: Node, g: Tensor) -> Tensor:
    """The largest elements share g evenly."""
    is_extreme = n.x.equals(n.y)
    ties = is_extreme.cast(g.dtype).sum(range(2, n.x.rank), keepdims=True)
    return (g / ties).masked(is_extreme)


def _powered(x: Tensor, power: int) -> Tensor:
    """sign x |x|^power."""
    return x.sign() * x.apply("Abs") ** power if power else x.sign()


def indices(n: Node) -> Tensor:
    """The places of a MaxPool's maxima, flat over the whole input, as an output of the node."""
    return _by_rows(n, n.optional_output(1, ir.DataType.INT64, n.node.outputs[0].shape))


def _places(n: Node) -> Tensor:
    """The same, for no picture where the gate is shut.

    In ONNX Runtime's CPU provider a MaxPool with indices takes several times as long: 12 ms more
    for 64 channels of 180 x 240. So the network's pool gives them only where it does already; else
    a second pool does, where the gradient is needed.
    """
    if len(n.node.outputs) > 1 and n.node.outputs[1].name:
        return indices(n)
    attributes = {name: n.attribute(name) for name in n.node.attributes}
    gate, x = n.tape.gate, n.x
    if gate is None:
        _, places = n.tape.ops("MaxPool", x, outputs=2, **attributes)
        return _by_rows(n, places.stamped(n.y.dims))
    # For no picture the CUDA provider gives no indices at all: keep one channel of one picture.
    batch = gate * x.dim(0)
    for axis in (0, 1):
        x = x.slice(axis, 0, at_least(gate * x.dim(axis), 1))
    _, places = n.tape.ops("MaxPool", x, outputs=2, **attributes)
    return _by_rows(n, places.slice(0, 0, batch))


def _by_rows(n: Node, places: Tensor) -> Tensor:
    """Places counted with the last axis fastest, in any storage order."""
    if not n.attribute("storage_order", 0):
        return places
    rest = places.modulo(product(n.x.dims[2:]))  # counted with the first axis fastest
    channel = places - rest
    place: Tensor | int = 0
    for extent in n.x.dims[2:]:
        place = rest.modulo(extent) + place * extent
        rest = rest // extent
    return channel + place


def averages(n: Node) -> dict[int, Tensor]:
    """For each space axis of an AveragePool the matrix [out, in] of the averages along it."""
    matrices = {}
    for i, (axis, (inside, taps)) in enumerate(_windows(n).items()):
        if n.attribute("count_include_pad", 0):  # padding counts, places beyond it do not
            reach = n.x.dim(axis) + _geometry(n)[3][i][1]
            counted = (taps < reach).cast(n.x.dtype).sum([1], keepdims=True)
        else:
            counted = inside.sum([1], keepdims=True)
        matrices[axis] = inside / maximum(counted, 1)
    return matrices


def _sums(n: Node) -> dict[int, Tensor]:
    """For each space axis the matrix [out, in] of the sums along it."""
    return {axis: inside for axis, (inside, _) in _windows(n).items()}


def _windows(n: Node) -> dict[int, tuple[Tensor, Tensor]]:
    """For each space axis the places of each window, [out, in], and its taps, [out, taps]."""
    kernel, strides, dilations, pads = _geometry(n)
    windows = {}
    for i, taps in enumerate(kernel):
        axis, dilation = 2 + i, dilations[i]
        start = n.tape.arange(n.y.dim(axis)).unsqueeze([1]) * strides[i] - pads[i][0]
        offset = n.tape.arange(n.x.dim(axis)) - start
        inside = (offset >= 0) & (offset <= dilation * (taps - 1))
        if dilation > 1:
            inside = inside & offset.modulo(dilation).equals(0)
        windows[axis] = inside.cast(n.x.dtype), start + n.tape.arange(taps) * dilation
    return windows


def _geometry(n: Node) -> tuple[list[int], list[int], list[int], list[tuple[Dim, Dim]]]:
    """Kernel, strides, dilations and padding along each axis; auto_pad counts it undilated."""
    kernel = n.attribute("kernel_shape")
    strides = n.attribute("strides", [1] * len(kernel))
    dilations = n.attribute("dilations", [1] * len(kernel))
    spread = dilations if n.attribute("auto_pad", "NOTSET") == "NOTSET" else [1] * len(kernel)
    return kernel, strides, dilations, padding(n, kernel, strides, spread)


def _cells(n: Node) -> Tensor | int:
    cells = product(n.x.dims[2:])
    return cells.cast(n.x.dtype) if isinstance(cells, Tensor) else cells
