"""Operators without a rule, replaced by their ONNX function bodies."""

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

#: Bodies may use operators with bodies; those of ONNX nest less deep than this.
_DEPTH = 5


def expand(model: ir.Model, scores: Iterable[str]) -> ir.Model:
    """Replace each operator on a score's path that has no rule by its function body.

    ONNX defines some operators, such as Gelu or HardSwish, by a graph of others, whose gradient is
    theirs. Tensors keep their names; operators with neither rule nor body stay. A function, since
    a pass must return either the same model always or another one always.

    Args:
        model: a prepared network.
        scores: the names of the tensors that will be differentiated.

    Returns:
        The network, another object if anything was replaced.
    """
    names = list(scores)
    for _ in range(_DEPTH):
        bodies = {
            (node.domain, node.op_type)
            for name in names
            for node in undecided(model.graph, tensor(model, name))
            if _by_body(node)
        }
        if not bodies:
            break
        model = inlined(model, bodies)
    return model


def inlined(model: ir.Model, operators: Iterable[tuple[str, str]]) -> ir.Model:
    """Return another model, with these (domain, operator) replaced by their bodies."""
    pairs = set(operators)
    for node in model.graph.all_nodes():
        if (node.domain, node.op_type) in pairs:
            _name_defaults(node, opset(model))
    proto = ir.to_proto(model)
    # the inliner asks for the type of every input, even of one that is omitted
    proto.graph.value_info.add(name="")
    proto = inliner.inline_selected_functions(proto, sorted(pairs), inline_schema_functions=True)
    infos = [info for info in proto.graph.value_info if info.name]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(infos)
    return prepare(ir.from_proto(proto))


def has_body(operator: str) -> bool:
    """True if ONNX defines an operator by a graph of others, even where it has a rule here."""
    return any(not s.domain and s.name == operator for s in onnx.defs.get_function_ops())


def _name_defaults(node: ir.Node, version: int) -> None:
    """Write out attributes left to their defaults, which the inliner does not know."""
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    for name, attribute in schema.attributes.items():
        if attribute.default_value.type and name not in node.attributes:
            node.attributes.add(ir.serde.deserialize_attribute(attribute.default_value))


def _by_body(node: ir.Node) -> bool:
    try:
        return decision(node.op_type, node.domain).kind == Kind.BODY
    except KeyError:
        return False
