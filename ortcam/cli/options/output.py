"""The file that each picture's result goes to, chosen and checked before any work."""

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
    """Return a writable file for each picture; a missing folder is created.

    Args:
        output: a file of a known format for one picture, or a folder.
        pictures: the pictures' paths.
        kind: the middle of file names in a folder: ``street.explain.png``. Pictures of the same
            name in different folders become ``street.explain.png`` and ``street-2.explain.png``.
        suffix: the suffix of files in a folder, without its dot.

    Raises:
        click.UsageError: the output is neither, or a picture would be overwritten.
        OutputError: a file cannot be written.
    """
    if _is_folder(output, len(pictures)):
        paths = [output / name for name in _names(pictures, f".{kind}.{suffix}")]
        _create(output)
    else:
        paths = [output]
    sources = {picture.resolve() for picture in pictures}
    for path in paths:
        if path.resolve() in sources:
            raise click.UsageError(f"{path} is one of the pictures and would be overwritten.")
        check_writable(path)
    return paths


def require_matplotlib(
    files: Sequence[Path], suffixes: Sequence[str], subject: str, alternative: str
) -> None:
    """Check before the work that the figures can be drawn after it.

    Args:
        files: the files to write.
        suffixes: the suffixes of files that matplotlib draws.
        subject: the beginning of the message, up to its verb.
        alternative: what to do without matplotlib.

    Raises:
        DependencyError: matplotlib is needed and not installed.
    """
    needed = any(file.suffix.lower() in suffixes for file in files)
    if needed and find_spec("matplotlib") is None:
        raise DependencyError(f"{subject} matplotlib: pip install 'ortcam[plot]', or {alternative}")


def _is_folder(output: Path, pictures: int) -> bool:
    if output.is_dir():
        return True
    suffix = output.suffix.lower()
    if suffix in SUFFIXES:
        if pictures > 1:
            raise click.UsageError(f"{pictures} pictures need a folder, but {output} is a file.")
        return False
    if output.exists() or (suffix and pictures == 1):
        raise click.UsageError(f"{output} is neither a folder nor a {listed()} file.")
    return True


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror}") from error


def _names(pictures: Sequence[Path], ending: str) -> list[str]:
    """File names made of the pictures' stems, distinct on file systems that ignore case too."""
    used: set[str] = set()
    names = []
    for picture in pictures:
        numbered = (f"-{n}" if n > 1 else "" for n in count(1))
        candidates = (f"{picture.stem}{number}{ending}" for number in numbered)
        name = next(c for c in candidates if c.casefold() not in used)
        used.add(name.casefold())
        names.append(name)
    return names
