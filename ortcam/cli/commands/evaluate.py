"""``ortcam evaluate``: measures of the maps over many pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.cli.open_artifact import open_artifact
from ortcam.cli.options import types
from ortcam.cli.options.decorators import renamed_option
from ortcam.cli.options.sections import Command, section
from ortcam.cli.options.shared import (
    artifact_argument,
    entering_options,
    output_option,
    running_option,
    session_options,
)
from ortcam.cli.table import table
from ortcam.evaluation.metric_names import BY_EXPORTER, FIGURES, METRICS, format_value
from ortcam.methods.registry import GRAD_CAM

if TYPE_CHECKING:
    from ortcam.evaluation.output.summary import Line, Summary

HEADER = ("metric", "layer", "method", "", "pictures", "mean", "95 % interval", "median")

picture_option = section("Pictures")
map_option = section("Maps")
metric_option = section("Metrics")


@click.command(
    "evaluate", cls=Command, short_help="Measure over many pictures how faithful the maps are."
)
@artifact_argument
@click.argument(
    "pictures",
    metavar="PICTURES...",
    type=click.Path(exists=True, path_type=Path),
    nargs=-1,
    required=True,
)
@output_option(
    "-o",
    "--output",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for metrics.csv, curves.csv, summary.json, page.html, and the journal that an "
    "interrupted run resumes from.",
)
@output_option(
    "--worst",
    metavar="N",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Number of worst pictures on the page, per metric.",
)
@output_option("--restart", is_flag=True, help="Discard an earlier run in FOLDER.")
@picture_option(
    "--truth",
    metavar="FOLDER",
    type=click.Path(exists=True, path_type=Path),
    show_default="the predictions",
    help="Label images: .png files with the pictures' names.",
)
@picture_option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    help="Use N of the pictures, evenly spaced.",
)
@picture_option(
    "--min-area",
    metavar="FRACTION",
    type=click.FloatRange(min=0, max=1),
    default=0.001,
    show_default=True,
    help="Skip classes that cover less than this fraction of a picture.",
)
@renamed_option("--least", "--min-area", "min_area")
@map_option(
    "-c",
    "--class",
    "classes",
    metavar="CLASS",
    multiple=True,
    show_default="all",
    help="Class, by name or 0-based index. Repeatable.",
)
@map_option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    show_default="all",
    help="Feature layer. Repeatable.",
)
@map_option(
    "--method",
    "methods",
    metavar="METHOD[:OPTION=VALUE,...]",
    multiple=True,
    default=(GRAD_CAM,),
    show_default=True,
    help="Method, as in ortcam explain. Repeatable.",
)
@map_option(
    "--against",
    metavar="ARTIFACT",
    type=types.FILE,
    help="Compare the maps with those of a second artifact instead, for example after "
    "quantization or another training.",
)
@metric_option(
    "--metric",
    "metrics",
    metavar="METRIC",
    multiple=True,
    show_default=f"all but {' and '.join(BY_EXPORTER)}, which need the export extra",
    help=f"{', '.join(METRICS)}; or all. Repeatable.",
)
@metric_option(
    "--steps",
    metavar="N",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    help="Number of steps of deletion, insertion and road.",
)
@metric_option(
    "--tolerance",
    metavar="PIXELS",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="Distance from the object at which pointing still counts a map's maximum as a hit.",
)
@metric_option(
    "--checks",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Number of pictures for gradient and randomisation.",
)
@metric_option(
    "--stages",
    metavar="N",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Number of steps in which randomisation shuffles the weights, from the score down to the "
    "picture.",
)
@metric_option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Random seed for tie-breaking, noise and weight shuffling.",
)
@entering_options
@running_option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    show_default="one per core, up to 4",
    help="Number of pictures processed in parallel; memory grows with it.",
)
@session_options
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    against: Path | None,
    metrics: tuple[str, ...],
    classes: tuple[str, ...],
    layers: tuple[str, ...],
    inputs: tuple[types.NamedInput, ...],
    providers: tuple[str, ...],
    quiet: bool,
    **options: Any,
) -> None:
    """Measure over PICTURES, files or folders, how faithful the maps of ARTIFACT are.

    Do maps lie on their objects, and does the network lose a class once the regions that they
    highlight are removed? Each class is measured on the pictures that contain it; of a classifier
    only what needs no labels. An interrupted run (Ctrl-C) resumes when the command is repeated.
    docs/evaluate.md defines the metrics.
    """
    from ortcam.evaluation.run import evaluate

    cam = open_artifact(artifact, providers=providers, quiet=quiet, layers=layers)
    other = None
    if against is not None:
        other = open_artifact(against, providers=providers, quiet=quiet)
    with click.progressbar(length=1, file=sys.stderr, hidden=quiet) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        evaluation = evaluate(
            cam,
            pictures,
            output,
            against=other,
            metrics=metrics or None,
            classes=[int(c) if c.isdecimal() else c for c in classes] or None,
            layers=layers or None,
            inputs=types.by_name(inputs),
            progress=progress,
            **options,
        )
    if not quiet:
        click.echo("\n".join(_report(evaluation.summary, output)))
        for note in evaluation.notes:
            click.echo(f"note: {note}", err=True)


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
