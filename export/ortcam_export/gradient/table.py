"""The table of gradient rules, and what a rule sees of its node.

A rule belongs to one operator and one of its inputs. It is given the node and the cotangent of
the node's first output and returns the cotangent of that input: ``vjp(n, g)``, the transposed
Jacobian applied to ``g``. A second rule, for linear operators, answers for a cotangent that is
wanted only contracted with windows: see :mod:`ortcam_export.gradient.windows`. A third one
answers for some channels of the input alone, where what is joined to them needs no cotangent.

A rule names axes and shapes as the forward operator does; the questions' axis is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import onnx_ir as ir

from ortcam.errors import OperatorError
from ortcam_export.gradient.tensor import Dim, Tape, Tensor
from ortcam_export.gradient.windows import Windows

__all__ = [
    "NO_DERIVATIVE",
    "Ask",
    "Node",
    "contracted",
    "elementwise",
    "lookup",
    "lookup_contracted",
    "lookup_parted",
    "no_derivative",
    "parted",
    "rule",
    "ruled",
    "ruled_inputs",
]

#: Contracts the cotangent of the node's output with windows.
Ask: TypeAlias = Callable[[ir.Value, Windows], Tensor]
Rule: TypeAlias = "Callable[[Node, Tensor], Tensor]"
ContractedRule: TypeAlias = "Callable[[Node, Windows, Ask], Tensor | None]"
PartedRule: TypeAlias = "Callable[[Node, Tensor, Dim, Dim], Tensor]"


class Node:
    """A node of the network as its rules see it.

    Floating tensors narrower than float32 are seen in float32, in which every cotangent of such a
    network is carried.
    """

    def __init__(self, tape: Tape, node: ir.Node, index: int = 0) -> None:
        self.tape = tape
        self.node = node
        self.index = index
        self.cotangents: list[Tensor | None] = []

    @property
    def x(self) -> Tensor:
        """The node's first input."""
        return self.input(0)

    @property
    def y(self) -> Tensor:
        """The node's first output."""
        return self.output(0)

    @property
    def here(self) -> Tensor:
        """The input whose cotangent is wanted."""
        return self.input(self.index)

    def has(self, index: int) -> bool:
        """Whether an optional input is there."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def input(self, index: int) -> Tensor:
        """An input of the node."""
        value = self.node.inputs[index]
        assert value is not None
        return self._seen(value)

    def output(self, index: int) -> Tensor:
        """An output of the node."""
        return self._seen(self.node.outputs[index])

    @property
    def inputs(self) -> list[Tensor]:
        """All inputs that are there."""
        return [self._seen(value) for value in self.node.inputs if value is not None]

    def _seen(self, value: ir.Value) -> Tensor:
        tensor = self.tape.wrap(value)
        if not tensor.dtype.is_floating_point():
            return tensor
        return tensor.cast(cotangent_dtype(tensor.dtype))

    def cotangent(self, output: int) -> Tensor:
        """The cotangent of an output; zeros where the score does not depend on it."""
        g = self.cotangents[output]
        if g is not None:
            return g
        y = self.output(output)
        return self.tape.zeros(y.dims, cotangent_dtype(y.dtype), lead=1)

    def wanted(self, output: int) -> bool:
        """Whether the score depends on an output."""
        return output < len(self.cotangents) and self.cotangents[output] is not None

    def made(self, output: int, dtype: ir.DataType, shape: ir.Shape | None) -> Tensor:
        """An output that the node may leave out, of this element type and shape."""
        node = self.node
        if len(node.outputs) <= output:
            node.resize_outputs(output + 1)
        value = node.outputs[output]
        if not value.name:
            value.name = f"{node.outputs[0].name}.{output}"
            value.dtype, value.shape = dtype, shape
        return self.output(output)

    @property
    def described(self) -> str:
        """The node in an error message."""
        domain = f"{self.node.domain}." if self.node.domain else ""
        return f"{domain}{self.node.op_type} (node {self.node.name!r})"

    # Attributes.

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's plain value."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.value

    def axis(self, default: int = 0, *, rank: int | None = None) -> int:
        """The attribute ``axis``, counted from the front."""
        return int(self.attribute("axis", default)) % (self.x.rank if rank is None else rank)

    def axes(self, index: int, *, rank: int | None = None) -> list[int] | None:
        """The axes given by an input, counted from the front; None where it is absent."""
        given = self.constants(index)
        rank = self.x.rank if rank is None else rank
        return None if given is None else sorted({int(axis) % rank for axis in given})

    def constants(self, index: int) -> list[Any] | None:
        """The numbers in an input that must be constant; None where it is absent.

        Raises:
            OperatorError: the input is computed when the network runs.
        """
        if not self.has(index):
            return None
        const = self.input(index).const
        if const is None:
            raise OperatorError(
                f"input {index} of {self.described} is computed when the network runs, and its "
                "gradient needs it constant; choose a feature layer after it"
            )
        return list(const.reshape(-1).tolist())

    def refuse(self, why: str) -> OperatorError:
        """The error of a node whose gradient is not to be had."""
        return OperatorError(f"{self.described} {why}; choose a feature layer after it")


_RULES: dict[str, dict[int, Rule | None] | Rule] = {}
_CONTRACTED: dict[str, dict[int, ContractedRule] | ContractedRule] = {}
_PARTED: dict[str, dict[int, PartedRule]] = {}
_BROADCASTS: set[str] = set()

#: Operators whose outputs do not change, or jump, when their inputs change a little.
NO_DERIVATIVE: set[str] = set()


def no_derivative(*op_types: str) -> None:
    """Declares operators without a derivative: no gradient passes them."""
    NO_DERIVATIVE.update(op_types)


def rule(
    *op_types: str, inputs: Iterable[int] | None = None
) -> Callable[[Callable[[Node, Tensor], Tensor]], Callable[[Node, Tensor], Tensor]]:
    """Registers a rule for some inputs of operators; other inputs have no derivative.

    Args:
        op_types: the operators.
        inputs: the indices of the inputs; None for every input (variadic operators).
    """

    def register(f: Callable[[Node, Tensor], Tensor]) -> Callable[[Node, Tensor], Tensor]:
        for op_type in op_types:
            _add(_RULES, op_type, inputs, f)
        return f

    return register


def contracted(
    *op_types: str, inputs: Iterable[int] | None = (0,)
) -> Callable[
    [Callable[[Node, Windows, Ask], Tensor | None]], Callable[[Node, Windows, Ask], Tensor | None]
]:
    """Registers the second rule of linear operators.

    The rule returns the contraction of the input's cotangent with the windows, having asked for
    the output's with windows of its own, or None where it cannot do so with few windows.
    """

    def register(
        f: Callable[[Node, Windows, Ask], Tensor | None],
    ) -> Callable[[Node, Windows, Ask], Tensor | None]:
        for op_type in op_types:
            _add(_CONTRACTED, op_type, inputs, f)
        return f

    return register


def parted(*op_types: str) -> Callable[[PartedRule], PartedRule]:
    """Registers the third rule of operators, for channels ``start`` to ``stop`` of input 0."""

    def register(f: PartedRule) -> PartedRule:
        for op_type in op_types:
            _add(_PARTED, op_type, [0], f)
        return f

    return register


def elementwise(op_type: str, *partials: Callable[..., Tensor] | None) -> None:
    """Registers an operator that acts on each element by itself.

    Args:
        op_type: the operator.
        partials: for each input a function of (g, y, *inputs): the cotangent g times the partial
            derivative. None where there is no derivative. Summing over broadcast axes is the
            driver's work.
    """
    _BROADCASTS.add(op_type)
    for index, partial in enumerate(partials):
        if partial is not None:
            _add(_RULES, op_type, [index], _bound(partial))


def broadcasts(op_type: str) -> bool:
    """Whether inputs of the operator are broadcast to the output's shape."""
    return op_type in _BROADCASTS


def lookup(node: ir.Node, index: int) -> Rule | None:
    """The rule for an input of a node, or None where no gradient passes.

    Raises:
        KeyError: nobody has decided about the operator.
    """
    if node.domain not in ("", "ai.onnx"):
        raise KeyError(node.op_type)
    if node.op_type in NO_DERIVATIVE:
        return None
    entry = _RULES[node.op_type]
    return entry.get(index) if isinstance(entry, dict) else entry


def lookup_contracted(node: ir.Node, index: int) -> ContractedRule | None:
    """The second rule for an input of a node, or None where it has none."""
    entry = None if node.domain else _CONTRACTED.get(node.op_type)
    return entry.get(index) if isinstance(entry, dict) else entry


def lookup_parted(node: ir.Node, index: int) -> PartedRule | None:
    """The third rule for an input of a node, or None where it has none."""
    return None if node.domain else _PARTED.get(node.op_type, {}).get(index)


def ruled(op_type: str) -> bool:
    """Whether an operator has a rule."""
    return op_type in _RULES


def ruled_inputs(op_type: str) -> list[int] | None:
    """The inputs of an operator for which it has a rule; None where these are all."""
    entry = _RULES[op_type]
    return sorted(entry) if isinstance(entry, dict) else None


def cotangent_dtype(dtype: ir.DataType) -> ir.DataType:
    """The element type cotangents of a tensor are carried in: its own, or float32 if narrower."""
    return dtype if dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE) else ir.DataType.FLOAT


def summed_to(g: Tensor, output: Sequence[Dim], shape: Tensor) -> Tensor:
    """A cotangent of a broadcast result, summed over the axes an operand was repeated along.

    Args:
        g: the cotangent, with the output's rank.
        output: the extents of the broadcast result.
        shape: the operand.
    """
    missing = len(output) - shape.rank
    axes, doubtful = list(range(missing)), False
    for axis in range(shape.rank):
        extent, full = shape.extent(axis), g.extent(axis + missing)
        if extent == 1:
            axes.append(axis + missing)
        elif not isinstance(extent, int) and (extent is None or extent != full):
            doubtful = True
    if doubtful:
        return _summed_when_run(g, output, shape)
    return g.sum(axes, keepdims=True).squeeze(range(missing)) if axes else g


def _summed_when_run(g: Tensor, output: Sequence[Dim], shape: Tensor) -> Tensor:
    tape = g.tape
    full = tape.shape(output)
    own = tape.shape([*([1] * (len(output) - shape.rank)), *shape.dims])
    repeated = tape.op("NonZero", ~full.equals(own)).reshape([-1])
    summed = tape.op(
        "ReduceSum", g, repeated + g.lead, lead=g.lead, keepdims=1, noop_with_empty_axes=1
    )
    return summed.ranked(g.rank).reshape(shape.dims)


def _bound(partial: Callable[..., Tensor]) -> Rule:
    return lambda n, g: partial(g, n.y, *n.inputs)


def _add(table: dict[str, Any], op_type: str, inputs: Iterable[int] | None, entry: object) -> None:
    if inputs is None:
        assert op_type not in table, op_type
        table[op_type] = entry
        return
    entries = table.setdefault(op_type, {})
    for index in inputs:
        assert index not in entries, (op_type, index)
        entries[index] = entry
