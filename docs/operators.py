"""Writes ``operators.md``, what the gradient engine does with each operator, from its own data.

``python docs/operators.py`` writes it; with ``--check`` it only says whether the page is current.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import onnx

from ortcam_export.gradient.operators import BRANCHED, CONVERTED, Kind, decision
from ortcam_export.gradient.table import ruled_inputs
from ortcam_export.prepare.control_flow import MOST_NODES

PAGE = Path(__file__).with_name("operators.md")

INTRODUCTION = """\
# Operators

<!-- Written by docs/operators.py: run `make docs` after deciding about an operator. -->

What happens where a gradient meets an operator of ONNX (ai.onnx, opset {opset}):

| | operators |
|---|---|
{counts}

A gradient passes to the inputs that are named; to the others it does not: they hold indices, axes,
sizes and the like, or values that nobody takes for features. An operator is refused only where a
gradient would have to pass it: the error then says why, and names a layer behind it. Networks below
opset 18 are converted before they are differentiated. Control flow that is decided before the
network runs is put into the nodes that then run, in the artifact too: an If of a constant condition
(also of a static extent), a Loop of constant length, a Scan over an axis of static extent, up to
{most} nodes in all.

| operator | gradient | to its inputs, or why not |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
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
            sys.exit(f"{PAGE} is not current: run make docs")
    else:
        PAGE.write_text(page(), encoding="utf-8")
