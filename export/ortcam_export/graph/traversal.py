"""The part of a network between two tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx_ir as ir

from ortcam_export.graph.model_io import portable_ir

__all__ = ["between", "part", "read_beside", "reads", "subgraphs"]


def between(graph: ir.Graph, start: ir.Value, end: ir.Value) -> list[ir.Node]:
    """The nodes on the paths from one tensor to another, the last first."""
    after = {start}
    forward = []
    for node in graph:
        if any(read in after for read in reads(node)):
            after.update(node.outputs)
            forward.append(node)
    before = {end}
    found = []
    for node in reversed(forward):
        if any(output in before for output in node.outputs):
            before.update(reads(node))
            found.append(node)
    return found


def read_beside(nodes: Iterable[ir.Node], start: ir.Value) -> list[ir.Value]:
    """What the nodes behind a tensor read beside it that is no constant and not their own."""
    listed = list(nodes)
    made = {output for node in listed for output in node.outputs}
    found = {
        read: None
        for node in listed
        for read in reads(node)
        if read not in made and read is not start and not read.is_initializer()
    }
    return list(found)


def part(network: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> ir.Model:
    """The part of a network that computes ``outputs`` from ``inputs``, as a network."""
    graph = ir.convenience.extract(network.graph, inputs, outputs)
    return ir.Model(graph, ir_version=portable_ir(network))


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs that a node holds."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads of its graph, also from inside its subgraphs."""
    yield from (value for value in node.inputs if value is not None)
    for graph in subgraphs(node):
        own = {*graph.inputs, *graph.initializers.values()}
        own |= {output for inner in graph for output in inner.outputs}
        yield from (v for inner in graph for v in reads(inner) if v not in own)
