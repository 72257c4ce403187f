"""The maps themselves as outputs, for programs without this package's arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ortcam.artifact import Layer
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor, product
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor

__all__ = ["AppendMaps"]


class AppendMaps(ir.passes.InPlacePass):
    """map[k, n, ...] = max(0, sum over c of weights[k, n, c] * features[n, c, ...]).

    Each layer L that names a map gets an output ``L.map``, float32 [K, N, *space], on the layer's
    own grid. The model has the pooled gradients already.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Append the maps."""
        tape = Tape(model.graph, opset(model))
        maps = {
            layer.map: _map(
                tape.wrap(tensor(model, layer.weights)),
                tape.wrap(tensor(model, layer.name)),
                layer.channel_axis,
            )
            for layer in self._layers
            if layer.map is not None
        }
        finish(model, maps)
        return ir.passes.PassResult(model, bool(maps))


def _map(weights: Tensor, features: Tensor, channel_axis: int) -> Tensor:
    """One product for each picture, [K, C] by [C, cells], for all questions."""
    a = features.cast(weights.dtype).moved(channel_axis, 1)
    cells = a.reshape([a.dim(0), a.dim(1), product(a.dims[2:])])
    sums = (weights.moved(0, 1) @ cells).moved(0, 1)
    return sums.reshape([weights.dim(0), a.dim(0), *a.dims[2:]]).apply("Relu")
