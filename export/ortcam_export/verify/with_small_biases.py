"""A network without biases as one with small ones, to be checked away from its kinks.

Where the features are 0, a convolution without a bias gives exactly 0, and the ReLU behind it has
no derivative there: central differences give half of one, however small the step. With a small
bias that does not happen, and the formulas that a check is about are the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from ortcam_export.gradient.tape import is_recorded

__all__ = ["biased", "lacks_biases"]

#: A bias, in units of the norm of its channel's weights.
_SMALL = 0.01


def lacks_biases(model: ir.Model) -> bool:
    """Whether a convolution of a model has constant weights and no bias."""
    return any(True for _ in _without_bias(model.graph))


def biased(model: ir.Model) -> ir.Model:
    """A copy of a model, every convolution of which has a bias.

    Equal in a network and in its artifact, which has the same convolutions under the same names.
    """
    copy = model.clone()
    for node, weights in tuple(_without_bias(copy.graph)):
        name = node.outputs[0].name or ""
        random = np.random.default_rng(zlib.crc32(name.encode()))
        transposed = node.op_type == "ConvTranspose"
        w = weights.numpy()
        group = node.attributes.get_int("group", 1)
        channels = w.shape[1] * group if transposed else w.shape[0]
        size = _SMALL * np.sqrt(np.mean(np.square(w, dtype=np.float64)) * w[0].size)
        bias = (size * random.standard_normal(channels)).astype(w.dtype)
        value = ir.val(f"{name}.bias_for_check", const_value=ir.tensor(bias))
        copy.graph.register_initializer(value)
        node.resize_inputs(3)
        node.replace_input_with(2, value)
    return copy


def _without_bias(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.TensorProtocol]]:
    """The network's own convolutions without a bias, and their weights."""
    for node in graph:
        if node.op_type not in ("Conv", "ConvTranspose") or is_recorded(node):
            continue
        given = [value for value in node.inputs if value is not None]
        if len(given) == 2 and given[1].const_value is not None:
            yield node, given[1].const_value
