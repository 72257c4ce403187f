"""``ortcam info``: what an artifact holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ortcam.cli.options.shared import artifact_argument, as_json
from ortcam.cli.table import table
from ortcam.results.describe_artifact import rows


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
        click.echo(table(("artifact", str(artifact)), rows(read)))
