"""``ortcam explain``: where in a picture a class is seen, as figures or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from ortcam.batch.lookahead import at_once
from ortcam.cli import per_picture as each
from ortcam.cli.open_artifact import open_artifact
from ortcam.cli.options import (
    drawing,
)
from ortcam.cli.options import (
    output as destinations,
)
from ortcam.cli.options import (
    questions as asking,
)
from ortcam.cli.options import (
    regions as where,
)
from ortcam.cli.options.shared import (
    batch_option,
    destination_options,
    picture_arguments,
    run_options,
)
from ortcam.drawing.style import Scale
from ortcam.files.formats import PICTURES, VECTORS


@click.command("explain", short_help="Show where in pictures the classes are seen.")
@picture_arguments
@asking.asking_options
@drawing.drawing_options
@destination_options
@run_options
@batch_option
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    suffix: str,
    slice: int | None,
    providers: tuple[str, ...],
    quiet: bool,
    batch: int | None,
    colormap: str | None,
    alpha: float | None,
    scale: Scale | None,
    contours: bool | None,
    **asked: Unpack[asking.Options],
) -> None:
    """Show for each PICTURE where ARTIFACT sees the classes: their Grad-CAM maps.

    A figure, .png, .jpg, .svg or .pdf, shows with one layer the picture, its segmentation and a map
    for each class; with several, a row of maps for each layer, from early to late. A .npz holds
    the maps in their own scale, the maps at the layers' size and the weights of the channels. A
    PICTURE in a .npy file is the network's input as it is, [1, C, height, width] or a volume [1,
    C, depth, height, width].
    """
    where.check(asked)
    files = destinations.plan(output, pictures, kind="explain", suffix=suffix)
    destinations.require_matplotlib(
        files,
        (*PICTURES, *VECTORS),
        "the figure of an explanation needs matplotlib",
        "write arrays, to a .npz file",
    )
    cam = open_artifact(
        artifact,
        providers=providers,
        quiet=quiet,
        layers=asked["layers"],
        methods=[asked["method"]],
    )
    explain = asking.explainer(cam, asked, pictures, at_once(cam, batch))
    scale = drawing.found_scale(scale, pictures, explain, quiet=quiet)

    def work(picture: Path, file: Path) -> list[str]:
        with each.passes(hidden=quiet or len(pictures) > 1) as progress:
            explanation = explain(picture, progress)
        explanation.save(
            file, colormap=colormap, alpha=alpha, scale=scale, slice=slice, contours=contours
        )
        return list(explanation.notes)

    each.for_each(pictures, files, work, quiet=quiet)
