"""The results as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["table"]

#: The largest relative error that counts as agreement.
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

`python -m benchmarks.zoo` writes this page. Each network has random weights and is exported by both
of torch's exporters with opset 18, for square pictures. The number behind its name is their side.

The columns *picture* and *weights* are relative errors ||a - b|| / ||b||:

- *picture*: of `ortcam_export.vjp`, for a random functional of the scores with respect to the
  picture;
- *weights*: of the Grad-CAM weights in the artifact of `ortcam export`, at its default layer, for
  two random questions about a random region.

ONNX Runtime computes a in float32, and PyTorch's autograd computes b in float64 from the exported
module. Both errors must be at most {tolerance:g}; they are in {good} of {all} rows.

Where a ReLU or a MaxPool reads values that float32 cannot tell from its kink, float64 may fall on
the other side. Each time the gradients differ by up to a percent, although both are right. For the
picture's gradient PyTorch therefore takes the derivatives of functions with kinks at the values
that ONNX Runtime's functions read.

{machine}
"""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the page, from one row per network and exporter."""
    measured = [row for row in rows if "failure" not in row]
    good = [row for row in measured if max(row["picture"], row["weights"]) <= TOLERANCE]
    head = _HEAD.format(tolerance=TOLERANCE, good=len(good), all=len(rows), machine=_machines(rows))
    lines = [
        "| network | exporter | picture | weights | default layer | operator | extent | score |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in measured),
    ]
    parts = [head, *lines]
    failed = [row for row in rows if "failure" in row]
    if failed:
        parts += ["", "## Networks that cannot be compared", ""]
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
    """Return the machines and versions of the rows, normally one."""
    seen = dict.fromkeys(
        "{threads} thread(s) of an {processor}, Python {python}; ".format(**row["machine"])
        + ", ".join(f"{name} {row['machine']['versions'][name]}" for name in _PACKAGES)
        for row in rows
    )
    return "\n".join(f"Measured on {one}." for one in seen)
