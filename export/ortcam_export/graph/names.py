"""Tensors by the names that users give them, and names for new tensors."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.errors import LayerError, nearest

__all__ = ["find", "tensor", "unused"]


def find(model: ir.Model, name: str) -> ir.Value:
    """The tensor of this name, or the first output of the node of this name.

    Raises:
        LayerError: there is neither; the message tells the nearest names.
    """
    tensors: dict[str, ir.Value] = {}
    nodes: dict[str, ir.Value] = {}
    for node in model.graph:
        for value in node.outputs:
            if value.name:
                tensors[value.name] = value
        if node.name and node.outputs:
            nodes.setdefault(node.name, node.outputs[0])
    if name in tensors or name in nodes:
        return tensors[name] if name in tensors else nodes[name]
    if any(value.name == name for value in model.graph.inputs):
        raise LayerError(f"{name!r} is an input of the network; name a tensor that it computes")
    if name in model.graph.initializers:
        raise LayerError(f"{name!r} is a constant of the network; name a tensor that it computes")
    known = dict.fromkeys((*tensors, *nodes))
    raise LayerError(f"the network has no layer {name!r}{nearest(name, known)}")


def unused(model: ir.Model, name: str) -> str:
    """``name``, or ``name_2``, ``name_3``... where the network uses that already."""
    used: set[str | None] = set()
    for graph in model.graphs():
        used |= set(graph.initializers) | {value.name for value in graph.inputs}
        used |= {value.name for node in graph for value in node.outputs}
        used |= {node.name for node in graph}
    number, candidate = 1, name
    while candidate in used:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def tensor(model: ir.Model, name: str) -> ir.Value:
    """The tensor of exactly this name: computed, an input or a constant.

    Raises:
        LayerError: there is none; the message tells the nearest names.
    """
    graph = model.graph
    tensors = {value.name: value for value in graph.inputs} | dict(graph.initializers)
    tensors |= {value.name: value for node in graph for value in node.outputs}
    if name in tensors:
        return tensors[name]
    raise LayerError(
        f"the network has no tensor {name!r}{nearest(name, [t for t in tensors if t])}"
    )
