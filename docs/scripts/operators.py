"""Write ``operators.md``, how the gradient engine treats each operator, from the engine's tables.

``python docs/scripts/operators.py`` writes the page; ``--check`` fails if it is not current.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import onnx

from ortcam_export.gradient.operators import BRANCHED, CONVERTED, Kind, decision
from ortcam_export.gradient.table import ruled_inputs
from ortcam_export.prepare.control_flow import MOST_NODES

PAGE = Path(__file__).parents[1] / "operators.md"

INTRODUCTION = """\
# Operators

<!-- Written by docs/scripts/operators.py: run `nox -s docs` after adding a rule or a reason. -->

The table lists how the gradient engine treats each operator of ONNX (ai.onnx, opset {opset}):

| | operators |
|---|---|
{counts}

The gradient passes to the named inputs only. The others hold indices, axes, sizes and the like, or
values that are never features. An operator is refused only if a gradient has to pass it; the error
says why, and names a later layer that works.

Networks below opset 18 are converted before they are differentiated. Control flow that is known
before the network runs is replaced by the nodes that run, in the artifact too: an If with a
constant condition (including one on a static extent), a Loop of constant length, and a Scan over an
axis of static extent, up to {most} nodes in all.

| operator | gradient | to these inputs, or why not |
|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    names = sorted({s.name for s in onnx.defs.get_all_schemas() if not s.domain})
    counted = Counter(decision(name).kind for name in names)
    counts = "\n".join(f"| {kind.value} | {counted[kind]} |" for kind in Kind if counted[kind])
    opset = onnx.defs.onnx_opset_version()
    return INTRODUCTION.format(opset=opset, counts=counts, most=MOST_NODES) + "".join(
        map(_row, names)
    )


def _row(name: str) -> str:
    decided = decision(name)
    remark = decided.reason
    if decided.kind == Kind.RULE and name not in (*CONVERTED, *BRANCHED):
        inputs = [i.name for i in onnx.defs.get_schema(name).inputs]
        indices = ruled_inputs(name)
        remark = "all" if indices is None else ", ".join(f"`{inputs[i]}`" for i in indices)
    return f"| {name} | {decided.kind.value} | {remark} |\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
            sys.exit(f"{PAGE} is not current: run nox -s docs")
    else:
        PAGE.write_text(page(), encoding="utf-8")
