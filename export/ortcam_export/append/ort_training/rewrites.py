"""Rewriting a network in a form that ONNX Runtime's gradient builder differentiates correctly.

The builder of onnxruntime-training 1.19.2 has no gradient for some operators and a silently wrong
one for others; for a few its CPU provider has no kernel, or one that crashes without fixed shapes.
Each such operator is replaced, where possible, by others that compute the same and are
differentiated correctly. Only nodes between a feature layer and the score change, and every tensor
keeps its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from ortcam.errors import OperatorError
from ortcam.messages import Message, Option
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.paths import dependencies
from ortcam_export.gradient.rules.convolution import conv_geometry
from ortcam_export.gradient.rules.pooling import averages, indices
from ortcam_export.gradient.rules.resampling import matrices
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Dim, Tensor
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor

__all__ = ["WAY_OUT", "ReplaceUnsupported"]

#: Begins the names of the new tensors.
_PREFIX = "plain"

WAY_OUT = Message("choose a feature layer after it, or export with ", Option("engine", "ortcam"))

#: Computes a node's outputs by other operators; None for an output, or a node, that can stay.
Rewrite: TypeAlias = "Callable[[Node], Sequence[Tensor | None] | None]"


class ReplaceUnsupported(ir.passes.InPlacePass):
    """An operator that the builder lacks or gets wrong -> others that compute the same.

    Args of the constructor:
        score: the tensor to differentiate.
        layers: the tensors to differentiate with respect to.
    """

    def __init__(self, score: str, layers: Collection[str]) -> None:
        self._score = score
        self._layers = layers

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace the nodes between the layers and the score of a prepared network.

        Raises:
            OperatorError: an operator has a form that cannot be replaced.
        """
        tape, modified = Tape(model.graph, opset(model), prefix=_PREFIX), False
        for node in _between(model, self._score, self._layers):
            rewrite = None if node.domain else _REWRITES.get(node.op_type)
            if rewrite is not None:
                _rewrite(tape, node, rewrite)
                modified = True
        passes.RemoveUnusedNodesPass()(model)
        passes.TopologicalSortPass()(model)
        return ir.passes.PassResult(model, modified)


def _between(model: ir.Model, score: str, layers: Collection[str]) -> list[ir.Node]:
    """The nodes through which the score depends on the layers, in the graph's order."""
    on_path = dependencies(model.graph, tensor(model, score))
    after = {tensor(model, layer) for layer in layers}
    between = []
    for node in model.graph:
        if any(value in after for value in node.inputs if value is not None):
            after.update(node.outputs)
            if any(output in on_path for output in node.outputs):
                between.append(node)
    return between


def _rewrite(tape: Tape, node: ir.Node, rewrite: Rewrite) -> None:
    outputs = tuple(node.outputs)
    # Before the rewrite, which may itself read the old output's shape.
    uses = [[(use.node, use.idx) for use in output.uses()] for output in outputs]
    for old, consumers, new in zip(outputs, uses, rewrite(Node(tape, node)) or (), strict=False):
        if new is None:
            continue
        value = new.value
        if not (value.name or "").startswith(f"{_PREFIX}."):  # it has another name
            value = tape.again(value)
        value.shape, value.type = old.shape, old.type
        for consumer, index in consumers:
            consumer.replace_input_with(index, value)
        graph_outputs = tape.graph.outputs
        graph_outputs[:] = [value if output is old else output for output in graph_outputs]
        old.name, value.name = f"{old.name}.before", old.name


def _auto_pad(n: Node) -> Sequence[Tensor] | None:
    """The builder takes SAME_UPPER and SAME_LOWER for no padding."""
    if n.attribute("auto_pad", "NOTSET") in ("NOTSET", "VALID"):
        return None
    geometry = conv_geometry(n)
    x, pads = n.x, [*geometry.before, *geometry.after]
    if not all(isinstance(amount, int) for amount in pads):  # known when the network runs
        x = _padded(x, [0, 0, *geometry.before, 0, 0, *geometry.after])
        pads = [0] * len(pads)
    return n.tape.ops(
        "Conv",
        x,
        *(n.input(i) for i in range(1, len(n.node.inputs)) if n.has(i)),
        group=n.attribute("group", 1),
        strides=geometry.strides,
        dilations=geometry.dilations,
        pads=pads,
    )


def _average_pool(n: Node) -> Sequence[Tensor]:
    """AveragePoolGrad does not support unknown extents: its gradient would be empty."""
    return [_along(n.x, averages(n))]


def _batch_normalization(n: Node) -> Sequence[Tensor]:
    if n.attribute("training_mode", 0):
        raise n.refuse("is in training mode, where its statistics are the batch's")
    scale, bias, mean, var = (n.input(i) for i in range(1, 5))
    epsilon: float = n.attribute("epsilon", 1e-5)
    slope = scale / (var + epsilon).sqrt()
    space = range(1, n.x.rank - 1)
    return [n.x * slope.unsqueeze(space) + (bias - mean * slope).unsqueeze(space)]


def _dropout(n: Node) -> Sequence[Tensor | None]:
    """Dropout(x) -> x outside training; with a mask the builder doubles the gradient."""
    if n.has(2) and (n.input(2).const is None or n.input(2).item):
        raise n.refuse("is in training mode, where it drops at random")
    mask = n.node.outputs[1:]
    ones = n.tape.constant(np.ones((), np.bool_)) if mask else None
    return [n.x, *(ones.expand(n.x.dims) for _ in mask if ones is not None)]


def _instance_normalization(n: Node) -> Sequence[Tensor]:
    over = range(2, n.x.rank)
    space = range(1, n.x.rank - 1)
    scale, bias = (n.input(i).unsqueeze(space) for i in (1, 2))
    return [_standardized(n, list(over)) * scale + bias]


def _layer_normalization(n: Node) -> Sequence[Tensor]:
    """LayerNormalizationGrad needs the mean and deviation, which few nodes have as outputs."""
    if any(output.uses() for output in n.node.outputs[1:]):
        raise OperatorError(
            f"{n.described} has a mean or deviation that is used elsewhere, which ONNX Runtime's "
            "gradient builder does not support; ",
            WAY_OUT,
        )
    standard = _standardized(n, list(range(n.axis(-1), n.x.rank)))
    scaled = standard * n.input(1)
    return [scaled + n.input(2) if n.has(2) else scaled]


def _standardized(n: Node, axes: list[int]) -> Tensor:
    """x with mean 0 and variance 1 over axes."""
    centred = n.x - n.x.mean(axes, keepdims=True)
    variance = (centred * centred).mean(axes, keepdims=True)
    epsilon: float = n.attribute("epsilon", 1e-5)
    return centred / (variance + epsilon).sqrt()


def _max_pool(n: Node) -> Sequence[Tensor | None]:
    """MaxPool(x) -> x at its indices: MaxPoolGrad crashes on unknown extents."""
    return [n.tape.op("Gather", n.x.reshape([-1]), indices(n)), None]


def _mean(n: Node) -> Sequence[Tensor]:
    return [_total(n) / len(n.inputs)]


def _pad(n: Node) -> Sequence[Tensor] | None:
    """The builder takes the amounts for those of all axes, in order."""
    if not n.has(3):
        return None
    if n.attribute("mode", "constant") != "constant":
        return None  # the builder refuses it
    axes, pads = n.constants(3), n.input(1)
    assert axes is not None
    order = [int(axis) % n.x.rank for axis in axes]
    amounts: list[Dim] = [0] * (2 * n.x.rank)
    for i, axis in enumerate(order):
        for side in (0, 1):
            place = i + side * len(order)
            amounts[axis + side * n.x.rank] = pads.slice(0, place, place + 1)
    return [_padded(n.x, amounts, n.input(2) if n.has(2) else None)]


def _padded(x: Tensor, amounts: Sequence[Dim], value: Tensor | None = None) -> Tensor:
    """x padded by amounts before every axis, then after every axis."""
    return x.tape.op("Pad", x, x.tape.shape(amounts), value)


def _resize(n: Node) -> Sequence[Tensor]:
    """Resize(x) -> M x along each axis: ResizeGrad has no kernel on the CPU."""
    return [_along(n.x, matrices(n))]


def _slice(n: Node) -> None:
    """SliceGrad fails in the run on a negative step."""
    steps = n.constants(4) or []
    if any(step < 0 for step in steps):
        raise OperatorError(
            f"{n.described} has a negative step, which ONNX Runtime's gradient builder does not "
            "support; ",
            WAY_OUT,
        )


def _split(n: Node) -> Sequence[Tensor]:
    """The builder joins the gradients of only those parts that the score depends on."""
    axis, extent, count = n.axis(0), n.x.dim(n.axis(0)), len(n.node.outputs)
    sizes: list[Dim]
    if n.has(1):
        split = n.input(1)
        sizes = (
            [split.slice(0, i, i + 1) for i in range(count)]
            if split.const is None
            else [int(size) for size in split.const]
        )
    else:
        sizes = [(extent + (count - 1)) // count] * count
    parts: list[Tensor] = []
    start: Dim = 0
    for size in sizes:
        parts.append(n.x.slice(axis, start, size + start))
        start = size + start
    return parts


def _sum(n: Node) -> Sequence[Tensor]:
    return [_total(n)]


def _total(n: Node) -> Tensor:
    total, *rest = n.inputs
    for x in rest:
        total = total + x
    return total


def _along(x: Tensor, by_axis: dict[int, Tensor]) -> Tensor:
    for axis, matrix in by_axis.items():
        x = x.along(axis, matrix)
    return x


_REWRITES: dict[str, Rewrite] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _auto_pad,
    "Dropout": _dropout,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "MaxPool": _max_pool,
    "Mean": _mean,
    "Pad": _pad,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Sum": _sum,
}
