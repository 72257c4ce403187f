"""The artifact that a command was given; a plain network becomes one, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ortcam.errors import PlainNetworkError
from ortcam.exporter import require_exporter

if TYPE_CHECKING:
    from ortcam import Cam


def open_artifact(
    path: Path,
    *,
    providers: Sequence[str],
    quiet: bool,
    layers: Sequence[str] = (),
    methods: Sequence[str] = (),
    verify: bool = True,
) -> Cam:
    """Loads an artifact, or exports a plain network in memory first, and says so on stderr.

    Args:
        path: the file.
        providers: execution providers; none for the runtime's own choice.
        quiet: say nothing.
        layers: the feature layers to export a plain network with; none for the one that the
            export step chooses.
        methods: what it is to serve beside Grad-CAM, with their options.
        verify: whether that export checks its gradient.
    """
    import ortcam

    chosen = list(providers) or None
    try:
        cam = ortcam.load(path, providers=chosen)
    except PlainNetworkError:
        require_exporter()
        import ortcam_export

        _say(
            f"{path} is a plain network: exporting it in memory, for this run only "
            f"(ortcam export {path} -o FILE keeps the artifact).",
            quiet=quiet,
        )
        exported = ortcam_export.export(
            path,
            feature_layers=layers or None,
            methods=[name.partition(":")[0] for name in methods],
            verify=verify,
        )
        for note in exported.notes:
            _say(f"note: {note}", quiet=quiet)
        cam = ortcam.load(exported.model, providers=chosen)
    _say(f"{path} runs on {cam.provider}.", quiet=quiet)
    return cam


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(text, err=True)
