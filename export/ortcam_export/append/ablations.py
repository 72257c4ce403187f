"""A copy of the network behind a layer, run with channels of the layer left out.

The copy stands in a branch that runs only where an ablation is requested, and it shares the
network's weights: an artifact does not grow by them.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
import onnx_ir.passes.common as passes

from ortcam.artifact import Artifact, Layer
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor, product
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor
from ortcam_export.graph.traversal import between, read_beside, reads

__all__ = ["AppendAblations", "RemoveAblations", "may_stand_together"]

_HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


class AppendAblations(ir.passes.InPlacePass):
    """drops[k, b, n] = y[k, n](A) - y[k, n](keep[b, c] A[n, c, ...]).

    Each layer that names them, with features A, gets an input ``L.keep``, float32 [B, C], B
    ablations, and an output ``L.drops``, float32 [K, B, N]. Scores are subtracted cell by cell, so
    that the effect of one channel is not lost in the sum. Where B is 0 the branch does not run. At
    a layer whose ablations cannot share a run (``together`` is False), B is at most 1.

    The model has the question's inputs already.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Append the branches."""
        tape = Tape(model.graph, opset(model), prefix="ablation")
        drops: dict[str, Tensor] = {}
        for layer in self._artifact.layers:
            if layer.keep is not None and layer.drops is not None:
                features = tape.wrap(tensor(model, layer.name))
                shape = [f"{layer.keep}.B", features.extent(layer.channel_axis)]
                keep = ir.val(layer.keep, dtype=ir.DataType.FLOAT, shape=shape)
                model.graph.inputs.append(keep)
                drops[layer.drops] = _Ablation(tape, self._artifact, layer, keep).branch()
        finish(model, drops)
        return ir.passes.PassResult(model, bool(drops))


class RemoveAblations(ir.passes.InPlacePass):
    """The inverse of :class:`AppendAblations`, also of a part of an artifact that is split."""

    def __init__(self, artifact: Artifact) -> None:
        self._names = {name for layer in artifact.layers for name in (layer.keep, layer.drops)}
        self._names.discard(None)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Remove the outputs, what computes nothing else, and the inputs."""
        drops = [value for value in model.graph.outputs if value.name in self._names]
        if not drops:
            return ir.passes.PassResult(model, modified=False)
        for value in drops:
            model.graph.outputs.remove(value)
        passes.RemoveUnusedNodesPass()(model)
        for value in [value for value in model.graph.inputs if value.name in self._names]:
            model.graph.inputs.remove(value)
        return ir.passes.PassResult(model, modified=True)


def may_stand_together(model: ir.Model, artifact: Artifact, layer: Layer) -> bool:
    """True if the shapes allow a picture's ablations to share a run, as pictures of a batch do.

    Only a run shows that they can: a network computes with shapes too.
    """
    names = artifact.picture, layer.name, artifact.score.name
    return all(isinstance(_first_extent(tensor(model, name)), str) for name in names)


def _first_extent(value: ir.Value) -> int | str | None:
    """The first extent, or its name."""
    if value.shape is None or not len(value.shape):
        return None
    extent = value.shape[0]
    return extent if isinstance(extent, int) else extent.value


class _Ablation:
    """The branch of one layer."""

    def __init__(self, tape: Tape, artifact: Artifact, layer: Layer, keep: ir.Value) -> None:
        self._outer = tape
        self._artifact = artifact
        self._layer = layer
        self._keep = keep
        graph = tape.graph
        values = [*graph.inputs, *(output for node in graph for output in node.outputs)]
        self._values = {value.name: value for value in values}

    def branch(self) -> Tensor:
        """The drops [K, B, N], computed only where B is not 0."""
        tape = self._outer
        count = tape.wrap(self._keep).dim(0)
        assert isinstance(count, Tensor)
        none = ir.Graph([], [], nodes=[], opset_imports=tape.graph.opset_imports, name="none")
        none.outputs.append(tape.inside(none).zeros([0, 0, 0], ir.DataType.FLOAT).value)
        drops = self._tail()
        tail = drops.tape.graph
        tail.outputs.append(drops.value)
        score = self._values[self._artifact.score.name]
        extents = [_first_extent(value) for value in (self._rows, self._keep, score)]
        return tape.branch((count > 0).value, [tail, none], ir.DataType.FLOAT, extents)

    @property
    def _rows(self) -> ir.Value:
        return self._values[self._artifact.class_weights]

    def _tail(self) -> Tensor:
        """The drops [K, B, N], recorded behind a copy of the path from the layer to the score."""
        features = self._values[self._layer.name]
        end, to_score = _end(self._values[self._artifact.score.name])
        beside = _beside(self._outer.graph, features, end)
        graph = ir.convenience.extract(self._outer.graph, [features, *beside], [end])
        copies, (copied_end,) = tuple(graph.inputs), tuple(graph.outputs)
        graph.inputs.clear()
        graph.outputs.clear()
        for name, copy in tuple(graph.initializers.items()):
            ir.convenience.replace_all_uses_with(copy, self._outer.graph.initializers[name])
            del graph.initializers[name]
        tape = self._outer.inside(graph)
        stand_ins = [self._masked(tape, features), *(self._repeated(tape, v) for v in beside)]
        for copy, stand_in in zip(copies, stand_ins, strict=True):
            ir.convenience.replace_all_uses_with(copy, stand_in.value)
        if self._layer.together:
            self._name_batch(graph)
        whole, rest = to_score(tape.wrap(end)), to_score(tape.wrap(copied_end))
        if self._layer.together:
            rest = rest.reshape([self._count(tape), *whole.dims])
        else:
            rest = rest.unsqueeze([0])
        return self._reduced(tape, whole.unsqueeze([0]) - rest)

    def _count(self, tape: Tape) -> Tensor:
        """B."""
        count = tape.wrap(self._keep).dim(0)
        assert isinstance(count, Tensor)
        return count

    def _masked(self, tape: Tape, features: ir.Value) -> Tensor:
        """The features of all ablations, [B N, *], or of a single one, [N, *]."""
        a, keep = tape.wrap(features), tape.wrap(self._keep).cast(tape.wrap(features).dtype)
        channels = self._layer.channel_axis
        if not self._layer.together:
            return a * keep.unsqueeze([i for i in range(1, a.rank) if i != channels])
        spread = keep.unsqueeze([i for i in range(1, a.rank + 1) if i != channels + 1])
        return _merged(a.unsqueeze([0]) * spread, a)

    def _repeated(self, tape: Tape, value: ir.Value) -> Tensor:
        """A tensor read beside the features, repeated for each ablation if it has a batch axis."""
        x = tape.wrap(value)
        batch = _first_extent(self._values[self._artifact.picture])
        if not self._layer.together or _first_extent(value) != batch:
            return x
        return _merged(x.unsqueeze([0]).expand([self._count(tape), *x.dims]), x)

    def _name_batch(self, graph: ir.Graph) -> None:
        """Rename the first extent N of the network's tensors to B N."""
        batch = _first_extent(self._values[self._artifact.picture])
        for node in graph:
            for value in node.outputs:
                if value.shape is not None and _first_extent(value) == batch:
                    first = ir.SymbolicDim(f"{self._keep.name}.BN")
                    value.shape = ir.Shape([first, *value.shape[1:]])

    def _reduced(self, tape: Tape, difference: Tensor) -> Tensor:
        """The questions' drops [K, B, N] from differences of scores [B, N, *]."""
        d = difference.moved(self._artifact.score.class_axis + 1, 2)
        ablations, pictures, classes, *space = d.dims
        cells = product(space)
        d = d.reshape([ablations, pictures, classes, cells]).unsqueeze([0])
        region = tape.wrap(self._values[self._artifact.region]).cast(d.dtype)
        spread = region.expand([region.dim(0), region.dim(1), *space])
        r = spread.reshape([region.dim(0), 1, region.dim(1), cells, 1])
        rows = tape.wrap(self._rows).cast(d.dtype).unsqueeze([1])
        sums = (d @ r).squeeze([-1])
        return (sums * rows).sum([-1]).cast(ir.DataType.FLOAT)


def _beside(graph: ir.Graph, features: ir.Value, end: ir.Value) -> list[ir.Value]:
    """The tensors that the copy reads from outside, beside the features.

    Nodes that depend on constants alone are copied too; so are computed extents, which differ for
    a larger batch.
    """
    varying = set(graph.inputs)
    for node in graph:
        if any(value in varying for value in reads(node)):
            varying.update(node.outputs)
    beside: dict[ir.Value, None] = {}
    stack = read_beside(between(graph, features, end), features)
    while stack:
        value = stack.pop()
        producer = value.producer()
        if value in varying and value.dtype == ir.DataType.INT64 and producer is not None:
            stack += reads(producer)
        elif value in varying:
            beside[value] = None
    return list(beside)


def _merged(x: Tensor, like: Tensor) -> Tensor:
    """[B, N, *] as [B N, *]."""
    return x.reshape([x.dim(0) * x.dim(1), *like.dims[1:]])


def _end(score: ir.Value) -> tuple[ir.Value, Callable[[Tensor], Tensor]]:
    """The tensor in which the copy ends, and the score as a function of it, in float32 at least.

    Of a network in half precision, the logits: the effect of one channel on a probability is below
    the resolution of half precision.
    """
    node = score.producer()
    if score.dtype not in _HALF:
        return score, lambda x: x
    ends = node is not None and not node.domain and node.op_type in ("Softmax", "Sigmoid")
    logits = node.inputs[0] if node is not None and ends else None
    if node is None or logits is None:
        return score, lambda x: x.cast(ir.DataType.FLOAT)
    axis = node.attributes.get_int("axis", -1) if node.op_type == "Softmax" else None
    op_type = node.op_type
    return logits, lambda x: x.cast(ir.DataType.FLOAT).apply(op_type, axis=axis)
