"""``ortcam report``: pictures, labels, maps and numbers in one HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import click

from ortcam.batch.lookahead import at_once
from ortcam.cli import per_picture as each
from ortcam.cli.open_artifact import open_artifact
from ortcam.cli.options import drawing
from ortcam.cli.options import questions as asking
from ortcam.cli.options import regions as where
from ortcam.cli.options.shared import batch_option, picture_arguments, run_options
from ortcam.drawing.style import Scale
from ortcam.files.atomic import check_writable
from ortcam.report import Report


@click.command("report", short_help="Put pictures, maps and numbers into one HTML file.")
@picture_arguments
@click.option(
    "-o",
    "--output",
    metavar="OUT.html",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The report.",
)
@click.option("--title", metavar="TEXT", help="Its heading.  [default: the artifact's file name]")
@asking.asking_options
@drawing.drawing_options
@run_options
@batch_option
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    title: str | None,
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
    """Explain each PICTURE with ARTIFACT, and write a report of them: one HTML file.

    It shows the pictures, their segmentations and their maps, whose colours, scale and opacity are
    chosen in it, and the numbers; it tells what the artifact is and how it was checked. Any browser
    of 2023 or later opens it. It holds all that it shows, the pictures too, and loads nothing, so
    it can be sent to others and kept.
    """
    where.check(asked)
    _check_output(output, artifact, pictures)
    cam = open_artifact(
        artifact,
        providers=providers,
        quiet=quiet,
        layers=asked["layers"],
        methods=[asked["method"]],
    )
    explain = asking.explainer(cam, asked, pictures, at_once(cam, batch))
    scale = drawing.found_scale(scale, pictures, explain, quiet=quiet)
    names = dict(zip(pictures, _names(pictures), strict=True))

    with Report(
        output,
        title=artifact.name if title is None else title,
        about={"file": artifact.name, "runs on": cam.provider},
        colormap=colormap,
        alpha=alpha,
        scale=scale,
        slice=slice,
        contours=contours,
    ) as report:

        def work(picture: Path, _: Path) -> list[str]:
            with each.passes(hidden=quiet or len(pictures) > 1) as progress:
                explanation = explain(picture, progress)
            report.add(explanation, names[picture])
            return list(explanation.notes)

        left_out = each.attempt(pictures, [output] * len(pictures), work, quiet=quiet)
        if left_out == len(pictures):
            each.check_left_out(left_out, len(pictures))
    each.check_left_out(left_out, len(pictures))


def _check_output(output: Path, artifact: Path, pictures: Sequence[Path]) -> None:
    """Finds out before the work whether the report can be written.

    Raises:
        click.UsageError: its name ends otherwise, or it would replace what it is made from.
        OutputError: it cannot.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"{output} is no .html file; a report is one.")
    if output.resolve() in {path.resolve() for path in (artifact, *pictures)}:
        raise click.UsageError(f"{output} is what the report is made from, and would be replaced.")
    check_writable(output)


def _names(pictures: Sequence[Path]) -> list[str]:
    """File names; of those that several files have, the paths."""
    count = Counter(picture.name for picture in pictures)
    return [p.name if count[p.name] == 1 else str(p) for p in pictures]
