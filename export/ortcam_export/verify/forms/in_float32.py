"""A network in half precision, rewritten in float32 to be verified.

Half precision has three digits, too few for differences; the formulas under test are the same in
either type.
"""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["WidenToFloat32", "is_half"]

_HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


class WidenToFloat32(ir.passes.FunctionalPass):
    """float16, bfloat16 -> float32, for weights and attributes, inputs and outputs too."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Return a copy with float32 wherever the model has half precision."""
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
        return ir.passes.PassResult(copy, modified=True)


def is_half(model: ir.Model) -> bool:
    """True if a model computes anything in half precision."""
    return any(
        value.dtype in _HALF for graph in model.graphs() for node in graph for value in node.outputs
    )


def _retype(value: ir.Value) -> None:
    if value.dtype in _HALF:
        value.type = ir.TensorType(ir.DataType.FLOAT)


def _tensor(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    if tensor.dtype not in _HALF:
        return tensor
    return ir.tensor(tensor.numpy().astype("float32"), name=tensor.name)


def _attribute(attribute: ir.Attr) -> ir.Attr:
    """Widen constants, and the element types named by Cast and the like."""
    if attribute.type == ir.AttributeType.TENSOR:
        return ir.AttrTensor(attribute.name, _tensor(attribute.as_tensor()))
    names_type = attribute.name in ("to", "dtype") and attribute.type == ir.AttributeType.INT
    if names_type and attribute.as_int() in [dtype.value for dtype in _HALF]:
        return ir.AttrInt64(attribute.name, ir.DataType.FLOAT.value)
    return attribute
