"""Which tensors a score depends on through operators that pass a gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from ortcam_export.gradient.operators import BRANCHED, Kind, decision
from ortcam_export.gradient.table import lookup
from ortcam_export.graph.names import tensor
from ortcam_export.graph.traversal import subgraphs

__all__ = ["consumers", "dependencies", "floating", "operands", "passes", "reachable", "undecided"]


def dependencies(graph: ir.Graph, score: ir.Value) -> set[ir.Value]:
    """The tensors that a score depends on through operators that pass a gradient.

    Floating ones, and between a QuantizeLinear and its DequantizeLinear the quantized ones.
    """
    found, stack = {score}, [score]
    while stack:
        node = stack.pop().producer()
        if node is None or node.graph is not graph:
            continue
        for index, value in operands(node):
            if value in found or not passes(node, index):
                continue
            if _carries(node, value, found):
                found.add(value)
                stack.append(value)
    return found


def _carries(node: ir.Node, value: ir.Value, found: set[ir.Value]) -> bool:
    """Whether what a node reads carries a cotangent."""
    if value.dtype is None or value.dtype.is_floating_point():
        return True
    if node.op_type == "DequantizeLinear":
        return True
    return any(output in found and output.dtype == value.dtype for output in node.outputs)


def undecided(graph: ir.Graph, score: ir.Value) -> list[ir.Node]:
    """The nodes a score depends on whose operators have no rule, in the graph's order."""
    on_path = dependencies(graph, score)
    return [
        blocking
        for node in graph
        if any(output in on_path for output in node.outputs)
        for blocking in _without_rule(node)
    ]


def reachable(model: ir.Model, score: str) -> set[str]:
    """The names of the tensors that the gradient of a score reaches through known rules.

    Raises:
        LayerError: there is no tensor of the score's name.
    """
    found = _unblocked(model.graph, tensor(model, score))
    return {value.name for value in found if value.name}


def _unblocked(graph: ir.Graph, score: ir.Value) -> set[ir.Value]:
    on_path = dependencies(graph, score)
    blocked: set[ir.Value] = set()
    for node in reversed(graph):
        downstream = [output for output in node.outputs if output in on_path]
        if downstream and (not _differentiable(node) or any(v in blocked for v in downstream)):
            blocked.update(v for i, v in operands(node) if passes(node, i))
    return on_path - blocked


def operands(node: ir.Node) -> list[tuple[int, ir.Value]]:
    """A node's inputs with their indices; what its graphs take from outside has -1, -2, ..."""
    given = [(i, value) for i, value in enumerate(node.inputs) if value is not None]
    return given + [(-1 - i, value) for i, value in enumerate(_captured(node))]


def _captured(node: ir.Node) -> list[ir.Value]:
    """What a node's graphs take from outside: an If's, what a cotangent of its outputs reaches."""
    held = [inner for graph in subgraphs(node) for inner in (graph, *graph.subgraphs())]
    if not held:
        return []
    if node.op_type in BRANCHED:
        read = {
            value
            for branch in subgraphs(node)
            for output in floating(branch.outputs)
            for value in dependencies(branch, output)
        }
    else:
        read = {v for graph in held for inner in graph for v in inner.inputs if v is not None}
    return sorted((v for v in read if v.graph not in held), key=lambda v: v.name or "")


def consumers(graph: ir.Graph, value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """The nodes of a graph that read a value, with the operand's index (see :func:`operands`)."""
    yield from ((use.node, use.idx) for use in value.uses() if use.node.graph is graph)
    if any(use.node.graph is not graph for use in value.uses()):
        for node in graph:
            yield from ((node, i) for i, v in operands(node) if i < 0 and v is value)


def floating(values: Iterable[ir.Value]) -> list[ir.Value]:
    """The values that are floating, or of unknown type."""
    return [v for v in values if v.dtype is None or v.dtype.is_floating_point()]


def _without_rule(node: ir.Node) -> list[ir.Node]:
    """A node itself where its operator has no rule; of an If, such nodes in its branches."""
    if node.op_type in BRANCHED and not node.domain:
        found = (
            inner
            for branch in subgraphs(node)
            for output in floating(branch.outputs)
            for inner in undecided(branch, output)
        )
        return list(dict.fromkeys(found))
    return [] if _decided(node) else [node]


def _decided(node: ir.Node) -> bool:
    try:
        lookup(node, 0)
    except KeyError:
        return False
    return True


def passes(node: ir.Node, index: int) -> bool:
    """Whether a gradient may pass from a node's outputs to an input; if undecided, it may."""
    if node.op_type in BRANCHED and not node.domain:
        return index < 0
    try:
        return lookup(node, index) is not None
    except KeyError:
        return True


def _differentiable(node: ir.Node) -> bool:
    """Whether a node has a rule, or a function body to put in its place."""
    if node.op_type in BRANCHED and not node.domain:
        return all(_differentiable(inner) for inner in _without_rule(node))
    try:
        kind = decision(node.op_type, node.domain).kind
    except KeyError:
        return False
    return kind in (Kind.RULE, Kind.BODY)
