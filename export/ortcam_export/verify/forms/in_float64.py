"""A part of a network, rewritten in float64 as far as onnxruntime has the kernels.

Where an effect is far below the values that it is added to, as a new head's logits beside a bias of
-11, float32 has no digits of it. Operators without a kernel of double precision stay in float32,
between casts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ortcam_export.graph.expansion import Expansion
from ortcam_export.graph.traversal import subgraphs
from ortcam_export.graph.values import constant_input, rank

__all__ = ["in_float64"]

#: Operators with kernels of double precision on onnxruntime's CPU provider.
_KERNELS = frozenset(
    [
        "Abs",
        "Add",
        "BatchNormalization",
        "Cast",
        "CastLike",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Cos",
        "CumSum",
        "DepthToSpace",
        "Div",
        "Einsum",
        "Equal",
        "Exp",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gemm",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "LayerNormalization",
        "Less",
        "LessOrEqual",
        "Log",
        "LogSoftmax",
        "MatMul",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Pad",
        "Pow",
        "RMSNormalization",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Reshape",
        "ScatterElements",
        "ScatterND",
        "Sigmoid",
        "Sin",
        "Slice",
        "Softmax",
        "SpaceToDepth",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)

_NARROW, _WIDE = ir.DataType.FLOAT, ir.DataType.DOUBLE


def in_float64(model: ir.Model) -> ir.Model | None:
    """Return a copy that takes, computes and gives float64 for float32; None for one with branches.

    Args:
        model: a model with the types of its tensors.
    """
    copy = model.clone()
    nodes = tuple(copy.graph)
    if any(any(subgraphs(node)) for node in nodes):
        return None
    for value in copy.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype is _NARROW:
            value.const_value = _widened(value.const_value)
            value.type = ir.TensorType(_WIDE)
    values = (*copy.graph.inputs, *(value for node in nodes for value in node.outputs))
    for value in values:
        if value.dtype is _NARROW:
            value.type = ir.TensorType(_WIDE)
    for node in nodes:
        is_standard = node.domain in ("", "ai.onnx")
        if is_standard and node.op_type in _KERNELS:
            _widen_attributes(node)
        elif is_standard and _replace(node):
            continue
        elif any(
            value is not None and value.dtype is _WIDE for value in (*node.inputs, *node.outputs)
        ):
            _keep_narrow(node)
    return copy


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float64), name=tensor.name)


def _widen_attributes(node: ir.Node) -> None:
    """Widen constants, and the element type of a Cast."""
    for attribute in tuple(node.attributes.values()):
        if attribute.type == ir.AttributeType.TENSOR:
            tensor = attribute.as_tensor()
            if tensor.dtype is _NARROW:
                node.attributes.add(ir.AttrTensor(attribute.name, _widened(tensor)))
        elif attribute.name == "to" and attribute.as_int() == _NARROW.value:
            node.attributes.add(ir.AttrInt64("to", _WIDE.value))
        elif attribute.name == "value_float":
            number = np.array(attribute.as_float(), np.float64)
            del node.attributes["value_float"]
            node.attributes.add(ir.AttrTensor("value", ir.tensor(number)))


def _keep_narrow(node: ir.Node) -> None:
    """Compute a node in float32, between casts."""
    parts = _Widening(node)
    operands = [
        parts.op("Cast", v, to=_NARROW.value) if v is not None and v.dtype is _WIDE else v
        for v in node.inputs
    ]
    narrow = ir.Node(
        node.domain,
        node.op_type,
        operands,
        node.attributes.values(),
        overload=node.overload,
        num_outputs=len(node.outputs),
        name=f"{node.outputs[0].name}.narrow",
    )
    parts.nodes.append(narrow)
    results: list[ir.Value | None] = []
    for value, narrow_output in zip(node.outputs, narrow.outputs, strict=True):
        narrow_output.name = value.name and f"{value.name}.narrow"
        narrow_output.type = ir.TensorType(_NARROW) if value.dtype is _WIDE else value.type
        is_wide = bool(value.name) and value.dtype is _WIDE
        results.append(
            parts.op("Cast", narrow_output, to=_WIDE.value) if is_wide else narrow_output
        )
    parts.replace([result if result and result.name else None for result in results])


def _replace(node: ir.Node) -> bool:
    """Replace a node by others that have kernels, if it can be."""
    parts = _Widening(node)
    x, result = node.inputs[0] if node.inputs else None, None
    if x is None or x.dtype is not _WIDE or x.shape is None:
        return False
    if node.op_type == "GlobalAveragePool":
        result = parts.op("ReduceMean", x, parts.integers(*range(2, rank(x))), keepdims=1)
    elif node.op_type == "Conv":
        kernel = constant_input(node, 1)
        padded = parts.attribute("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        result = _convolution(parts, x, kernel) if padded and kernel is not None else None
    if result is None:
        return False
    parts.replace([result])
    return True


def _convolution(parts: Expansion, x: ir.Value, kernel: NDArray[np.float64]) -> ir.Value:
    """A sum over the kernel's cells of a product each, [N, groups, O / groups, cells]."""
    out, each, *extents = kernel.shape
    space, groups = len(extents), parts.attribute("group", 1)
    strides = parts.attribute("strides", None) or [1] * space
    dilations = parts.attribute("dilations", None) or [1] * space
    pads = parts.attribute("pads", None) or [0] * 2 * space
    axes = parts.integers(*range(2, 2 + space))
    if any(pads):
        x = parts.op("Pad", x, parts.integers(*pads), None, axes)
    grouped, y, window = parts.integers(0, groups, each, -1), None, x
    cells = itertools.product(*map(range, extents))
    matrices = np.moveaxis(kernel.reshape(groups, out // groups, each, -1), -1, 0)
    for cell, matrix in zip(cells, matrices, strict=True):
        window = _window(parts, x, axes, extents, cell, strides, dilations)
        columns = parts.op("Reshape", window, grouped)
        y = parts.sum(y, parts.op("MatMul", parts.constant(matrix), columns))
    shape = parts.op("Concat", parts.integers(0, out), parts.op("Shape", window, start=2), axis=0)
    y = parts.op("Reshape", y, shape)
    bias = parts.input(2)
    if bias is None:
        return y
    return parts.op("Add", y, parts.op("Reshape", bias, parts.integers(-1, *[1] * space)))


def _window(
    parts: Expansion,
    x: ir.Value,
    axes: ir.Value,
    extents: Sequence[int],
    cell: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> ir.Value:
    """What a cell of the kernel sees, [N, C, *space of the result]."""
    starts = [i * d for i, d in zip(cell, dilations, strict=True)]
    ends = [
        (i - k + 1) * d or np.iinfo(np.int64).max
        for i, k, d in zip(cell, extents, dilations, strict=True)
    ]
    bounds = (parts.integers(*values) for values in (starts, ends))
    return parts.op("Slice", x, *bounds, axes, parts.integers(*strides))


class _Widening(Expansion):
    kind = "wide"

    def replace(self, results: Sequence[ir.Value | None]) -> None:
        types = [value.type for value in self.node.outputs]
        super().replace(results)
        for value, kind in zip(results, types, strict=False):
            if value is not None:
                value.type = kind
