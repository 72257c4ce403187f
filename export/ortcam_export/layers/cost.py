"""The cost of a gradient: its multiplications relative to those of the network's inference.

Counted from shapes, of one picture: the products of convolutions and of matrices, which is where
nearly all the time goes. Elementwise operators, pooling and resizing count nothing.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


#: Constants of more elements are weights, never the shapes, axes or indices that rules read.
_SMALL = 1 << 12


@dataclass(frozen=True)
class Cost:
    """The cost of the gradient of one class, over the whole picture, at a layer.

    Attributes:
        share: its multiplications over those of the inference; None where a shape is not known.
        pooled: True if no cotangent on its way has all of space.
    """

    share: float | None
    pooled: bool


def gradient_costs(
    model: ir.Model, score: Score, layers: Sequence[tuple[str, int]]
) -> list[Cost | None]:
    """Return the cost of each layer's gradient in an export of that layer alone.

    Args:
        model: a prepared network with the shapes of one picture; it is changed.
        score: its score.
        layers: the name and the channel axis of each, from early to late.

    Returns:
        For each layer its cost, or None if an operator on the way refuses a gradient.
    """
    model = expand(model, [score.name])
    inference = _count(_leading_to(model.graph.outputs))
    _forget_weights(model.graph)
    tape = Tape(model.graph, opset(model))
    target = tensor(model, score.name)
    sweep = Sweep(tape, question_about_all(tape, target, score.class_axis))
    features = [(tensor(model, name), axis) for name, axis in layers]
    weights: list[ir.Value | None] = []
    whole: dict[ir.Value, int] = {}  # a whole cotangent to the number of layers that came before it
    for value, axis in reversed(features):  # a later layer's cotangents serve the earlier ones too
        try:
            weights.append(sweep.mean(value, axis).value)
        except OperatorError:
            weights.append(None)
        for g in sweep.wholes[len(whole) :]:
            whole.setdefault(g.value, len(weights))
    return _costs(model.graph, weights, whole, inference)[::-1]


def _forget_weights(graph: ir.Graph) -> None:
    """Remove the numbers of large weights, as products are counted from shapes.

    Rules then record the rearrangement of weights instead of computing it, which takes no time.
    """
    for value in graph.initializers.values():
        if value.const_value is not None and value.const_value.size > _SMALL:
            value.shape, value.dtype = (
                ir.Shape(value.const_value.shape.numpy()),
                value.const_value.dtype,
            )
            value.const_value = None


def _costs(
    graph: ir.Graph,
    weights: Sequence[ir.Value | None],
    whole: Mapping[ir.Value, int],
    inference: int | None,
) -> list[Cost | None]:
    """Add up, for each layer's weights, the products that lead to them, each counted once.

    One pass serves all layers: a set of products is an integer with a bit for each, and from one
    layer to the next only the bits that differ are added and subtracted.
    """
    counts: list[int | None] = []
    products: dict[ir.Value, int] = {}  # the products that lead to each recorded tensor
    first_whole: dict[ir.Value, float] = {}  # and the earliest whole cotangent that does
    for node in filter(is_recorded, graph):
        operands = list(reads(node))
        bits = functools.reduce(operator.or_, (products.get(v, 0) for v in operands), 0)
        earliest = min((first_whole.get(v, math.inf) for v in operands), default=math.inf)
        count = multiplications(node)
        if count != 0:
            bits |= 1 << len(counts)
            counts.append(count)
        for value in node.outputs:
            products[value] = bits
            first_whole[value] = min(earliest, whole.get(value, math.inf))
    unknown = sum(1 << i for i, count in enumerate(counts) if count is None)
    costs: list[Cost | None] = []
    total, before = 0, 0
    for layers, mean in enumerate(weights, 1):
        if mean is None:
            costs.append(None)
            continue
        bits = products.get(mean, 0)
        total += sum(counts[i] or 0 for i in _ones(bits & ~before))
        total -= sum(counts[i] or 0 for i in _ones(before & ~bits))
        before = bits
        share = None if bits & unknown or not inference else total / inference
        costs.append(Cost(share, pooled=first_whole.get(mean, math.inf) > layers))
    return costs


def _ones(bits: int) -> Iterator[int]:
    """Yield the positions of an integer's binary ones."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _leading_to(values: Iterable[ir.Value]) -> list[ir.Node]:
    """Return the nodes on all paths to some tensors."""
    nodes: set[ir.Node] = set()
    stack = [node for value in values if (node := value.producer()) is not None]
    while stack:
        node = stack.pop()
        if node not in nodes:
            nodes.add(node)
            stack += [producer for v in reads(node) if (producer := v.producer()) is not None]
    return list(nodes)


def _count(nodes: Iterable[ir.Node]) -> int | None:
    total = 0
    for node in nodes:
        count = multiplications(node)
        if count is None:
            return None
        total += count
    return total


def multiplications(node: ir.Node) -> int | None:
    """Return the number of multiplications in a node's products, or None if a shape is unknown.

    A convolution takes one kernel for each element of its output (if transposed, of its input), a
    matrix product one inner extent for each. An If counts its most expensive branch.
    """
    inner = [_count(graph) for graph in subgraphs(node)]
    if None in inner:
        return None
    branch = max((count for count in inner if count is not None), default=0)
    if node.domain or node.op_type not in _PRODUCTS:
        return branch
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
    """Return one multiplication for each combination of indices and operand beyond the first."""
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
