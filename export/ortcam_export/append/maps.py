"""The maps themselves as outputs, for programs that have no arithmetic of their own for them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ortcam.artifact import Layer
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor, product
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor

__all__ = ["append_maps"]


def append_maps(model: ir.Model, layers: Sequence[Layer]) -> None:
    """Gives each layer L that names one an output ``L.map`` [K, N, *space].

    max(0, sum over c of weights[k, n, c] * features[n, c, ...]), float32, on the layer's own grid.

    Args:
        model: the network with the pooled gradients; changed in place.
        layers: its feature layers.
    """
    tape = Tape(model.graph, opset(model))
    finish(
        model,
        {
            layer.map: _map(
                tape.wrap(tensor(model, layer.weights)),
                tape.wrap(tensor(model, layer.name)),
                layer.channel_axis,
            )
            for layer in layers
            if layer.map is not None
        },
    )


def _map(weights: Tensor, features: Tensor, channel_axis: int) -> Tensor:
    """One product a picture, [K, C] by [C, cells], for all questions."""
    a = features.cast(weights.dtype).moved(channel_axis, 1)
    cells = a.reshape([a.dim(0), a.dim(1), product(a.dims[2:])])
    sums = (weights.moved(0, 1) @ cells).moved(0, 1)
    return sums.reshape([weights.dim(0), a.dim(0), *a.dims[2:]]).apply("Relu")
