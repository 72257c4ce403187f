"""``ortcam layers``: which tensors of a network could be a feature or the reduction layer."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ortcam.cli.exporter import require_exporter
from ortcam.cli.options import as_json, network_argument, score_options
from ortcam.cli.table import table

if TYPE_CHECKING:
    from ortcam_export import Candidate

HEADER = ("", "layer", "operator", "shape", "channels", "stride", "gradient", "kind")


@click.command("layers", short_help="List the layers of a network that can be explained.")
@network_argument
@score_options
@as_json
def command(network: Path, reduction_layer: str | None, score: str | None, as_json: bool) -> None:
    """List the layers of NETWORK that could be explained.

    A star marks the feature layer and the reduction layer that `ortcam export` would choose by
    itself. A layer that no gradient of the score reaches cannot be a feature layer.
    """
    require_exporter()
    import ortcam_export

    candidates = ortcam_export.layers(network, reduction_layer=reduction_layer, score=score)
    if as_json:
        click.echo(json.dumps([asdict(c) for c in candidates], indent=2))
    else:
        click.echo(table(HEADER, [_row(c) for c in candidates]))


def _row(candidate: Candidate) -> tuple[str, ...]:
    return (
        "*" if candidate.chosen else "",
        candidate.name,
        candidate.operator,
        _shape(candidate),
        _number(candidate.channels),
        _number(candidate.stride),
        "yes" if candidate.reached else "no",
        candidate.kind,
    )


def _shape(candidate: Candidate) -> str:
    shape = " x ".join(map(str, candidate.shape))
    if candidate.grid is None:
        return shape
    height, width = candidate.grid
    return f"{shape} (tokens of {height} x {width})"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
