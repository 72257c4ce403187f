"""``ortcam explain``: where in a picture a class is seen, as figures or arrays."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from ortcam.cli import destinations, where
from ortcam.cli import pictures as each
from ortcam.cli.opening import open_artifact
from ortcam.cli.options import picture_options
from ortcam.colormap import COLORMAPS, DEFAULT
from ortcam.errors import DependencyError
from ortcam.methods import GRAD_CAM, METHODS
from ortcam.questions import parse
from ortcam.results import SCALES
from ortcam.upsample import METHODS as FILTERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@click.command("explain", short_help="Show where in pictures the classes are seen.")
@click.option(
    "-c",
    "--class",
    "classes",
    metavar="CLASS",
    multiple=True,
    help="A class to explain, by name or 0-based index, or a weighted sum or difference such as "
    "'Car - 0.5*Road', with spaces around its signs; may be given several times.  [default: those "
    "that the network sees in the picture]",
)
@click.option(
    "-l",
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    help="A feature layer; may be given several times.  [default: all of the artifact's]",
)
@where.where_options
@click.option(
    "--method",
    metavar="METHOD[:OPTION=VALUE,...]",
    default=GRAD_CAM,
    show_default=True,
    help=f"How the maps are made: {', '.join(METHODS)}. Some take an artifact that was exported "
    "with --methods.",
)
@click.option(
    "--upsample",
    type=click.Choice(FILTERS),
    default="bicubic",
    show_default=True,
    help="How a map is brought to the picture's grid.",
)
@click.option(
    "--colormap",
    type=click.Choice(COLORMAPS),
    default=DEFAULT,
    show_default=True,
    help="The maps' colours.",
)
@click.option(
    "--scale",
    type=click.Choice(SCALES),
    default=SCALES[0],
    show_default=True,
    help="Whose greatest value takes the last colour: a layer's maps' together, or each map's by "
    "itself.",
)
@picture_options
def command(
    artifact: Path,
    pictures: tuple[Path, ...],
    output: Path,
    suffix: str,
    size: tuple[int, int] | str | None,
    inputs: tuple[tuple[str, NDArray[np.generic]], ...],
    slice: int | None,
    providers: tuple[str, ...],
    quiet: bool,
    classes: tuple[str, ...],
    layers: tuple[str, ...],
    method: str,
    upsample: str,
    colormap: str,
    scale: str,
    **part: Unpack[where.Options],
) -> None:
    """Show for each PICTURE where ARTIFACT sees the classes: their Grad-CAM maps.

    With one layer a .png shows the picture, its segmentation and a map for each class; with
    several, a row of maps for each layer, from early to late. A .npz holds the maps in their own
    scale, the maps at the layers' size and the weights of the channels. A PICTURE in a .npy file
    is the network's input as it is, [1, C, height, width] or a volume [1, C, depth, height,
    width].
    """
    where.check(part)
    files = destinations.plan(output, pictures, kind="explain", suffix=suffix)
    if any(file.suffix.lower() == ".png" for file in files):
        _require_matplotlib()
    cam = open_artifact(artifact, providers=providers, quiet=quiet, layers=layers)
    asked = [parse(text, cam.classes) for text in classes]

    def work(picture: Path, file: Path) -> list[str]:
        explanation = cam.explain(
            classes=asked or None,
            layers=layers or None,
            region=where.region(part, picture),
            **each.seen(picture),
            inputs=dict(inputs),
            size=size,
            method=method,
            upsample=upsample,
        )
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
