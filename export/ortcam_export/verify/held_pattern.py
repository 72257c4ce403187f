"""A network whose activations keep the pattern that they have on one picture.

A ReLU passes some cells and stops others; a MaxPool takes one cell of each window. Where shifted
features change such a pattern, the score has a kink, and differences across it say nothing about
the derivative. So here every operator with kinks is replaced by the smooth one that it is around
the picture, with the pattern as an input: a ReLU by the choice of x or 0, a MaxPool by a Gather at
its places, a comparison by its result. The network without kinks has the same score and the same
derivative at the picture, and a step through it may be as long as rounding requires.

Where the derivative depends on a tie, as at a ReLU's 0, the pattern takes the side that the
gradient's rules take; :mod:`ortcam_export.gradient.rules` has the same conventions as PyTorch and
TensorFlow at 0, and shares among equal maxima.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from ortcam_export.graph.expansion import Expansion
from ortcam_export.graph.values import rank

__all__ = ["hold", "leaves"]

#: Marks the nodes that stand for an operator with kinks.
_HELD = "ortcam.held"

Operand = ir.Value | None


def hold(network: ir.Model) -> tuple[ir.Model, ir.Model]:
    """Return a network that also computes the patterns, and one that takes them as inputs.

    Both have the network's tensors under their names. A pattern's name is the same in both. What
    stands inside loops and branches stays as it is.

    Args:
        network: a prepared network with the types of its tensors; it is not changed.
    """
    recording, smooth = network.clone(), network.clone()
    smooth.graph.outputs.clear()
    pairs = zip(tuple(recording.graph), tuple(smooth.graph), strict=True)
    for node, twin in pairs:
        if node.domain not in ("", "ai.onnx") or not node.inputs:
            continue
        rule = _RULES.get(node.op_type)
        pattern = _Pattern(node, twin)
        if rule is not None and _is_float(node.outputs[0]):
            result = rule(pattern)
            if result is not None:
                for part in pattern.twin.nodes:
                    part.metadata_props[_HELD] = ""
                pattern.twin.replace([result])
        elif any(map(_is_float, node.inputs)) and node.op_type not in ("Shape", "Size"):
            for output in filter(_is_discrete, node.outputs):
                _replace(pattern, output)
    return recording, smooth


def leaves(value: ir.Value) -> list[ir.Value]:
    """The tensors of the network, and patterns, from which those nodes alone compute a value."""
    node = value.producer()
    if node is None or _HELD not in node.metadata_props:
        return [] if value.is_initializer() else [value]
    return [leaf for operand in node.inputs if operand is not None for leaf in leaves(operand)]


class _Pattern:
    """A node in the network that records patterns, and its twin in the one that holds them."""

    def __init__(self, node: ir.Node, twin: ir.Node) -> None:
        self.twin = _Expansion(twin)
        self._node, self._last = node, node
        self._count = 0

    @property
    def x(self) -> Operand:
        """The twin's first input."""
        return self.twin.input(0)

    def input(self, index: int) -> Operand:
        """An input of the recorded node."""
        return self._node.inputs[index] if index < len(self._node.inputs) else None

    @property
    def outputs(self) -> list[ir.Value]:
        """The outputs of the recorded node that have a name."""
        return [value for value in self._node.outputs if value.name]

    def output(self, index: int = 0) -> ir.Value:
        """An output of the recorded node."""
        return self._node.outputs[index]

    def attribute(self, name: str, default: float) -> float:
        """A number among the node's attributes."""
        return float(self.twin.attribute(name, default))

    def record(self, op_type: str, *inputs: Operand | float, **attributes: Any) -> ir.Value:
        """Add an operator behind the recorded node; numbers have the type of its input."""
        return self.record_all(op_type, inputs, 1, attributes)[0]

    def record_all(
        self,
        op_type: str,
        inputs: tuple[Operand | float, ...],
        outputs: int,
        attributes: Mapping[str, Any],
    ) -> tuple[ir.Value, ...]:
        """Add an operator with several outputs behind the recorded node."""
        values = [self._number(v) if isinstance(v, float) else v for v in inputs]
        attrs = ir.convenience.convert_attributes(attributes)
        node = ir.Node("", op_type, values, attrs, num_outputs=outputs)
        for value in node.outputs:
            value.name = self._name()
        node.name = node.outputs[0].name
        _graph(self._last).insert_after(self._last, node)
        self._last = node
        return tuple(node.outputs)

    def keep(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Make a recorded value an input of the network that holds it."""
        value.type = ir.TensorType(dtype)
        _graph(self._node).outputs.append(value)
        twin = ir.Value(name=value.name, type=value.type)
        _graph(self.twin.node).inputs.append(twin)
        return twin

    def condition(self, op_type: str, *inputs: Operand | float) -> ir.Value:
        """Keep the result of a comparison."""
        return self.keep(self.record(op_type, *inputs), ir.DataType.BOOL)

    def number(self, value: float) -> ir.Value:
        """A number in the network that holds the pattern."""
        if _dtype(self.x) is ir.DataType.FLOAT:
            return self.twin.constant(np.array(value, np.float32))
        return self.twin.number(value, self.x)

    def _number(self, number: float) -> ir.Value:
        value = ir.val(self._name(), const_value=ir.tensor(np.array(number, np.float32)))
        _graph(self._node).register_initializer(value)
        is_float32 = _dtype(self.input(0)) is ir.DataType.FLOAT
        return value if is_float32 else self.record("CastLike", value, self.input(0))

    def _name(self) -> str:
        self._count += 1
        return f"{self._node.outputs[0].name}.pattern.{self._count}"


class _Expansion(Expansion):
    kind = "held"


def _graph(node: ir.Node) -> ir.Graph:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    return graph


def _dtype(value: Operand) -> ir.DataType:
    return ir.DataType.FLOAT if value is None or value.dtype is None else value.dtype


def _is_float(value: Operand) -> bool:
    return value is not None and value.dtype is not None and value.dtype.is_floating_point()


def _is_discrete(value: ir.Value) -> bool:
    """True for a tensor of integers or truth values."""
    dtype = value.dtype if isinstance(value.type, ir.TensorType) and value.name else None
    return dtype is not None and not dtype.is_floating_point() and dtype is not ir.DataType.STRING


def _replace(p: _Pattern, output: ir.Value) -> None:
    """Hold an output that has no derivative."""
    constant = p.keep(p.record("Identity", output), _dtype(output))
    twin = next(value for value in p.twin.node.outputs if value.name == output.name)
    ir.convenience.replace_all_uses_with(twin, constant)


def _step(p: _Pattern) -> None:
    """A function of constant pieces."""
    _replace(p, p.output())


# ---- Piecewise linear activations ----


def _relu(p: _Pattern) -> Operand:
    # a product with the mask: on ONNX Runtime's CPU provider Where takes several times as long
    positive = p.condition("Greater", p.input(0), 0.0)
    return p.twin.op("Mul", p.x, p.twin.op("Cast", positive, to=_dtype(p.x).value))


def _leaky_relu(p: _Pattern) -> Operand:
    positive = p.condition("Greater", p.input(0), 0.0)
    return p.twin.op("Where", positive, p.x, p.twin.scaled(p.x, p.attribute("alpha", 0.01)))


def _prelu(p: _Pattern) -> Operand:
    positive = p.condition("Greater", p.input(0), 0.0)
    return p.twin.op("Where", positive, p.x, p.twin.op("Mul", p.x, p.twin.input(1)))


def _thresholded_relu(p: _Pattern) -> Operand:
    above = p.condition("Greater", p.input(0), p.attribute("alpha", 1.0))
    return p.twin.op("Where", above, p.x, p.number(0))


def _clip(p: _Pattern) -> Operand:
    y, (low, high) = p.x, (p.twin.input(1), p.twin.input(2))
    bounded = p.input(0)
    if low is not None:
        y = p.twin.op("Where", p.condition("Less", bounded, p.input(1)), low, y)
        bounded = p.record("Max", bounded, p.input(1))
    if high is not None:
        y = p.twin.op("Where", p.condition("Greater", bounded, p.input(2)), high, y)
    return y


def _abs(p: _Pattern) -> Operand:
    sign = p.keep(p.record("Sign", p.input(0)), _dtype(p.input(0)))
    return p.twin.op("Mul", p.x, sign)


def _hard_sigmoid(p: _Pattern) -> Operand:
    below, above = (
        p.condition("LessOrEqual", p.output(), 0.0),
        p.condition("GreaterOrEqual", p.output(), 1.0),
    )
    slope, shift = p.attribute("alpha", 0.2), p.number(p.attribute("beta", 0.5))
    line = p.twin.op("Add", p.twin.scaled(p.x, slope), shift)
    return p.twin.op("Where", above, p.number(1), p.twin.op("Where", below, p.number(0), line))


def _hard_swish(p: _Pattern) -> Operand:
    above, inside = (p.condition("Greater", p.input(0), end) for end in (3.0, -3.0))
    line = p.twin.op("Add", p.twin.scaled(p.x, 1 / 6), p.number(0.5))
    curve = p.twin.op("Where", inside, p.twin.op("Mul", p.x, line), p.number(0))
    return p.twin.op("Where", above, p.x, curve)


def _shrink(p: _Pattern) -> Operand:
    bias, end = p.attribute("bias", 0.0), p.attribute("lambd", 0.5)
    below, above = p.condition("Less", p.input(0), -end), p.condition("Greater", p.input(0), end)
    low, high = (p.twin.op("Add", p.x, p.number(shift)) for shift in (bias, -bias))
    return p.twin.op("Where", above, high, p.twin.op("Where", below, low, p.number(0)))


# ---- Exponential below 0 ----


def _exponential(p: _Pattern) -> Operand:
    """gamma x above 0, gamma alpha (exp x - 1) below, or exp (x / alpha) for Celu."""
    alpha, gamma = p.attribute("alpha", _ALPHA.get(p.twin.node.op_type, 1.0)), 1.0
    if p.twin.node.op_type == "Selu":
        gamma = p.attribute("gamma", 1.05070102214813232421875)
    positive = p.condition("Greater", p.input(0), 0.0)
    inner = p.twin.scaled(p.x, 1 / alpha) if p.twin.node.op_type == "Celu" else p.x
    low = p.twin.op("Sub", p.twin.op("Exp", inner), p.number(1))
    high = p.x if gamma == 1 else p.twin.scaled(p.x, gamma)
    return p.twin.op("Where", positive, high, p.twin.scaled(low, alpha * gamma))


#: The defaults of alpha, where they are not 1.
_ALPHA = {"Selu": 1.67326319217681884765625}


# ---- Maxima ----


def _extreme(p: _Pattern) -> Operand:
    """The operands that equal y share it evenly."""
    dtype = _dtype(p.output())
    equal = [
        p.record("Cast", p.record("Equal", value, p.output()), to=dtype.value)
        for value in (p.input(i) for i in range(len(p.twin.node.inputs)))
    ]
    ties = p.record("Sum", *equal)
    shares = [p.keep(p.record("Div", one, ties), dtype) for one in equal]
    terms = [
        p.twin.op("Mul", value, share)
        for value, share in zip(p.twin.node.inputs, shares, strict=True)
    ]
    return p.twin.sum(*terms)


def _reduced_extreme(p: _Pattern) -> Operand:
    """The elements that equal y share it evenly."""
    attributes = {
        "keepdims": 1,
        "noop_with_empty_axes": int(p.attribute("noop_with_empty_axes", 0)),
    }
    largest = p.record(p.twin.node.op_type, p.input(0), p.input(1), **attributes)
    return _shared(p, largest, (p.input(1), p.twin.input(1)), int(p.attribute("keepdims", 1)))


def _global_max_pool(p: _Pattern) -> Operand:
    axes = np.arange(2, rank(p.output()))
    if not len(axes):
        return None
    recorded = p.record("Constant", value_ints=[int(axis) for axis in axes])
    return _shared(p, p.output(), (recorded, p.twin.integers(*axes.tolist())), 1)


def _shared(
    p: _Pattern, largest: ir.Value, axes: tuple[Operand, Operand], keepdims: int
) -> ir.Value:
    dtype = _dtype(p.output())
    noop = int(p.attribute("noop_with_empty_axes", 0))
    equal = p.record("Cast", p.record("Equal", p.input(0), largest), to=dtype.value)
    ties = p.record("ReduceSum", equal, axes[0], keepdims=1, noop_with_empty_axes=noop)
    shares = p.keep(p.record("Div", equal, ties), dtype)
    product = p.twin.op("Mul", p.x, shares)
    return p.twin.op("ReduceSum", product, axes[1], keepdims=keepdims, noop_with_empty_axes=noop)


def _reduce_l1(p: _Pattern) -> Operand:
    attributes = {name: a.value for name, a in p.twin.node.attributes.items()}
    return p.twin.op("ReduceSum", _abs(p), p.twin.input(1), **attributes)


def _max_pool(p: _Pattern) -> Operand:
    """The cells at the places of the maxima, counted over the whole tensor."""
    attributes = {name: a.value for name, a in p.twin.node.attributes.items()}
    attributes["storage_order"] = 0
    _, places = p.record_all("MaxPool", (p.input(0),), 2, attributes)
    flat_places = p.keep(p.record("Cast", places, to=ir.DataType.INT32.value), ir.DataType.INT32)
    for output in p.outputs[1:]:
        _replace(p, output)
    return p.twin.op("Gather", p.twin.op("Reshape", p.x, p.twin.integers(-1)), flat_places)


def _top_k(p: _Pattern) -> Operand:
    places = p.keep(p.record("Identity", p.output(1)), ir.DataType.INT64)
    ir.convenience.replace_all_uses_with(p.twin.node.outputs[1], places)
    axis = int(p.attribute("axis", -1))
    return p.twin.op("GatherElements", p.x, places, axis=axis)


_RULES: dict[str, Callable[[_Pattern], Operand]] = {
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "ThresholdedRelu": _thresholded_relu,
    "Clip": _clip,
    "Abs": _abs,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Shrink": _shrink,
    **dict.fromkeys(("Elu", "Celu", "Selu"), _exponential),
    "Max": _extreme,
    "Min": _extreme,
    "ReduceMax": _reduced_extreme,
    "ReduceMin": _reduced_extreme,
    "ReduceL1": _reduce_l1,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
    "TopK": _top_k,
    **dict.fromkeys(("Ceil", "Floor", "Hardmax", "Round", "Sign"), _step),
}
