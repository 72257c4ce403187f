"""Split an artifact in two: the network, run once, and the gradient, run for each question.

Whatever a question's answer needs of the network becomes an output of the first part and an input
of the second. Nodes of the gradient that do not depend on the question, such as the mask of a ReLU,
may go into either part, or into both; the tensors handed over are chosen to be small in total: a
minimum cut, in bytes, between what only the network can compute and what depends on the question.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator

import onnx_ir as ir

from ortcam.artifact import Artifact
from ortcam_export.gradient.tape import is_recorded
from ortcam_export.graph.traversal import part, reads

__all__ = ["split"]

#: The number of elements assumed for an extent that is known only at run time.
_DYNAMIC_EXTENT = 64

#: The cost of handing over one more tensor, in bytes.
_HANDLING = 256

_UNLIMITED = 1 << 60

#: Operators whose results are handed over rather than computed twice.
_COSTLY = {"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul", "MaxPool", "Softmax", "TopK"}


def split(model: ir.Model, artifact: Artifact) -> tuple[ir.Model, ir.Model]:
    """Split an artifact's model: a function, not a pass, since two models come of one.

    Args:
        model: the network with its gradient; not changed.
        artifact: its metadata.

    Returns:
        The network, with the tensors that the gradient needs among its outputs; and the gradient,
        whose inputs are the question's and these tensors.
    """
    graph = model.graph
    question = [value for value in graph.inputs if value.name in artifact.question]
    inputs = [value for value in graph.inputs if value not in question]
    answers = [value for value in graph.outputs if value.name in artifact.answers]
    results = [value for value in graph.outputs if value not in answers]
    handed = _handed_over(graph, question, results)
    further = [value for value in handed if value not in results and value not in inputs]
    network = part(model, _names(inputs), _names([*results, *further]))
    gradient = part(model, _names([*question, *handed]), _names(answers))
    return network, gradient


def _names(values: Iterable[ir.Value]) -> list[str]:
    return [value.name or "" for value in values]


def _handed_over(
    graph: ir.Graph, question: list[ir.Value], results: list[ir.Value]
) -> list[ir.Value]:
    """The tensors that the gradient is computed from, in the graph's order."""
    dependent = set(question)
    repeatable: set[ir.Node] = set()  # nodes that the second part may compute again
    for node in graph:
        if any(value in dependent for value in reads(node)):
            dependent.update(node.outputs)
        elif is_recorded(node) and node.op_type not in _COSTLY:
            repeatable.add(node)
    flow = _Flow()
    cost: dict[ir.Value, int] = {}
    stack: list[ir.Value] = []

    def connect(value: ir.Value, reader: object) -> None:
        if value.is_initializer():
            return
        if value not in cost:
            cost[value] = 0 if value in results else _bytes(value) + _HANDLING
            flow.add((value, "in"), (value, "out"), cost[value])
            stack.append(value)
        flow.add((value, "out"), reader, _UNLIMITED)

    for value in _read_by(graph, dependent):
        connect(value, "question")
    while stack:
        value = stack.pop()
        producer = value.producer()
        if producer is None or producer not in repeatable:
            flow.add("network", (value, "in"), _UNLIMITED)
            continue
        for operand in reads(producer):
            connect(operand, (value, "in"))
    side = flow.cut("network", "question")
    order = {value: i for i, value in enumerate((*graph.inputs, *_outputs(graph)))}
    cut = [value for value in cost if (value, "in") in side and (value, "out") not in side]
    return sorted(cut, key=order.__getitem__)


def _read_by(graph: ir.Graph, dependent: set[ir.Value]) -> Iterator[ir.Value]:
    """The operands, not dependent themselves, of the nodes that compute dependent values."""
    for node in graph:
        if node.outputs and node.outputs[0] in dependent:
            yield from (value for value in reads(node) if value not in dependent)


def _outputs(graph: ir.Graph) -> Iterator[ir.Value]:
    return (value for node in graph for value in node.outputs)


def _bytes(value: ir.Value) -> int:
    """An estimate of a tensor's size."""
    if value.shape is None or value.dtype is None:
        return _UNLIMITED >> 10  # the checker demands the shapes of inputs and outputs
    extents = [e if isinstance(e, int) else _DYNAMIC_EXTENT for e in value.shape.dims[1:]]
    return math.ceil(math.prod(extents) * value.dtype.itemsize)


class _Flow:
    """A flow network, and its minimum cut between two vertices.

    L. R. Ford and D. R. Fulkerson, "Maximal flow through a network", 1956, along the shortest
    augmenting paths (J. Edmonds and R. M. Karp, 1972).
    """

    def __init__(self) -> None:
        self._residual: dict[object, dict[object, int]] = {}

    def add(self, start: object, end: object, capacity: int) -> None:
        """Add an edge."""
        self._residual.setdefault(start, {})[end] = capacity
        self._residual.setdefault(end, {}).setdefault(start, 0)

    def cut(self, source: object, sink: object) -> set[object]:
        """The vertices on the source's side of the minimum cut."""
        while True:
            parents = self._parents(source, sink)
            if sink not in parents:
                return set(parents)
            path, vertex = [], sink
            while vertex != source:
                path.append((parents[vertex], vertex))
                vertex = parents[vertex]
            amount = min(self._residual[a][b] for a, b in path)
            for a, b in path:
                self._residual[a][b] -= amount
                self._residual[b][a] += amount

    def _parents(self, source: object, sink: object) -> dict[object, object]:
        """A breadth-first tree from the source, which ends where it reaches the sink."""
        parents: dict[object, object] = {source: None}
        queue = deque([source])
        while queue and sink not in parents:
            vertex = queue.popleft()
            for other, capacity in self._residual.get(vertex, {}).items():
                if capacity and other not in parents:
                    parents[other] = vertex
                    queue.append(other)
        return parents
