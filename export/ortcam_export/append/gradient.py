"""Appends to a network the gradient of its class scores with respect to its feature layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ortcam.artifact import CLASS_WEIGHTS, REGION, Layer, Score
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.function_bodies import expand
from ortcam_export.gradient.seed import Question
from ortcam_export.gradient.sweep import Sweep
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor

__all__ = ["append_gradient", "is_pooled", "question", "question_about_all"]

#: Marks the weights of a layer on whose way no cotangent was whole.
_POOLED = "ortcam.pooled"


def append_gradient(
    model: ir.Model,
    score: Score,
    layers: Sequence[Layer],
    *,
    class_weights: str = CLASS_WEIGHTS,
    region: str = REGION,
    mask: str | None = None,
) -> ir.Model:
    """Appends the gradient graph of Grad-CAM to a network.

    With y[k, n] = sum over c and space of class_weights[k, n, c] * region[k, n, ...] *
    score[n, c, ...], each feature layer L gets an output ``L.weights`` [K, N, C], the mean over
    space of dy[k, n] / dL, and on request ``L.grad`` [K, N, C, *space], dy[k, n] / dL itself.

    Args:
        model: a prepared network; changed in place, or replaced (see the return value).
        score: the reduction layer.
        layers: the feature layers; the picture's input may be one.
        class_weights: the name of the input [K, N or 1, C].
        region: the name of the input [K or 1, N or 1, *space], each extent full or 1.
        mask: the name of the input, bool [layers], that says which layers are asked for, so that
            what only the others need costs nothing; None where all of them are.

    Returns:
        The network with the question's inputs, and with the score, the features and their pooled
        gradients among its outputs.

    Raises:
        LayerError: no gradient of the score reaches a layer.
        OperatorError: an operator between a layer and the score has no gradient rule.
    """
    model = expand(model, [score.name])
    graph = model.graph
    target = tensor(model, score.name)
    tape = Tape(graph, opset(model))
    asked = question(tape, target, score.class_axis, class_weights, region)
    features = {layer: tensor(model, layer.name) for layer in layers}
    for value in (target, *features.values()):
        if value not in graph.outputs and value not in graph.inputs:
            graph.outputs.append(value)
    alone = {layer: Sweep(tape, asked) for layer in features}
    given = None if mask is None else _masked(tape, mask, layers)
    made = _gradients(tape, asked, features, alone, given)
    finish(model, {name: gradient.revealed() for name, gradient in made.items()})
    pooled = {layer.weights for layer, sweep in alone.items() if not sweep.carried}
    for value in graph.outputs:
        if value.name in pooled:
            value.metadata_props[_POOLED] = ""
    return model


def is_pooled(model: ir.Model, layer: Layer) -> bool:
    """Whether the gradient that was appended carries no whole cotangent on a layer's way."""
    return any(_POOLED in v.metadata_props for v in model.graph.outputs if v.name == layer.weights)


def _gradients(
    tape: Tape,
    asked: Question,
    features: Mapping[Layer, ir.Value],
    alone: Mapping[Layer, Sweep],
    mask: Tensor | None,
) -> dict[str, Tensor]:
    """The gradients of each layer by name, each by the way that is the cheapest for it alone.

    What several need on their ways is the same, and recorded once. With a mask, the whole
    cotangent of a tensor is carried only where a layer is asked for whose way leads there.
    """
    made: dict[str, Tensor] = {}
    for layer, sweep in alone.items():
        made |= _gradients_of(layer, features[layer], sweep)
    if mask is None:
        return made
    needed: dict[ir.Value, frozenset[int]] = {}
    for i, sweep in enumerate(alone.values()):
        for value in sweep.carried:
            needed[value] = needed.get(value, frozenset()) | {i}
    everyone = frozenset(range(len(alone)))

    def gate(layers: frozenset[int]) -> Tensor | None:
        return None if layers == everyone else _any_of(mask, sorted(layers))

    gates = {value: gate(layers) for value, layers in needed.items()}
    for layer, sweep in alone.items():
        # A layer on whose way nothing is whole is free; another is gated as narrowly as all that
        # is whole there, and no narrower: each further gate is one more copy.
        own = everyone.intersection(*(needed[value] for value in sweep.carried))
        with tape.gated(gate(own)):
            made |= _gradients_of(layer, features[layer], Sweep(tape, asked, gates))
    return made


def _gradients_of(layer: Layer, features: ir.Value, sweep: Sweep) -> dict[str, Tensor]:
    """A layer's gradient pooled, and whole where it is wanted so: then the one follows from it."""
    whole = None if layer.grad is None else sweep.whole(features)
    mean = sweep.mean(features, layer.channel_axis)
    if layer.grad is None or whole is None:
        return {layer.weights: mean}
    first = whole.moved(layer.channel_axis, 1)
    return {layer.weights: mean, layer.grad: first.cast(mean.dtype)}


def _masked(tape: Tape, name: str, layers: Sequence[Layer]) -> Tensor:
    value = ir.val(name, dtype=ir.DataType.BOOL, shape=[len(layers)])
    tape.graph.inputs.append(value)
    return tape.wrap(value).cast(ir.DataType.INT64)


def _any_of(mask: Tensor, layers: Sequence[int]) -> Tensor:
    """1 where one of these layers is asked for, else 0; int64 [1]."""
    tape = mask.tape
    return tape.op("Gather", mask, tape.constant(layers), axis=0).max([0], keepdims=True)


def question(
    tape: Tape, score: ir.Value, class_axis: int, class_weights: str, region: str
) -> Question:
    """Adds the question's inputs to a graph: see :func:`append_gradient`."""
    space = [f"{region}.{i}" for i in _space(tape, score, class_axis)]
    # Each extent that may be full or 1 has a symbol of its own: equal symbols mean equal extents.
    return _asked(
        tape,
        score,
        class_axis,
        (class_weights, ["K", f"{class_weights}.N"]),
        (region, [f"{region}.K", f"{region}.N", *space]),
    )


def question_about_all(tape: Tape, score: ir.Value, class_axis: int) -> Question:
    """Adds the inputs of one question, about the whole of one picture, of static shape."""
    space = [1 for _ in _space(tape, score, class_axis)]
    return _asked(tape, score, class_axis, (CLASS_WEIGHTS, [1, 1]), (REGION, [1, 1, *space]))


def _space(tape: Tape, score: ir.Value, class_axis: int) -> list[int]:
    return [axis for axis in range(1, tape.wrap(score).rank) if axis != class_axis]


def _asked(
    tape: Tape,
    score: ir.Value,
    class_axis: int,
    class_weights: tuple[str, Sequence[int | str]],
    region: tuple[str, Sequence[int | str]],
) -> Question:
    """A question, of the names of its inputs and their shapes but for the number of classes."""
    s = tape.wrap(score)
    dtype = ir.DataType.DOUBLE if s.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT

    def ask(name: str, shape: Sequence[int | str | None]) -> Tensor:
        value = ir.val(name, dtype=ir.DataType.FLOAT, shape=shape)
        tape.graph.inputs.append(value)
        return tape.wrap(value).cast(dtype)

    weights = ask(class_weights[0], [*class_weights[1], s.extent(class_axis)])
    mask = ask(*region)
    tape.questions = weights.dim(0)
    return Question(tape, score, class_axis, weights, mask)
