"""Integers that a network computes from known shapes: extents, axes, ends of slices.

Exporters write ``x.shape[2] // 2`` as a handful of nodes. Where the shape is known so is the
result, and rules that need axes or sizes as constants then have them.
"""

from __future__ import annotations

import onnx_ir as ir

from ortcam_export.graph.constants import Array, Constants

__all__ = ["FoldShapes"]

#: Tensors of more elements are no shapes, axes or sizes.
_MOST = 64


class FoldShapes(ir.passes.InPlacePass):
    """An integer tensor that follows from known shapes and constants -> an initializer of its name.

    Floating tensors stay, even where they are known: a gradient may be taken with respect to a
    constant that they are computed from.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold the shape arithmetic of the main graph."""
        graph, modified = model.graph, False
        constants = Constants(model.opset_imports.get("", 0), _MOST)
        for node in tuple(graph):
            if len(node.outputs) != 1 or node.outputs[0].is_graph_output():
                continue
            array = constants(node.outputs[0])
            if array is not None and array.dtype.kind in "iub":
                _replace(graph, node, array)
                modified = True
        return ir.passes.PassResult(model, modified)


def _replace(graph: ir.Graph, node: ir.Node, array: Array) -> None:
    """Replace a node by an initializer."""
    output = node.outputs[0]
    tensor = ir.tensor(array, name=output.name)
    value = ir.Value(
        name=output.name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    output.replace_all_uses_with(value)
    graph.remove(node, safe=True)
