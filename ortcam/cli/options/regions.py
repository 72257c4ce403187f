"""The options of ``ortcam explain`` that say where in a picture is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from ortcam.cli.options import types as parameters
from ortcam.cli.options.shared import stack
from ortcam.cli.options.types import FILE
from ortcam.errors import PictureError
from ortcam.pictures.read import is_array

if TYPE_CHECKING:
    from ortcam.questions.regions import Region, Where

BORDER = 3
"""Pixels that a border is wide, unless told otherwise."""


class Options(TypedDict):
    """The options by name, as click gives them."""

    at: tuple[int, ...] | None
    box: tuple[int, ...] | None
    polygon: tuple[tuple[float, float], ...] | None
    mask: Path | None
    where: tuple[str, ...]
    border_width: int | None
    truth: Path | None


where_options = stack(
    click.option(
        "--at",
        metavar="X,Y",
        type=parameters.pixel,
        help="Ask about one pixel, column X and row Y from 0; of a volume X,Y,Z.",
    ),
    click.option(
        "--box",
        metavar="X0,Y0,X1,Y1",
        type=parameters.box,
        help="Ask about a box, from column X0 to before X1 and from row Y0 to before Y1.",
    ),
    click.option(
        "--polygon",
        metavar="X,Y,X,Y,...",
        type=parameters.polygon,
        help="Ask about the pixels whose centres lie in a polygon.",
    ),
    click.option(
        "--mask",
        type=FILE,
        help="Ask about where a picture of the same size is not black; or a .npy file of weights.",
    ),
    click.option(
        "--where",
        type=click.Choice(["predicted", "component", "border", "labelled", "mistaken"]),
        multiple=True,
        help="Ask about the pixels predicted as the class; the connected object, of whatever class "
        "is predicted, under the pixel of --at; the border of that object or, without component, "
        "of the predicted pixels; the pixels that --truth labels as the class; those predicted as "
        "another class than the truth. May be given several times: what all share is asked about, "
        "with --box, --polygon and --mask too.",
    ),
    click.option(
        "--border-width",
        metavar="PIXELS",
        type=click.IntRange(min=1),
        help=f"How wide the border is, within the object.  [default: {BORDER}]",
    ),
    click.option(
        "--truth",
        metavar="FILE",
        type=click.Path(exists=True, path_type=Path),
        help="The label image: 0-based class indices, grey or by palette, or the classes' colours; "
        "or a folder of .png files with the pictures' names.",
    ),
)
"""Where is asked; :func:`region` reads them."""


def check(options: Options) -> None:
    """Finds out before the work whether the options go together.

    Raises:
        click.UsageError: one lacks another.
    """
    where, truth = options["where"], options["truth"]
    needs_truth = [w for w in ("labelled", "mistaken") if w in where]
    if "component" in where and options["at"] is None:
        raise click.UsageError("--where component takes a pixel of the object: --at X,Y.")
    if needs_truth and truth is None:
        raise click.UsageError(f"--where {needs_truth[0]} takes a label image: --truth FILE.")
    if truth is not None and not needs_truth:
        raise click.UsageError("--truth is looked at by --where labelled or mistaken alone.")
    if options["border_width"] is not None and "border" not in where:
        raise click.UsageError("--border-width is for --where border.")


def region(options: Options, picture: Path) -> Region | None:
    """The part of one picture that the options, which were checked, name; None for all of it.

    Raises:
        PictureError: a .npy file holds no array, or a folder no label image of the picture.
    """
    from ortcam.questions.regions import Mask

    mask = options["mask"]
    given = parameters.array(mask) if mask is not None and is_array(mask) else mask
    parts = _parts(options, picture)
    if not parts:
        return given
    if given is not None:
        parts.append(Mask(given))
    whole = parts[0]
    for part in parts[1:]:
        whole = whole & part
    return whole


def _parts(options: Options, picture: Path) -> list[Where]:
    from ortcam.questions.regions import (
        Box,
        Component,
        Labelled,
        Mistaken,
        Pixel,
        Polygon,
        Predicted,
    )

    at, where = options["at"], options["where"]
    parts: list[Where] = []
    if "component" in where and at is not None:
        parts.append(Component(*at))
    if "predicted" in where or ("border" in where and not parts):
        parts.append(Predicted())
    if "border" in where:
        parts[0] = parts[0].border(options["border_width"] or BORDER)
    if options["truth"] is not None:
        truth = _truth(options["truth"], picture)
        parts += [Labelled(truth)] if "labelled" in where else []
        parts += [Mistaken(truth)] if "mistaken" in where else []
    if at is not None and "component" not in where:
        parts.append(Pixel(*at))
    if options["box"] is not None:
        parts.append(Box(*options["box"]))
    if options["polygon"] is not None:
        parts.append(Polygon(options["polygon"]))
    return parts


def _truth(path: Path, picture: Path) -> Path:
    if not path.is_dir():
        return path
    file = path / f"{picture.stem}.png"
    if not file.is_file():
        raise PictureError(f"{path} holds no label image {file.name} of {picture}")
    return file
