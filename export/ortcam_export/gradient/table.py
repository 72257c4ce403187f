"""The table of gradient rules.

A rule belongs to one operator and one of its inputs. It takes the node and the cotangent of the
node's first output and returns the cotangent of that input: ``vjp(n, g)``, the transposed Jacobian
applied to ``g``. A linear operator may have two more: a contracted rule, for a cotangent that is
needed only contracted with windows (see :mod:`ortcam_export.gradient.windows`), and a parted rule,
for the cotangent of some channels of the input alone.

A rule names axes and shapes as the forward operator does; the questions' axis is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import onnx_ir as ir

from ortcam_export.gradient.node import Node
from ortcam_export.gradient.tensor import Dim, Tensor
from ortcam_export.gradient.windows import Windows

__all__ = [
    "NO_DERIVATIVE",
    "Ask",
    "ContractedRule",
    "PartedRule",
    "Rule",
    "broadcasts",
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

#: Contracts the cotangent of one of the node's outputs with windows.
Ask: TypeAlias = Callable[[ir.Value, Windows], Tensor]

#: (n, g) -> g_x.
Rule: TypeAlias = Callable[[Node, Tensor], Tensor]

#: (n, A, ask) -> <A, g_x>, or None where that would take many windows of the output.
ContractedRule: TypeAlias = Callable[[Node, Windows, Ask], Tensor | None]

#: (n, g, start, stop) -> g_x of the channels from start to stop.
PartedRule: TypeAlias = Callable[[Node, Tensor, Dim, Dim], Tensor]

#: Operators whose outputs do not change, or jump, when their inputs change a little.
NO_DERIVATIVE: set[str] = set()

_RULES: dict[str, dict[int, Rule] | Rule] = {}
_CONTRACTED: dict[str, dict[int, ContractedRule] | ContractedRule] = {}
_PARTED: dict[str, dict[int, PartedRule]] = {}
_BROADCASTS: set[str] = set()


def no_derivative(*op_types: str) -> None:
    """Register operators without a derivative: no gradient passes them."""
    NO_DERIVATIVE.update(op_types)


def rule(*op_types: str, inputs: Iterable[int] | None = None) -> Callable[[Rule], Rule]:
    """Register a rule for some inputs of operators; other inputs have no derivative.

    Args:
        op_types: the operators.
        inputs: the indices of the inputs; None for every input (variadic operators).
    """

    def register(f: Rule) -> Rule:
        for op_type in op_types:
            _add(_RULES, op_type, inputs, f)
        return f

    return register


def contracted(
    *op_types: str, inputs: Iterable[int] | None = (0,)
) -> Callable[[ContractedRule], ContractedRule]:
    """Register the contracted rule of linear operators.

    The rule asks for the cotangent of the output, contracted with windows of its own, and returns
    that of the input contracted with its windows, or None where this would take many windows.
    """

    def register(f: ContractedRule) -> ContractedRule:
        for op_type in op_types:
            _add(_CONTRACTED, op_type, inputs, f)
        return f

    return register


def parted(*op_types: str) -> Callable[[PartedRule], PartedRule]:
    """Register the parted rule of operators, for channels ``start`` to ``stop`` of input 0."""

    def register(f: PartedRule) -> PartedRule:
        for op_type in op_types:
            _add(_PARTED, op_type, [0], f)
        return f

    return register


def elementwise(op_type: str, *partials: Callable[..., Tensor] | None) -> None:
    """Register an operator that acts on each element separately.

    Args:
        op_type: the operator.
        partials: for each input a function of (g, y, *inputs): the cotangent g times the partial
            derivative. None where there is no derivative. The sweep sums over broadcast axes.
    """
    _BROADCASTS.add(op_type)
    for index, partial in enumerate(partials):
        if partial is not None:
            _add(_RULES, op_type, [index], _bound(partial))


def broadcasts(op_type: str) -> bool:
    """True if the operator broadcasts its inputs to the output's shape."""
    return op_type in _BROADCASTS


def lookup(node: ir.Node, index: int) -> Rule | None:
    """Return the rule for an input of a node, or None where no gradient passes.

    Raises:
        KeyError: the operator is in no table.
    """
    if node.domain not in ("", "ai.onnx"):
        raise KeyError(node.op_type)
    if node.op_type in NO_DERIVATIVE:
        return None
    entry = _RULES[node.op_type]
    return entry.get(index) if isinstance(entry, dict) else entry


def lookup_contracted(node: ir.Node, index: int) -> ContractedRule | None:
    """Return the contracted rule for an input of a node, if any."""
    entry = None if node.domain else _CONTRACTED.get(node.op_type)
    return entry.get(index) if isinstance(entry, dict) else entry


def lookup_parted(node: ir.Node, index: int) -> PartedRule | None:
    """Return the parted rule for an input of a node, if any."""
    return None if node.domain else _PARTED.get(node.op_type, {}).get(index)


def ruled(op_type: str) -> bool:
    """True if an operator has a rule."""
    return op_type in _RULES


def ruled_inputs(op_type: str) -> list[int] | None:
    """The inputs for which an operator has a rule; None for all of them."""
    entry = _RULES[op_type]
    return sorted(entry) if isinstance(entry, dict) else None


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
