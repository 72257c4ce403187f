"""A network without biases, rewritten with small ones to be verified away from its kinks.

Where the features are 0, a convolution without a bias gives exactly 0, and the ReLU behind it has
no derivative there: central differences give half of one, however small the step. Small biases
avoid this, and leave the formulas under test unchanged.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from ortcam_export.gradient.tape import is_recorded
from ortcam_export.verify.run import Array

__all__ = ["AddSmallBiases", "lacks_biases"]

#: The size of a bias, in units of the norm of its channel's weights.
_SMALL = 0.01


class AddSmallBiases(ir.passes.FunctionalPass):
    """Conv(x, w) -> Conv(x, w, b), with b ~ N(0, (0.01 |w_c|)^2), seeded by the output's name.

    A network and its artifact get the same biases, as they have the same convolutions under the
    same names; the gradient's convolutions get none.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Return a copy in which every convolution has a bias."""
        copy = model.clone()
        convolutions = tuple(_without_bias(copy.graph))
        for node, weights in convolutions:
            name = node.outputs[0].name or ""
            bias = _bias(node, weights.numpy(), zlib.crc32(name.encode()))
            value = ir.val(f"{name}.bias_for_check", const_value=ir.tensor(bias))
            copy.graph.register_initializer(value)
            node.resize_inputs(3)
            node.replace_input_with(2, value)
        return ir.passes.PassResult(copy, bool(convolutions))


def lacks_biases(model: ir.Model) -> bool:
    """True if a convolution of a model has constant weights and no bias."""
    return any(True for _ in _without_bias(model.graph))


def _bias(node: ir.Node, w: Array, seed: int) -> Array:
    transposed = node.op_type == "ConvTranspose"
    channels = w.shape[1] * node.attributes.get_int("group", 1) if transposed else w.shape[0]
    size = _SMALL * np.sqrt(np.mean(np.square(w, dtype=np.float64)) * w[0].size)
    bias = size * np.random.default_rng(seed).standard_normal(channels)
    return np.asarray(bias, w.dtype)


def _without_bias(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.TensorProtocol]]:
    """The network's own convolutions without a bias, and their weights."""
    for node in graph:
        if node.op_type not in ("Conv", "ConvTranspose") or is_recorded(node):
            continue
        operands = [value for value in node.inputs if value is not None]
        if len(operands) == 2:
            weights = ir.convenience.get_const_tensor(operands[1])
            if weights is not None:
                yield node, weights
