"""Pad: constants, or elements of the tensor, put around it."""

from __future__ import annotations

import onnx_ir as ir

from ortcam_export.gradient.blocks.separable import adjoint, adjoint_contracted
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tensor import Dim, Tensor, maximum, minimum
from ortcam_export.gradient.windows import Windows


@rule("Pad", inputs=[0])
def pad(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y cropped; or, in the other modes, added up where each element was copied from."""
    if n.attribute("mode", "constant") != "constant":
        return adjoint(g, _selections(n))
    for axis, before, after in _amounts(n):
        g = g.pad(axis, -before, -after)
    return g


@rule("Pad", inputs=[2])
def pad_value(n: Node, g: Tensor) -> Tensor:
    """g_value = the sum of g_y outside x."""
    inside = pad(n, g)
    outside = g.sum(range(g.rank)) - inside.sum(range(inside.rank))
    return outside.reshape(n.here.dims)


@contracted("Pad")
def pad_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <A padded like x, g_y>; with zeros where x is padded with a constant."""
    if n.attribute("mode", "constant") != "constant":
        return adjoint_contracted(n, windows, ask, _selections(n))
    amounts = _amounts(n)
    axes = dict(windows.axes)
    for axis, before, after in amounts:
        if axis in axes:
            axes[axis] = windows.matrix(axis).pad(1, before, after)
    g = ask(n.node.outputs[0], windows.over(axes))
    for axis, before, after in amounts:
        if axis not in axes:
            g = g.pad(axis, -before, -after)
    return g


def _amounts(n: Node) -> list[tuple[int, Dim, Dim]]:
    """For each padded axis the amounts before and after; negative amounts crop."""
    axes = [int(a) % n.x.rank for a in n.constants(3) or range(n.x.rank)]
    pads = n.input(1)
    amounts: list[Dim] = (
        [int(v) for v in pads.const]
        if pads.const is not None
        else [pads.cast(ir.DataType.INT64).slice(0, i, i + 1) for i in range(2 * len(axes))]
    )
    pairs = [(axis, amounts[i], amounts[i + len(axes)]) for i, axis in enumerate(axes)]
    return [pair for pair in pairs if pair[1:] != (0, 0)]


def _selections(n: Node) -> dict[int, Tensor]:
    """For each padded axis the matrix [out, in] that selects the elements of the output."""
    return {axis: _selection(n, axis, before) for axis, before, _ in _amounts(n)}


def _selection(n: Node, axis: int, before: Dim) -> Tensor:
    extent, mode = n.x.dim(axis), n.attribute("mode")
    place = n.tape.arange(n.y.dim(axis)) - before
    last = extent - 1
    if mode == "edge":
        source = minimum(maximum(place, 0), last)
    elif mode == "wrap":
        source = place.modulo(extent)
    elif mode == "reflect":  # a triangle wave, also past one reflection
        period = maximum(n.tape.shape([2 * last]), 1)
        phase = place.modulo(period)
        source = minimum(phase, period - phase)
    else:
        raise n.refuse(f"has mode {mode!r}, for which there is no rule")
    return source.unsqueeze([1]).equals(n.tape.arange(extent)).cast(n.x.dtype)
