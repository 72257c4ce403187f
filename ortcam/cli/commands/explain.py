"""``ortcam explain``: where in a picture a class is seen, as figures or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from ortcam.batch.lookahead import batch_size
from ortcam.cli.open_artifact import open_artifact
from ortcam.cli.options import output as outputs
from ortcam.cli.options import regions
from ortcam.cli.options.drawing import (
    DrawingOptions,
    drawing_arguments,
    drawing_options,
    resolve_scale,
)
from ortcam.cli.options.questions import QuestionOptions, explainer, question_options
from ortcam.cli.options.sections import Command
from ortcam.cli.options.shared import destination_options, picture_arguments, run_options
from ortcam.cli.per_picture import for_each, pass_progress
from ortcam.files.formats import PICTURES, VECTORS


class Options(QuestionOptions, DrawingOptions):
    """The options that are passed on."""


@click.command("explain", cls=Command, short_help="Show where in pictures each class is seen.")
@picture_arguments
@destination_options
@question_options
@drawing_options
@run_options
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    suffix: str,
    batch: int | None,
    providers: tuple[str, ...],
    quiet: bool,
    **options: Unpack[Options],
) -> None:
    """Show where in each PICTURE the network of ARTIFACT sees the classes.

    Figures (.png, .jpg, .svg, .pdf) show the picture, its segmentation and a map per class; with
    several layers, a row of maps per layer, from early to late. A .npz file holds the unscaled
    maps, the maps at the layers' resolution and the channel weights. A .npy PICTURE enters the
    network unchanged: [1, C, height, width], or a volume [1, C, depth, height, width].
    """
    regions.check(options)
    files = outputs.plan(output, pictures, kind="explain", suffix=suffix)
    outputs.require_matplotlib(
        files,
        (*PICTURES, *VECTORS),
        "the figure of an explanation needs",
        "write arrays, to a .npz file",
    )
    cam = open_artifact(
        artifact,
        providers=providers,
        quiet=quiet,
        layers=options["layers"],
        methods=[options["method"]],
    )
    explain = explainer(cam, options, pictures, batch_size(cam.provider, batch))
    style = drawing_arguments(options)
    style["scale"] = resolve_scale(style["scale"], pictures, explain, quiet=quiet)

    def work(picture: Path, file: Path) -> list[str]:
        with pass_progress(hidden=quiet or len(pictures) > 1) as progress:
            explanation = explain(picture, progress)
        explanation.save(file, **style)
        return list(explanation.notes)

    for_each(pictures, files, work, quiet=quiet)
