"""The tensors that a score depends on through operators that pass a gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from ortcam_export.gradient.operators import BRANCHED, Kind, decision
from ortcam_export.gradient.table import lookup
from ortcam_export.graph.names import tensor
from ortcam_export.graph.traversal import captured, nested, subgraphs

__all__ = [
    "captured_operands",
    "consumers",
    "dependencies",
    "passes",
    "reachable",
    "unblocked",
    "undecided",
    "without_rule",
]


def dependencies(graph: ir.Graph, score: ir.Value) -> set[ir.Value]:
    """The tensors that a score depends on through operators that pass a gradient.

    Floating ones, and between a QuantizeLinear and its DequantizeLinear the quantized ones.
    """
    on_path, stack = {score}, [score]
    while stack:
        node = stack.pop().producer()
        if node is None or node.graph is not graph:
            continue
        for index, value in _operands(node):
            if value in on_path or not passes(node, index):
                continue
            if _carries_cotangent(node, value, on_path):
                on_path.add(value)
                stack.append(value)
    return on_path


def _carries_cotangent(node: ir.Node, value: ir.Value, on_path: set[ir.Value]) -> bool:
    """True if a node's operand is floating, or a quantized tensor."""
    if value.dtype is None or value.dtype.is_floating_point():
        return True
    if node.op_type == "DequantizeLinear":
        return True
    return any(output in on_path and output.dtype == value.dtype for output in node.outputs)


def passes(node: ir.Node, index: int) -> bool:
    """True if a gradient may pass from a node's outputs to an operand (see :func:`consumers`).

    It may, too, through an operator that is in no table.
    """
    if _branches(node):
        return index < 0
    try:
        return lookup(node, index) is not None
    except KeyError:
        return True


def consumers(graph: ir.Graph, value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """The nodes of a graph that read a value, each with the index of the operand.

    Operands are a node's inputs, 0, 1, ..., and what its graphs capture, -1, -2, ...
    """
    yield from ((use.node, use.idx) for use in value.uses() if use.node.graph is graph)
    if any(use.node.graph is not graph for use in value.uses()):
        for node in graph:
            yield from ((node, i) for i, v in _operands(node) if i < 0 and v is value)


def _operands(node: ir.Node) -> list[tuple[int, ir.Value]]:
    inputs = [(i, value) for i, value in enumerate(node.inputs) if value is not None]
    return inputs + [(-1 - i, value) for i, value in enumerate(captured_operands(node))]


def captured_operands(node: ir.Node) -> list[ir.Value]:
    """The values that a node's graphs capture; of an If, those that a cotangent can reach."""
    inner = nested(node)
    if not inner:
        return []
    if not _branches(node):
        return sorted(captured(node), key=_name)
    values = {
        value
        for branch in subgraphs(node)
        for output in _floating(branch.outputs)
        for value in dependencies(branch, output)
    }
    return sorted((v for v in values if v.graph not in inner), key=_name)


def _name(value: ir.Value) -> str:
    return value.name or ""


def _floating(values: Iterable[ir.Value]) -> list[ir.Value]:
    """The values that are floating, or of unknown type."""
    return [v for v in values if v.dtype is None or v.dtype.is_floating_point()]


def reachable(model: ir.Model, score: str) -> set[str]:
    """The names of the tensors that the gradient of a score reaches.

    Raises:
        LayerError: the network has no tensor of the score's name.
    """
    return {value.name for value in unblocked(model.graph, tensor(model, score)) if value.name}


def unblocked(graph: ir.Graph, score: ir.Value) -> set[ir.Value]:
    """The tensors on a score's paths from which every path is differentiable."""
    on_path = dependencies(graph, score)
    blocked: set[ir.Value] = set()
    for node in reversed(graph):
        downstream = [output for output in node.outputs if output in on_path]
        if downstream and (not _differentiable(node) or any(v in blocked for v in downstream)):
            blocked.update(v for i, v in _operands(node) if passes(node, i))
    return on_path - blocked


def undecided(graph: ir.Graph, score: ir.Value) -> list[ir.Node]:
    """The nodes that a score depends on and whose operators have no rule, in the graph's order."""
    on_path = dependencies(graph, score)
    return [
        blocking
        for node in graph
        if any(output in on_path for output in node.outputs)
        for blocking in without_rule(node)
    ]


def without_rule(node: ir.Node) -> list[ir.Node]:
    """The node if its operator has no rule; of an If, such nodes in its branches."""
    if _branches(node):
        inner = (
            blocking
            for branch in subgraphs(node)
            for output in _floating(branch.outputs)
            for blocking in undecided(branch, output)
        )
        return list(dict.fromkeys(inner))
    try:
        lookup(node, 0)
    except KeyError:
        return [node]
    return []


def _branches(node: ir.Node) -> bool:
    return node.op_type in BRANCHED and not node.domain


def _differentiable(node: ir.Node) -> bool:
    """True if a node has a rule, or a function body that replaces it."""
    if _branches(node):
        return all(_differentiable(inner) for inner in without_rule(node))
    try:
        kind = decision(node.op_type, node.domain).kind
    except KeyError:
        return False
    return kind in (Kind.RULE, Kind.BODY)
