"""The artifact that a command was given; a plain network becomes one, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ortcam.cli.exporter import require_exporter

if TYPE_CHECKING:
    from ortcam import Cam
    from ortcam_export import Exported


def open_artifact(
    path: Path, *, layers: Sequence[str], providers: Sequence[str], quiet: bool
) -> Cam:
    """Loads an artifact, or exports a plain network in memory first and says so on stderr.

    Args:
        path: the file.
        layers: the feature layers to export a plain network with; none for the one that the
            export step chooses.
        providers: execution providers; none for the runtime's own choice.
        quiet: say nothing.
    """
    import ortcam
    from ortcam.errors import PlainNetworkError

    chosen = list(providers) or None
    said: tuple[str, ...] = ()
    try:
        cam = ortcam.load(path, providers=chosen)
    except PlainNetworkError:
        exported = _export(path, layers)
        cam = ortcam.load(exported.model, providers=chosen)
        kept = f"ortcam export {path} -o FILE keeps the artifact"
        said = (
            f"{path} is a plain network, exported in memory for this run ({kept}).",
            *(f"note: {note}" for note in exported.notes),
        )
    if not quiet:
        for line in (*said, f"{path} runs on {cam.provider}."):
            click.echo(line, err=True)
    return cam


def _export(path: Path, layers: Sequence[str]) -> Exported:
    require_exporter()
    import ortcam_export

    return ortcam_export.export(path, feature_layers=list(layers) or None)
