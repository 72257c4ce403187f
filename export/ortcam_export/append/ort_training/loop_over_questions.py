"""Many questions with a builder that differentiates one scalar.

The scalar is y for one question: the sum over pictures, classes and space of class_weights * region
* score. Pictures do not mix, so dy/dL holds each picture's gradient. The nodes that depend on the
question then move into the body of a Loop over all K questions: the network runs once and each
question in turn. Inputs and outputs are those of the other engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from ortcam.artifact import Layer, Score
from ortcam_export.gradient.seed import Question
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor, minimum
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor, unused

__all__ = ["One", "ask_all", "ask_one"]


@dataclass(frozen=True)
class One:
    """One question, appended to a network.

    Attributes:
        y: the name of its answer, a scalar.
        class_weights: the name of the input [1, N or 1, C].
        region: the name of the input [1, N or 1, *space].
    """

    y: str
    class_weights: str
    region: str


def ask_one(model: ir.Model, score: Score) -> One:
    """Append one question to a network, in place."""
    tape = Tape(model.graph, opset(model), prefix="one")
    s = tape.wrap(tensor(model, score.name))
    space = [axis for axis in range(1, s.rank) if axis != score.class_axis]
    dtype = ir.DataType.DOUBLE if s.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT

    def ask(name: str, shape: Sequence[int | str | None]) -> Tensor:
        value = ir.val(unused(model, name), dtype=dtype, shape=shape)
        model.graph.inputs.append(value)
        return tape.wrap(value)

    weights = ask("one.class_weights", [1, "one.class_weights.N", s.extent(score.class_axis)])
    mask = ask("one.region", [1, "one.region.N", *(f"one.region.{i}" for i in space)])
    question = Question(tape, s.value, score.class_axis, weights, mask)
    cotangent = question.whole().revealed().squeeze([0])
    y = (s * cotangent).sum(range(s.rank))
    return One(y.value.name or "", weights.value.name or "", mask.value.name or "")


def ask_all(
    model: ir.Model,
    one: One,
    gradients: Mapping[Layer, ir.Value],
    *,
    class_weights: str,
    region: str,
) -> None:
    """Turn one question's gradients into those of K questions, pooled, in place.

    Args:
        model: the network with one question and its gradients.
        one: the question, whose inputs are removed.
        gradients: dy/dL for each layer, which becomes the output ``L.weights`` [K, N, C].
        class_weights: the name of the input [K, N or 1, C] that takes their place.
        region: the name of the input [K or 1, N or 1, *space].
    """
    graph = model.graph
    tape = Tape(graph, opset(model), prefix="pooled")
    means = {layer: _mean(tape.wrap(g), layer.channel_axis) for layer, g in gradients.items()}
    inputs = {value.name: value for value in graph.inputs}
    weights, mask = inputs[one.class_weights], inputs[one.region]
    moved = _dependent(graph, {weights, mask}, {mean.value for mean in means.values()})

    index = ir.val("question.index", dtype=ir.DataType.INT64, shape=[])
    going_on = ir.val("question.going_on", dtype=ir.DataType.BOOL, shape=[])
    body = ir.Graph([index, going_on], [], nodes=[], name="question")
    inside = Tape(body, opset(model), prefix="question")
    k = inside.wrap(index).unsqueeze([0])
    all_weights = tape.wrap(_widened(graph, weights, class_weights, "K"))
    all_masks = tape.wrap(_widened(graph, mask, region, f"{region}.K"))
    count = _dim(all_weights)
    mask_index = minimum(k, _dim(all_masks) - 1)  # one region for all questions, or one each
    for value, every, place in ((weights, all_weights, k), (mask, all_masks, mask_index)):
        part = inside.op("Gather", every, place, axis=0)
        value.replace_all_uses_with(part.value)
    body.extend(moved)
    body.outputs.append(inside.again(going_on))
    body.outputs.extend(mean.value for mean in means.values())
    pooled = _loop(tape, count, body)
    for layer, weights_of_all in zip(means, pooled, strict=True):
        features = tape.wrap(tensor(model, layer.name))
        # Without questions, ONNX Runtime knows only fixed extents.
        shape = [count, features.dim(0), features.dim(layer.channel_axis)]
        output = weights_of_all.reshape(shape).value
        output.name = layer.weights
        graph.outputs.append(output)
    passes.RemoveUnusedNodesPass()(model)


def _loop(tape: Tape, count: Tensor, body: ir.Graph) -> list[Tensor]:
    """The outputs of the body, without its condition, for each of ``count`` questions."""
    one = [output for output in body.outputs if output.dtype != ir.DataType.BOOL]
    outputs = [
        ir.val(f"{value.name}.all", dtype=value.dtype, shape=["K", *(value.shape or ())])
        for value in one
    ]
    always = tape.constant(np.True_)
    loop = ir.Node(
        "",
        "Loop",
        [count.squeeze([0]).value, always.value],
        [ir.AttrGraph("body", body)],
        outputs=outputs,
        name="questions",
    )
    tape.graph.append(loop)
    return [tape.wrap(output) for output in outputs]


def _mean(g: Tensor, channel_axis: int) -> Tensor:
    return g.mean([axis for axis in range(1, g.rank) if axis != channel_axis])


def _dim(every: Tensor) -> Tensor:
    count = every.dim(0)
    assert isinstance(count, Tensor)
    return count


def _widened(graph: ir.Graph, one: ir.Value, name: str, count: str) -> ir.Value:
    """Replace an input for one question by an input for all."""
    assert one.shape is not None
    extents = [dim if isinstance(dim, int) else dim.value for dim in one.shape.dims[1:]]
    renamed = [e.replace(one.name or "", name) if isinstance(e, str) else e for e in extents]
    value = ir.val(name, dtype=one.dtype, shape=[count, *renamed])
    graph.inputs[graph.inputs.index(one)] = value
    return value


def _dependent(graph: ir.Graph, sources: set[ir.Value], targets: set[ir.Value]) -> list[ir.Node]:
    """Remove the nodes that depend on the sources from a graph.

    Returns:
        Those of them that the targets need, in the graph's order.
    """
    downstream = set(sources)
    dependent = []
    for node in graph:
        if any(value in downstream for value in node.inputs if value is not None):
            downstream.update(node.outputs)
            dependent.append(node)
    dependencies, nodes = set(targets), []
    for node in reversed(dependent):
        if any(output in dependencies for output in node.outputs):
            dependencies.update(value for value in node.inputs if value is not None)
            nodes.append(node)
    unneeded = [node for node in reversed(dependent) if node not in nodes]
    graph.remove(unneeded, safe=True)
    graph.remove(nodes)
    return nodes[::-1]
