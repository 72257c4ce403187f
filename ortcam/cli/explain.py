"""``ortcam explain``: where in a picture a class is seen, as figures or arrays."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Unpack

import click

from ortcam.cli import asking, destinations, where
from ortcam.cli import pictures as each
from ortcam.cli.opening import open_artifact
from ortcam.cli.options import destination_options, picture_arguments, run_options
from ortcam.errors import DependencyError


@click.command("explain", short_help="Show where in pictures the classes are seen.")
@picture_arguments
@asking.asking_options
@asking.drawing_options
@destination_options
@run_options
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    suffix: str,
    slice: int | None,
    providers: tuple[str, ...],
    quiet: bool,
    colormap: str,
    scale: str,
    **asked: Unpack[asking.Options],
) -> None:
    """Show for each PICTURE where ARTIFACT sees the classes: their Grad-CAM maps.

    With one layer a .png shows the picture, its segmentation and a map for each class; with
    several, a row of maps for each layer, from early to late. A .npz holds the maps in their own
    scale, the maps at the layers' size and the weights of the channels. A PICTURE in a .npy file
    is the network's input as it is, [1, C, height, width] or a volume [1, C, depth, height,
    width].
    """
    where.check(asked)
    files = destinations.plan(output, pictures, kind="explain", suffix=suffix)
    if any(file.suffix.lower() == ".png" for file in files):
        _require_matplotlib()
    cam = open_artifact(artifact, providers=providers, quiet=quiet, layers=asked["layers"])
    explain = asking.explainer(cam, asked)

    def work(picture: Path, file: Path) -> list[str]:
        explanation = explain(picture)
        explanation.save(file, colormap=colormap, scale=scale, slice=slice)
        return list(explanation.notes)

    each.for_each(pictures, files, work, quiet=quiet)


def _require_matplotlib() -> None:
    """Figures are drawn after the work; what they need is asked for before it."""
    if find_spec("matplotlib") is None:
        raise DependencyError(
            "the figure of an explanation needs matplotlib: pip install 'ortcam[plot]', "
            "or write arrays, to a .npz file"
        )
