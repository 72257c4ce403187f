"""A network of half precision as one in float32, to be checked there.

Half precision has three digits, too few for differences; the formulas that a check is about are
the same in either.
"""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["is_half", "widened"]

_HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def is_half(model: ir.Model) -> bool:
    """Whether a model computes anything in half precision."""
    return any(
        value.dtype in _HALF for graph in model.graphs() for node in graph for value in node.outputs
    )


def widened(model: ir.Model) -> ir.Model:
    """A copy of a model with float32 wherever it has half precision, inputs and outputs too."""
    copy = model.clone()
    for graph in copy.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.const_value = _tensor(value.const_value)
                _retype(value)
        for value in graph.inputs:
            _retype(value)
        for node in graph:
            for value in node.outputs:
                _retype(value)
            for attribute in tuple(node.attributes.values()):
                node.attributes.add(_attribute(attribute))
    return copy


def _retype(value: ir.Value) -> None:
    if value.dtype in _HALF:
        value.type = ir.TensorType(ir.DataType.FLOAT)


def _tensor(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    if tensor.dtype not in _HALF:
        return tensor
    return ir.tensor(tensor.numpy().astype("float32"), name=tensor.name)


def _attribute(attribute: ir.Attr) -> ir.Attr:
    """Constants, and the element types that Cast and its like are told."""
    if attribute.type == ir.AttributeType.TENSOR:
        return ir.AttrTensor(attribute.name, _tensor(attribute.as_tensor()))
    tells_type = attribute.name in ("to", "dtype") and attribute.type == ir.AttributeType.INT
    if tells_type and attribute.as_int() in [dtype.value for dtype in _HALF]:
        return ir.AttrInt64(attribute.name, ir.DataType.FLOAT.value)
    return attribute
