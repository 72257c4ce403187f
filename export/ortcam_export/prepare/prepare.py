"""Bringing a network into the one form that the later steps read.

After :func:`prepare` a model has no functions of its own, opset 18 or later, constants as
initializers (``Value.const_value``) and none of them among its inputs, unique names, a name for
every node, and every shape that onnx's inference finds. Nothing is fused or simplified: every
tensor that a user may name is still there under its name.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as passes

from ortcam.errors import ModelError
from ortcam_export.graph.model_io import IR_VERSION, OPSET, opset
from ortcam_export.prepare.contrib_ops import unfuse
from ortcam_export.prepare.control_flow import unfold
from ortcam_export.prepare.opset import raise_opset
from ortcam_export.prepare.qdq import needs_opset_21, to_pairs
from ortcam_export.prepare.shape_inference import infer, shape_inputs

__all__ = ["prepare", "settle"]

_PASS_ERRORS = (ir.passes.InvariantError, ir.passes.PassError, ValueError)


def prepare(model: ir.Model) -> ir.Model:
    """Prepares a network; see this module's description.

    Args:
        model: a network, changed in place where that is possible.

    Returns:
        The prepared network, which may be another object.

    Raises:
        ModelError: the network is not valid, or cannot be raised to opset 18.
    """
    _name_default_domain(model)
    _inline(model)
    passes.RemoveInitializersFromInputsPass()(model)
    needed = 21 if needs_opset_21(model) else OPSET
    if opset(model) < needed:
        model = raise_opset(model, needed)
    unfuse(model)
    model.ir_version = max(model.ir_version or 0, IR_VERSION)
    _lift_constants(model)
    to_pairs(model)
    model.graph.sort()  # the bodies of functions may stand in any order
    passes.NameFixPass(_Names())(model)
    shape_inputs(model)
    settle(model)
    return model


def settle(model: ir.Model) -> None:
    """Infers shapes, and decides the control flow that they decide.

    Raises:
        ModelError: the shapes do not fit together.
    """
    infer(model)
    while unfold(model):  # what was inside may be decided now
        _lift_constants(model)
        infer(model)


def _name_default_domain(model: ir.Model) -> None:
    """``ai.onnx`` is another name of the default domain; later steps know only the empty one."""
    version = model.opset_imports.pop("ai.onnx", None)
    if version is not None:
        model.opset_imports.setdefault("", version)


def _inline(model: ir.Model) -> None:
    for function in model.functions.values():
        # whatever versions a function imports, onnxruntime reads its body by the network's
        own = set(function.opset_imports)
        function.opset_imports.update((d, v) for d, v in model.opset_imports.items() if d in own)
    try:
        passes.InlinePass()(model)
        model.functions.clear()
    except _PASS_ERRORS as error:
        cause = error.__cause__ or error
        raise ModelError(f"the network's functions cannot be inlined: {cause}") from error


def _lift_constants(model: ir.Model) -> None:
    try:
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    except _PASS_ERRORS as error:
        cause = error.__cause__ or error
        raise ModelError(f"the network has a constant that cannot be read: {cause}") from error


class _Names(passes.naming.SimpleNameGenerator):
    """A node without a name is called after the first tensor that it computes."""

    def generate_node_name(self, node: ir.Node) -> str:
        named = (value.name for value in node.outputs if value.name)
        return node.name or next(named, node.op_type)
