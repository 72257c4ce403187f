"""``ortcam info``: what an artifact holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ortcam.cli import wording
from ortcam.cli.options import artifact_argument, as_json
from ortcam.cli.table import table

if TYPE_CHECKING:
    from ortcam.artifact import Artifact, Preprocessing


@click.command("info", short_help="Print what an artifact holds.")
@artifact_argument
@as_json
def command(artifact: Path, as_json: bool) -> None:
    """Print what ARTIFACT holds: its layers, classes and preprocessing, and how it was checked."""
    import ortcam

    read = ortcam.load(artifact, providers=["CPUExecutionProvider"]).artifact
    if as_json:
        click.echo(json.dumps(json.loads(read.to_json()), indent=2, ensure_ascii=False))
    else:
        click.echo(table(("artifact", str(artifact)), _rows(read)))


def _rows(artifact: Artifact) -> list[tuple[str, str]]:
    expects = artifact.expects
    classes = expects.classes or ()
    rows = [
        ("feature layers", ", ".join(layer.name for layer in artifact.layers)),
        ("reduction layer", wording.reduction_layer(artifact.score)),
        ("classes", ", ".join(f"{i} {name}" for i, name in enumerate(classes)) or "unnamed"),
        ("picture", f"input {artifact.picture!r}"),
    ]
    if expects.preprocess is None:
        rows.append(("preprocessing", "not known"))
    else:
        rows += _preprocessing_rows(expects.preprocess)
    return [
        *rows,
        ("numbers", artifact.numbers or "not known"),
        ("verification", wording.verification(artifact.verification)),
        *_gradient_row(artifact),
        ("engine", f"{artifact.engine}, for {artifact.needs}"),
        ("network's SHA-256", artifact.source_sha256),
    ]


def _gradient_row(artifact: Artifact) -> list[tuple[str, str]]:
    part = artifact.gradient
    return [] if part is None else [("gradient", f"in {part.file}, SHA-256 {part.sha256}")]


def _preprocessing_rows(preprocess: Preprocessing) -> list[tuple[str, str]]:
    size = "the picture's own" if preprocess.size is None else "{}x{}".format(*preprocess.size)
    multiples = f", in multiples of {preprocess.divisor}" if preprocess.divisor > 1 else ""
    guessed = " (assumed: nobody said)" if preprocess.assumed else ""
    return [
        ("layout", f"{preprocess.layout}, {preprocess.color_order}{guessed}"),
        ("values", f"({_scaled(preprocess.scale)} - mean) / std"),
        ("mean", ", ".join(f"{v:g}" for v in preprocess.mean)),
        ("std", ", ".join(f"{v:g}" for v in preprocess.std)),
        ("working size", f"{size}{multiples}"),
    ]


def _scaled(scale: float) -> str:
    """A pixel times the scale, as people write it."""
    divisor = round(1 / scale)
    if divisor > 1 and math.isclose(scale * divisor, 1):
        return f"pixel / {divisor}"
    return "pixel" if scale == 1 else f"pixel * {scale:.6g}"
