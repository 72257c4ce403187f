"""Quantization: a cotangent passes straight through inside the range, and not outside.

The steps between quantized values have no derivative. The rules use that of the line through them,
as the training of quantized networks does, and 0 outside the range. A quantizer whose range begins
at 0 is a ReLU, and has the derivative of one. A quantized tensor carries a float cotangent.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Windows
from ortcam_export.graph.number_formats import representable
from ortcam_export.graph.values import constant_input

__all__ = ["cut_off_at"]

#: Operators that weigh their input, so that their output may be negative.
_SIGNED = frozenset(
    {
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "Gemm",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "MatMul",
        "Sub",
    }
)


#: Operators whose output lies between the least and the greatest input and 0; so does Resize's.
_WITHIN = frozenset(
    {
        "AveragePool",
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "MaxPool",
        "Relu",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)


@rule("QuantizeLinear", inputs=[0])
def quantize_linear(n: Node, g: Tensor) -> Tensor:
    """q = x / scale + zero point: g_x = g_q / scale where q is not clipped, 0 elsewhere."""
    scale, (low, high) = _over(n, n.input(1)), cut_off_at(n.node)
    line = n.x / scale
    if n.has(2):
        line = line + _over(n, n.input(2).cast(line.dtype))
    g = g.cast(line.dtype) / scale
    if high < math.inf:
        g = g.masked(line < high)
    return g.masked(line > low) if low > -math.inf else g


@rule("DequantizeLinear", inputs=[0])
def dequantize_linear(n: Node, g: Tensor) -> Tensor:
    """y = (q - zero point) scale: g_q = g_y scale."""
    return g * _over(n, n.input(1))


@rule("DynamicQuantizeLinear", inputs=[0])
def dynamic_quantize_linear(n: Node, g: Tensor) -> Tensor:
    """q = x / scale + zero point, where nothing is clipped: g_x = g_q / scale."""
    return g / n.output(1)


@contracted("QuantizeLinear")
def quantize_linear_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = <A, g_q> / scale where nothing is clipped."""
    scale = _along(n, windows)
    if scale is None or cut_off_at(n.node) != (-math.inf, math.inf):
        return None
    return ask(n.node.outputs[0], windows) / scale


@contracted("DequantizeLinear")
def dequantize_linear_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_q> = <A, g_y> scale."""
    scale = _along(n, windows)
    return None if scale is None else ask(n.node.outputs[0], windows) * scale


@contracted("DynamicQuantizeLinear")
def dynamic_quantize_linear_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <A, g_q> / scale."""
    return ask(n.node.outputs[0], windows) / n.output(1)


def cut_off_at(node: ir.Node) -> tuple[float, float]:
    """The bounds at which a QuantizeLinear clips x / scale + zero point; infinite if it never does.

    It clips half a step beyond its range; but at 0 where its range begins there and x may be
    negative, since a ReLU is folded into it then.

    It never clips at a bound that its input, quantized before, does not reach. So it is around the
    pooling, joining and moving that a quantized network does between two pairs of one scale: these
    need no mask, and a mean passes.
    """
    least, greatest = representable(node.outputs[0].dtype)
    x, line = node.inputs[0], _line(node)
    if line is None or x is None:
        return least - 0.5, greatest + 0.5
    scale, zero, _, _ = line
    below, above = (round(end / scale) + zero if end is not None else None for end in _ends(x))
    relu = zero == least and _may_be_negative(x)
    return (
        -math.inf if below is not None and below >= least else least - (0 if relu else 0.5),
        math.inf if above is not None and above <= greatest else greatest + 0.5,
    )


def _may_be_negative(x: ir.Value) -> bool:
    node = x.producer()
    if node is None or node.op_type not in ("Add", "Sum"):
        return node is not None and node.op_type in _SIGNED
    lowest = [_ends(value)[0] for value in node.inputs if value is not None]
    return any(low is None or low < 0 for low in lowest)


def _along(n: Node, windows: Windows) -> Tensor | None:
    """The scale, shaped to broadcast over x; None where it varies along a window."""
    scale = _over(n, n.input(1))
    missing = n.x.rank - scale.rank
    if any(axis >= missing and scale.extent(axis - missing) != 1 for axis in windows.axes):
        return None
    return scale


def _ends(value: ir.Value) -> tuple[float, float] | tuple[None, None]:
    """The least and the greatest number a tensor can hold, by its dequantizers, or None."""
    low = high = 0.0
    visited, stack = {value}, [value]
    while stack:
        node = stack.pop().producer()
        line = _line(node) if node is not None and node.op_type == "DequantizeLinear" else None
        if node is not None and _keeps_within(node):
            read = node.inputs if node.op_type == "Concat" else node.inputs[:1]
            more = [v for v in read if v is not None and v not in visited]
            visited.update(more)
            stack.extend(more)
        elif line is not None:
            scale, zero, least, greatest = line
            low = min(low, scale * (least - zero))
            high = max(high, scale * (greatest - zero))
        else:
            return None, None
    return low, high


def _keeps_within(node: ir.Node) -> bool:
    """True if a node's output lies between the least and the greatest number it reads, or is 0."""
    if node.op_type != "Resize":
        return node.op_type in _WITHIN
    crops = node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    return node.attributes.get_string("mode", "nearest") != "cubic" and not crops


def _line(node: ir.Node) -> tuple[float, float, float, float] | None:
    """Scale, zero point and range of integers of a node with one constant scale, or None."""
    scale, zero = constant_input(node, 1), constant_input(node, 2)
    quantized = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
    if scale is None or scale.size != 1 or not 0 < scale.reshape(-1)[0] < math.inf:
        return None
    if quantized is None or quantized.dtype is None:
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None and zero is None:
        return None
    offset = 0.0 if zero is None else float(zero.reshape(-1)[0])
    return float(scale.reshape(-1)[0]), offset, *representable(quantized.dtype)


def _over(n: Node, values: Tensor) -> Tensor:
    """Scales or zero points, per tensor, per axis or per block, shaped to broadcast over x."""
    if values.rank == 0 or values.shape == (1,):
        return values.reshape([])
    axis = n.axis(1)
    if values.rank == 1:
        return values.unsqueeze(range(1, n.x.rank - axis))
    block = n.attribute("block_size", 0)
    dims = values.dims
    repeated = values.unsqueeze([axis + 1]).expand([*dims[: axis + 1], block, *dims[axis + 1 :]])
    whole = repeated.reshape([*dims[:axis], dims[axis] * block, *dims[axis + 1 :]])
    return whole.slice(axis, 0, n.x.dim(axis))
