"""The gradient through an If whose condition is computed when the network runs.

It is an If of the same condition. Each branch repeats the network's branch, as far as its gradient
needs it, and appends that gradient. ONNX Runtime runs one branch only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import onnx_ir as ir

from ortcam_export.gradient.node import cotangent_dtype
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Tensor

__all__ = ["through_branches"]

#: Returns the cotangent of a tensor by that of an output computed from it; None where the output
#: does not depend on it.
Back: TypeAlias = Callable[[Tape, ir.Value, Tensor], Tensor | None]


def through_branches(
    tape: Tape, node: ir.Node, value: ir.Value, cotangents: Sequence[Tensor | None], back: Back
) -> Tensor:
    """The contribution of an If to the cotangent of a tensor that its branches read.

    Args:
        tape: records on the If's graph.
        node: the If.
        value: the tensor.
        cotangents: those of the If's outputs; None where the score does not depend on one.
        back: the sweep through a branch, recorded on the tape it gets.
    """
    condition = node.inputs[0]
    assert condition is not None
    x = tape.wrap(value)
    dtype = cotangent_dtype(x.dtype)
    branches = []
    for name in ("then_branch", "else_branch"):
        branch = node.attributes[name].as_graph().clone(allow_outer_scope_values=True)
        inner = tape.inside(branch)
        outputs = list(branch.outputs)
        branch.outputs.clear()
        total: Tensor | None = None
        for output, g in zip(outputs, cotangents, strict=True):
            part = None if g is None else back(inner, output, inner.seen(g))
            if part is not None:
                total = part if total is None else total + part
        if total is None:
            total = inner.zeros(inner.wrap(value).dims, dtype, lead=1)
        branch.outputs.append(inner.again(total.cast(dtype).value))
        branches.append(branch)
    questions = tape.questions if isinstance(tape.questions, int) else tape.questions.symbol
    return tape.branch(condition, branches, dtype, [questions, *x.shape])
