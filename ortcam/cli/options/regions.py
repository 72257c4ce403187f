"""The options that restrict a question to a part of the picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from ortcam.cli.options import types
from ortcam.cli.options.decorators import stack
from ortcam.cli.options.sections import section
from ortcam.errors import PictureError
from ortcam.pictures.read import is_array

if TYPE_CHECKING:
    from ortcam.questions.regions import Region, Where

BORDER = 3
"""The default width of a border, in pixels."""

_BY_TRUTH = ("labelled", "mistaken", "false-positive", "false-negative")
"""The words of ``--where`` that need ``--truth``."""

where_option = section("Where")


class RegionOptions(TypedDict):
    """The values of :data:`region_options`."""

    index: tuple[int, ...] | None
    at: tuple[int, ...] | None
    box: tuple[int, ...] | None
    polygon: tuple[tuple[float, float], ...] | None
    mask: Path | None
    where: tuple[str, ...]
    border_width: int | None
    truth: Path | None


region_options = stack(
    where_option(
        "--index",
        metavar="N[,N...]",
        type=types.index,
        help="Entry of a score over a list, such as a query, an anchor or a time step, counted "
        "from 0.",
    ),
    where_option(
        "--at",
        metavar="X,Y",
        type=types.pixel,
        help="One pixel: column X and row Y from 0; X,Y,Z in a volume.",
    ),
    where_option(
        "--box",
        metavar="X0,Y0,X1,Y1",
        type=types.box,
        help="Box of the columns from X0 to before X1 and the rows from Y0 to before Y1.",
    ),
    where_option(
        "--polygon",
        metavar="X,Y,X,Y,...",
        type=types.polygon,
        help="Pixels whose centres lie inside a polygon.",
    ),
    where_option(
        "--mask",
        type=types.FILE,
        help="Pixels that are not black in this picture; or weights, in a .npy file.",
    ),
    where_option(
        "--where",
        metavar="PART",
        type=click.Choice(["predicted", "component", "border", *_BY_TRUTH]),
        multiple=True,
        help="Pixels predicted as the class (predicted), the predicted object under --at "
        "(component), the border of either (border), pixels that --truth labels as the class "
        "(labelled), pixels whose prediction differs from --truth (mistaken), of these the ones "
        "predicted as the class (false-positive) or labelled as it (false-negative). Repeatable; "
        "all regions are intersected.",
    ),
    where_option(
        "--border-width",
        metavar="PIXELS",
        type=click.IntRange(min=1),
        show_default=str(BORDER),
        help="Width of the border, measured inwards.",
    ),
    where_option(
        "--truth",
        metavar="FILE",
        type=click.Path(exists=True, path_type=Path),
        help="Label image, in 0-based class indices or label colours; or a folder of .png label "
        "images with the pictures' names.",
    ),
)
"""The part of the picture; :func:`region` builds it."""


def check(options: RegionOptions) -> None:
    """Check, before any work, that the options go together.

    Raises:
        click.UsageError: one lacks another.
    """
    where, truth = options["where"], options["truth"]
    needs_truth = [w for w in _BY_TRUTH if w in where]
    if "component" in where and options["at"] is None:
        raise click.UsageError("--where component needs a pixel of the object: add --at X,Y.")
    if needs_truth and truth is None:
        raise click.UsageError(f"--where {needs_truth[0]} needs a label image: add --truth FILE.")
    if truth is not None and not needs_truth:
        raise click.UsageError(f"--truth needs --where {' or --where '.join(_BY_TRUTH)}.")
    if options["border_width"] is not None and "border" not in where:
        raise click.UsageError("--border-width needs --where border.")


def region(options: RegionOptions, picture: Path) -> Region | None:
    """The region of one picture, from options that have passed :func:`check`; None for all of it.

    Raises:
        PictureError: a .npy file holds no array, or a folder has no label image of the picture.
    """
    from ortcam.questions.regions import Mask

    file = options["mask"]
    mask = types.array(file) if file is not None and is_array(file) else file
    parts = _parts(options, picture)
    if not parts:
        return mask
    if mask is not None:
        parts.append(Mask(mask))
    intersection = parts[0]
    for part in parts[1:]:
        intersection = intersection & part
    return intersection


def _parts(options: RegionOptions, picture: Path) -> list[Where]:
    from ortcam.questions.regions import (
        MISTAKES,
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
        parts += [Mistaken(truth, kind) for kind in MISTAKES if kind in where]
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
        raise PictureError(f"{path} holds no label image {file.name} for {picture}")
    return file
