"""Walks through a graph: what nodes read, and the part between two tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx_ir as ir

from ortcam_export.graph.model_io import portable_ir

__all__ = ["between", "captured", "nested", "part", "read_beside", "reads", "subgraphs"]


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs that a node holds."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def nested(node: ir.Node) -> list[ir.Graph]:
    """The graphs that a node holds, and those inside them."""
    return [
        graph
        for graph_of_node in subgraphs(node)
        for graph in (graph_of_node, *graph_of_node.subgraphs())
    ]


def captured(node: ir.Node) -> list[ir.Value]:
    """The values from outside that the graphs inside a node read.

    ``onnx_ir.analysis.analyze_implicit_usage`` finds them for all nodes of a graph at once: asked
    for each node it would be quadratic, and it fails on a graph that itself captures values.
    """
    inner = nested(node)
    if not inner:
        return []
    values = (value for graph in inner for reader in graph for value in reader.inputs)
    return list(dict.fromkeys(v for v in values if v is not None and v.graph not in inner))


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """The values that a node reads of its graph, from inside its subgraphs too."""
    yield from (value for value in node.inputs if value is not None)
    yield from captured(node)


def between(graph: ir.Graph, start: ir.Value, end: ir.Value) -> list[ir.Node]:
    """The nodes on the paths from one tensor to another, the last first."""
    after = {start}
    forward = []
    for node in graph:
        if any(value in after for value in reads(node)):
            after.update(node.outputs)
            forward.append(node)
    before = {end}
    nodes = []
    for node in reversed(forward):
        if any(output in before for output in node.outputs):
            before.update(reads(node))
            nodes.append(node)
    return nodes


def read_beside(nodes: Iterable[ir.Node], start: ir.Value) -> list[ir.Value]:
    """The values that the nodes behind a tensor read beside it: not constants, nor their own."""
    nodes = list(nodes)
    computed = {output for node in nodes for output in node.outputs}
    beside = {
        value: None
        for node in nodes
        for value in reads(node)
        if value not in computed and value is not start and not value.is_initializer()
    }
    return list(beside)


def part(network: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> ir.Model:
    """Return the part of a network that computes ``outputs`` from ``inputs``, as a network.

    Its weights are in the network's order: onnx-ir collects them in a set, whose order changes from
    one process to the next, and with it the file's bytes.
    """
    graph = ir.convenience.extract(network.graph, inputs, outputs)
    for name in network.graph.initializers:
        weights = graph.initializers.pop(name, None)
        if weights is not None:
            graph.register_initializer(weights)
    return ir.Model(graph, ir_version=portable_ir(network))
