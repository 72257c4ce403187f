"""Integers that a network computes from shapes that are known: extents, axes, ends of slices.

Exporters write ``x.shape[2] // 2`` as a handful of nodes. Where the shape is known so is the
result, and rules that need axes or sizes as constants then have them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

__all__ = ["fold"]

_Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

#: Tensors of more elements are no shapes, axes or sizes.
_SMALL = 64

#: What shape arithmetic is made of.
_ARITHMETIC = frozenset(
    (
        "Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal",
        "Floor", "Gather", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual",
        "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Range", "ReduceMax", "ReduceMin",
        "ReduceProd", "ReduceSum", "Reshape", "Slice", "Squeeze", "Sub", "Transpose",
        "Unsqueeze", "Where",
    )
)  # fmt: skip


def fold(model: ir.Model) -> bool:
    """Makes initializers of the integers that follow from known shapes and from constants.

    They keep their names. Floating tensors stay as they are, also where they are known: somebody
    may ask for a gradient with respect to a constant they are computed from.

    Returns:
        Whether there were any.
    """
    graph, news = model.graph, False
    known: dict[ir.Value, _Array] = {}
    for node in tuple(graph):
        found = _evaluated(node, known, model.opset_imports.get("", 0))
        if found is None:
            continue
        output = node.outputs[0]
        known[output] = found
        if found.dtype.kind in "iub" and not output.is_graph_output():
            _replace(graph, node, found)
            news = True
    return news


def _evaluated(node: ir.Node, known: dict[ir.Value, _Array], opset: int) -> _Array | None:
    """The value of a node's output, where it is known."""
    if node.domain or len(node.outputs) != 1:
        return None
    x = node.inputs[0] if node.inputs else None
    if x is None or node.op_type in ("Shape", "Size"):
        return None if x is None else _measured(node, x)
    if node.op_type not in _ARITHMETIC:
        return None
    feeds = {v.name or "": known.get(v, _constant(v)) for v in node.inputs if v is not None}
    dims = _extents(x) if node.op_type in ("Gather", "Slice") else None
    if dims is not None:  # some of a shape's extents, of which others may not be known
        feeds[x.name or ""] = np.arange(len(dims))
    given = {name: array for name, array in feeds.items() if array is not None}
    if len(given) < len(feeds):
        return None
    if _exceeds(node, [given[v.name or ""] for v in node.inputs if v is not None]):
        return None
    try:
        with np.errstate(all="ignore"):
            (found,) = ReferenceEvaluator(ir.to_proto(node), opsets={"": opset}).run(None, given)
    except Exception:
        return None
    if dims is not None:
        taken = [dims[place] for place in np.ravel(found)]
        if not all(isinstance(dim, int) for dim in taken):
            return None
        found = np.asarray(taken, np.int64).reshape(np.shape(found))
    return np.asarray(found)


def _exceeds(node: ir.Node, arrays: list[_Array]) -> bool:
    """Whether what a node takes or makes is more than shape arithmetic deals with."""
    if any(array.size > _SMALL for array in arrays):
        return True
    if node.op_type == "Range":
        start, limit, delta = (float(array.reshape(())) for array in arrays)
        return not abs(limit - start) <= _SMALL * abs(delta)
    if node.op_type == "ConstantOfShape":
        return not 0 <= np.prod(arrays[0].astype(float)) <= _SMALL
    return False


def _measured(node: ir.Node, x: ir.Value) -> _Array | None:
    """The shape or the size of a tensor."""
    if x.shape is None:
        return None
    dims: list[Any] = list(x.shape.dims)
    if node.op_type == "Shape":
        start, end = (node.attributes.get(name) for name in ("start", "end"))
        dims = dims[
            None if start is None else start.as_int() : None if end is None else end.as_int()
        ]
    if not all(isinstance(dim, int) for dim in dims):
        return None
    return np.asarray(dims if node.op_type == "Shape" else np.prod(dims, dtype=np.int64), np.int64)


def _extents(value: ir.Value) -> list[Any] | None:
    """The extents in a value that is the shape of a tensor of known rank."""
    node = value.producer()
    if node is None or node.op_type != "Shape" or node.attributes or node.inputs[0] is None:
        return None
    shape = node.inputs[0].shape
    return None if shape is None else list(shape.dims)


def _constant(value: ir.Value) -> _Array | None:
    tensor = None if value.is_graph_input() else value.const_value
    return tensor.numpy() if tensor is not None and tensor.size <= _SMALL else None


def _replace(graph: ir.Graph, node: ir.Node, array: _Array) -> None:
    """Puts an initializer in the place of a node."""
    output = node.outputs[0]
    tensor = ir.tensor(array, name=output.name)
    value = ir.Value(
        name=output.name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    output.replace_all_uses_with(value)
    graph.remove(node, safe=True)
