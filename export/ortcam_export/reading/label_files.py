"""Class names and label colours from files that users write; nothing in them is ever run."""

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

#: Label files are lists of words: what is larger was given by mistake.
LARGEST_FILE = 4 * 2**20
LONGEST_NAME = 300


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Class names: one a line, a JSON list, or a JSON object of indices to names or the reverse.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    text = read_text(path)
    if text.lstrip().startswith(("[", "{")):
        data = _json(text, path)
        names = by_index(data, str(path)) if isinstance(data, dict) else data
        if not names or not all(isinstance(name, str) for name in names):
            raise InputError(f"{path} is JSON, but no list of class names")
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise InputError(f"{path} names no class; write one a line")
    return checked_names(names, str(path))


def read_colors(
    path: str | os.PathLike[str], classes: Sequence[str] | None = None
) -> tuple[Color, ...]:
    """Label colours: lines of ``r,g,b [name]`` or ``name,r,g,b``, or JSON.

    JSON is a list of [r, g, b] or "#rrggbb", or an object of class names or indices to these.
    Where every class is named, the names tell the order; else the order of the file does.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    text = read_text(path)
    if text.lstrip().startswith(("[", "{")):
        data = _json(text, path)
        pairs = list(data.items()) if isinstance(data, dict) else [(None, c) for c in data]
        named = [(name, _color(value, path)) for name, value in pairs]
        if isinstance(data, dict) and all(str(name).isdigit() for name in data):
            named.sort(key=lambda pair: int(str(pair[0])))
    else:
        named = _color_lines(text, path)
    if not named:
        raise InputError(f"{path} has no colour; write one a line as r,g,b")
    by_name = {str(name).casefold(): color for name, color in named}
    if classes and all(name.casefold() in by_name for name in classes):
        return tuple(by_name[name.casefold()] for name in classes)
    return tuple(color for _, color in named)


def by_index(data: Mapping[Any, Any], source: str) -> list[Any]:
    """The names of ``{0: name, ...}`` or ``{name: 0, ...}`` in the order of their indices.

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
        raise InputError(f"{source} does not number its {len(data)} classes from 0 on")
    return [pairs[index] for index in range(len(data))]


def checked_names(names: Iterable[str], source: str) -> tuple[str, ...]:
    """Names that are safe to print: short, and without control characters.

    Raises:
        InputError: one is not.
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
    """A small text file.

    Raises:
        InputError: it cannot be read, is too large, or is no text.
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
        raise InputError(f"{path} is no text in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _json(text: str, path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


def _color_lines(text: str, path: str | os.PathLike[str]) -> list[tuple[str | None, Color]]:
    named: list[tuple[str | None, Color]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        if number == 1 and not re.search(r"\d", line):  # a CSV's heading
            continue
        named.append(_color_line(line, f"{path}, line {number}"))
    return named


def _color_line(line: str, where: str) -> tuple[str | None, Color]:
    cells = next(csv.reader([line.replace(";", ",").replace("\t", ",")]))
    words = [word for cell in cells for word in _words(cell.strip())]
    for start in range(len(words) - 2):
        if all(word.isdecimal() for word in words[start : start + 3]):
            name = " ".join(words[:start] + words[start + 3 :])
            return name or None, _color(words[start : start + 3], where)
    raise InputError(f"{where} is no colour: {line.strip()[:40]!r}; write it as r,g,b")


def _words(cell: str) -> list[str]:
    """A cell that begins with a number is split at its blanks; a name is left whole."""
    return cell.split() if cell[:1].isdigit() else [cell]


def _color(value: Any, where: str | os.PathLike[str]) -> Color:
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        r, g, b = bytes.fromhex(value[1:])
        return r, g, b
    try:
        r, g, b = (int(v) for v in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} has {value!r} where a colour is three numbers") from error
    if not all(0 <= v <= 255 for v in (r, g, b)):
        raise InputError(f"{where} has the colour {value!r}; its numbers are from 0 to 255")
    return r, g, b
