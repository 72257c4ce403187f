"""The pictures of a run, each with a name of its own, and their label images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ortcam.errors import InputError, PictureError

__all__ = ["Item", "Paths", "collect", "evenly"]

Paths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"
"""Pictures, and folders of them."""

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""The names by which pictures in a folder are known."""


@dataclass(frozen=True)
class Item:
    """A picture of a run.

    Attributes:
        name: its path in the one folder that was given, with ``/``; else the path as given.
        path: where it lies.
        truth: where its label image should lie; None where there are none.
    """

    name: str
    path: Path
    truth: Path | None

    def label_image(self) -> Path | None:
        """The label image's path.

        Raises:
            PictureError: it is not there.
        """
        if self.truth is not None and not self.truth.is_file():
            raise PictureError(f"there is no label image {self.truth} of {self.path}")
        return self.truth


def collect(pictures: Paths, truth: str | os.PathLike[str] | None = None) -> list[Item]:
    """The pictures, in the order of their names.

    Args:
        pictures: pictures and folders; of a folder all pictures in it and the folders in it.
        truth: the folder of label images, ``NAME.png`` for ``NAME.jpg``, in folders as the
            pictures are; or of one picture its label image.

    Raises:
        InputError: there are none, or no label image of any.
    """
    listed = [pictures] if isinstance(pictures, (str, os.PathLike)) else list(pictures)
    found = dict(_named([Path(path) for path in listed]))
    if not found:
        raise InputError(
            f"there is no picture in {', '.join(map(str, listed)) or 'nothing'}; a folder's are "
            f"known by their names' ends: {', '.join(sorted(SUFFIXES))}"
        )
    labels = None if truth is None else Path(truth)
    items = [Item(name, found[name], _truth(labels, name)) for name in sorted(found)]
    if labels is not None and not any(item.truth and item.truth.is_file() for item in items):
        raise InputError(
            f"{labels} holds no label image of any picture; that of {items[0].path} would be "
            f"{items[0].truth}"
        )
    return items


def evenly(items: list[Item], limit: int | None) -> list[Item]:
    """So many of them, evenly spaced, so that frames of a film are not all alike.

    Raises:
        InputError: the limit is less than 1.
    """
    if limit is None or limit >= len(items):
        return items
    if limit < 1:
        raise InputError(f"limit is {limit}; it is 1 or more")
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]


def _named(paths: list[Path]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in SUFFIXES and file.is_file():
                    alone = len(paths) == 1
                    yield (file.relative_to(path) if alone else file).as_posix(), file
        elif path.exists():
            yield (path.name if len(paths) == 1 else path.as_posix()), path
        else:
            raise InputError(f"there is no picture and no folder {path}")


def _truth(labels: Path | None, name: str) -> Path | None:
    if labels is None or labels.is_file():
        return labels
    inside = Path(name).with_suffix(".png")
    return labels / (inside.name if inside.is_absolute() else inside)
