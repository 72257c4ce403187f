"""``ortcam info``: the contents of an artifact."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ortcam.cli.options.sections import Command
from ortcam.cli.options.shared import artifact_argument, json_option
from ortcam.cli.table import table
from ortcam.results.describe_artifact import rows


@click.command(
    "info", cls=Command, short_help="Print an artifact's layers, classes and preprocessing."
)
@artifact_argument
@json_option
def command(artifact: Path, as_json: bool) -> None:
    """Print the layers, classes, preprocessing and verification of ARTIFACT."""
    from ortcam.cam import load

    contents = load(artifact, providers=["CPUExecutionProvider"]).artifact
    if as_json:
        click.echo(json.dumps(json.loads(contents.to_json()), indent=2, ensure_ascii=False))
    else:
        click.echo(table(("artifact", str(artifact)), rows(contents)))
