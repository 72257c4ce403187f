"""How maps are drawn: options of the commands that explain."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from ortcam.cli.options import types as parameters
from ortcam.cli.options.shared import stack
from ortcam.drawing.colormap import COLORMAPS, DEFAULT
from ortcam.drawing.style import Scale
from ortcam.errors import PictureError, RegionError
from ortcam.results.explanation import Explanation
from ortcam.results.scale import common_scale

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
"""The arguments ``colormap``, ``alpha``, ``scale`` and ``contours`` of figures."""


def found_scale(
    scale: Scale | None,
    pictures: Sequence[Path],
    explain: Callable[[Path], Explanation],
    *,
    quiet: bool,
) -> Scale | None:
    """The scale that was asked for; that of all the pictures together is found by explaining them.

    Args:
        scale: as typed.
        pictures: the pictures' paths.
        explain: explains one.
        quiet: show no progress.
    """
    if scale != "pictures":
        return scale
    return common_scale(_explained(pictures, explain, quiet))


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
