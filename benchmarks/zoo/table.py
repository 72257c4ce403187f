"""The results as a page of the docs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["table"]

#: What the agreement is to be.
TOLERANCE = 1e-3

_PACKAGES = (
    "onnxruntime",
    "onnx",
    "onnx-ir",
    "numpy",
    "torch",
    "torchvision",
    "timm",
    "segmentation_models_pytorch",
)

_HEAD = """\
# Whole networks against PyTorch

Made by `python -m benchmarks.zoo`. Each network has random weights and was exported by both of
torch's exporters with opset 18, for square pictures of the side that stands behind its name.

Relative errors ||a - b|| / ||b||: of `ortcam_export.vjp`, for a random functional of the scores
with respect to the *picture*; and of the Grad-CAM *weights* in the artifact of `ortcam export`,
at the layer that it chooses, for two random questions about a random region. a is computed by
onnxruntime in float32, b by PyTorch's autograd in float64 of the module that was exported. Both are
to be {tolerance:g} or less; {good} of {all} rows are.

Where a ReLU or a MaxPool reads numbers that float32 cannot tell from its kink, float64 may take the
other side, and each time it does the gradient differs by up to a percent though both are right. So
for the picture's gradient PyTorch takes the derivatives of functions with kinks at the numbers that
onnxruntime's read.

{machine}
"""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The page, from rows of one network and exporter each."""
    measured = [row for row in rows if "failure" not in row]
    good = [row for row in measured if max(row["picture"], row["weights"]) <= TOLERANCE]
    head = _HEAD.format(tolerance=TOLERANCE, good=len(good), all=len(rows), machine=_machines(rows))
    lines = [
        "| network | exporter | picture | weights | chosen layer | operator | extent | score |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in measured),
    ]
    parts = [head, *lines]
    failed = [row for row in rows if "failure" in row]
    if failed:
        parts += ["", "## What cannot be compared", ""]
        parts += [f"- {row['network']}, {row['exporter']}: {row['failure']}" for row in failed]
    parts += ["", "## Operators that depend on the picture", ""]
    parts += [
        f"- {name}: {', '.join(sorted(_operators(measured, name)))}"
        for name in dict.fromkeys(row["network"] for row in measured)
    ]
    return "\n".join(parts) + "\n"


def _line(row: dict[str, Any]) -> str:
    extent = " x ".join(str(extent) for extent in row["shape"][1:])
    return (
        f"| {row['network']} {row['side']} | {row['exporter']} | {row['picture']:.0e} "
        f"| {row['weights']:.0e} | `{row['layer']}` | {row['operator']} | {extent} "
        f"| {row['score']} |"
    )


def _operators(rows: Iterable[dict[str, Any]], name: str) -> set[str]:
    return {op for row in rows if row["network"] == name for op in row["operators"]}


def _machines(rows: Iterable[dict[str, Any]]) -> str:
    """What the rows were measured on; the same for all, as a rule."""
    seen = dict.fromkeys(
        "{threads} thread(s) of an {processor}, Python {python}; ".format(**row["machine"])
        + ", ".join(f"{name} {row['machine']['versions'][name]}" for name in _PACKAGES)
        for row in rows
    )
    return "\n".join(f"Measured on {one}." for one in seen)
