"""The gradient of class scores with respect to feature layers, appended to a network.

A function, not a pass: it replaces the model only where ONNX function bodies are inlined, which
neither an in-place nor a functional pass may do.
"""

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

#: Marks the weights of a layer whose gradient needs no whole cotangent.
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
    """Append the gradient graph of Grad-CAM to a network.

    With y[k, n] = sum over c and space of class_weights[k, n, c] * region[k, n, ...] *
    score[n, c, ...], each feature layer L gets an output ``L.weights`` [K, N, C], the mean over
    space of dy[k, n] / dL, and on request ``L.grad`` [K, N, C, *space], dy[k, n] / dL itself.

    Args:
        model: a prepared network; changed in place, or replaced (see the return value).
        score: the reduction layer.
        layers: the feature layers; the picture's input may be one.
        class_weights: the name of the input [K, N or 1, C].
        region: the name of the input [K or 1, N or 1, *space], each extent full or 1.
        mask: the name of the input, bool [layers], that selects layers, so that unselected ones
            cost nothing; None if all of them are always computed.

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
    cotangent = question(tape, target, score.class_axis, class_weights, region)
    features = {layer: tensor(model, layer.name) for layer in layers}
    for value in (target, *features.values()):
        if value not in graph.outputs and value not in graph.inputs:
            graph.outputs.append(value)
    sweeps = {layer: Sweep(tape, cotangent) for layer in features}
    selection = None if mask is None else _selection(tape, mask, layers)
    gradients = _gradients(tape, cotangent, features, sweeps, selection)
    finish(model, {name: gradient.revealed() for name, gradient in gradients.items()})
    pooled = {layer.weights for layer, sweep in sweeps.items() if not sweep.carried}
    for value in graph.outputs:
        if value.name in pooled:
            value.metadata_props[_POOLED] = ""
    return model


def is_pooled(model: ir.Model, layer: Layer) -> bool:
    """True if the appended gradient of a layer needs no whole cotangent."""
    return any(_POOLED in v.metadata_props for v in model.graph.outputs if v.name == layer.weights)


def _gradients(
    tape: Tape,
    cotangent: Question,
    features: Mapping[Layer, ir.Value],
    sweeps: Mapping[Layer, Sweep],
    selection: Tensor | None,
) -> dict[str, Tensor]:
    """The gradients of each layer by name, each along the path that is cheapest for it alone.

    Steps that several layers share are recorded once. With a selection, the whole cotangent of a
    tensor is carried only where a selected layer needs it.
    """
    gradients: dict[str, Tensor] = {}
    for layer, sweep in sweeps.items():
        gradients |= _gradients_of(layer, features[layer], sweep)
    if selection is None:
        return gradients
    readers: dict[ir.Value, frozenset[int]] = {}
    for i, sweep in enumerate(sweeps.values()):
        for value in sweep.carried:
            readers[value] = readers.get(value, frozenset()) | {i}
    everyone = frozenset(range(len(sweeps)))

    def gate(layers: frozenset[int]) -> Tensor | None:
        return None if layers == everyone else _any_of(selection, sorted(layers))

    gates = {value: gate(layers) for value, layers in readers.items()}
    for layer, sweep in sweeps.items():
        # A layer that needs no whole cotangent is free; another one is gated as narrowly as all
        # the cotangents that it needs, and no narrower: each further gate is one more copy.
        shared = everyone.intersection(*(readers[value] for value in sweep.carried))
        with tape.gated(gate(shared)):
            gradients |= _gradients_of(layer, features[layer], Sweep(tape, cotangent, gates))
    return gradients


def _gradients_of(layer: Layer, features: ir.Value, sweep: Sweep) -> dict[str, Tensor]:
    """A layer's pooled gradient, and the whole one if it is named: the former follows from it."""
    whole = None if layer.grad is None else sweep.whole(features)
    mean = sweep.mean(features, layer.channel_axis)
    if layer.grad is None or whole is None:
        return {layer.weights: mean}
    first = whole.moved(layer.channel_axis, 1)
    return {layer.weights: mean, layer.grad: first.cast(mean.dtype)}


def _selection(tape: Tape, name: str, layers: Sequence[Layer]) -> Tensor:
    """Add the input that selects layers; int64 [layers]."""
    value = ir.val(name, dtype=ir.DataType.BOOL, shape=[len(layers)])
    tape.graph.inputs.append(value)
    return tape.wrap(value).cast(ir.DataType.INT64)


def _any_of(selection: Tensor, layers: Sequence[int]) -> Tensor:
    """1 if any of these layers is selected, else 0; int64 [1]."""
    tape = selection.tape
    return tape.op("Gather", selection, tape.constant(layers), axis=0).max([0], keepdims=True)


def question(
    tape: Tape, score: ir.Value, class_axis: int, class_weights: str, region: str
) -> Question:
    """Add the question's inputs to a graph; see :func:`append_gradient`."""
    space = [f"{region}.{i}" for i in _space(tape, score, class_axis)]
    # An extent that may be full or 1 has its own symbol: equal symbols mean equal extents.
    return _question(
        tape,
        score,
        class_axis,
        (class_weights, ["K", f"{class_weights}.N"]),
        (region, [f"{region}.K", f"{region}.N", *space]),
    )


def question_about_all(tape: Tape, score: ir.Value, class_axis: int) -> Question:
    """Add the inputs of a single question about one whole picture, of static shape."""
    space = [1 for _ in _space(tape, score, class_axis)]
    return _question(tape, score, class_axis, (CLASS_WEIGHTS, [1, 1]), (REGION, [1, 1, *space]))


def _space(tape: Tape, score: ir.Value, class_axis: int) -> list[int]:
    """The spatial axes of a score."""
    return [axis for axis in range(1, tape.wrap(score).rank) if axis != class_axis]


def _question(
    tape: Tape,
    score: ir.Value,
    class_axis: int,
    class_weights: tuple[str, Sequence[int | str]],
    region: tuple[str, Sequence[int | str]],
) -> Question:
    """Add a question's inputs, given their names and their shapes but for the classes."""
    s = tape.wrap(score)
    dtype = ir.DataType.DOUBLE if s.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT

    def add_input(name: str, shape: Sequence[int | str | None]) -> Tensor:
        value = ir.val(name, dtype=ir.DataType.FLOAT, shape=shape)
        tape.graph.inputs.append(value)
        return tape.wrap(value).cast(dtype)

    weights = add_input(class_weights[0], [*class_weights[1], s.extent(class_axis)])
    mask = add_input(*region)
    tape.questions = weights.dim(0)
    return Question(tape, score, class_axis, weights, mask)
