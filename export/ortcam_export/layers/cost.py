"""What a gradient costs: its multiplications beside those of the network's inference.

Counted from shapes, of one picture: the products of convolutions and of matrices, which is where
nearly all the time goes. What works on each element by itself, pools or resizes counts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from ortcam.artifact import Score
from ortcam.errors import OperatorError
from ortcam_export.append.gradient import question_about_all
from ortcam_export.gradient.function_bodies import expand
from ortcam_export.gradient.sweep import Sweep
from ortcam_export.gradient.tape import Tape, is_recorded
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor
from ortcam_export.graph.traversal import reads, subgraphs

__all__ = ["Cost", "gradient_costs", "multiplications"]


@dataclass(frozen=True)
class Cost:
    """What the gradient of one class, over the whole picture, costs at a layer.

    Attributes:
        share: its multiplications over those of the inference; None where a shape is not known.
        pooled: whether no cotangent on its way has all of space.
    """

    share: float | None
    pooled: bool


def gradient_costs(
    model: ir.Model, score: Score, layers: Sequence[tuple[str, int]]
) -> list[Cost | None]:
    """What each layer's gradient costs by itself, as an export with that layer alone records it.

    Args:
        model: a prepared network with the shapes of one picture; it is changed.
        score: its score.
        layers: the name and the channel axis of each, from early to late.

    Returns:
        For each layer its cost, or None where an operator on the way refuses a gradient.
    """
    model = expand(model, [score.name])
    inference = _count(_leading_to(model.graph.outputs))
    tape = Tape(model.graph, opset(model))
    target = tensor(model, score.name)
    sweep = Sweep(tape, question_about_all(tape, target, score.class_axis))
    found: list[Cost | None] = []
    for name, axis in reversed(layers):  # a later layer's cotangents are an earlier one's, too
        try:
            weights = sweep.mean(tensor(model, name), axis)
        except OperatorError:
            found.append(None)
            continue
        nodes = [node for node in _leading_to([weights.value]) if is_recorded(node)]
        made = {value for node in nodes for value in node.outputs}
        gradient = _count(nodes)
        share = None if gradient is None or not inference else gradient / inference
        found.append(Cost(share, made.isdisjoint(g.value for g in sweep.wholes)))
    return found[::-1]


def _leading_to(values: Iterable[ir.Value]) -> list[ir.Node]:
    found: set[ir.Node] = set()
    stack = [node for value in values if (node := value.producer()) is not None]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [maker for v in reads(node) if (maker := v.producer()) is not None]
    return list(found)


def _count(nodes: Iterable[ir.Node]) -> int | None:
    counts = [multiplications(node) for node in nodes]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def multiplications(node: ir.Node) -> int | None:
    """How many multiplications a node's products take; None where a shape is not known.

    Of a convolution a kernel for each element of its output (of a transposed one, of its input),
    of a matrix product an inner extent for each. Of an If, those of its dearest branch.
    """
    inner = [_count(graph) for graph in subgraphs(node)]
    if None in inner:
        return None
    dearest = max((count for count in inner if count is not None), default=0)
    if node.domain or node.op_type not in _PRODUCTS:
        return dearest
    shapes = [_extents(value) for value in (*node.inputs[:2], node.outputs[0])]
    if any(shape is None for shape in shapes):
        return None
    x, w, y = (shape for shape in shapes if shape is not None)
    if node.op_type == "Einsum":
        return _einsum(node)
    if node.op_type == "ConvTranspose":
        return math.prod(x) * math.prod(w[1:])
    if node.op_type == "MatMul":
        return math.prod(y) * x[-1]
    if node.op_type == "Gemm":
        return math.prod(y) * x[0 if node.attributes.get_int("transA", 0) else 1]
    return math.prod(y) * math.prod(w[1:])


_PRODUCTS = frozenset({"Conv", "ConvTranspose", "DeformConv", "Einsum", "Gemm", "MatMul"})


def _einsum(node: ir.Node) -> int | None:
    """One for each combination of the indices, and each operand beyond the first."""
    extents: dict[str, int] = {}
    terms = str(node.attributes["equation"].value).replace(" ", "").partition("->")[0].split(",")
    for term, value in zip(terms, node.inputs, strict=True):
        shape = _extents(value)
        if shape is None or len(term) != len(shape):  # with an ellipsis
            return None
        extents.update(zip(term, shape, strict=True))
    return math.prod(extents.values()) * (len(terms) - 1)


def _extents(value: ir.Value | None) -> tuple[int, ...] | None:
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return value.shape.numpy()
