"""Files that are written whole or not at all, and checks of paths before the work."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ortcam.errors import OutputError

__all__ = ["check_writable", "whole_file", "write_whole"]


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Check, before the work, that its result can be written; leave no trace.

    Args:
        path: the file to write, new or existing.

    Returns:
        The path with symbolic links resolved, so that writing replaces the file they lead to.

    Raises:
        OutputError: its folder is missing or read-only, or it is not a regular file.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    if target.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    if target.exists() and not target.is_file():
        raise OutputError(f"{path} is not a regular file; name another")
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputError(f"{path} exists and is write-protected; name another file")
    if not folder.is_dir():
        wrong = "is not a folder" if folder.exists() else "does not exist"
        raise OutputError(f"{path} cannot be written: {folder} {wrong}")
    try:  # permissions are not enough: the file system may be full, virtual or read-only
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    return target


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file that takes its name only when the block succeeds.

    The data go to a temporary file beside it, which then replaces it in one step. A block that
    fails leaves the old file, and no temporary one.

    Raises:
        OutputError: the file cannot be written.
    """
    target = check_writable(path)
    temporary = target.parent / f".ortcam-{secrets.token_hex(6)}.tmp"
    try:
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: the file cannot be written; the old file, if any, is unchanged.
    """
    with whole_file(path) as file:
        file.write(data)
