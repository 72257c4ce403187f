"""``ortcam evaluate``: whether the maps are true, over many pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.cli.open_artifact import open_artifact
from ortcam.cli.options.shared import artifact_argument, entering_options, session_options
from ortcam.cli.options.types import FILE
from ortcam.cli.table import table
from ortcam.evaluation.metric_names import BY_EXPORTER, FIGURES, METRICS, format_value
from ortcam.methods.registry import GRAD_CAM

if TYPE_CHECKING:
    from ortcam.evaluation.output.summary import Line, Summary

HEADER = ("metric", "layer", "method", "", "pictures", "mean", "95 % interval", "median")


@click.command("evaluate", short_help="Measure over many pictures whether the maps are true.")
@artifact_argument
@click.argument(
    "pictures",
    metavar="PICTURES...",
    type=click.Path(exists=True, path_type=Path),
    nargs=-1,
    required=True,
)
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where metrics.csv, curves.csv, summary.json and page.html go, and the journal from "
    "which a run that was broken off goes on.",
)
@click.option(
    "--truth",
    metavar="FOLDER",
    type=click.Path(exists=True, path_type=Path),
    help="The label images: .png files with the pictures' names.  [default: what the network "
    "predicts is taken for the truth]",
)
@click.option(
    "--against",
    metavar="ARTIFACT",
    type=FILE,
    help="Compare the maps with those of another artifact instead: after quantization, or after "
    "another training.",
)
@click.option(
    "--metric",
    "metrics",
    metavar="METRIC",
    multiple=True,
    help=f"What is measured, or all; may be given several times: {', '.join(METRICS)}.  [default: "
    f"all but {' and '.join(BY_EXPORTER)}, which need what exports need]",
)
@click.option(
    "--method",
    "methods",
    metavar="METHOD[:OPTION=VALUE,...]",
    multiple=True,
    default=(GRAD_CAM,),
    show_default=True,
    help="How the maps are made, as in explain; may be given several times.",
)
@click.option(
    "-c",
    "--class",
    "classes",
    metavar="CLASS",
    multiple=True,
    help="A class, by name or 0-based index; may be given several times.  [default: all, each in "
    "the pictures where it is]",
)
@click.option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    help="A feature layer; may be given several times.  [default: all of the artifact's]",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    help="Take N of the pictures, evenly spaced.",
)
@click.option(
    "--steps",
    metavar="N",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    help="Into how many parts a picture is divided for deletion, insertion and road.",
)
@click.option(
    "--tolerance",
    metavar="PIXELS",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="How far off the object the map's maximum may lie in the pointing game.",
)
@click.option(
    "--min-area",
    "--least",
    metavar="FRACTION",
    type=click.FloatRange(min=0, max=1),
    default=0.001,
    show_default=True,
    help="Skip classes that cover less than this fraction of a picture.",
)
@click.option(
    "--checks",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="In how many of the pictures gradient and randomisation are checked.",
)
@click.option(
    "--stages",
    metavar="N",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="In how many steps randomisation goes from the score down to the picture.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of ties, noise and shuffled weights.",
)
@click.option(
    "--worst",
    metavar="N",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How many of the worst pictures the page shows for each figure.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    help="How many pictures are worked on at once; each takes memory.  [default: one for each core "
    "there is to use, up to 4]",
)
@click.option("--restart", is_flag=True, help="Begin anew where FOLDER holds a run already.")
@entering_options
@session_options
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    against: Path | None,
    metrics: tuple[str, ...],
    classes: tuple[str, ...],
    layers: tuple[str, ...],
    inputs: tuple[tuple[str, Any], ...],
    providers: tuple[str, ...],
    quiet: bool,
    **options: Any,
) -> None:
    """Measure over PICTURES, files and folders, whether the maps of ARTIFACT are true.

    Do they lie on their objects, and does the network lose a class when what they show is taken
    away? A class is asked about in the pictures where it is. The command may be broken off at any
    time (Ctrl-C): run again, it goes on where it was. docs/evaluate.md says what each figure means.
    """
    import ortcam

    cam = open_artifact(artifact, providers=providers, quiet=quiet, layers=layers)
    other = None
    if against is not None:
        other = open_artifact(against, providers=providers, quiet=quiet)
    with click.progressbar(length=1, file=sys.stderr, hidden=quiet) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        found = ortcam.evaluate(
            cam,
            pictures,
            output,
            against=other,
            metrics=metrics or None,
            classes=[int(c) if c.isdecimal() else c for c in classes] or None,
            layers=layers or None,
            inputs=dict(inputs),
            progress=progress,
            **options,
        )
    if not quiet:
        click.echo("\n".join(_report(found.summary, output)))


def _report(summary: Summary, output: Path) -> list[str]:
    lines = [
        table(HEADER, [_row(line) for line in summary.lines if not line.cls]),
        f"{summary.done} pictures; files in {output}",
    ]
    lines += [f"left out: {picture}: {error}" for picture, error in summary.left_out]
    return lines


def _row(line: Line) -> tuple[str, ...]:
    good = FIGURES[line.metric].good
    metric = line.metric + (f" ({good} is better)" if good else "")
    return (
        metric,
        line.layer,
        line.method,
        line.other,
        str(line.pictures),
        _number(line.mean),
        "" if None in (line.low, line.high) else f"{_number(line.low)} to {_number(line.high)}",
        _number(line.median),
    )


def _number(value: float | None) -> str:
    return "undefined" if value is None else format_value(value)
