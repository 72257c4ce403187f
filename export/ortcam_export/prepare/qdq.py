"""Networks that compute on integers, rewritten in the QDQ form.

ONNX Runtime's quantizer writes two forms. In the QDQ form floating operators stand between
DequantizeLinear and QuantizeLinear; in the QOperator form one node (QLinearConv) stands for all
three, and ``quantize_dynamic`` writes others (MatMulInteger) behind a DynamicQuantizeLinear. Each
computes the same as the floating operator between the pair, within one step of the quantizer, and
ONNX Runtime turns the QDQ form into integer kernels again when it opens the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir

from ortcam_export.graph.expansion import Expansion, contents
from ortcam_export.prepare.contrib_ops import CONTRIB, forget_unused_contrib

__all__ = ["ToPairs", "needs_opset_21", "to_pairs"]

#: The types of standard quantizers in opset 18; opset 21 adds 16 and 4 bits.
_EIGHT_BITS = (None, ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT32)

_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")

#: Operators that only move integers, and which inputs are such integers.
_MOVING = {
    "DepthToSpace": (0,),
    "Expand": (0,),
    "Flatten": (0,),
    "Gather": (0,),
    "Identity": (0,),
    "MaxPool": (0,),
    "Pad": (0, 2),
    "Reshape": (0,),
    "Resize": (0,),
    "Slice": (0,),
    "SpaceToDepth": (0,),
    "Split": (0,),
    "Squeeze": (0,),
    "Tile": (0,),
    "Transpose": (0,),
    "Unsqueeze": (0,),
}

#: A quantized tensor's scale and zero point.
_Line: TypeAlias = "tuple[ir.Value | None, ir.Value | None]"


class ToPairs(ir.passes.InPlacePass):
    """QLinearOp(q) -> QuantizeLinear(Op(DequantizeLinear(q))), for each operator on integers.

    Operators of ONNX Runtime without such a form stay. The network has opset 10 or later and no
    functions.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace the nodes of all graphs."""
        modified = False
        for graph in tuple(model.graphs()):
            if any(_rule(node) for node in graph):
                graph.sort()
                pairs = _Pairs(graph)
                for node in tuple(graph):
                    pairs.take(node)
                graph.sort()  # a DequantizeLinear may stand behind what reads it now
                modified = True
        forget_unused_contrib(model)
        return ir.passes.PassResult(model, modified)


#: The pass itself: ``to_pairs(model)``.
to_pairs = ToPairs()


def needs_opset_21(model: ir.Model) -> bool:
    """True if a model has quantizers of ONNX Runtime's that ONNX has only from opset 21 on."""
    return any(
        node.domain == CONTRIB
        and node.op_type in ("QuantizeLinear", "DequantizeLinear")
        and not {v.dtype for v in (*node.inputs[2:3], *node.outputs) if v} & {*_EIGHT_BITS[1:]}
        for node in model.graph
    )


class _Pairs(Expansion):
    """The expansions of a graph's nodes, one after the other in the graph's order.

    A quantized tensor has one DequantizeLinear, which all nodes read: the gradient with respect to
    the output of one of several would miss the readers of the others.
    """

    kind = "pair"

    def __init__(self, graph: ir.Graph) -> None:
        self.lines: dict[ir.Value, _Line] = {}
        self._names = {value.name for node in graph for value in node.outputs}

    def take(self, node: ir.Node) -> None:
        """Replace a node, or note its output's scale and zero point."""
        super().__init__(node)
        rule = _rule(node)
        if rule is None and node.op_type == "QuantizeLinear":
            self.lines[node.outputs[0]] = (self.input(1), self.input(2))
        if rule is None and node.op_type in _MOVING and self.input(0) in self.lines:
            rule = _moved
        results = None if rule is None else rule(self)
        if results is None:
            return
        lines = [self.lines.pop(result, None) for result in results]
        self.replace(results)
        for result, line in zip(results, lines, strict=True):
            if line is not None:
                self.lines[result] = line

    def real(self, index: int, line: _Line | None = None, axis: int = 1) -> ir.Value:
        """An input of the node, dequantized.

        Args:
            index: the index of the input.
            line: its scale and zero point; by default the next two inputs.
            axis: the axis of a scale per channel.
        """
        x = _present(self.input(index))
        scale, zero = line or (self.input(index + 1), self.input(index + 2))
        for reader in x.consumers():
            read = (*reader.inputs, None)[1:3]
            if reader.op_type == "DequantizeLinear" and contents(read) == contents((scale, zero)):
                return reader.outputs[0]
        real = self.op(
            "DequantizeLinear", x, scale, zero, **({"axis": axis} if _several(scale) else {})
        )
        self._name(real, f"{_plain(x)}_DequantizeLinear_Output")
        return real

    def quantized(self, x: ir.Value, scale: ir.Value | None, zero: ir.Value | None) -> ir.Value:
        """An output of the node: a floating tensor, quantized."""
        self._name(x, _plain(self.node.outputs[0]))
        q = self.op("QuantizeLinear", x, scale, zero)
        self.lines[q] = (scale, zero)
        return q

    def _name(self, value: ir.Value, name: str) -> None:
        """Give a tensor its name in the QDQ form, if that is free."""
        if name not in self._names:
            self._names.add(name)
            value.name = name

    def present(self, *names: str) -> dict[str, Any]:
        """The attributes of these names that the node has."""
        return {name: self.attribute(name) for name in names if self.attribute(name) is not None}


def _plain(quantized: ir.Value) -> str:
    """The name of a quantized tensor in the network before quantization."""
    return (quantized.name or "").removesuffix("_quantized")


def _several(scale: ir.Value | None) -> bool:
    """True if there is a scale or a zero point per channel."""
    return scale is not None and scale.const_value is not None and scale.const_value.size > 1


# ---- One operator each ------------------------------------------------------------------------

#: The replacement of each of the node's outputs; None where the node stays.
_Results: TypeAlias = "list[ir.Value] | None"


def _moved(p: _Pairs) -> _Results:
    """Move(q) -> QuantizeLinear(Move(DequantizeLinear(q)))."""
    line = p.lines[_present(p.input(0))]
    inputs = [
        p.real(i, line) if i in _MOVING[p.node.op_type] and value is not None else value
        for i, value in enumerate(p.node.inputs)
    ]
    attributes = {name: attr.value for name, attr in p.node.attributes.items()}
    first = p.op(p.node.op_type, *inputs, **attributes)
    node = first.producer()
    assert node is not None
    node.resize_outputs(len(p.node.outputs))
    for value, old in zip(node.outputs[1:], p.node.outputs[1:], strict=True):
        value.name = f"{old.name}.pair"
    whole = node.outputs if p.node.op_type == "Split" else node.outputs[:1]
    return [p.quantized(value, *line) for value in whole] + [*node.outputs[len(whole) :]]


def _conv(p: _Pairs) -> _Results:
    if p.attribute("channels_last", 0):
        return None
    operands = [p.real(0), p.real(3, axis=0), *_bias(p, 8, p.input(1), p.input(4))]
    y = p.op("Conv", *operands, **p.present(*_CONV))
    return [p.quantized(y, p.input(6), p.input(7))]


def _mat_mul(p: _Pairs) -> _Results:
    y = p.op("MatMul", p.real(0, axis=-2), p.real(3, axis=-1))
    return [p.quantized(y, p.input(6), p.input(7))]


def _gemm(p: _Pairs) -> _Results:
    transposed = p.attribute("transB", 0)
    a, b = p.real(0), p.real(3, axis=0 if transposed else 1)
    alpha = p.attribute("alpha", 1.0)
    bias = _bias(p, 6, p.input(1), p.input(4), alpha)
    y = p.op("Gemm", a, b, *bias, **p.present("alpha", "transA", "transB"))
    return [y if p.input(7) is None else p.quantized(y, p.input(7), p.input(8))]


def _of_one(op_type: str, *names: str) -> Callable[[_Pairs], _Results]:
    """QLinearOp(x, scale, zero, y scale, y zero) -> Op, between quantizers."""

    def rule(p: _Pairs) -> _Results:
        if p.attribute("channels_last", 0):
            return None
        y = p.op(op_type, p.real(0), **p.present(*names))
        return [p.quantized(y, p.input(3), p.input(4))]

    return rule


def _softmax(p: _Pairs) -> _Results:
    # Before opset 13 a Softmax runs over all axes from its own on.
    return _of_one("Softmax", "axis")(p) if p.attribute("opset", 0) >= 13 else None


def _of_two(op_type: str) -> Callable[[_Pairs], _Results]:
    """QLinearOp(a, scale, zero, b, scale, zero, y scale, y zero) -> Op, between quantizers."""

    def rule(p: _Pairs) -> _Results:
        y = p.op(op_type, p.real(0), p.real(3))
        return [p.quantized(y, p.input(6), p.input(7))]

    return rule


def _concat(p: _Pairs) -> _Results:
    parts = [p.real(index) for index in range(2, len(p.node.inputs), 3)]
    y = p.op("Concat", *parts, **p.present("axis"))
    return [p.quantized(y, p.input(0), p.input(1))]


def _where(p: _Pairs) -> _Results:
    y = p.op("Where", p.input(0), p.real(1), p.real(4))
    return [p.quantized(y, p.input(7), p.input(8))]


def _integer_product(p: _Pairs) -> _Results:
    """Cast(OpInteger(a, b)) -> Op(DequantizeLinear(a), DequantizeLinear(b)), scales of 1."""
    y = p.node.outputs[0]
    casts = y.consumers()
    to = ir.DataType.FLOAT.value
    if y.is_graph_output() or not all(
        c.op_type == "Cast" and c.attributes.get_int("to", 0) == to for c in casts
    ):
        return None
    one = p.constant(np.array(1, np.float32))
    dense, zero = p.node.op_type == "MatMulInteger", p.input(3)
    ones = one
    if zero is not None and zero.const_value is not None and _several(zero):
        ones = p.constant(np.ones(zero.const_value.shape.numpy(), np.float32))
    a = p.real(0, (one, p.input(2)))
    b = p.real(1, (ones, zero), axis=-1 if dense else 0)
    y.dtype = ir.DataType.FLOAT  # what replaces a tensor takes its type, which a file may state
    attributes = {} if dense else p.present(*_CONV)
    return [p.op("MatMul" if dense else "Conv", a, b, **attributes)]


def _float_product(p: _Pairs) -> _Results:
    a, b = (
        p.real(0, (p.input(2), p.input(4)), axis=-2),
        p.real(1, (p.input(3), p.input(5)), axis=-1),
    )
    return [p.sum(p.op("MatMul", a, b), p.input(6))]


def _dynamic_product(p: _Pairs) -> _Results:
    quantizer = p.op("DynamicQuantizeLinear", p.input(0)).producer()
    assert quantizer is not None
    quantizer.resize_outputs(3)
    for value in quantizer.outputs[1:]:
        value.name = f"{quantizer.name}.{value.index()}"
    a = p.op("DequantizeLinear", *quantizer.outputs)
    return [p.sum(p.op("MatMul", a, p.real(1, axis=-1)), p.input(4))]


def _standard(p: _Pairs) -> _Results:
    """QuantizeLinear and DequantizeLinear of ONNX Runtime's domain -> the standard ones."""
    attributes = p.present("axis")
    if p.node.op_type == "DequantizeLinear":
        return [p.op("DequantizeLinear", *p.node.inputs, **attributes)]
    y = p.op("QuantizeLinear", *p.node.inputs, **attributes)
    p.lines[y] = (p.input(1), p.input(2))
    return [y]


def _bias(
    p: _Pairs, index: int, x: ir.Value | None, w: ir.Value | None, alpha: float = 1.0
) -> Iterator[ir.Value]:
    """The bias, dequantized, if there is one: its scale is that of the product."""
    if p.input(index) is None:
        return
    if x is not None and w is not None and x.const_value is not None and w.const_value is not None:
        x_scale, w_scale = x.const_value.numpy(), w.const_value.numpy()
        scale = p.constant((alpha * x_scale.reshape(-1)[0] * w_scale).astype(w_scale.dtype))
    else:
        scale = p.op("Mul", p.op("Mul", x, w), p.constant(np.array(alpha, np.float32)))
    attributes = {"axis": 0} if _several(w) else {}
    yield p.op("DequantizeLinear", p.input(index), scale, **attributes)


def _present(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value


_RULES: dict[str, Callable[[_Pairs], _Results]] = {
    "ConvInteger": _integer_product,
    "MatMulInteger": _integer_product,
    "QLinearConv": _conv,
    "QLinearMatMul": _mat_mul,
}

_CONTRIB_RULES: dict[str, Callable[[_Pairs], _Results]] = {
    "DequantizeLinear": _standard,
    "DynamicQuantizeMatMul": _dynamic_product,
    "MatMulIntegerToFloat": _float_product,
    "QGemm": _gemm,
    "QLinearAdd": _of_two("Add"),
    "QLinearAveragePool": _of_one("AveragePool", *_POOL),
    "QLinearConcat": _concat,
    "QLinearConv": _conv,
    "QLinearGlobalAveragePool": _of_one("GlobalAveragePool"),
    "QLinearLeakyRelu": _of_one("LeakyRelu", "alpha"),
    "QLinearMul": _of_two("Mul"),
    "QLinearSigmoid": _of_one("Sigmoid"),
    "QLinearSoftmax": _softmax,
    "QLinearWhere": _where,
    "QuantizeLinear": _standard,
}


def _rule(node: ir.Node) -> Callable[[_Pairs], _Results] | None:
    table = _CONTRIB_RULES if node.domain == CONTRIB else {} if node.domain else _RULES
    return table.get(node.op_type)
