"""Operators without a rule of their own, replaced by their ONNX function bodies."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx_ir as ir
from onnx import inliner

from ortcam_export.gradient.operators import Kind, decision
from ortcam_export.gradient.paths import undecided
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor
from ortcam_export.prepare.prepare import prepare

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
            if _by_body(node)
        }
        if not wanted:
            break
        model = inlined(model, wanted)
    return model


def inlined(model: ir.Model, operators: Iterable[tuple[str, str]]) -> ir.Model:
    """Another model, in which the nodes of these (domain, operator) are their function bodies."""
    wanted = set(operators)
    for node in model.graph.all_nodes():
        if (node.domain, node.op_type) in wanted:
            _name_defaults(node, opset(model))
    proto = ir.to_proto(model)
    # the inliner asks for the type of every input, also of one that is left out
    proto.graph.value_info.add(name="")
    proto = inliner.inline_selected_functions(proto, sorted(wanted), inline_schema_functions=True)
    named = [info for info in proto.graph.value_info if info.name]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(named)
    return prepare(ir.from_proto(proto))


def has_body(operator: str) -> bool:
    """Whether ONNX defines an operator by a graph of others, decided by a rule here or not."""
    return any(not s.domain and s.name == operator for s in onnx.defs.get_function_ops())


def _name_defaults(node: ir.Node, version: int) -> None:
    """Writes out the attributes that are left to their defaults: the inliner knows no defaults."""
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    for name, attribute in schema.attributes.items():
        if attribute.default_value.type and name not in node.attributes:
            node.attributes.add(ir.serde.deserialize_attribute(attribute.default_value))


def _by_body(node: ir.Node) -> bool:
    try:
        return decision(node.op_type, node.domain).kind == Kind.BODY
    except KeyError:
        return False
