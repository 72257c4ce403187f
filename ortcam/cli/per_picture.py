"""Work that is done picture by picture: its progress, its reports and its failures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ortcam.cli.spelling import spell
from ortcam.errors import PictureError, RegionError

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from ortcam.inference.query import Progress

Work = Callable[[Path, Path], list[str]]
"""Write the file of a picture, and return notes for the user."""


@dataclass(frozen=True)
class _Report:
    """A picture's result for the user: its file and notes, or the error."""

    picture: Path
    file: Path
    notes: Sequence[str] = ()
    error: PictureError | RegionError | None = None

    def print(self, *, quiet: bool) -> None:
        """Print errors to stderr, and unless quiet the file to stdout and notes to stderr."""
        if self.error is not None:
            click.echo(f"Error: {spell(self.error.message)}", err=True)
        elif not quiet:
            click.echo(f"{self.picture} -> {self.file}")
            for note in self.notes:
                click.echo(f"note: {spell(note)}", err=True)


def for_each(pictures: Sequence[Path], files: Sequence[Path], work: Work, *, quiet: bool) -> None:
    """Do the work for each picture; those that fail are reported and left out.

    Args:
        pictures: the pictures' paths.
        files: the file to write for each.
        work: the work.
        quiet: print errors only.

    Raises:
        PictureError, RegionError: the only picture failed.
        click.ClickException: some of several pictures failed; the others are done.
    """
    check_left_out(attempt(pictures, files, work, quiet=quiet), len(pictures))


def attempt(pictures: Sequence[Path], files: Sequence[Path], work: Work, *, quiet: bool) -> int:
    """Do what :func:`for_each` does, and return the number of pictures that were left out.

    Raises:
        PictureError, RegionError: the only picture failed.
    """
    pairs = list(zip(pictures, files, strict=True))
    reports: list[_Report] = []
    try:
        with _progress(pairs, hidden=quiet or len(pairs) == 1) as bar:
            for picture, file in bar:
                report = _report(picture, file, work)
                if report.error is not None and len(pairs) == 1:
                    raise report.error
                reports.append(report)
    finally:
        for report in reports:  # printed once the bar is gone
            report.print(quiet=quiet)
    return sum(report.error is not None for report in reports)


def _report(picture: Path, file: Path, work: Work) -> _Report:
    try:
        return _Report(picture, file, notes=work(picture, file))
    except (PictureError, RegionError) as error:
        return _Report(picture, file, error=error)


def check_left_out(left_out: int, count: int) -> None:
    """Fail the command if pictures were left out.

    Raises:
        click.ClickException: they were.
    """
    if left_out:
        raise click.ClickException(f"{left_out} of {count} pictures were left out.")


@contextmanager
def pass_progress(*, hidden: bool) -> Iterator[Progress | None]:
    """Progress of a method that takes many passes: a bar on stderr if that is a terminal."""
    with ExitStack() as stack:
        bars: list[ProgressBar[int]] = []

        def update(done: int, total: int) -> None:
            if not bars:
                bar = click.progressbar(length=total, label="passes", file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].update(done - bars[0].pos)

        yield None if hidden or not sys.stderr.isatty() else update


def _progress(
    pairs: Sequence[tuple[Path, Path]], *, hidden: bool
) -> AbstractContextManager[Iterable[tuple[Path, Path]]]:
    """Progress over the pictures: a bar on stderr if that is a terminal."""
    if hidden:
        return nullcontext(pairs)
    return click.progressbar(pairs, file=sys.stderr)
