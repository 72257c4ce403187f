"""The options of the commands that explain: what is asked, where, and by which method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.batch.lookahead import One, Together
from ortcam.cli.options import regions as where
from ortcam.cli.options.shared import stack
from ortcam.cli.per_picture import seen
from ortcam.drawing.presets import DEFAULT as PRESET
from ortcam.drawing.presets import PRESETS
from ortcam.grids.resample import METHODS as FILTERS
from ortcam.methods.registry import GRAD_CAM, METHODS
from ortcam.questions.question import parse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ortcam import Cam, Explanation
    from ortcam.inference.query import Progress


class Options(where.Options):
    """The options of :data:`asking_options`, and those of each run, as click gives them."""

    classes: tuple[str, ...]
    layers: tuple[str, ...]
    method: str
    preset: str
    upsample: str | None
    size: tuple[int, int] | str | None
    inputs: tuple[tuple[str, NDArray[np.generic]], ...]


asking_options = stack(
    click.option(
        "-c",
        "--class",
        "classes",
        metavar="CLASS",
        multiple=True,
        help="A class to explain, by name or 0-based index, or a weighted sum or difference such "
        "as 'Car - 0.5*Road', with spaces around its signs; may be given several times.  "
        "[default: those that the network sees in the picture]",
    ),
    click.option(
        "-l",
        "--layer",
        "layers",
        metavar="LAYER",
        multiple=True,
        help="A feature layer; may be given several times.  [default: all of the artifact's]",
    ),
    where.where_options,
    click.option(
        "--method",
        metavar="METHOD[:OPTION=VALUE,...]",
        default=GRAD_CAM,
        show_default=True,
        help=f"How the maps are made: {', '.join(METHODS)}. Some take an artifact that was "
        "exported with --methods.",
    ),
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default=PRESET,
        show_default=True,
        help="Make and draw the maps as another tool does, by its order of ReLU, scaling and "
        "resizing; raw: the signed sums, at the layer's size.",
    ),
    click.option(
        "--upsample",
        type=click.Choice(FILTERS),
        help="How a map is brought to the picture's grid.  [default: the preset's; bicubic]",
    ),
)
"""What is asked; :func:`explainer` reads them."""


def explainer(
    cam: Cam, options: Options, pictures: Sequence[Path] = (), batch: int = 1
) -> One[Explanation]:
    """A function that answers what the options, which were checked, ask about a picture.

    Args:
        cam: the artifact.
        options: what is asked.
        pictures: those that it will be asked about, in their order.
        batch: how many of these enter the network together.

    Raises:
        ClassError: there is no such class.
        InputError: a class is written wrongly.
    """
    asked = [parse(text, cam.classes) for text in options["classes"]] or None
    how: dict[str, Any] = {
        "layers": options["layers"] or None,
        "inputs": dict(options["inputs"]),
        "size": options["size"],
        "method": options["method"],
        "preset": options["preset"],
        "upsample": options["upsample"],
    }

    def one(picture: Path, progress: Progress | None = None) -> Explanation:
        region = where.region(options, picture)
        return cam.explain(classes=asked, region=region, **seen(picture), **how, progress=progress)

    def many(pictures: Sequence[Path]) -> list[Explanation]:
        regions = [where.region(options, picture) for picture in pictures]
        return cam.explain_batch(pictures, asked, regions=regions, batch=batch, **how)

    return Together(pictures, batch, one, many)
