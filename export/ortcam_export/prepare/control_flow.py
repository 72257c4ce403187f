"""Control flow that is decided before a network runs, replaced by the nodes that then run.

An If whose condition is constant becomes the branch taken. A Loop of constant length, and
a Scan over an axis of known extent, become as many copies of their bodies. What is decided only
when the network runs stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir

from ortcam_export.graph.constants import Array, Constants
from ortcam_export.graph.traversal import subgraphs

__all__ = ["MOST_NODES", "UnfoldControlFlow"]

#: The most nodes a network may have after its loops are unfolded. One of so many takes half a
#: minute to differentiate, and an artifact of three times as many some seconds to load.
MOST_NODES = 10_000


#: Conditions and trip counts are not computed from tensors of more elements.
_MOST = 1024


#: The number of uses of each name, by a value or by a node.
_Names: TypeAlias = "Counter[tuple[type, str]]"


class UnfoldControlFlow(ir.passes.InPlacePass):
    """If -> the branch taken; Loop and Scan -> a copy of the body for each run.

    Only what is decided before the network runs is replaced, in inner graphs too. The tensors of a
    branch keep their names where these are free; those of the i-th run of a body end in ``.i``.
    The network has opset 18 or later, and its shapes are inferred; after a change they are to be
    inferred again, and control flow that was inside may be decided.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Unfold the main graph and the graphs inside."""
        return ir.passes.PassResult(model, _Unfolding(model).visit(model.graph))


class _Unfolding:
    """One walk over a network."""

    def __init__(self, model: ir.Model) -> None:
        self._names = _count_names(model.graph)
        self._left = MOST_NODES - sum(1 for _ in model.graph.all_nodes())
        self._constants = Constants(model.opset_imports.get("", 0), _MOST)

    def visit(self, graph: ir.Graph) -> bool:
        """Unfold a graph and those inside; True if anything changed."""
        changed = False
        for node in list(graph):
            replacement = self._replacement(node)
            if replacement is not None:
                replacement.put(node)
                changed = True
            else:
                inner = [self.visit(subgraph) for subgraph in subgraphs(node)]
                changed = changed or any(inner)
        return changed

    def _replacement(self, node: ir.Node) -> _Copies | None:
        if node.domain or node.op_type not in ("If", "Loop", "Scan"):
            return None
        inner = _count_names(*subgraphs(node))
        copies = _Copies(node, self._names, inner)
        unfold = {"If": self._branch, "Loop": self._loop, "Scan": self._scan}[node.op_type]
        results = unfold(copies)
        if results is None:
            return None
        copies.results = results
        self._left -= len(copies.nodes)
        self._names.subtract(inner)
        self._names.update(copies.named)
        return copies

    def _branch(self, copies: _Copies) -> list[ir.Value] | None:
        condition = self._first(copies.node.inputs[0])
        if condition is None:
            return None
        return copies.add(copies.graph("then_branch" if condition else "else_branch"), [])

    def _loop(self, copies: _Copies) -> list[ir.Value] | None:
        body, (count, condition, *state) = copies.graph("body"), copies.node.inputs
        trips = None if count is None else self._first(count)
        if count is not None and trips is None:
            return None
        if trips is not None and _goes_on(body) and not self._fits(copies, body, int(trips)):
            return None
        scanned: list[list[ir.Value]] = [[] for _ in range(len(body.outputs) - 1 - len(state))]
        run, values = 0, [value for value in state if value is not None]
        if len(values) < len(state):
            return None
        while trips is None or run < int(trips):
            goes_on = True if condition is None else self._first(condition)
            if goes_on is None:
                return None
            if not goes_on:
                break
            if not self._fits(copies, body):
                return None
            inputs = [copies.constant(np.array(run)), copies.constant(np.array(True)), *values]
            condition, *outputs = copies.add(body, inputs, f".{run}")
            values = outputs[: len(state)]
            for part, value in zip(scanned, outputs[len(state) :], strict=True):
                part.append(value)
            run += 1
        if scanned and not run:
            return None  # without a run the shape of the scanned outputs is unknown
        return values + [copies.stacked(part, 0) for part in scanned]

    def _scan(self, copies: _Copies) -> list[ir.Value] | None:
        node, body = copies.node, copies.graph("body")
        count = node.attributes["num_scan_inputs"].as_int()
        first = len(node.inputs) - count
        inputs = [value for value in node.inputs if value is not None]
        if len(inputs) < len(node.inputs) or any(v.shape is None for v in inputs[first:]):
            return None
        values, scanned = inputs[:first], inputs[first:]
        axes = _integers(node, "scan_input_axes", [0] * count)
        axes = [axis % len(v.shape or ()) for axis, v in zip(axes, scanned, strict=True)]
        runs = {(v.shape or ())[axis] for axis, v in zip(axes, scanned, strict=True)}
        steps = next((extent for extent in runs if isinstance(extent, int)), None)
        if not steps or not self._fits(copies, body, steps):
            return None
        parts = [
            copies.unstacked(v, axis, steps, backwards=bool(backwards))
            for v, axis, backwards in zip(
                scanned, axes, _integers(node, "scan_input_directions", [0] * count), strict=True
            )
        ]
        results: list[list[ir.Value]] = [[] for _ in body.outputs[first:]]
        for run in range(steps):
            outputs = copies.add(body, [*values, *(part[run] for part in parts)], f".{run}")
            values = outputs[:first]
            for part, value in zip(results, outputs[first:], strict=True):
                part.append(value)
        axes = _integers(node, "scan_output_axes", [0] * len(results))
        directions = _integers(node, "scan_output_directions", [0] * len(results))
        return values + [
            copies.stacked(part[::-1] if backwards else part, axis)
            for part, axis, backwards in zip(results, axes, directions, strict=True)
        ]

    def _first(self, value: ir.Value | None) -> Any | None:
        """The first element of a condition or trip count; None where only the run knows it."""
        array = self._constants(value)
        return None if array is None or not array.size else array.reshape(-1)[0]

    def _fits(self, copies: _Copies, body: ir.Graph, runs: int = 1) -> bool:
        """True if so many more runs keep the network below its limit."""
        size = 1 + sum(1 for _ in body.all_nodes())
        return len(copies.nodes) + runs * size <= self._left


class _Copies:
    """The nodes that replace a control-flow node."""

    def __init__(self, node: ir.Node, names: _Names, inner: _Names) -> None:
        self.node = node
        self.named: set[tuple[type, str]] = set()
        self._names = names
        self._inner = inner
        self.nodes: list[ir.Node] = []
        self.results: list[ir.Value] = []
        self._constants: list[ir.Value] = []

    def graph(self, name: str) -> ir.Graph:
        """A graph that the node holds."""
        return self.node.attributes[name].as_graph()

    def add(self, body: ir.Graph, inputs: Sequence[ir.Value], suffix: str = "") -> list[ir.Value]:
        """Add a copy of a graph's nodes, and return its outputs."""
        copy = body.clone(allow_outer_scope_values=True)
        bound = dict(zip(copy.inputs, inputs, strict=True))
        outputs = [bound.get(value, value) for value in copy.outputs]
        copy.inputs.clear()
        copy.outputs.clear()
        for name in list(copy.initializers):
            self._keep(copy.initializers.pop(name), suffix)
        for value, operand in bound.items():
            ir.convenience.replace_all_uses_with(value, operand)
        nodes = list(copy)
        copy.remove(nodes)
        for node in nodes:
            self._rename(node, suffix)
        self.nodes += nodes
        return outputs

    def put(self, node: ir.Node) -> None:
        """Replace the node."""
        graph = node.graph
        assert isinstance(graph, ir.Graph)
        for value in self._constants:
            graph.register_initializer(value)
        pairs = [
            (old, new) for old, new in zip(node.outputs, self.results, strict=True) if old.name
        ]
        outputs = [self._op("Identity", new) for _, new in pairs]
        ir.convenience.replace_nodes_and_values(
            graph, node, [node], self.nodes, [old for old, _ in pairs], outputs
        )

    def constant(self, array: Array) -> ir.Value:
        """A constant."""
        tensor = ir.tensor(array)
        value = ir.Value(
            shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor,
            name=f"{self.node.name}.constant.{len(self._constants)}",
        )  # fmt: skip
        self._keep(value, "")
        return value

    def unstacked(
        self, value: ir.Value, axis: int, count: int, *, backwards: bool
    ) -> list[ir.Value]:
        """The parts of a tensor along an axis, which is removed."""
        ones = self.constant(np.ones(count, np.int64))
        parts = self._split(value, ones, axis, count)
        along = self.constant(np.array([axis]))
        squeezed = [self._op("Squeeze", part, along) for part in parts]
        return squeezed[::-1] if backwards else squeezed

    def stacked(self, parts: Sequence[ir.Value], axis: int) -> ir.Value:
        """Tensors joined along a new axis."""
        along = self.constant(np.array([axis]))
        return self._op("Concat", *(self._op("Unsqueeze", p, along) for p in parts), axis=axis)

    def _split(self, value: ir.Value, sizes: ir.Value, axis: int, count: int) -> list[ir.Value]:
        node = self._node("Split", [value, sizes], {"axis": axis}, count)
        return list(node.outputs)

    def _op(self, op_type: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        return self._node(op_type, inputs, attributes, 1).outputs[0]

    def _node(
        self, op_type: str, inputs: Sequence[ir.Value], attributes: dict[str, int], count: int
    ) -> ir.Node:
        attrs = [ir.AttrInt64(name, value) for name, value in attributes.items()]
        name = self._free(ir.Node, f"{self.node.name}.{op_type}.{len(self.nodes)}")
        node = ir.Node("", op_type, inputs, attrs, num_outputs=count, name=name)
        for value in node.outputs:
            value.name = self._free(ir.Value, f"{name}.out")
        self.nodes.append(node)
        return node

    def _keep(self, value: ir.Value, suffix: str) -> None:
        value.name = self._free(ir.Value, f"{value.name}{suffix}")
        self._constants.append(value)

    def _rename(self, node: ir.Node, suffix: str) -> None:
        node.name = self._free(ir.Node, f"{node.name or node.op_type}{suffix}")
        for value in node.outputs:
            if value.name:
                value.name = self._free(ir.Value, f"{value.name}{suffix}")
        for graph in subgraphs(node):
            for value in (*graph.inputs, *tuple(graph.initializers.values())):
                value.name = self._free(ir.Value, f"{value.name}{suffix}")
            for inner in graph:
                self._rename(inner, suffix)

    def _free(self, kind: type, name: str) -> str:
        """Reserve a name that is free, apart from names inside the node, which goes."""
        key, number = (kind, name), 1
        while key in self.named or self._names[key] > self._inner[key]:
            number += 1
            key = (kind, f"{name}_{number}")
        self.named.add(key)
        return key[1]


def _count_names(*graphs: ir.Graph) -> _Names:
    """Count the names in some graphs and those inside them."""
    nested = [inner for graph in graphs for inner in (graph, *graph.subgraphs())]
    values = [v for graph in nested for v in (*graph.inputs, *graph.initializers.values())]
    nodes = [node for graph in nested for node in graph]
    values += [value for node in nodes for value in node.outputs]
    names: _Names = Counter((ir.Value, value.name or "") for value in values)
    names.update((ir.Node, node.name or "") for node in nodes)
    return names


def _goes_on(body: ir.Graph) -> bool:
    """True if a Loop's body plainly never ends the Loop."""
    condition = body.outputs[0]
    while condition is not body.inputs[1]:
        node = condition.producer()
        if node is None or node.op_type != "Identity" or node.inputs[0] is None:
            return condition.const_value is not None
        condition = node.inputs[0]
    return True


def _integers(node: ir.Node, name: str, default: list[int]) -> list[int]:
    attribute = node.attributes.get(name)
    return default if attribute is None else list(attribute.as_ints())
