"""Operators without a rule of their own, replaced by their ONNX function bodies."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx_ir as ir
from onnx import inliner

from ortcam_export.gradient.sweep import undecided
from ortcam_export.names import tensor
from ortcam_export.prepare import prepare

__all__ = ["expand", "has_body", "inlined"]

#: Bodies may use operators that have bodies; ONNX's own nest less deep than this.
_DEPTH = 5


def expand(model: ir.Model, scores: Iterable[str]) -> ir.Model:
    """Replaces each operator that a gradient meets without a rule by its function body.

    ONNX defines some operators, such as Gelu or HardSwish, by a graph of others; the gradient of
    that graph is theirs. Tensors keep their names. What has neither rule nor body stays.

    Args:
        model: a prepared network.
        scores: the names of the tensors that will be differentiated.

    Returns:
        The network, which is another object if anything was replaced.
    """
    names = list(scores)
    for _ in range(_DEPTH):
        wanted = {
            (node.domain, node.op_type)
            for name in names
            for node in undecided(model.graph, tensor(model, name))
            if has_body(node.domain, node.op_type)
        }
        if not wanted:
            break
        model = inlined(model, wanted)
    return model


def inlined(model: ir.Model, operators: Iterable[tuple[str, str]]) -> ir.Model:
    """Another model, in which the nodes of these (domain, operator) are their function bodies."""
    proto = inliner.inline_selected_functions(
        ir.to_proto(model), sorted(operators), inline_schema_functions=True
    )
    return prepare(ir.from_proto(proto))


def has_body(domain: str, operator: str) -> bool:
    """Whether ONNX defines an operator by a graph of others."""
    with_bodies = {(schema.domain, schema.name) for schema in onnx.defs.get_function_ops()}
    return (domain, operator) in with_bodies
