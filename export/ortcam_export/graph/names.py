"""Tensors by the names that users give them, and names for new tensors."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.errors import LayerError, nearest

__all__ = ["UnusedNames", "find", "tensor", "unused"]

#: The key under which a model in memory keeps the index of the tensors that it computes.
_INDEX = "ortcam.computed"


def find(model: ir.Model, name: str) -> ir.Value:
    """Return the tensor of this name, or the first output of the node of this name.

    Raises:
        LayerError: there is neither; the message lists the nearest names.
    """
    value = _indexed(model, name)
    if value is not None:
        return value
    tensors = _index(model)
    if name in tensors:
        return tensors[name]
    nodes: dict[str, ir.Value] = {}
    for node in model.graph:
        if node.name and node.outputs:
            nodes.setdefault(node.name, node.outputs[0])
    if name in nodes:
        return nodes[name]
    if any(value.name == name for value in model.graph.inputs):
        raise LayerError(f"{name!r} is an input of the network; name a tensor that it computes")
    if name in model.graph.initializers:
        raise LayerError(f"{name!r} is a constant of the network; name a tensor that it computes")
    raise LayerError(f"the network has no layer {name!r}{nearest(name, {**tensors, **nodes})}")


def tensor(model: ir.Model, name: str) -> ir.Value:
    """Return the tensor of exactly this name: computed, an input or a constant.

    Raises:
        LayerError: there is none; the message lists the nearest names.
    """
    graph = model.graph
    value = _indexed(model, name) or graph.initializers.get(name)
    if value is not None:
        return value
    tensors = {value.name or "": value for value in graph.inputs} | _index(model)
    if name in tensors:
        return tensors[name]
    names = [name for name in {**tensors, **graph.initializers} if name]
    raise LayerError(f"the network has no tensor {name!r}{nearest(name, names)}")


def _indexed(model: ir.Model, name: str) -> ir.Value | None:
    """Return the computed tensor that the index has under this name, unless it was renamed."""
    value: ir.Value | None = model.meta.get(_INDEX, {}).get(name)
    node = None if value is None else value.producer()
    return value if value and node and node.graph is model.graph and value.name == name else None


def _index(model: ir.Model) -> dict[str, ir.Value]:
    """Index the computed tensors of a graph anew: a graph does not report its changes."""
    index = {value.name: value for node in model.graph for value in node.outputs if value.name}
    model.meta[_INDEX] = index
    return index


class UnusedNames:
    """Names for new tensors, in use nowhere in a network; none is returned twice."""

    def __init__(self, model: ir.Model) -> None:
        self._names: set[str | None] = set()
        for graph in model.graphs():
            self._names |= set(graph.initializers) | {value.name for value in graph.inputs}
            self._names |= {value.name for node in graph for value in node.outputs}
            self._names |= {node.name for node in graph}

    def __call__(self, name: str) -> str:
        """Return ``name``, or ``name_2``, ``name_3``... if that is in use."""
        number, candidate = 1, name
        while candidate in self._names:
            number += 1
            candidate = f"{name}_{number}"
        self._names.add(candidate)
        return candidate


def unused(model: ir.Model, name: str) -> str:
    """Return ``name``, or ``name_2``, ``name_3``... if the network has that; scans the network."""
    return UnusedNames(model)(name)
