"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ortcam.errors import OutputError
from ortcam.files.atomic import check_writable, whole_file, write_whole


def test_it_writes_and_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    for data in (b"first", b"second"):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]


def test_a_reader_of_the_old_file_reads_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    write_whole(path, b"first")
    with path.open("rb") as reader:
        write_whole(path, b"second, and longer")
        assert reader.read() == b"first"


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"before")

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            file.flush()
            assert path.read_bytes() == b"before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]


def test_a_disk_that_fills_up_is_an_output_error(tmp_path: Path) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ortcam.files.atomic.os.fsync", full)
        with pytest.raises(OutputError, match=r"out.bin cannot be written: No space left"):
            write_whole(tmp_path / "out.bin", b"data")
    assert not list(tmp_path.iterdir())


def test_permissions_are_the_users_or_the_old_files(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", b"")
    finally:
        os.umask(mask)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new").chmod(0o604)
    write_whole(tmp_path / "new", b"x")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o604


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"x"


def test_the_check_leaves_no_trace(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "out.png") == (tmp_path / "out.png").resolve()
    assert not list(tmp_path.iterdir())


def test_a_bad_path_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path, "is a folder; name a file in it"),
        (tmp_path / "no" / "out.png", "no does not exist"),
        (tmp_path / "file" / "out.png", "file is not a folder"),
        (Path("/dev/null"), "is not a regular file"),
    ):
        with pytest.raises(OutputError, match=message):
            check_writable(path)
        with pytest.raises(OutputError, match=message):
            write_whole(path, b"")
    assert Path("/dev/null").is_char_device()


def test_a_folder_that_takes_no_files_is_found_before(tmp_path: Path) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ortcam.files.atomic.tempfile.TemporaryFile", refuse)
        with pytest.raises(OutputError, match=r"out.png cannot be written: Read-only file system"):
            check_writable(tmp_path / "out.png")


def test_a_write_protected_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"dear")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "ortcam.files.atomic.os.access", lambda *_: False
        )  # the tests may run as root
        with pytest.raises(OutputError, match="write-protected; name another"):
            write_whole(path, b"")
    assert path.read_bytes() == b"dear"
