"""The artifact of a command; a plain network is exported in memory first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ortcam import exporter
from ortcam.cli.spelling import spell
from ortcam.errors import PlainNetworkError

if TYPE_CHECKING:
    from ortcam.cam import Cam


def open_artifact(
    path: Path,
    *,
    providers: Sequence[str],
    quiet: bool,
    layers: Sequence[str] = (),
    methods: Sequence[str] = (),
    verify: bool = True,
) -> Cam:
    """Load an artifact; export a plain network in memory first, and say so on stderr.

    Args:
        path: the file.
        providers: execution providers; empty for the default.
        quiet: print nothing.
        layers: the feature layers of that export; empty for its default.
        methods: the methods that it supports besides Grad-CAM, with their options.
        verify: whether it checks its gradient.
    """
    from ortcam.cam import load

    choice = list(providers) or None
    try:
        cam = load(path, providers=choice)
    except PlainNetworkError:
        exporter.require_exporter()
        _say(
            f"{path} is a plain network: exporting it in memory, for this run only "
            f"(ortcam export {path} -o FILE keeps the artifact).",
            quiet=quiet,
        )
        exported = exporter.export(
            path,
            feature_layers=layers or None,
            methods=[name.partition(":")[0] for name in methods],
            verify=verify,
        )
        for note in exported.notes:
            _say(f"note: {spell(note)}", quiet=quiet)
        cam = load(exported.model, providers=choice)
    _say(f"{path} runs on {cam.provider}.", quiet=quiet)
    return cam


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(text, err=True)
