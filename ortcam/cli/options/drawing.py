"""The options of the commands that explain for drawing maps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import click

from ortcam.cli.options import types
from ortcam.cli.options.decorators import stack
from ortcam.cli.options.sections import section
from ortcam.cli.options.shared import slice_option
from ortcam.drawing.colormap import COLORMAPS, DEFAULT
from ortcam.drawing.style import Scale
from ortcam.errors import PictureError, RegionError
from ortcam.results.explanation import Explanation
from ortcam.results.scale import common_scale

drawing_option = section("Drawing")


class DrawingOptions(TypedDict):
    """The values of :data:`drawing_options`."""

    colormap: str | None
    alpha: float | None
    scale: Scale | None
    contours: bool | None
    slice: int | None


drawing_options = stack(
    drawing_option(
        "--colormap",
        type=click.Choice(COLORMAPS),
        show_default=f"{DEFAULT}, or the preset's",
        help="Colour map.",
    ),
    drawing_option(
        "--alpha",
        metavar="X",
        type=click.FloatRange(0, 1),
        show_default="0.5, or the preset's",
        help="Opacity of the colours over the picture.",
    ),
    drawing_option(
        "--scale",
        metavar="SCALE",
        type=types.color_scale,
        show_default="shared, or the preset's",
        help="Value shown in the top colour: the maximum of the layer's maps (shared), of each map "
        "(own), of all layers (layers), or of all pictures (pictures; runs each twice); 1 (none); "
        "or a number.",
    ),
    drawing_option(
        "--contours/--no-contours",
        default=None,
        show_default="contours, or the preset's",
        help="Outline the predicted class in white and the region in light blue.",
    ),
    slice_option,
)
"""The style of figures; the values are :class:`DrawingOptions`."""


def drawing_arguments(options: DrawingOptions) -> DrawingOptions:
    """The drawing options among all options of a command, as arguments of what draws."""
    return {
        "colormap": options["colormap"],
        "alpha": options["alpha"],
        "scale": options["scale"],
        "contours": options["contours"],
        "slice": options["slice"],
    }


def resolve_scale(
    scale: Scale | None,
    pictures: Sequence[Path],
    explain: Callable[[Path], Explanation],
    *,
    quiet: bool,
) -> Scale | None:
    """Return the scale; for ``pictures``, explain them all to find the one that they share.

    Args:
        scale: the value of the option.
        pictures: the pictures' paths.
        explain: explains a picture.
        quiet: hide the progress bar.
    """
    if scale != "pictures":
        return scale
    return common_scale(_explanations(pictures, explain, quiet))


def _explanations(
    pictures: Sequence[Path], explain: Callable[[Path], Explanation], quiet: bool
) -> Iterator[Explanation]:
    """One explanation after the other; errors are reported later, when the figures are drawn."""
    with click.progressbar(
        pictures, label="finding the scale", hidden=quiet or len(pictures) == 1, file=sys.stderr
    ) as bar:
        for picture in bar:
            try:
                yield explain(picture)
            except (PictureError, RegionError):
                continue
