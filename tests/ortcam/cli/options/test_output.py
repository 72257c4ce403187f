"""The files of results: one, or several in a folder under distinct names."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from ortcam.cli.options.output import plan
from ortcam.errors import OutputError


def planned(output: Path, *pictures: Path | str, suffix: str = "png") -> list[Path]:
    return plan(output, [Path(p) for p in pictures], kind="explain", suffix=suffix)


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.npz", "a.jpeg", "a.svg", "a.pdf"])
def test_one_picture_into_a_file(tmp_path: Path, name: str) -> None:
    assert planned(tmp_path / name, "street.jpg") == [tmp_path / name]


def test_one_picture_into_a_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new" / "one"):
        assert planned(folder, "street.jpg") == [folder / "street.explain.png"]
        assert folder.is_dir()
        assert not list(folder.glob("*.png"))


def test_a_folder_is_a_folder_whatever_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "figures.png"
    folder.mkdir()
    assert planned(folder, "a.jpg", suffix="npz") == [folder / "a.explain.npz"]


def test_pictures_of_one_name_stay_apart(tmp_path: Path) -> None:
    paths = planned(tmp_path, "a/x.png", "b/x.png", "b/X.jpg", "x-2.png", "y.png")
    names = [path.name for path in paths]
    assert names[0] == "x.explain.png"
    assert names[1] == "x-2.explain.png"
    assert names[4] == "y.explain.png"
    assert len({name.casefold() for name in names}) == 5


def test_pictures_are_not_overwritten(tmp_path: Path) -> None:
    picture = tmp_path / "street.png"
    picture.touch()
    with pytest.raises(click.UsageError, match=r"street\.png is one of the pictures"):
        planned(tmp_path / "sub" / ".." / "street.png", picture)


@pytest.mark.parametrize("name", ["out.gif", "there", "there.txt"])
def test_an_unknown_suffix_is_rejected(tmp_path: Path, name: str) -> None:
    for file in ("there", "there.txt"):
        (tmp_path / file).touch()
    with pytest.raises(click.UsageError, match=r"is neither a folder nor a \.png, .* or \.npz"):
        planned(tmp_path / name, "street.png")


def test_several_pictures_need_a_folder(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="2 pictures need a folder"):
        planned(tmp_path / "out.png", "a.png", "b.png")
    assert planned(tmp_path / "v1.2", "a.png", "b.png")[0].parent == tmp_path / "v1.2"
    (tmp_path / "there").touch()
    with pytest.raises(click.UsageError, match="is neither a folder nor"):
        planned(tmp_path / "there", "a.png", "b.png")


@pytest.mark.parametrize("name", ["missing/out.png", "file/out.png", "file/folder"])
def test_an_unwritable_output_fails_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be (written|created): "):
        planned(tmp_path / name, "street.png")
