"""Splits an artifact in two: the network run once, and the gradient asked as often as wanted.

What a question's answer takes from the network becomes an output of the first part and an input of
the second. What the gradient computes without the question, such as the mask of a ReLU, may go into
either part, or into both; the tensors handed over are chosen to be small together: a minimal cut,
in bytes, between what only the network can compute and what depends on the question.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import onnx_ir as ir

from ortcam.artifact import Artifact
from ortcam_export.gradient.tape import is_recorded
from ortcam_export.graph.model_io import portable_ir
from ortcam_export.graph.traversal import reads

__all__ = ["split"]

#: An extent that is known only when the network runs counts as this many elements.
_OPEN = 64

#: What handing over one more tensor costs, in bytes.
_HANDLING = 256

_NEVER = 1 << 60

#: Products, and what else costs more to compute again than to keep.
_COSTLY = {"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul", "MaxPool", "Softmax", "TopK"}


def split(model: ir.Model, artifact: Artifact) -> tuple[ir.Model, ir.Model]:
    """Splits an artifact's model.

    Args:
        model: the network with its gradient; it is not changed.
        artifact: its metadata.

    Returns:
        The network with what the gradient needs among its outputs; and the gradient, whose inputs
        are the question's and these.
    """
    graph = model.graph
    question = [value for value in graph.inputs if value.name in artifact.question]
    answers = set(artifact.answers)
    kept = [value for value in graph.outputs if value.name not in answers]
    handed = _handed_over(graph, question, kept)
    own = [value for value in graph.inputs if value not in question]
    outputs = [*kept, *(value for value in handed if value not in kept and value not in own)]
    wanted = [value for value in graph.outputs if value.name in answers]
    return _part(model, own, outputs), _part(model, [*question, *handed], wanted)


def _part(model: ir.Model, inputs: Iterable[ir.Value], outputs: Iterable[ir.Value]) -> ir.Model:
    names = ([value.name or "" for value in values] for values in (inputs, outputs))
    graph = ir.convenience.extract(model.graph, *names)
    return ir.Model(graph, ir_version=portable_ir(model))


def _handed_over(graph: ir.Graph, question: list[ir.Value], kept: list[ir.Value]) -> list[ir.Value]:
    """The tensors from which the answers follow, in the graph's order."""
    asked = set(question)
    again: set[ir.Node] = set()  # what the second part may compute once more
    for node in graph:
        if any(value in asked for value in reads(node)):
            asked.update(node.outputs)
        elif is_recorded(node) and node.op_type not in _COSTLY:
            again.add(node)
    flow = _Flow()
    cost: dict[ir.Value, int] = {}
    stack: list[ir.Value] = []

    def read(value: ir.Value, by: object) -> None:
        if value.is_initializer():
            return
        if value not in cost:
            cost[value] = 0 if value in kept else _bytes(value) + _HANDLING
            flow.add((value, "in"), (value, "out"), cost[value])
            stack.append(value)
        flow.add((value, "out"), by, _NEVER)

    for node in graph:
        if node.outputs and node.outputs[0] in asked:
            for value in reads(node):
                if value not in asked:
                    read(value, "question")
    while stack:
        value = stack.pop()
        producer = value.producer()
        if producer is None or producer not in again:
            flow.add("network", (value, "in"), _NEVER)
            continue
        for operand in reads(producer):
            read(operand, (value, "in"))
    here = flow.cut("network", "question")
    order = {value: i for i, value in enumerate((*graph.inputs, *_made(graph)))}
    cut = [value for value in cost if (value, "in") in here and (value, "out") not in here]
    return sorted(cut, key=order.__getitem__)


def _made(graph: ir.Graph) -> Iterable[ir.Value]:
    return (value for node in graph for value in node.outputs)


def _bytes(value: ir.Value) -> int:
    """About how large a tensor is."""
    if value.shape is None or value.dtype is None:
        return _NEVER >> 10  # the checker wants the shape of what goes in or out
    extents = [extent if isinstance(extent, int) else _OPEN for extent in value.shape.dims[1:]]
    return math.ceil(math.prod(extents) * value.dtype.itemsize)


class _Flow:
    """A network of capacities, and the cut of least capacity between two of its places.

    L. R. Ford and D. R. Fulkerson, "Maximal flow through a network", 1956, along the shortest
    paths that are left (J. Edmonds and R. M. Karp, 1972).
    """

    def __init__(self) -> None:
        self._left: dict[object, dict[object, int]] = {}

    def add(self, start: object, end: object, capacity: int) -> None:
        """An edge."""
        self._left.setdefault(start, {})[end] = capacity
        self._left.setdefault(end, {}).setdefault(start, 0)

    def cut(self, source: object, sink: object) -> set[object]:
        """The places on the source's side of the least cut."""
        while True:
            reached: dict[object, object] = {source: None}
            queue = deque([source])
            while queue and sink not in reached:
                place = queue.popleft()
                for other, capacity in self._left.get(place, {}).items():
                    if capacity and other not in reached:
                        reached[other] = place
                        queue.append(other)
            if sink not in reached:
                return set(reached)
            path, place = [], sink
            while place != source:
                path.append((reached[place], place))
                place = reached[place]
            amount = min(self._left[a][b] for a, b in path)
            for a, b in path:
                self._left[a][b] -= amount
                self._left[b][a] += amount
