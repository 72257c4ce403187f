"""Running rewrites of a graph, which are passes of onnx-ir, one after the other."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["rewrite"]


def rewrite(model: ir.Model, *passes: ir.passes.PassBase) -> ir.Model:
    """Run passes in order and return the model they make.

    ``Sequential`` wraps whatever a pass raises in a ``PassError``. Here it comes through: it tells
    the user what is wrong with the network.
    """
    try:
        return ir.passes.Sequential(*passes)(model).model
    except ir.passes.PassError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from error.__cause__.__cause__
