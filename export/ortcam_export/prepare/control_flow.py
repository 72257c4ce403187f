"""Control flow that is decided before a network runs, put into the nodes that then run.

An If whose condition is constant becomes the branch that is taken. A Loop of constant length, and
a Scan over an axis of known extent, become as many copies of their bodies. What is decided only
when the network runs stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from ortcam_export.graph.traversal import subgraphs

__all__ = ["MOST_NODES", "unfold"]

#: How large loops may make a network, in nodes. One of so many takes half a minute to
#: differentiate, and an artifact of three times as many onnxruntime some seconds to load.
MOST_NODES = 10_000


#: The largest arrays that conditions and trip counts are computed from, in elements: shapes.
_SMALL = 1024


#: Operators that pick elements of their first input (of all: Concat), whatever these are.
_PICKING = frozenset(
    {"Concat", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze"}
)  # fmt: skip


#: Operators that conditions and trip counts are computed with.
_COMPUTING = _PICKING | frozenset(
    {
        "Abs", "Add", "And", "Cast", "Ceil", "Constant", "Div", "Equal", "Floor", "Greater",
        "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or",
        "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Sub", "Where", "Xor",
    }
)  # fmt: skip


Array: TypeAlias = npt.NDArray[Any]


#: How often each name is given, to a value or to a node.
_Taken: TypeAlias = "Counter[tuple[type, str]]"


def unfold(model: ir.Model) -> bool:
    """Replaces the control flow that is decided already, that of inner graphs too.

    Args:
        model: a network of opset 18 or later, its shapes inferred; changed in place. The tensors
            of a branch that is taken keep their names where these are free; those of the i-th run
            of a body get ``.i`` at their end.

    Returns:
        Whether anything was replaced: then shapes are to be inferred, and what was inside may be
        decided now.
    """
    return _Unfolding(model).visit(model.graph)


class _Unfolding:
    """One walk over a network."""

    def __init__(self, model: ir.Model) -> None:
        self._taken = _names(model.graph)
        self._left = MOST_NODES - sum(1 for _ in model.graph.all_nodes())
        self._known = _Known(model.opset_imports.get("", 0))

    def visit(self, graph: ir.Graph) -> bool:
        """Replaces what is decided in a graph; whether there was anything."""
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
        own = _names(*subgraphs(node))
        copies = _Copies(node, self._taken, own)
        found = {"If": self._branch, "Loop": self._loop, "Scan": self._scan}[node.op_type](copies)
        if found is None:
            return None
        copies.results = found
        self._left -= len(copies.nodes)
        self._taken.subtract(own)
        self._taken.update(copies.named)
        return copies

    def _branch(self, copies: _Copies) -> list[ir.Value] | None:
        condition = self._known(copies.node.inputs[0])
        if condition is None:
            return None
        taken = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        return copies.add(copies.graph(taken), [])

    def _loop(self, copies: _Copies) -> list[ir.Value] | None:
        body, (count, condition, *state) = copies.graph("body"), copies.node.inputs
        trips = None if count is None else self._known(count)
        if count is not None and trips is None:
            return None
        if trips is not None and _goes_on(body) and not self._fits(copies, body, int(trips.max())):
            return None
        scanned: list[list[ir.Value]] = [[] for _ in range(len(body.outputs) - 1 - len(state))]
        run, values = 0, [value for value in state if value is not None]
        if len(values) < len(state):
            return None
        while trips is None or run < int(trips.reshape(-1)[0]):
            going = None if condition is None else self._known(condition)
            if condition is not None and going is None:
                return None
            if going is not None and not going.reshape(-1)[0]:
                break
            if not self._fits(copies, body):
                return None
            given = [copies.constant(np.array(run)), copies.constant(np.array(True)), *values]
            condition, *outputs = copies.add(body, given, f".{run}")
            values = outputs[: len(state)]
            for part, value in zip(scanned, outputs[len(state) :], strict=True):
                part.append(value)
            run += 1
        if scanned and not run:
            return None  # no run tells the shape of what is scanned
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
            copies.taken_apart(v, axis, steps, backwards=bool(backwards))
            for v, axis, backwards in zip(
                scanned, axes, _integers(node, "scan_input_directions", [0] * count), strict=True
            )
        ]
        made: list[list[ir.Value]] = [[] for _ in body.outputs[first:]]
        for run in range(steps):
            outputs = copies.add(body, [*values, *(part[run] for part in parts)], f".{run}")
            values = outputs[:first]
            for part, value in zip(made, outputs[first:], strict=True):
                part.append(value)
        axes = _integers(node, "scan_output_axes", [0] * len(made))
        directions = _integers(node, "scan_output_directions", [0] * len(made))
        return values + [
            copies.stacked(part[::-1] if backwards else part, axis)
            for part, axis, backwards in zip(made, axes, directions, strict=True)
        ]

    def _fits(self, copies: _Copies, body: ir.Graph, runs: int = 1) -> bool:
        """Whether so many runs more do not make the network too large."""
        size = 1 + sum(1 for _ in body.all_nodes())
        return len(copies.nodes) + runs * size <= self._left


class _Copies:
    """What is to stand in the place of a node."""

    def __init__(self, node: ir.Node, taken: _Taken, own: _Taken) -> None:
        self.node = node
        self.named: set[tuple[type, str]] = set()
        self._taken = taken
        self._own = own
        self.nodes: list[ir.Node] = []
        self.results: list[ir.Value] = []
        self._constants: list[ir.Value] = []

    def graph(self, name: str) -> ir.Graph:
        """A graph that the node holds."""
        return self.node.attributes[name].as_graph()

    def add(self, body: ir.Graph, inputs: Sequence[ir.Value], suffix: str = "") -> list[ir.Value]:
        """Adds a copy of a graph's nodes, and returns what its outputs are."""
        copy = body.clone(allow_outer_scope_values=True)
        bound = dict(zip(copy.inputs, inputs, strict=True))
        outputs = [bound.get(value, value) for value in copy.outputs]
        copy.inputs.clear()
        copy.outputs.clear()
        for name in list(copy.initializers):
            self._keep(copy.initializers.pop(name), suffix)
        for value, given in bound.items():
            ir.convenience.replace_all_uses_with(value, given)
        nodes = list(copy)
        copy.remove(nodes)
        for node in nodes:
            self._rename(node, suffix)
        self.nodes += nodes
        return outputs

    def put(self, node: ir.Node) -> None:
        """Puts the nodes there."""
        graph = node.graph
        assert isinstance(graph, ir.Graph)
        for value in self._constants:
            graph.register_initializer(value)
        pairs = [
            (old, new) for old, new in zip(node.outputs, self.results, strict=True) if old.name
        ]
        named = [self._op("Identity", new) for _, new in pairs]
        ir.convenience.replace_nodes_and_values(
            graph, node, [node], self.nodes, [old for old, _ in pairs], named
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

    def taken_apart(
        self, value: ir.Value, axis: int, count: int, *, backwards: bool
    ) -> list[ir.Value]:
        """The parts of a tensor along an axis, which they lack."""
        ones = self.constant(np.ones(count, np.int64))
        parts = self._split(value, ones, axis, count)
        along = self.constant(np.array([axis]))
        found = [self._op("Squeeze", part, along) for part in parts]
        return found[::-1] if backwards else found

    def stacked(self, parts: Sequence[ir.Value], axis: int) -> ir.Value:
        """Tensors put together along a new axis."""
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
        given = [ir.AttrInt64(name, value) for name, value in attributes.items()]
        name = self._free(ir.Node, f"{self.node.name}.{op_type}.{len(self.nodes)}")
        node = ir.Node("", op_type, inputs, given, num_outputs=count, name=name)
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
        """A name that nothing of the kind has but what the node holds; it is given from now on."""
        key, number = (kind, name), 1
        while key in self.named or self._taken[key] > self._own[key]:
            number += 1
            key = (kind, f"{name}_{number}")
        self.named.add(key)
        return key[1]


class _Known:
    """Computes what depends on constants and static extents alone."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._found: dict[ir.Value, tuple[Array, Array] | None] = {}

    def __call__(self, value: ir.Value | None) -> Array | None:
        """A tensor's value, or None where it is known only when the network runs."""
        if value is None:
            return None
        stack = [value]
        while stack:
            last = stack[-1]
            missing = [] if last in self._found else self._needed(last)
            if missing:
                stack += missing
            else:
                if last not in self._found:
                    self._found[last] = self._evaluated(last)
                stack.pop()
        found = self._found[value]
        return found[0] if found is not None and found[1].all() and found[0].size else None

    def _needed(self, value: ir.Value) -> list[ir.Value]:
        node = value.producer()
        if value.const_value is not None or node is None or not _computes(node):
            return []
        return [v for v in node.inputs if v is not None and v not in self._found]

    def _evaluated(self, value: ir.Value) -> tuple[Array, Array] | None:
        """The elements, and which of them are known."""
        node, const = value.producer(), value.const_value
        if const is not None and not value.is_graph_input():
            return _all_known(const.numpy()) if const.size <= _SMALL else None
        if node is None or node.domain:
            return None
        if node.op_type in ("Shape", "Size"):
            return _extents(node)
        if not _computes(node):
            return None
        given = [None if v is None else self._found[v] for v in node.inputs]
        if any(v is not None and g is None for v, g in zip(node.inputs, given, strict=True)):
            return None
        pairs = {v.name or "": g for v, g in zip(node.inputs, given, strict=True) if v and g}
        result = self._run(node, {name: array for name, (array, _) in pairs.items()})
        if result is None or result.size > _SMALL:
            return None
        if all(known.all() for _, known in pairs.values()):
            return _all_known(result)
        count = len(node.inputs) if node.op_type == "Concat" else 1
        picked = {v.name or "" for v in node.inputs[:count] if v is not None}
        others = [known for name, (_, known) in pairs.items() if name not in picked]
        if node.op_type not in _PICKING or not all(known.all() for known in others):
            return None
        marks = {n: known.astype(np.int64) if n in picked else a for n, (a, known) in pairs.items()}
        mask = self._run(node, marks)
        return None if mask is None else (result, mask.astype(bool))

    def _run(self, node: ir.Node, feeds: dict[str, Array]) -> Array | None:
        evaluator = ReferenceEvaluator(ir.to_proto(node), opsets={"": self._opset})
        try:
            (result,) = evaluator.run(None, feeds)
            return np.asarray(result)
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError):
            return None  # the network fails there when it runs


def _names(*graphs: ir.Graph) -> _Taken:
    """The names in some graphs and those inside them."""
    every = [inner for graph in graphs for inner in (graph, *graph.subgraphs())]
    values = [v for graph in every for v in (*graph.inputs, *graph.initializers.values())]
    nodes = [node for graph in every for node in graph]
    values += [value for node in nodes for value in node.outputs]
    counted: _Taken = Counter((ir.Value, value.name or "") for value in values)
    counted.update((ir.Node, node.name or "") for node in nodes)
    return counted


def _goes_on(body: ir.Graph) -> bool:
    """Whether a Loop's body plainly never ends the Loop."""
    going = body.outputs[0]
    while going is not body.inputs[1]:
        node = going.producer()
        if node is None or node.op_type != "Identity" or node.inputs[0] is None:
            return going.const_value is not None
        going = node.inputs[0]
    return True


def _computes(node: ir.Node) -> bool:
    return not node.domain and node.op_type in _COMPUTING


def _all_known(array: Array) -> tuple[Array, Array]:
    return array, np.ones(array.shape, bool)


def _extents(node: ir.Node) -> tuple[Array, Array] | None:
    """What a Shape or a Size gives."""
    x = node.inputs[0]
    if x is None or x.shape is None:
        return None
    dims = [dim if isinstance(dim, int) else 0 for dim in x.shape]
    known = np.array([isinstance(dim, int) for dim in x.shape], bool)
    if node.op_type == "Size":
        return np.array(np.prod(dims, dtype=np.int64)), np.array(known.all())
    start = node.attributes.get_int("start", 0)
    end = node.attributes.get_int("end", len(dims))
    return np.array(dims, np.int64)[start:end], known[start:end]


def _integers(node: ir.Node, name: str, default: list[int]) -> list[int]:
    attribute = node.attributes.get(name)
    return default if attribute is None else list(attribute.as_ints())
