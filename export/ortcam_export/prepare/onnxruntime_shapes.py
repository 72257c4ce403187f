"""Shapes that onnx's inference does not find, or finds differently from ONNX Runtime.

A static shape that differs from that of the run makes a wrong gradient, so ONNX Runtime's counts.
Each function here returns the shapes of one node's outputs by those of its inputs, or an empty list
where it knows no better than onnx.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from ortcam_export.graph.values import constant_input

__all__ = ["better"]

_Dims: TypeAlias = list[int | ir.SymbolicDim]


def better(node: ir.Node) -> list[ir.Shape]:
    """Return the shapes of a node's outputs; an empty list where onnx's inference is right."""
    rule = None if node.domain else _RULES.get(node.op_type)
    if rule is None or not node.inputs or (x := node.inputs[0]) is None or x.shape is None:
        return []
    return rule(node, x.shape)


def _kept(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """Operators that keep the shape, which onnx infers only through their bodies."""
    return [x]


def _slice(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """A slice keeps the extents of all other axes.

    onnx's inference drops them where the ends are computed, and with them the number of channels of
    a U-Net that crops.
    """
    axes = constant_input(node, 3)
    if axes is None:
        return []
    sliced = {int(axis) % len(x) for axis in axes}
    y = node.outputs[0].shape
    dims = [None] * len(x) if y is None else y.dims
    return [
        ir.Shape(
            inferred if axis in sliced else extent
            for axis, (inferred, extent) in enumerate(zip(dims, x.dims, strict=True))
        )
    ]


def _split(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """A part keeps the extents of all other axes, even where the sizes are computed."""
    axis, shapes = _integer(node, "axis", 0) % len(x), []
    for output in node.outputs:
        dims: list[int | ir.SymbolicDim | None] = list(x.dims)
        dims[axis] = None if output.shape is None else output.shape[axis]
        shapes.append(ir.Shape(dims))
    return shapes


def _reduce(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """A reduction over computed axes keeps the rank with ``keepdims``."""
    if node.outputs[0].shape is not None or not _integer(node, "keepdims", 1):
        return []
    return [ir.Shape([None] * len(x))]


def _pool(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """A pool counts its windows as ONNX Runtime does.

    auto_pad counts its padding without dilation, and with ceil_mode the last window starts inside
    the picture or the padding before it.
    """
    space = len(x) - 2
    kernel = _integers(node, "kernel_shape", [])
    strides = _integers(node, "strides", [1] * space)
    dilations = _integers(node, "dilations", [1] * space)
    pads = _integers(node, "pads", [0] * 2 * space)
    mode, ceil = _string(node, "auto_pad", "NOTSET"), _integer(node, "ceil_mode", 0)
    dims: _Dims = list(x.dims)
    for i, (k, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        extent = x[2 + i]
        if not isinstance(extent, int):
            continue
        before, padded = 0, extent
        if mode == "NOTSET":
            before, padded = pads[i], extent + pads[i] + pads[space + i]
        elif mode != "VALID":
            padded = (-(-extent // stride) - 1) * stride + k
            total = padded - extent
            before = total // 2 if mode == "SAME_UPPER" else (total + 1) // 2
        steps = (padded - dilation * (k - 1) - 1) / stride
        count = (math.ceil(steps) if ceil else int(steps)) + 1
        if ceil and (count - 1) * stride >= extent + before:
            count -= 1
        dims[2 + i] = max(count, 0)
    return _agreeing(node, dims)


def _conv_transpose(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """With auto_pad the output is as long as the input times the stride, for any output_padding."""
    y, w = node.outputs[0].shape, node.inputs[1]
    if _string(node, "auto_pad", "NOTSET") not in ("SAME_UPPER", "SAME_LOWER"):
        return []
    if y is None or w is None or w.shape is None or "output_shape" in node.attributes:
        return []
    space = len(x) - 2
    strides = _integers(node, "strides", [1] * space)
    dilations = _integers(node, "dilations", [1] * space)
    extra = _integers(node, "output_padding", [0] * space)
    dims: _Dims = list(y.dims)
    for i, stride in enumerate(strides):
        extent, k = x[2 + i], w.shape[2 + i]
        if isinstance(extent, int) and isinstance(k, int):
            longest = (extent - 1) * stride + extra[i] + dilations[i] * (k - 1) + 1
            dims[2 + i] = min(longest, extent * stride)
    return _agreeing(node, dims)


def _resize(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """Extents times scales are rounded to single precision before they are truncated."""
    scales = constant_input(node, 2)
    if scales is None or not scales.size:
        return []
    dims: _Dims = list(x.dims)
    for axis, scale in zip(_integers(node, "axes", [*range(len(x))]), scales, strict=True):
        extent = x[axis]
        if isinstance(extent, int):
            dims[axis] = int(np.float32(extent) * np.float32(scale))
    return _agreeing(node, dims)


def _gather_nd(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """The indices' shape without the last axis, then the axes that are not indexed."""
    indices = node.inputs[1]
    if indices is None or indices.shape is None or not isinstance(depth := indices.shape[-1], int):
        return []
    rest = x[_integer(node, "batch_dims", 0) + depth :]
    return [ir.Shape([*indices.shape[:-1], *rest])]


def _stft(node: ir.Node, x: ir.Shape) -> list[ir.Shape]:
    """The frames that fit in the signal, with as many frequencies as a frame is long, or half."""
    window = node.inputs[2] if len(node.inputs) > 2 else None
    step, frame = constant_input(node, 1), constant_input(node, 3)
    length = None if frame is None else int(frame.reshape(()))
    if window is not None and window.shape is not None and isinstance(window.shape[0], int):
        length = window.shape[0]
    frames = frequencies = None
    if length is not None:
        frequencies = length // 2 + 1 if _integer(node, "onesided", 1) else length
        if step is not None and isinstance(x[1], int):
            frames = (x[1] - length) // int(step.reshape(())) + 1
    return [ir.Shape([x[0], frames, frequencies, 2])]


_RULES: dict[str, Callable[[ir.Node, ir.Shape], list[ir.Shape]]] = {
    "GroupNormalization": _kept,
    "MeanVarianceNormalization": _kept,
    "Slice": _slice,
    "Split": _split,
    **{
        f"Reduce{kind}": _reduce
        for kind in (
            *("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"),
        )
    },
    "AveragePool": _pool,
    "LpPool": _pool,
    "MaxPool": _pool,
    "ConvTranspose": _conv_transpose,
    "Resize": _resize,
    "GatherND": _gather_nd,
    "STFT": _stft,
}


def _agreeing(node: ir.Node, dims: _Dims) -> list[ir.Shape]:
    """The shape of all of a node's outputs: these extents where they are numbers."""
    y = node.outputs[0].shape
    if y is None or len(y) != len(dims):
        return [ir.Shape(dims) for _ in node.outputs]
    shape = ir.Shape(
        dim if isinstance(dim, int) else inferred
        for dim, inferred in zip(dims, y.dims, strict=True)
    )
    return [shape for _ in node.outputs]


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _integers(node: ir.Node, name: str, default: list[int]) -> list[int]:
    attribute = node.attributes.get(name)
    return default if attribute is None else list(attribute.as_ints())


def _string(node: ir.Node, name: str, default: str) -> str:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()
