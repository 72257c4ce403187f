"""Class names and label colours from files that users write; nothing in them is executed."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ortcam.errors import InputError

__all__ = ["Color", "by_index", "checked_names", "read_colors", "read_labels", "read_text"]

Color = tuple[int, int, int]

#: Label files are lists of words; a larger file is another one by mistake.
LARGEST_FILE = 4 * 2**20
LONGEST_NAME = 300


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read class names: one per line, a JSON list, or a JSON object of indices and names.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    text = read_text(path)
    if text.lstrip().startswith(("[", "{")):
        data = _json(text, path)
        names = by_index(data, str(path)) if isinstance(data, dict) else data
        if not names or not all(isinstance(name, str) for name in names):
            raise InputError(f"{path} is JSON, but not a list of class names")
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise InputError(f"{path} names no class; write one per line")
    return checked_names(names, str(path))


def read_colors(
    path: str | os.PathLike[str], classes: Sequence[str] | None = None
) -> tuple[Color, ...]:
    """Read label colours: lines of ``r,g,b [name]`` or ``name,r,g,b``, or JSON.

    JSON is a list of [r, g, b] or "#rrggbb", or an object from class names or indices to these.
    If the file names every class, colours go by name; else they go by their order in the file.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    text = read_text(path)
    if text.lstrip().startswith(("[", "{")):
        data = _json(text, path)
        pairs = list(data.items()) if isinstance(data, dict) else [(None, c) for c in data]
        colors = [(name, _color(value, path)) for name, value in pairs]
        if isinstance(data, dict) and all(str(name).isdigit() for name in data):
            colors.sort(key=lambda pair: int(str(pair[0])))
    else:
        colors = _color_lines(text, path)
    if not colors:
        raise InputError(f"{path} has no colour; write one per line as r,g,b")
    by_name = {str(name).casefold(): color for name, color in colors}
    if classes and all(name.casefold() in by_name for name in classes):
        return tuple(by_name[name.casefold()] for name in classes)
    return tuple(color for _, color in colors)


def by_index(data: Mapping[Any, Any], source: str) -> list[Any]:
    """Return the names of ``{0: name, ...}`` or ``{name: 0, ...}``, sorted by index.

    Raises:
        InputError: the indices are not 0, 1, 2...
    """
    try:
        if all(isinstance(value, int) for value in data.values()):
            pairs = {value: key for key, value in data.items()}
        else:
            pairs = {int(key): value for key, value in data.items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{source} does not give an index for each class name") from error
    if sorted(pairs) != list(range(len(data))):
        raise InputError(f"{source} does not number its {len(data)} classes from 0")
    return [pairs[index] for index in range(len(data))]


def checked_names(names: Iterable[str], source: str) -> tuple[str, ...]:
    """Return names after checking that they are short and have no control characters.

    Raises:
        InputError: a name is not safe to print.
    """
    checked = tuple(names)
    for name in checked:
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise InputError(
                f"{source} has a class name that is over {LONGEST_NAME} characters or not "
                f"printable: {name[:40]!r}"
            )
    return checked


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a small text file.

    Raises:
        InputError: the file cannot be read, is too large, or is not text.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise InputError(f"there is no file {path}")
        if file.stat().st_size > LARGEST_FILE:
            raise InputError(
                f"{path} is larger than {LARGEST_FILE // 2**20} MB; is it the right file?"
            )
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _json(text: str, path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


def _color_lines(text: str, path: str | os.PathLike[str]) -> list[tuple[str | None, Color]]:
    colors: list[tuple[str | None, Color]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        if number == 1 and not re.search(r"\d", line):  # the heading of a CSV file
            continue
        colors.append(_color_line(line, f"{path}, line {number}"))
    return colors


def _color_line(line: str, where: str) -> tuple[str | None, Color]:
    cells = next(csv.reader([line.replace(";", ",").replace("\t", ",")]))
    words = [word for cell in cells for word in _words(cell.strip())]
    for start in range(len(words) - 2):
        if all(word.isdecimal() for word in words[start : start + 3]):
            name = " ".join(words[:start] + words[start + 3 :])
            return name or None, _color(words[start : start + 3], where)
    raise InputError(f"{where} is not a colour: {line.strip()[:40]!r}; write it as r,g,b")


def _words(cell: str) -> list[str]:
    """Split a cell that begins with a number at its blanks; keep a name whole."""
    return cell.split() if cell[:1].isdigit() else [cell]


def _color(value: Any, where: str | os.PathLike[str]) -> Color:
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        r, g, b = bytes.fromhex(value[1:])
        return r, g, b
    try:
        r, g, b = (int(v) for v in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} has {value!r} for a colour, which is three numbers") from error
    if not all(0 <= v <= 255 for v in (r, g, b)):
        raise InputError(f"{where} has the colour {value!r}, whose numbers must be from 0 to 255")
    return r, g, b
