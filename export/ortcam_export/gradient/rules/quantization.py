"""Quantization: a cotangent passes straight through inside the range, and not outside it.

The steps between quantized values have no derivative. What is passed instead is that of the line
through them, as in the training of quantized networks. A quantized tensor carries a float
cotangent.
"""

from __future__ import annotations

import onnx_ir as ir

from ortcam_export.gradient.table import Ask, Node, contracted, rule
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.gradient.windows import Windows

#: The greatest finite number of each floating type that tensors are quantized to.
_GREATEST = {
    ir.DataType.FLOAT8E4M3FN: 448.0,
    ir.DataType.FLOAT8E4M3FNUZ: 240.0,
    ir.DataType.FLOAT8E5M2: 57344.0,
    ir.DataType.FLOAT8E5M2FNUZ: 57344.0,
    ir.DataType.FLOAT4E2M1: 6.0,
}


@rule("QuantizeLinear", inputs=[0])
def quantize_linear(n: Node, g: Tensor) -> Tensor:
    """q = x / scale + zero point: g_x = g_q / scale where q is not cut off."""
    scale = _over(n, n.input(1))
    steps = (n.x / scale).apply("Round")
    if n.has(2):
        steps = steps + _over(n, n.input(2).cast(steps.dtype))
    low, high = _range(n.node.outputs[0].dtype)
    return (g.cast(steps.dtype) / scale).masked((steps >= low) & (steps <= high))


@rule("DequantizeLinear", inputs=[0])
def dequantize_linear(n: Node, g: Tensor) -> Tensor:
    """y = (q - zero point) scale: g_q = g_y scale."""
    return g * _over(n, n.input(1))


@rule("DynamicQuantizeLinear", inputs=[0])
def dynamic_quantize_linear(n: Node, g: Tensor) -> Tensor:
    """As QuantizeLinear, with a range that nothing is outside of."""
    return g / n.output(1)


@contracted("DequantizeLinear")
def dequantize_linear_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_q> = <A, g_y> scale where all along the windows the scale is one."""
    scale = _over(n, n.input(1))
    missing = n.x.rank - scale.rank
    if any(axis >= missing and scale.extent(axis - missing) != 1 for axis in windows.axes):
        return None
    return ask(n.node.outputs[0], windows) * scale


def _over(n: Node, values: Tensor) -> Tensor:
    """Scales or zero points, one a tensor, one a place along an axis or one a block, over x."""
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


def _range(dtype: ir.DataType | None) -> tuple[float, float]:
    """The least and the greatest number of an element type."""
    assert dtype is not None
    if dtype in _GREATEST:
        return -_GREATEST[dtype], _GREATEST[dtype]
    bits = int(dtype.bitwidth)
    return (
        (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if dtype.is_signed() else (0, 2.0**bits - 1)
    )
