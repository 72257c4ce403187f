"""Bring a network into the one form that the later stages read.

After :func:`prepare` a model has no functions of its own, opset 18 or later, constants as
initializers (``Value.const_value``) and none of them among its inputs, unique names, a name for
every node, and every shape that onnx's inference finds. Nothing is simplified, and fused is only
what an older opset could not write as one node. All other tensors keep their names.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as passes

from ortcam.errors import ModelError
from ortcam_export.graph.rewriting import rewrite
from ortcam_export.prepare.contrib_ops import UnfuseContribOps
from ortcam_export.prepare.control_flow import UnfoldControlFlow
from ortcam_export.prepare.older_forms import RestoreLayerNormalization, RestoreSoftmax
from ortcam_export.prepare.opset import RaiseOpset
from ortcam_export.prepare.qdq import ToPairs
from ortcam_export.prepare.shape_inference import DeclareInputShapes, infer

__all__ = ["prepare", "settle"]

_PASS_ERRORS = (ir.passes.InvariantError, ir.passes.PassError, ValueError)


def prepare(model: ir.Model) -> ir.Model:
    """Prepare a network, as this module describes.

    Args:
        model: a network, changed in place.

    Returns:
        The prepared network.

    Raises:
        ModelError: the network is invalid, or cannot be raised to opset 18.
    """
    model = rewrite(
        model,
        NameDefaultDomain(),
        InlineFunctions(),
        passes.RemoveInitializersFromInputsPass(),
        LiftConstants(),
        passes.TopologicalSortPass(),  # the bodies of functions may stand in any order
        DeclareInputShapes(),
        RaiseOpset(),
        UnfuseContribOps(),
        LiftConstants(),  # those of the converter
        RestoreSoftmax(),
        RestoreLayerNormalization(),
        ToPairs(),
        passes.TopologicalSortPass(),
        passes.NameFixPass(_Names()),
    )
    settle(model)
    return model


def settle(model: ir.Model) -> None:
    """Infer shapes and unfold the control flow that they decide, until nothing changes.

    A function, not a pass: like :func:`infer`, it always runs last and mainly annotates.

    Raises:
        ModelError: the shapes do not fit together.
    """
    infer(model)
    while UnfoldControlFlow()(model).modified:  # may decide control flow inside
        LiftConstants()(model)
        infer(model)


class NameDefaultDomain(ir.passes.InPlacePass):
    """The opset import ``ai.onnx`` -> that of the empty domain, its other name."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename the opset import."""
        version = model.opset_imports.pop("ai.onnx", None)
        if version is not None:
            model.opset_imports.setdefault("", version)
        return ir.passes.PassResult(model, version is not None)


class InlineFunctions(ir.passes.InPlacePass):
    """A call of a function of the model -> the function's nodes."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Inline all functions.

        Raises:
            ModelError: the functions are invalid.
        """
        for function in model.functions.values():
            # whatever versions a function imports, onnxruntime reads its body by the network's
            imports = function.opset_imports
            imports.update((d, v) for d, v in model.opset_imports.items() if d in imports)
        try:
            result = passes.InlinePass()(model)
        except _PASS_ERRORS as error:
            cause = error.__cause__ or error
            raise ModelError(f"the network's functions cannot be inlined: {cause}") from error
        model.functions.clear()
        return result


class LiftConstants(ir.passes.InPlacePass):
    """A Constant node -> an initializer."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Lift all constants.

        Raises:
            ModelError: a constant is invalid.
        """
        lift = passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
        try:
            return lift(model)
        except _PASS_ERRORS as error:
            cause = error.__cause__ or error
            raise ModelError(f"the network has a constant that cannot be read: {cause}") from error


class _Names(passes.naming.SimpleNameGenerator):
    """A node without a name is called after the first tensor that it computes."""

    def generate_node_name(self, node: ir.Node) -> str:
        names = (value.name for value in node.outputs if value.name)
        return node.name or next(names, node.op_type)
