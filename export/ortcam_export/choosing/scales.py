"""The parts of a list of scores, such as a detector's scales, and the layers that lead to each."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.artifact import Layer, Score
from ortcam.messages import Message, Option
from ortcam_export.choosing.candidates import ACTIVATIONS, PASSING
from ortcam_export.choosing.features import dependents
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.graph.names import find

__all__ = ["note_scales"]

#: Operators that a score passes on its way from the list, beside those that move it about.
_ELEMENTWISE = frozenset({"Add", "Mul", "Split", *ACTIVATIONS})


def note_scales(network: PreparedNetwork, score: Score, layer: Layer) -> None:
    """Add a note if a layer leads to some parts of a list only.

    The maps of entries in the other parts are blank there: a detector that joins the anchors of
    three scales computes each scale's by convolutions of its own.
    """
    if not score.is_over_list:
        return
    model = network.model
    dependent = dependents(model, [find(model, layer.name)])
    for concat in _concatenations(find(model, score.name), network):
        parts = [value for value in concat.inputs if value is not None]
        reached = sum(value in dependent for value in parts)
        if 0 < reached < len(parts):
            network.notes.append(
                Message(
                    f"{layer.name!r} leads to {reached} of the {len(parts)} parts that the list "
                    f"{score.name!r} is joined of, such as a detector's scales: its maps are blank "
                    "for entries of the others; choose a layer before these part by ",
                    Option("feature_layers"),
                )
            )
            return


def _concatenations(score: ir.Value, network: PreparedNetwork) -> list[ir.Node]:
    """Return the nearest Concats behind a score, but for those of its classes."""
    concatenations: dict[ir.Node, None] = {}
    stack, visited = [score], {score}
    while stack:
        node = stack.pop().producer()
        if node is None or node.domain:
            continue
        if node.op_type == "Concat":
            kinds = network.kinds.get(node.outputs[0].name or "", ())
            axis = node.attributes.get_int("axis", 0) or 0
            if kinds and kinds[axis] in ("list", "space", None):
                concatenations[node] = None
                continue
        elif node.op_type not in PASSING | _ELEMENTWISE:
            continue
        operands = [v for v in node.inputs if v is not None and v not in visited]
        visited.update(operands)
        stack.extend(operands)
    return list(concatenations)
