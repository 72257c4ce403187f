"""``ortcam layers``: which tensors of a network could be a feature or the reduction layer."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.cli.options.shared import (
    as_json,
    description_options,
    input_option,
    network_argument,
    provider_option,
    score_options,
    token_options,
)
from ortcam.cli.options.types import FILE
from ortcam.cli.spelling import spell
from ortcam.cli.table import table
from ortcam.drawing.colormap import COLORMAPS, DEFAULT
from ortcam.errors import DependencyError
from ortcam.exporter import require_exporter
from ortcam.files.atomic import check_writable
from ortcam.files.formats import suffix_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ortcam_export import Candidate

ORDERS = ("rank", "depth", "stride", "field", "cost", "dead", "gini", "inside")
#: What may be given without a picture.
_OF_THE_NETWORK = ("reduction_layer", "score", "order", "as_json")

LEGEND = (
    "rank: the last layer of every stride, cheapest first, then the last but one, and so on",
    "field: how many pixels in a row, and in a column, its central cell depends on",
    "cost: multiplications of one class's gradient over inference's; if pooled, it is nearly free",
)
LEGEND_OF_PICTURE = (
    "dead: channels that are zero everywhere",
    "gini: how concentrated its map is, from 0 to 1",
    "inside: the share of its map on the pixels predicted as the class",
)


@click.command("layers", short_help="List the layers of a network that can be explained.")
@network_argument
@score_options
@click.option(
    "--picture",
    type=FILE,
    help="Make each layer's map of a class on this picture, and measure it.",
)
@click.option(
    "-c",
    "--class",
    "question",
    metavar="CLASS",
    help="The class, by name or 0-based index, or a difference such as 'Car - Road'.  [default: "
    "the one that the network sees most of in the picture]",
)
@click.option(
    "--figure",
    metavar="OUT",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw all the maps, small, into this .png, .jpg, .svg or .pdf file; more than 60 into "
    "several.",
)
@click.option(
    "--colormap",
    type=click.Choice(COLORMAPS),
    default=DEFAULT,
    show_default=True,
    help="The maps' colours.",
)
@click.option(
    "--sort",
    "order",
    type=click.Choice(ORDERS),
    default="rank",
    show_default=True,
    help="By what feature layers are ordered: from early to late (depth), or by a column, the "
    "finest, farthest seeing, cheapest, least dead, most concentrated or most inside first.",
)
@as_json
@description_options
@click.option("--picture-input", metavar="INPUT", help="The input that takes the picture.")
@token_options
@input_option
@provider_option
@click.pass_context
def command(
    context: click.Context,
    /,
    network: Path,
    reduction_layer: str | None,
    score: str | None,
    picture: Path | None,
    question: str | None,
    figure: Path | None,
    colormap: str,
    order: str,
    as_json: bool,
    **more: Any,
) -> None:
    """List the layers of NETWORK, or of an artifact, that could be explained.

    A star marks the feature layer and the reduction layer that `ortcam export` would choose by
    itself.

    The rank follows one rule: of layers with one stride the later ones see more and their gradient
    is shorter, so the last layer of every stride comes first, the cheapest before the others; then
    the last but one of every stride, and so on. Behind these come layers whose map is empty, then
    what holds scores already; a layer that no gradient of the score reaches cannot be a feature
    layer and has no rank.

    The field is that of the layer's central cell: how many pixels in a row and in a column it
    depends on; `global` is all of them. The cost is how many multiplications the gradient of one
    class takes from the score down to the layer, over those of the network's inference. A gradient
    that is pooled is never carried whole, and is nearly free.

    With --picture, dead is the share of the layer's channels that are zero everywhere, gini the
    Gini index of its map, 0 where it is level and near 1 where it is one bright place, and inside
    the share of the map on the pixels that are predicted as the class.
    """
    if picture is None:
        _check_alone(context)
    require_exporter()
    import ortcam_export

    if picture is None:
        found = ortcam_export.layers(network, reduction_layer=reduction_layer, score=score)
        _print(found, order, as_json=as_json, measured=False)
        return
    if figure is not None:
        _check_figure(figure)
    inputs = more.pop("inputs")
    providers = list(more.pop("providers")) or None
    surveyed = ortcam_export.survey(
        network,
        picture,
        question,
        reduction_layer=reduction_layer,
        score=score,
        inputs=dict(inputs),
        providers=providers,
        **more,
    )
    if figure is not None:
        for file in surveyed.save(figure, order=order, colormap=colormap):
            click.echo(f"{picture} -> {file}", err=True)
    _print(surveyed.candidates, order, as_json=as_json, measured=True)
    for note in surveyed.notes:
        click.echo(f"note: {spell(note)}", err=True)


def _check_figure(figure: Path) -> None:
    """A figure is drawn after the work; what it needs is asked for before it.

    Raises:
        DependencyError: matplotlib is not installed.
        OutputError: it cannot be written there.
    """
    suffix_of(figure)
    check_writable(figure)
    if find_spec("matplotlib") is None:
        raise DependencyError("a figure needs matplotlib: pip install 'ortcam[plot]'")


def _check_alone(context: click.Context) -> None:
    """What is of use with a picture alone is not to be given without one."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        typed = source is click.core.ParameterSource.COMMANDLINE
        if typed and parameter.name not in ("network", *_OF_THE_NETWORK):
            raise click.UsageError(f"{parameter.opts[0]} takes a picture: give --picture too.")


def _print(candidates: Sequence[Candidate], order: str, *, as_json: bool, measured: bool) -> None:
    from ortcam_export.layers.ranking import in_order

    features = in_order([c for c in candidates if c.kind == "feature"], order)
    scores = [c for c in candidates if c.kind != "feature"]
    if as_json:
        click.echo(json.dumps([asdict(c) for c in (*features, *scores)], indent=2))
        return
    columns = COLUMNS_OF_PICTURE if measured else COLUMNS
    for listed, shown in ((features, columns), (scores, REDUCTION_COLUMNS)):
        rows = [[text(candidate) for text in shown.values()] for candidate in listed]
        click.echo(table(tuple(shown), rows) + ("\n" if listed is features else ""))
    for line in (*LEGEND, *(LEGEND_OF_PICTURE if measured else ())):
        click.echo(line, err=True)


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
    "stride": lambda layer: _number(layer.stride),
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
}
