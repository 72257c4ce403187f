"""``ortcam explain``: where in a picture a class is seen, as figures or arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

import click

from ortcam.cli import asking, destinations, parameters, where
from ortcam.cli import pictures as each
from ortcam.cli.opening import open_artifact
from ortcam.cli.options import destination_options, picture_arguments, run_options, stack
from ortcam.colormap import COLORMAPS, DEFAULT
from ortcam.errors import PictureError, RegionError
from ortcam.look import Scale
from ortcam.results import Explanation, common_scale
from ortcam.saving import PICTURES, VECTORS

drawing_options = stack(
    click.option(
        "--colormap",
        type=click.Choice(COLORMAPS),
        help=f"The maps' colours.  [default: the preset's; {DEFAULT}]",
    ),
    click.option(
        "--alpha",
        metavar="X",
        type=click.FloatRange(0, 1),
        help="The colours' share, from 0 to 1; the picture has the rest.  [default: the preset's; "
        "0.5]",
    ),
    click.option(
        "--scale",
        metavar="SCALE",
        type=parameters.color_scale,
        help="Whose greatest value takes the last colour: that of a layer's maps together "
        "(shared), of each map by itself (own), of all layers' maps (layers), of all the "
        "pictures' at each layer (pictures, which takes two runs a picture), or 1 (none); or a "
        "number, the value itself.  [default: the preset's; shared]",
    ),
    click.option(
        "--contours/--no-contours",
        default=None,
        help="Outline what is predicted as the class, white, and the part asked about, light "
        "blue.  [default: the preset's; contours]",
    ),
)


@click.command("explain", short_help="Show where in pictures the classes are seen.")
@picture_arguments
@asking.asking_options
@drawing_options
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
    explain = asking.explainer(cam, asked)
    if scale == "pictures":
        scale = common_scale(_explained(pictures, explain, quiet))

    def work(picture: Path, file: Path) -> list[str]:
        with each.passes(hidden=quiet or len(pictures) > 1) as progress:
            explanation = explain(picture, progress)
        explanation.save(
            file, colormap=colormap, alpha=alpha, scale=scale, slice=slice, contours=contours
        )
        return list(explanation.notes)

    each.for_each(pictures, files, work, quiet=quiet)


def _explained(
    pictures: Sequence[Path], explain: Callable[[Path], Explanation], quiet: bool
) -> Iterator[Explanation]:
    """One explanation after the other; of pictures that have none is told when they are drawn."""
    with click.progressbar(
        pictures, label="finding the scale", hidden=quiet or len(pictures) == 1, file=sys.stderr
    ) as listed:
        for picture in listed:
            try:
                yield explain(picture)
            except (PictureError, RegionError):
                continue
