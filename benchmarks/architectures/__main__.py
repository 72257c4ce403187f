"""The command: ``python -m benchmarks.architectures``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from benchmarks.architectures.judge import Architecture, judge
from benchmarks.architectures.table import table

PAGE = Path("docs/architectures.md")

PACKAGES = (
    "onnxruntime",
    "onnx",
    "onnx-ir",
    "torch",
    "timm",
    "transformers",
    "monai",
    "keras",
    "ultralytics",
    "torchvision",
)


@click.command()
@click.argument("pattern", default="")
@click.option("--again", is_flag=True, help="Read again even if there are results.")
@click.option(
    "--out",
    default=Path("out/architectures"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for the networks, 350 MB, and the results.",
)
@click.option("--page", default=PAGE, show_default=True, type=click.Path(path_type=Path))
def main(pattern: str, again: bool, out: Path, page: Path) -> None:
    """Read the networks whose names contain PATTERN, and write the table.

    It needs torch, timm, transformers, MONAI, Keras 3, Ultralytics, torchvision and
    onnxscript. A network that is in the folder is not exported again.
    """
    os.environ |= {"KERAS_BACKEND": "torch", "HF_HUB_OFFLINE": "1", "YOLO_AUTOINSTALL": "false"}
    from benchmarks.architectures.networks import ARCHITECTURES  # imports torch

    out.mkdir(parents=True, exist_ok=True)
    for architecture in ARCHITECTURES:
        result = out.resolve() / f"{architecture.slug}.json"
        if pattern in architecture.name and (again or not result.exists()):
            try:
                row = _row(architecture, result.with_suffix(".onnx"))
            except Exception as error:
                click.echo(f"{architecture.name} is not exported: {str(error)[:200]}", err=True)
                continue
            result.write_text(json.dumps(row, indent=1))
            click.echo(f"{architecture.name}: {row['verdict']}")
    results = [out / f"{architecture.slug}.json" for architecture in ARCHITECTURES]
    rows = [json.loads(path.read_text()) for path in results if path.exists()]
    page.write_text(table(rows))
    click.echo(f"{page}: {len(rows)} rows")


def _row(architecture: Architecture, path: Path) -> dict[str, Any]:
    import torch

    if not path.exists():
        torch.manual_seed(0)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            architecture.write(path)
    versions = {name: metadata.version(name) for name in PACKAGES}
    row = {"network": architecture.name, "output": architecture.output, "versions": versions}
    return {**row, **judge(path, architecture.truths)}


if __name__ == "__main__":
    main()
