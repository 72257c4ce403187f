"""Appends to a network the gradient of its class scores with respect to its feature layers."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ortcam.artifact import CLASS_WEIGHTS, REGION, Layer, Score
from ortcam_export.functions import expand
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.seed import Question
from ortcam_export.gradient.sweep import Sweep
from ortcam_export.gradient.tensor import Tape, Tensor
from ortcam_export.names import tensor
from ortcam_export.prepare import opset

__all__ = ["append_gradient", "question"]


def append_gradient(
    model: ir.Model,
    score: Score,
    layers: Sequence[Layer],
    *,
    class_weights: str = CLASS_WEIGHTS,
    region: str = REGION,
) -> ir.Model:
    """Appends the gradient graph of Grad-CAM to a network.

    With y[k, n] = sum over c and space of class_weights[k, n, c] * region[k, n, ...] *
    score[n, c, ...], each feature layer L gets an output ``L.weights`` [K, N, C], the mean over
    space of dy[k, n] / dL.

    Args:
        model: a prepared network; changed in place, or replaced (see the return value).
        score: the reduction layer.
        layers: the feature layers.
        class_weights: the name of the input [K, N or 1, C].
        region: the name of the input [K or 1, N or 1, *space], each extent full or 1.

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
    sweep = Sweep(tape, asked)
    features = {layer: tensor(model, layer.name) for layer in layers}
    for value in (target, *features.values()):
        if value not in graph.outputs:
            graph.outputs.append(value)
    # Early layers first: what their gradients make whole on the way, the later ones average.
    early_first = sorted(layers, key=lambda layer: sweep.position(features[layer]))
    pooled = {
        layer.weights: sweep.mean(features[layer], layer.channel_axis).revealed()
        for layer in early_first
    }
    finish(model, {layer.weights: pooled[layer.weights] for layer in layers})
    return model


def question(
    tape: Tape, score: ir.Value, class_axis: int, class_weights: str, region: str
) -> Question:
    """Adds the question's inputs to a graph: see :func:`append_gradient`."""
    s = tape.wrap(score)
    space = [axis for axis in range(1, s.rank) if axis != class_axis]
    dtype = ir.DataType.DOUBLE if s.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT

    def ask(name: str, shape: Sequence[int | str | None]) -> Tensor:
        value = ir.val(name, dtype=dtype, shape=shape)
        tape.graph.inputs.append(value)
        return tape.wrap(value)

    # Each extent that may be full or 1 has a symbol of its own: equal symbols mean equal extents.
    weights = ask(class_weights, ["K", f"{class_weights}.N", s.extent(class_axis)])
    mask = ask(region, [f"{region}.K", f"{region}.N", *(f"{region}.{i}" for i in space)])
    tape.questions = weights.dim(0)
    return Question(tape, score, class_axis, weights, mask)
