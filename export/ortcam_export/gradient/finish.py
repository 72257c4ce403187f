"""Finish a gradient graph: name its outputs, and remove what no output needs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
import onnx_ir.passes.common as passes

from ortcam_export.gradient.tape import is_recorded
from ortcam_export.gradient.tensor import Tensor
from ortcam_export.graph.rewriting import rewrite

__all__ = ["finish"]


def finish(model: ir.Model, results: Mapping[str, Tensor]) -> None:
    """Make tensors outputs of the model under these names, and remove what is unused."""
    graph = model.graph
    for name, tensor in results.items():
        value = tensor.value
        if value in graph.outputs or not is_recorded(value.producer()):
            value = tensor.tape.again(value)
        value.name = name
        graph.outputs.append(value)
    rewrite(
        model,
        passes.RemoveUnusedNodesPass(),
        RemoveUnusedBranchConstants(),
        passes.TopologicalSortPass(),
    )


class RemoveUnusedBranchConstants(ir.passes.InPlacePass):
    """An unused initializer of a subgraph -> nothing.

    RemoveUnusedNodesPass leaves these, and ONNX Runtime warns about them.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Remove the unused initializers of all subgraphs."""
        modified = False
        for branch in model.graph.subgraphs():
            for name, constant in list(branch.initializers.items()):
                if not constant.uses() and constant not in branch.outputs:
                    del branch.initializers[name]
                    modified = True
        return ir.passes.PassResult(model, modified)
