"""The pictures of a run, each with a unique name, and their label images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from ortcam.errors import InputError, PictureError

__all__ = ["Item", "Paths", "collect", "evenly_spaced"]

T = TypeVar("T")

Paths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"
"""Pictures, and folders of pictures."""

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""The suffixes of the files in a folder that are read as pictures."""


@dataclass(frozen=True)
class Item:
    """A picture of a run.

    Attributes:
        name: its path relative to the folder, with ``/``, if a single folder was given; else its
            path as given.
        path: the picture's file.
        truth: the file expected to hold its label image; None without label images.
    """

    name: str
    path: Path
    truth: Path | None

    def label_image(self) -> Path | None:
        """Return the path of the label image.

        Raises:
            PictureError: the file does not exist.
        """
        if self.truth is not None and not self.truth.is_file():
            raise PictureError(f"{self.path} has no label image: {self.truth} does not exist")
        return self.truth


def collect(pictures: Paths, truth: str | os.PathLike[str] | None = None) -> list[Item]:
    """Return the pictures, sorted by name.

    Args:
        pictures: pictures and folders; folders are searched recursively.
        truth: the folder of label images, ``NAME.png`` for ``NAME.jpg``, with the same subfolders
            as the pictures; or the label image of a single picture.

    Raises:
        InputError: there are no pictures, or none of them has a label image.
    """
    paths = [pictures] if isinstance(pictures, (str, os.PathLike)) else list(pictures)
    if not paths:
        raise InputError("no pictures: give at least one picture or folder")
    files = dict(_named_files([Path(path) for path in paths]))
    if not files:
        raise InputError(
            f"no picture in {', '.join(map(str, paths))}; files in a folder count as pictures if "
            f"they end in {', '.join(sorted(SUFFIXES))}"
        )
    labels = None if truth is None else Path(truth)
    items = [Item(name, files[name], _label_path(labels, name)) for name in sorted(files)]
    if labels is not None and not any(item.truth and item.truth.is_file() for item in items):
        raise InputError(
            f"{labels} holds no label image of any picture; the one of {items[0].path} would be "
            f"{items[0].truth}"
        )
    return items


def evenly_spaced(items: Sequence[T], limit: int | None) -> list[T]:
    """Return at most ``limit`` items, evenly spaced, since neighbouring film frames are alike.

    Raises:
        InputError: the limit is less than 1.

    Example:
        >>> evenly_spaced(range(9), 3)
        [1, 4, 7]
    """
    if limit is None or limit >= len(items):
        return list(items)
    if limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}")
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]


def _named_files(paths: list[Path]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in SUFFIXES and file.is_file():
                    yield (file.relative_to(path) if len(paths) == 1 else file).as_posix(), file
        elif path.exists():
            yield (path.name if len(paths) == 1 else path.as_posix()), path
        else:
            raise InputError(f"{path} does not exist; give pictures or folders of pictures")


def _label_path(labels: Path | None, name: str) -> Path | None:
    if labels is None or labels.is_file():
        return labels
    relative = Path(name).with_suffix(".png")
    return labels / (relative.name if relative.is_absolute() else relative)
