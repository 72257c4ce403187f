"""The rest of a network behind a layer once more, with channels of the layer left out.

It stands in a branch that runs only where an ablation is asked for, and its weights are the
network's own: an artifact does not grow by them.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from ortcam.artifact import Artifact, Layer
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor, product
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor
from ortcam_export.graph.traversal import between, part, read_beside, reads

__all__ = ["append_ablations", "may_stand_together", "without_ablations"]

_HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def append_ablations(model: ir.Model, artifact: Artifact) -> None:
    """Gives each layer L that names them an input ``L.keep`` and an output ``L.drops``.

    Of keep float32 [B, C], B ablations, the drops float32 [K, B, N] are y[k, n] less what y[k, n]
    is with the features of each channel c multiplied by keep[b, c]. Scores are subtracted cell by
    cell, so that what one channel changes is not lost in the sum. Where B is 0 the branch is not
    run. Where ablations do not stand together at a layer, B is 1 at most.

    Args:
        model: the network with the question's inputs; changed in place.
        artifact: its metadata.
    """
    tape = Tape(model.graph, opset(model), prefix="ablation")
    drops: dict[str, Tensor] = {}
    for layer in artifact.layers:
        if layer.keep is not None and layer.drops is not None:
            features = tape.wrap(tensor(model, layer.name))
            shape = [f"{layer.keep}.B", features.extent(layer.channel_axis)]
            keep = ir.val(layer.keep, dtype=ir.DataType.FLOAT, shape=shape)
            model.graph.inputs.append(keep)
            drops[layer.drops] = _Ablation(tape, artifact, layer, keep).branch()
    finish(model, drops)


def may_stand_together(model: ir.Model, artifact: Artifact, layer: Layer) -> bool:
    """Whether the shapes let ablations of a picture stand beside each other, as pictures do.

    Whether they do so is for a run to show: a network computes with shapes too.
    """
    names = artifact.picture, layer.name, artifact.score.name
    return all(isinstance(_first(tensor(model, name)), str) for name in names)


def without_ablations(model: ir.Model, artifact: Artifact) -> ir.Model:
    """A part of an artifact without what was appended here; the model itself where it has none."""
    added = {name for layer in artifact.layers for name in (layer.keep, layer.drops)}
    inputs, outputs = (
        [value.name or "" for value in values if value.name not in added]
        for values in (model.graph.inputs, model.graph.outputs)
    )
    if len(outputs) == len(model.graph.outputs):
        return model
    return part(model, inputs, outputs)


def _first(value: ir.Value) -> int | str | None:
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
        """The drops [K, B, N], where an ablation is asked for."""
        tape = self._outer
        count = tape.wrap(self._keep).dim(0)
        assert isinstance(count, Tensor)
        none = ir.Graph([], [], nodes=[], opset_imports=tape.graph.opset_imports, name="none")
        none.outputs.append(tape.inside(none).zeros([0, 0, 0], ir.DataType.FLOAT).value)
        found = self._tail()
        tail = found.tape.graph
        tail.outputs.append(found.value)
        score = self._values[self._artifact.score.name]
        extents = [_first(self._rows), _first(self._keep), _first(score)]
        return tape.branch((count > 0).value, [tail, none], ir.DataType.FLOAT, extents)

    @property
    def _rows(self) -> ir.Value:
        return self._values[self._artifact.class_weights]

    def _tail(self) -> Tensor:
        """The drops [K, B, N], recorded behind a copy of what leads from the layer to the score."""
        features = self._values[self._layer.name]
        end, finished = _end(self._values[self._artifact.score.name])
        beside = _beside(self._outer.graph, features, end)
        graph = ir.convenience.extract(self._outer.graph, [features, *beside], [end])
        copies, (last,) = tuple(graph.inputs), tuple(graph.outputs)
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
        whole, rest = finished(tape.wrap(end)), finished(tape.wrap(last))
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
        """The features of every ablation, [B N, *], or of the one, [N, *]."""
        a, keep = tape.wrap(features), tape.wrap(self._keep).cast(tape.wrap(features).dtype)
        channels = self._layer.channel_axis
        if not self._layer.together:
            return a * keep.unsqueeze([i for i in range(1, a.rank) if i != channels])
        spread = keep.unsqueeze([i for i in range(1, a.rank + 1) if i != channels + 1])
        return _merged(a.unsqueeze([0]) * spread, a)

    def _repeated(self, tape: Tape, value: ir.Value) -> Tensor:
        """What goes with the features: once for each ablation where it is a picture's."""
        x = tape.wrap(value)
        batch = _first(self._values[self._artifact.picture])
        if not self._layer.together or _first(value) != batch:
            return x
        return _merged(x.unsqueeze([0]).expand([self._count(tape), *x.dims]), x)

    def _name_batch(self, graph: ir.Graph) -> None:
        """Calls the first extent B N what the network calls N."""
        batch = _first(self._values[self._artifact.picture])
        for node in graph:
            for value in node.outputs:
                if value.shape is not None and _first(value) == batch:
                    first = ir.SymbolicDim(f"{self._keep.name}.BN")
                    value.shape = ir.Shape([first, *value.shape[1:]])

    def _reduced(self, tape: Tape, difference: Tensor) -> Tensor:
        """Of differences of scores [B, N, *] the questions' [K, B, N]."""
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
    """What the copy takes from outside beside the features.

    What is made of constants alone is made in the copy once more; and so are extents, as of more
    pictures they are others.
    """
    varying = set(graph.inputs)
    for node in graph:
        if any(value in varying for value in reads(node)):
            varying.update(node.outputs)
    found: dict[ir.Value, None] = {}
    stack = read_beside(between(graph, features, end), features)
    while stack:
        value = stack.pop()
        producer = value.producer()
        if value in varying and value.dtype == ir.DataType.INT64 and producer is not None:
            stack += reads(producer)
        elif value in varying:
            found[value] = None
    return list(found)


def _merged(x: Tensor, like: Tensor) -> Tensor:
    """[B, N, *] as [B N, *]."""
    return x.reshape([x.dim(0) * x.dim(1), *like.dims[1:]])


def _end(score: ir.Value) -> tuple[ir.Value, Callable[[Tensor], Tensor]]:
    """What the copy ends in, and what makes the score of it, in float32 at least.

    Of a network of half precision the logits: what one channel changes in a probability is less
    than half precision tells.
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
