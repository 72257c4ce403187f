"""Where the results of each picture go, settled before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import click

from ortcam.errors import DependencyError, OutputError
from ortcam.files.atomic import check_writable
from ortcam.files.formats import SUFFIXES, listed


def plan(output: Path, pictures: Sequence[Path], *, kind: str, suffix: str) -> list[Path]:
    """A file for each picture, each tried for writing; a folder is made if it is not there.

    Args:
        output: what the user gave: a file of a known format for one picture, or a folder.
        pictures: the pictures' paths.
        kind: stands in the names of files in a folder: ``street.explain.png``. Two pictures of
            one name in different folders become ``street.explain.png`` and
            ``street-2.explain.png``.
        suffix: of files in a folder, without its dot.

    Raises:
        click.UsageError: the output is neither, or would replace one of the pictures.
        OutputError: a file cannot be written there.
    """
    if _is_folder(output, len(pictures)):
        paths = [output / name for name in _names(pictures, f".{kind}.{suffix}")]
        _make(output)
    else:
        paths = [output]
    sources = {picture.resolve() for picture in pictures}
    for path in paths:
        if path.resolve() in sources:
            raise click.UsageError(f"{path} is one of the pictures, and would be replaced.")
        check_writable(path)
    return paths


def require_matplotlib(
    files: Sequence[Path], suffixes: Sequence[str], what: str, instead: str
) -> None:
    """Figures are drawn after the work; what they need is asked for before it.

    Args:
        files: the results.
        suffixes: of those that are figures.
        what: the beginning of the sentence.
        instead: what to do without.

    Raises:
        DependencyError: there is a figure and no matplotlib.
    """
    drawn = any(file.suffix.lower() in suffixes for file in files)
    if drawn and find_spec("matplotlib") is None:
        raise DependencyError(f"{what}: pip install 'ortcam[plot]', or {instead}")


def _is_folder(output: Path, pictures: int) -> bool:
    if output.is_dir():
        return True
    suffix = output.suffix.lower()
    if suffix in SUFFIXES:
        if pictures > 1:
            raise click.UsageError(f"{pictures} pictures need a folder, and {output} is a file.")
        return False
    if output.exists() or (suffix and pictures == 1):
        raise click.UsageError(f"{output} is neither a folder nor a {listed()} file.")
    return True


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error


def _names(pictures: Sequence[Path], ending: str) -> list[str]:
    """File names after the pictures' stems, distinct even where case does not count."""
    taken: set[str] = set()
    names = []
    for picture in pictures:
        numbered = (f"-{n}" if n > 1 else "" for n in count(1))
        candidates = (f"{picture.stem}{number}{ending}" for number in numbered)
        name = next(c for c in candidates if c.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names
