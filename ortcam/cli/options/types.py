"""Types of option values: each function converts the text, or says what it should look like."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ortcam.cli.spelling import spell
from ortcam.drawing.style import SCALES
from ortcam.errors import InputError, PictureError
from ortcam.pictures.read import is_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def size(text: str) -> tuple[int, int]:
    """``WxH`` as (width, height)."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a width and a height, as in 480x360.")
    return int(match[1]), int(match[2])


def size_or_native(text: str) -> tuple[int, int] | Literal["native"]:
    """``WxH``, or the word ``native``."""
    return "native" if text == "native" else size(text)


def numbers(text: str) -> tuple[float, ...]:
    """One number per channel, separated by commas."""
    values = tuple(_number(part) for part in text.split(","))
    if not all(map(math.isfinite, values)):
        raise click.BadParameter(
            f"{text!r} is not one number per channel, as in 0.485,0.456,0.406."
        )
    return values


def pixel(text: str) -> tuple[int, ...]:
    """``X,Y``, or ``X,Y,Z`` in a volume."""
    values = _whole(text)
    if values is None or len(values) not in (2, 3) or min(values) < 0:
        raise click.BadParameter(f"{text!r} is not a column and a row from 0, as in 120,80.")
    return values


def index(text: str) -> tuple[int, ...]:
    """``N``, or ``N,N`` in a list of two axes."""
    values = _whole(text)
    if values is None or min(values) < 0:
        raise click.BadParameter(f"{text!r} is not an index from 0, as in 3, or in 3,1.")
    return values


def box(text: str) -> tuple[int, ...]:
    """``X0,Y0,X1,Y1``."""
    values = _whole(text)
    if values is None or len(values) != 4:
        raise click.BadParameter(
            f"{text!r} is not a left, upper, right and lower edge, as in 10,20,90,60."
        )
    return values


def polygon(text: str) -> tuple[tuple[float, float], ...]:
    """``X,Y,X,Y,X,Y`` and so on."""
    values = [_number(part) for part in text.split(",")]
    if len(values) < 6 or len(values) % 2 or not all(map(math.isfinite, values)):
        raise click.BadParameter(
            f"{text!r} is not the X,Y of three or more corners, as in 10,10,90,10,50,80."
        )
    return tuple(zip(values[::2], values[1::2], strict=True))


def factor(text: str) -> float:
    """A number, or a fraction such as ``1/255``."""
    over, _, under = text.partition("/")
    divisor = _number(under or "1")
    value = _number(over) / divisor if divisor else math.nan
    if not math.isfinite(value) or not value:
        raise click.BadParameter(f"{text!r} is not a number or a fraction, as in 1/255.")
    return value


def color_scale(text: str) -> str | float:
    """The value of the top colour, or the word for how it is chosen."""
    words = (*SCALES, "pictures")
    if text in words:
        return text
    value = _number(text)
    if not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"{text!r} is neither {', '.join(words)} nor a number above 0.")
    return value


NamedInput = tuple[str, "NDArray[np.generic] | Path"]
"""The name of a further input of the network, and its value: an array, or a picture's path."""


def named_input(text: str) -> NamedInput:
    """``NAME=FILE``, a further input of the network: an array in a .npy file, or a picture."""
    name, _, file = text.partition("=")
    path = Path(file)
    if not name or not file:
        raise click.BadParameter(f"{text!r} is not NAME=FILE, with a .npy file or a picture.")
    if not path.is_file():
        raise click.BadParameter(f"There is no file {file!r}.")
    if path.suffix.lower() not in (".npy", ".npz"):
        return name, path
    try:
        return name, array(path)
    except InputError as error:
        raise click.BadParameter(f"{spell(error.message)}.") from error


def by_name(inputs: Iterable[NamedInput]) -> dict[str, Any]:
    """Return further inputs by name; several pictures for one name as a list.

    Raises:
        click.BadParameter: several arrays have one name.
    """
    named: dict[str, list[Any]] = {}
    for name, value in inputs:
        named.setdefault(name, []).append(value)
    for name, values in named.items():
        if len(values) > 1 and not all(isinstance(value, Path) for value in values):
            raise click.BadParameter(
                f"the input {name!r} has several values. Join them in one array, a row for each "
                "picture.",
                param_hint="'--input'",
            )
    return {name: values if len(values) > 1 else values[0] for name, values in named.items()}


def array(path: Path) -> NDArray[np.generic]:
    """The array in a .npy file.

    Raises:
        InputError: the file holds no array, several, or one of Python objects.
    """
    import numpy as np

    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise InputError(
            f"{path} cannot be read as a NumPy array of numbers; write it by numpy.save"
        ) from error
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path} holds several arrays; pass a .npy file, which holds one")
    return values


def _whole(text: str) -> tuple[int, ...] | None:
    parts = text.split(",")
    return tuple(map(int, parts)) if all(re.fullmatch(r"-?\d{1,9}", p) for p in parts) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def network_input(path: Path) -> dict[str, Any]:
    """A file as an argument of :class:`ortcam.Cam`: ``picture``, or ``tensor`` if it is .npy.

    Raises:
        PictureError: a .npy file holds no array.
    """
    if not is_array(path):
        return {"picture": path}
    try:
        return {"tensor": array(path)}
    except InputError as error:
        raise PictureError(error.message) from error
