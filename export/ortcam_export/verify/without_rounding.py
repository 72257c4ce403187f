"""A quantized network as one that does not round, to be checked there.

What passes a quantizer's steps straight through is no derivative of them, so differences across
the steps cannot agree with it. It is the derivative of the line through the steps, x / scale + zero
point, cut off where the range ends. So here each QuantizeLinear gives that line's real numbers, and
what stands before the DequantizeLinear works on these. All else stays as it is: scales, weights (as
the float constants that they stand for), and the ReLU that is folded into a quantizer whose range
begins at 0.
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

__all__ = ["is_quantized", "unrounded"]


def is_quantized(model: ir.Model) -> bool:
    """Whether a model rounds anything to quantize it."""
    quantizers = "QuantizeLinear", "DynamicQuantizeLinear"
    return any(_is(node, *quantizers) for graph in model.graphs() for node in graph)


def unrounded(model: ir.Model) -> ir.Model:
    """A copy of a model whose quantizers cut off, and do not round.

    Args:
        model: a model with the types of its tensors; quantizers of blocks stay as they are.
    """
    copy = model.clone()
    nodes = tuple(_as_computed(copy.graph))
    ends = {n: cut_off_at(n) for n in nodes if _is(n, "QuantizeLinear")}
    real: dict[ir.Value, ir.DataType] = {}  # what was whole numbers, of this type
    for node in nodes:
        constant = _of_constants(node)
        if constant is not None and node.graph is not None:
            ir.convenience.replace_all_uses_with(node.outputs[0], constant)
            node.graph.remove(node, safe=True)
            copy.graph.register_initializer(constant)
            continue
        parts = Expansion(node)
        given = [value for graph in subgraphs(node) for value in graph.outputs]
        read = [value for value in (*node.inputs, *given) if value in real]
        whole = node.outputs[0].dtype if node.outputs else None
        if _is(node, "QuantizeLinear") and not node.attributes.get_int("block_size", 0):
            real[_replaced(parts, _line(parts, ends[node]))] = whole or ir.DataType.UINT8
        elif _is(node, "DynamicQuantizeLinear"):
            real[_replaced(parts, *_dynamic_line(parts))] = ir.DataType.UINT8
        elif read and _is(node, "DequantizeLinear"):
            _replaced(parts, _back(parts))
        elif whole is not None and whole in {real[value] for value in read if value is not None}:
            _widen_operands(node, whole, real)
            for value in node.outputs:
                if value.dtype == whole:
                    value.type, real[value] = ir.TensorType(ir.DataType.FLOAT), whole
    return copy


def _as_computed(graph: ir.Graph) -> Iterator[ir.Node]:
    """All nodes, those of branches before the node that they belong to."""
    for node in graph:
        for inner in subgraphs(node):
            yield from _as_computed(inner)
        yield node


def _is(node: ir.Node, *op_types: str) -> bool:
    return node.op_type in op_types and node.domain in ("", "ai.onnx", CONTRIB)


def _replaced(parts: Expansion, *results: ir.Value) -> ir.Value:
    """Puts the parts in their node's place, all float32; returns what stands for its output."""
    parts.replace(results)
    for node in parts.nodes:
        if node.op_type != "DynamicQuantizeLinear":
            node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    return results[0]


def _of_constants(node: ir.Node) -> ir.Value | None:
    """The constant that a quantizer or dequantizer of constants gives, in real numbers."""
    if not _is(node, "QuantizeLinear", "DequantizeLinear") or "block_size" in node.attributes:
        return None
    tensors = [value.const_value for value in node.inputs if value is not None]
    x, scale, zero = ([None if t is None else t.numpy() for t in tensors] + [np.zeros(())])[:3]
    if x is None or scale is None or zero is None:
        return None
    axis = (node.attributes.get_int("axis", 1) or 0) % max(x.ndim, 1)
    over = [-1] + [1] * (x.ndim - axis - 1) if scale.size > 1 else []
    scale, zero = (a.astype(np.float32).reshape(over if a.size > 1 else []) for a in (scale, zero))
    if node.op_type == "QuantizeLinear":
        y = np.clip(x / scale + zero, *representable(node.outputs[0].dtype)).astype(np.float32)
    else:
        y = (x.astype(np.float32) - zero) * scale
    return ir.val(node.outputs[0].name or "", const_value=ir.tensor(y))


# The operators that these are made of mean the same from opset 10 on, where quantizers begin.


def _line(p: Expansion, ends: tuple[float, float]) -> ir.Value:
    """x / scale + zero point, cut off where the range ends."""
    q = p.op("Div", p.input(0), _scale(p))
    q = _moved(p, "Add", q, p.input(2))
    for op_type, end in zip(("Max", "Min"), ends, strict=True):
        if np.isfinite(end):
            q = p.op(op_type, q, p.constant(np.array(end, np.float32)))
    return q


def _dynamic_line(p: Expansion) -> tuple[ir.Value, ...]:
    """x / scale + zero point; the range is that of x, so nothing is cut off."""
    quantizer = p.op("DynamicQuantizeLinear", p.input(0)).producer()
    assert quantizer is not None
    quantizer.resize_outputs(3)
    _, scale, zero = quantizer.outputs
    q = _moved(p, "Add", p.op("Div", p.input(0), scale), zero)
    return q, scale, zero


def _back(p: Expansion) -> ir.Value:
    """(q - zero point) scale."""
    return p.op("Mul", _moved(p, "Sub", p.input(0), p.input(2)), _scale(p))


def _moved(p: Expansion, op_type: str, x: ir.Value | None, zero: ir.Value | None) -> ir.Value:
    """x moved by a zero point, where there is one."""
    assert x is not None
    if zero is None:
        return x
    moved = p.op("Cast", zero, to=ir.DataType.FLOAT.value)
    return p.op(op_type, x, _over(p, moved, zero.shape))


def _scale(p: Expansion) -> ir.Value | None:
    scale = p.input(1)
    return _over(p, scale, None if scale is None else scale.shape)


def _over(p: Expansion, values: ir.Value | None, shape: ir.Shape | None) -> ir.Value | None:
    """One scale or zero point, or one a place along an axis, over the quantized tensor."""
    x = p.input(0)
    if x is None or x.shape is None or shape is None or len(shape) != 1 or shape[0] == 1:
        return values
    rank = len(x.shape)
    after = rank - p.attribute("axis", 1) % rank - 1
    return p.op("Reshape", values, p.integers(-1, *[1] * after))


def _widen_operands(node: ir.Node, whole: ir.DataType, real: dict[ir.Value, ir.DataType]) -> None:
    """Makes what a node reads beside real numbers, such as what a Pad fills in, real too."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    for index, value in enumerate(node.inputs):
        if value is not None and value not in real and value.dtype == whole:
            name = f"{node.outputs[0].name}.operand.{index}"
            cast = ir.Node("", "Cast", [value], [ir.AttrInt64("to", ir.DataType.FLOAT.value)])
            cast.name = cast.outputs[0].name = name
            cast.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
            graph.insert_before(node, cast)
            node.replace_input_with(index, cast.outputs[0])
