"""Every picture through the artifact, one after the other, and its result into its file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortcam.cli.options.types import array
from ortcam.cli.spelling import spell
from ortcam.errors import InputError, PictureError, RegionError
from ortcam.pictures.read import is_array

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from ortcam.inference.query import Progress


def for_each(
    pictures: Sequence[Path],
    destinations: Sequence[Path],
    work: Callable[[Path, Path], list[str]],
    *,
    quiet: bool,
) -> None:
    """Does the work for each picture and reports it; one for which it cannot be done is left out.

    Args:
        pictures: the pictures' paths.
        destinations: a file for each.
        work: makes one picture's file and returns what is to be said of it beside its names.
        quiet: print nothing but errors.

    Raises:
        PictureError, RegionError: the only picture cannot be read, or nothing is selected in it.
        click.ClickException: some of several could not be; the others are done.
    """
    check_left_out(attempt(pictures, destinations, work, quiet=quiet), len(pictures))


def attempt(
    pictures: Sequence[Path],
    destinations: Sequence[Path],
    work: Callable[[Path, Path], list[str]],
    *,
    quiet: bool,
) -> int:
    """Does what :func:`for_each` does, and gives the number of pictures that were left out.

    Raises:
        PictureError, RegionError: the only picture cannot be read, or nothing is selected in it.
    """
    left_out = 0
    pairs = list(zip(pictures, destinations, strict=True))
    said: list[tuple[str, bool]] = []  # kept until the bar is gone
    try:
        with _progress(pairs, hidden=quiet or len(pairs) == 1) as bar:
            for picture, destination in bar:
                try:
                    notes = work(picture, destination)
                except (PictureError, RegionError) as error:
                    if len(pairs) == 1:
                        raise
                    left_out += 1
                    said.append((f"Error: {spell(error.message)}", True))
                    continue
                if not quiet:
                    said.append((f"{picture} -> {destination}", False))
                    said += [(f"note: {spell(note)}", True) for note in notes]
    finally:
        for line, is_error in said:
            click.echo(line, err=is_error)
    return left_out


def check_left_out(left_out: int, count: int) -> None:
    """Ends a command badly that left out some of its pictures.

    Raises:
        click.ClickException: it did.
    """
    if left_out:
        raise click.ClickException(f"{left_out} of {count} pictures were left out.")


def seen(path: Path) -> dict[str, Any]:
    """A picture, or the network's input as it is, as an argument of :class:`ortcam.Cam`.

    Raises:
        PictureError: a .npy file holds no array.
    """
    if not is_array(path):
        return {"picture": path}
    try:
        return {"tensor": array(path)}
    except InputError as error:
        raise PictureError(error.message) from error


@contextmanager
def passes(*, hidden: bool) -> Iterator[Progress | None]:
    """A bar on stderr, where that is a terminal, over the passes of a method that takes many."""
    with ExitStack() as stack:
        bars: list[ProgressBar[int]] = []

        def tell(done: int, total: int) -> None:
            if not bars:
                bar = click.progressbar(length=total, label="passes", file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].update(done - bars[0].pos)

        yield None if hidden or not sys.stderr.isatty() else tell


def _progress(
    pairs: Sequence[tuple[Path, Path]], *, hidden: bool
) -> AbstractContextManager[Iterable[tuple[Path, Path]]]:
    """A bar on stderr, where that is a terminal."""
    if hidden:
        return nullcontext(pairs)
    return click.progressbar(pairs, file=sys.stderr)
