"""``ortcam report``: pictures, labels, maps and numbers in one HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import click

from ortcam.batch.lookahead import batch_size
from ortcam.cli.open_artifact import open_artifact
from ortcam.cli.options import regions
from ortcam.cli.options.drawing import (
    DrawingOptions,
    drawing_arguments,
    drawing_options,
    resolve_scale,
)
from ortcam.cli.options.questions import QuestionOptions, explainer, question_options
from ortcam.cli.options.sections import Command
from ortcam.cli.options.shared import output_option, picture_arguments, run_options
from ortcam.cli.per_picture import attempt, check_left_out, pass_progress
from ortcam.files.atomic import check_writable
from ortcam.report import Report


class Options(QuestionOptions, DrawingOptions):
    """The options that are passed on."""


@click.command(
    "report", cls=Command, short_help="Write pictures, maps and numbers to one HTML file."
)
@picture_arguments
@output_option(
    "-o",
    "--output",
    metavar="OUT.html",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Report to write.",
)
@output_option(
    "--title",
    metavar="TEXT",
    show_default="the artifact's file name",
    help="Heading of the report.",
)
@question_options
@drawing_options
@run_options
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    title: str | None,
    batch: int | None,
    providers: tuple[str, ...],
    quiet: bool,
    **options: Unpack[Options],
) -> None:
    """Explain each PICTURE with ARTIFACT in a report: one HTML file.

    The report shows the pictures, their segmentations, the maps and the numbers, and how the
    artifact was verified. Its readers choose the maps' colours, scale and opacity. The file holds
    everything that it shows, pictures included, and loads nothing, so it can be sent and archived.
    It opens in any browser of 2023 or later.
    """
    regions.check(options)
    _check_output(output, artifact, pictures)
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
    names = dict(zip(pictures, _names(pictures), strict=True))

    with Report(
        output,
        title=artifact.name if title is None else title,
        about={"file": artifact.name, "runs on": cam.provider},
        **style,
    ) as report:

        def work(picture: Path, _: Path) -> list[str]:
            with pass_progress(hidden=quiet or len(pictures) > 1) as progress:
                explanation = explain(picture, progress)
            report.add(explanation, names[picture])
            return list(explanation.notes)

        left_out = attempt(pictures, [output] * len(pictures), work, quiet=quiet)
        if left_out == len(pictures):
            check_left_out(left_out, len(pictures))  # here, so that no empty report is written
    check_left_out(left_out, len(pictures))


def _check_output(output: Path, artifact: Path, pictures: Sequence[Path]) -> None:
    """Check before the work that the report can be written.

    Raises:
        click.UsageError: it has another suffix, or would overwrite its input.
        OutputError: it cannot be written.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"{output} is not an .html file.")
    if output.resolve() in {path.resolve() for path in (artifact, *pictures)}:
        raise click.UsageError(f"{output} is an input of the report and would be overwritten.")
    check_writable(output)


def _names(pictures: Sequence[Path]) -> list[str]:
    """File names, or paths where several files have the same name."""
    count = Counter(picture.name for picture in pictures)
    return [p.name if count[p.name] == 1 else str(p) for p in pictures]
