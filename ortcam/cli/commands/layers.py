"""``ortcam layers``: the tensors of a network that can be a feature or the reduction layer."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ortcam import exporter
from ortcam.cli.options import types
from ortcam.cli.options.sections import Command, section
from ortcam.cli.options.shared import (
    description_options,
    input_option,
    json_option,
    network_argument,
    output_option,
    provider_option,
    score_options,
    token_options,
)
from ortcam.cli.spelling import spell
from ortcam.cli.table import table
from ortcam.drawing.colormap import COLORMAPS, DEFAULT
from ortcam.errors import DependencyError, LayerError
from ortcam.files.atomic import check_writable
from ortcam.files.formats import suffix_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ortcam.exporter import Candidate

ORDERS = ("rank", "depth", "stride", "field", "cost", "dead", "gini", "inside")

WITHOUT_PICTURE = (
    *("network", "reduction_layer", "score", "class_axis", "picture_input", "layout"),
    *("order", "as_json"),
)
"""The parameters that need no picture."""

LEGEND = (
    "rank: the last layer of every stride, cheapest first, then the last but one, and so on",
    "field: receptive field of the layer's central cell, in pixels",
    "cost: multiplications of one class's gradient over inference's; almost none if pooled",
)
LEGEND_OF_PICTURE = (
    "dead: channels that are zero everywhere",
    "gini: concentration of the map, from 0 to 1",
    "inside: share of the map on pixels predicted as the class",
)

map_option = section("Maps of a picture")


@click.command("layers", cls=Command, short_help="List candidate feature layers and scores.")
@network_argument
@map_option(
    "--picture",
    type=types.FILE,
    help="Make and measure the map of each layer on this picture.",
)
@map_option(
    "-c",
    "--class",
    "question",
    metavar="CLASS",
    show_default="the class with the most pixels",
    help="Class: a name, a 0-based index, or a difference such as 'Car - Road'.",
)
@map_option(
    "--figure",
    metavar="OUT",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw all maps into this .png, .jpg, .svg or .pdf file, or into several of up to 60 maps "
    "each.",
)
@map_option(
    "--colormap",
    type=click.Choice(COLORMAPS),
    default=DEFAULT,
    show_default=True,
    help="Colour map.",
)
@output_option(
    "--sort",
    "order",
    type=click.Choice(ORDERS),
    default="rank",
    show_default=True,
    help="Order of the feature layers: rank, from early to late (depth), or by a column, best "
    "first.",
)
@json_option
@score_options
@token_options
@description_options
@input_option
@provider_option
@click.pass_context
def command(
    context: click.Context,
    /,
    network: Path,
    reduction_layer: str | None,
    score: str | None,
    class_axis: int | None,
    picture: Path | None,
    question: str | None,
    figure: Path | None,
    colormap: str,
    order: str,
    as_json: bool,
    inputs: tuple[types.NamedInput, ...],
    providers: tuple[str, ...],
    **options: Any,
) -> None:
    """List the candidate feature layers of NETWORK, then its candidate scores.

    NETWORK is a network or an artifact. A star marks the layers that `ortcam export` selects by
    default.

    rank: of layers with the same stride, later ones see more and have shorter gradients. So the
    last layer of every stride comes first, the cheapest of these leading; then the last but one of
    every stride, and so on. Layers with an empty map follow, then layers that hold scores already.
    Layers that the score's gradient does not reach cannot be feature layers and have no rank.

    field: the receptive field of the layer's central cell, width and height in pixels; `global` is
    the whole picture.

    cost: multiplications in one class's gradient down to the layer, relative to the network's
    inference. A pooled gradient is never stored in full and costs almost nothing.

    dead, gini, inside (with --picture): the share of channels that are zero everywhere; the map's
    Gini index, from 0 for a level map to nearly 1 for a single bright spot; the share of the map
    on pixels predicted as the class.

    taken for, because of (of scores): what the tensor is taken for, and on what evidence. If it is
    not known which one to explain, the candidate scores alone are listed before the error.
    """
    if picture is None:
        _check_without_picture(context)
        try:
            candidates = exporter.layers(
                network,
                reduction_layer=reduction_layer,
                score=score,
                class_axis=class_axis,
                picture_input=options["picture_input"],
                layout=options["layout"],
            )
        except LayerError as error:
            if reduction_layer is None and len(error.candidates) > 1:  # else the error names it
                _print_scores(error.candidates, as_json=as_json)
            raise
        _print(candidates, order, as_json=as_json, measured=False)
        return
    exporter.require_exporter()
    if figure is not None:
        _check_figure(figure)
    survey = exporter.survey(
        network,
        picture,
        question,
        reduction_layer=reduction_layer,
        score=score,
        class_axis=class_axis,
        inputs=types.by_name(inputs),
        providers=list(providers) or None,
        **options,
    )
    if figure is not None:
        for file in survey.save(figure, order=order, colormap=colormap):
            click.echo(f"{picture} -> {file}", err=True)
    _print(survey.candidates, order, as_json=as_json, measured=True)
    for note in survey.notes:
        click.echo(f"note: {spell(note)}", err=True)


def _check_figure(figure: Path) -> None:
    """Check before the work that the figure can be drawn after it.

    Raises:
        DependencyError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    suffix_of(figure)
    check_writable(figure)
    if find_spec("matplotlib") is None:
        raise DependencyError("a figure needs matplotlib: pip install 'ortcam[plot]'")


def _check_without_picture(context: click.Context) -> None:
    """Reject options that only serve to map a picture.

    Raises:
        click.UsageError: one of them is set.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        is_set = source not in (None, ParameterSource.DEFAULT)
        if is_set and parameter.expose_value and parameter.name not in WITHOUT_PICTURE:
            raise click.UsageError(f"{parameter.opts[0]} needs a picture: add --picture FILE.")


def _print(candidates: Sequence[Candidate], order: str, *, as_json: bool, measured: bool) -> None:
    features = exporter.in_order([c for c in candidates if c.kind == "feature"], order)
    scores = [c for c in candidates if c.kind != "feature"]
    if as_json:
        click.echo(json.dumps([asdict(c) for c in (*features, *scores)], indent=2))
        return
    feature_columns = COLUMNS_OF_PICTURE if measured else COLUMNS
    click.echo(_table(feature_columns, features) + "\n")
    click.echo(_table(REDUCTION_COLUMNS, scores))
    for line in (*LEGEND, *(LEGEND_OF_PICTURE if measured else ())):
        click.echo(line, err=True)


def _print_scores(scores: Sequence[Candidate], *, as_json: bool) -> None:
    """Print candidate scores of which none is chosen."""
    if as_json:
        click.echo(json.dumps([asdict(c) for c in scores], indent=2))
    else:
        click.echo(_table(REDUCTION_COLUMNS, scores) + "\n")


def _table(columns: Columns, candidates: Sequence[Candidate]) -> str:
    rows = [[cell(candidate) for cell in columns.values()] for candidate in candidates]
    return table(tuple(columns), rows)


def _shape(candidate: Candidate) -> str:
    shape = " x ".join(map(str, candidate.shape))
    if candidate.grid is None:
        return shape
    height, width = candidate.grid
    return f"{shape} (tokens of {height} x {width})"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _gradient(candidate: Candidate) -> str:
    if not candidate.reached:
        return "none"
    return "pooled" if candidate.pooled else "whole"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _star(candidate: Candidate) -> str:
    return "*" if candidate.chosen else ""


Columns = dict[str, "Callable[[Candidate], str]"]

_FIRST: Columns = {
    "": _star,
    "rank": lambda layer: str(layer.rank or ""),
    "layer": lambda layer: layer.name,
}
_FACTS: Columns = {
    "shape": _shape,
    "stride": lambda layer: layer.stride_in_words,
    "field": lambda layer: layer.field_in_words,
    "cost": lambda layer: layer.cost_in_words if layer.reached else "",
    "gradient": _gradient,
}
COLUMNS: Columns = {**_FIRST, "operator": lambda layer: layer.operator, **_FACTS}
COLUMNS_OF_PICTURE: Columns = {
    **_FIRST,
    **_FACTS,
    "dead": lambda layer: _share(layer.dead),
    "gini": lambda layer: "" if layer.concentration is None else f"{layer.concentration:.2f}",
    "inside": lambda layer: "empty" if layer.is_empty else _share(layer.inside),
}
REDUCTION_COLUMNS: Columns = {
    "": _star,
    "reduction layer": lambda layer: layer.name,
    "operator": lambda layer: layer.operator,
    "shape": _shape,
    "classes": lambda layer: _number(layer.channels),
    "taken for": lambda layer: layer.taken_for,
    "because of": lambda layer: layer.reason,
}
