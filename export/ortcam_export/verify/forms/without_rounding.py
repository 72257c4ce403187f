"""A quantized network, rewritten without its rounding to be verified.

A straight-through gradient ignores a quantizer's steps, so differences across the steps cannot
agree with it. It is the derivative of the line through the steps, x / scale + zero point, clipped
where the range ends. So here each QuantizeLinear gives that line's real numbers, and the nodes
before the DequantizeLinear work on these. All else stays as it is: scales, weights (as the float
constants that they represent), and the ReLU that is folded into a quantizer whose range begins at
0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from ortcam_export.gradient.rules.quantization import cut_off_at
from ortcam_export.graph.expansion import Expansion
from ortcam_export.graph.number_formats import representable
from ortcam_export.graph.traversal import subgraphs
from ortcam_export.prepare.contrib_ops import CONTRIB

__all__ = ["RemoveRounding", "is_quantized"]


class RemoveRounding(ir.passes.FunctionalPass):
    """q = clip(round(x / scale + zero point)) -> clip(x / scale + zero point), in float32.

    The model has the types of its tensors; blocked quantizers stay as they are.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Return a copy whose quantizers clip, and do not round."""
        copy = model.clone()
        nodes = tuple(_in_order(copy.graph))
        ends = {n: cut_off_at(n) for n in nodes if _is(n, "QuantizeLinear")}
        real: dict[ir.Value, ir.DataType] = {}  # formerly integers, with their type
        for node in nodes:
            constant = _constant(node)
            if constant is not None and node.graph is not None:
                ir.convenience.replace_all_uses_with(node.outputs[0], constant)
                node.graph.remove(node, safe=True)
                copy.graph.register_initializer(constant)
                continue
            parts = Expansion(node)
            results = [value for graph in subgraphs(node) for value in graph.outputs]
            types = {real[value] for value in (*node.inputs, *results) if value in real}
            integer = node.outputs[0].dtype if node.outputs else None
            if _is(node, "QuantizeLinear") and not node.attributes.get_int("block_size", 0):
                real[_replace(parts, _line(parts, ends[node]))] = integer or ir.DataType.UINT8
            elif _is(node, "DynamicQuantizeLinear"):
                real[_replace(parts, *_dynamic_line(parts))] = ir.DataType.UINT8
            elif types and _is(node, "DequantizeLinear"):
                _replace(parts, _dequantized(parts))
            elif integer in types:
                _widen_operands(node, integer, real)
                for value in node.outputs:
                    if value.dtype == integer:
                        value.type, real[value] = ir.TensorType(ir.DataType.FLOAT), integer
        return ir.passes.PassResult(copy, modified=True)


def is_quantized(model: ir.Model) -> bool:
    """True if a model rounds anything to quantize it."""
    quantizers = "QuantizeLinear", "DynamicQuantizeLinear"
    return any(_is(node, *quantizers) for graph in model.graphs() for node in graph)


def _in_order(graph: ir.Graph) -> Iterator[ir.Node]:
    """All nodes, those of branches before the node that contains them."""
    for node in graph:
        for inner in subgraphs(node):
            yield from _in_order(inner)
        yield node


def _is(node: ir.Node, *op_types: str) -> bool:
    return node.op_type in op_types and node.domain in ("", "ai.onnx", CONTRIB)


def _replace(parts: Expansion, *results: ir.Value) -> ir.Value:
    """Replace a node by the parts, all float32, and return the value that stands for its output."""
    parts.replace(results)
    for node in parts.nodes:
        if node.op_type != "DynamicQuantizeLinear":
            node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    return results[0]


def _constant(node: ir.Node) -> ir.Value | None:
    """The result of a quantizer or dequantizer of constants, in real numbers."""
    if not _is(node, "QuantizeLinear", "DequantizeLinear") or "block_size" in node.attributes:
        return None
    tensors = [value.const_value for value in node.inputs if value is not None]
    x, scale, zero = ([None if t is None else t.numpy() for t in tensors] + [np.zeros(())])[:3]
    if x is None or scale is None or zero is None:
        return None
    axis = (node.attributes.get_int("axis", 1) or 0) % max(x.ndim, 1)
    shape = [-1] + [1] * (x.ndim - axis - 1) if scale.size > 1 else []
    scale, zero = (a.astype(np.float32).reshape(shape if a.size > 1 else []) for a in (scale, zero))
    if node.op_type == "QuantizeLinear":
        y = np.clip(x / scale + zero, *representable(node.outputs[0].dtype)).astype(np.float32)
    else:
        y = (x.astype(np.float32) - zero) * scale
    return ir.val(node.outputs[0].name or "", const_value=ir.tensor(y))


# The operators below mean the same since opset 10, where quantizers begin.


def _line(p: Expansion, ends: tuple[float, float]) -> ir.Value:
    """x / scale + zero point, clipped where the range ends by ReLUs, which are 0 at an end."""
    q = p.op("Div", p.input(0), _scale(p))
    q = _shifted(p, "Add", q, p.input(2))
    low, high = (p.constant(np.array(end, np.float32)) for end in ends)
    if np.isfinite(ends[0]):
        q = p.op("Add", low, p.op("Relu", p.op("Sub", q, low)))
    if np.isfinite(ends[1]):
        q = p.op("Sub", high, p.op("Relu", p.op("Sub", high, q)))
    return q


def _dynamic_line(p: Expansion) -> tuple[ir.Value, ...]:
    """x / scale + zero point; the range is that of x, so nothing is clipped."""
    quantizer = p.op("DynamicQuantizeLinear", p.input(0)).producer()
    assert quantizer is not None
    quantizer.resize_outputs(3)
    _, scale, zero = quantizer.outputs
    q = _shifted(p, "Add", p.op("Div", p.input(0), scale), zero)
    return q, scale, zero


def _dequantized(p: Expansion) -> ir.Value:
    """(q - zero point) scale."""
    return p.op("Mul", _shifted(p, "Sub", p.input(0), p.input(2)), _scale(p))


def _shifted(p: Expansion, op_type: str, x: ir.Value | None, zero: ir.Value | None) -> ir.Value:
    """x shifted by the zero point, if there is one."""
    assert x is not None
    if zero is None:
        return x
    real_zero = p.op("Cast", zero, to=ir.DataType.FLOAT.value)
    return p.op(op_type, x, _aligned(p, real_zero, zero.shape))


def _scale(p: Expansion) -> ir.Value | None:
    scale = p.input(1)
    return _aligned(p, scale, None if scale is None else scale.shape)


def _aligned(p: Expansion, values: ir.Value | None, shape: ir.Shape | None) -> ir.Value | None:
    """A scale or zero point, reshaped to broadcast along the quantized tensor's axis."""
    x = p.input(0)
    if x is None or x.shape is None or shape is None or len(shape) != 1 or shape[0] == 1:
        return values
    rank = len(x.shape)
    after = rank - p.attribute("axis", 1) % rank - 1
    return p.op("Reshape", values, p.integers(-1, *[1] * after))


def _widen_operands(node: ir.Node, integer: ir.DataType, real: dict[ir.Value, ir.DataType]) -> None:
    """Cast a node's remaining integer operands to float32, such as the fill value of a Pad."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    for index, value in enumerate(node.inputs):
        if value is not None and value not in real and value.dtype == integer:
            name = f"{node.outputs[0].name}.operand.{index}"
            cast = ir.Node("", "Cast", [value], [ir.AttrInt64("to", ir.DataType.FLOAT.value)])
            cast.name = cast.outputs[0].name = name
            cast.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
            graph.insert_before(node, cast)
            node.replace_input_with(index, cast.outputs[0])
