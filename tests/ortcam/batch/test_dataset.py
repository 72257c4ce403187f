"""The pictures of a run, and their names."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from ortcam.batch.dataset import collect, evenly_spaced
from ortcam.errors import InputError, PictureError


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("a/one.jpg", "a/two.PNG", "a/deep/one.png", "a/notes.txt", "b/one.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("one.png", "deep/one.png"):
        (tmp_path / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "labels" / name).touch()
    return tmp_path


def test_a_folder_gives_all_its_pictures_by_their_paths_in_it(files: Path) -> None:
    items = collect(files / "a", files / "labels")
    assert [item.name for item in items] == ["deep/one.png", "one.jpg", "two.PNG"]
    assert [item.truth for item in items] == [
        files / "labels" / name for name in ("deep/one.png", "one.png", "two.png")
    ]
    assert items[1].label_image() == files / "labels" / "one.png"
    with pytest.raises(
        PictureError, match=r"two\.PNG has no label image: .*two\.png does not exist"
    ):
        items[2].label_image()


def test_several_folders_keep_their_names_apart(files: Path) -> None:
    items = collect([files / "a", files / "b" / "one.jpg"])
    assert len({item.name for item in items}) == 4
    assert all(item.label_image() is None for item in items)


def test_nothing_is_refused(files: Path) -> None:
    with pytest.raises(InputError, match="c does not exist; give pictures or folders"):
        collect(files / "c")
    with pytest.raises(InputError, match="no pictures: give at least one"):
        collect([])


def test_a_limit_takes_pictures_from_all_over(files: Path) -> None:
    items = collect(files / "a")
    assert evenly_spaced(items, None) == evenly_spaced(items, 9) == items
    assert evenly_spaced(items, 1) == items[1:2]
    for limit in (1, 7, 50, 299):
        chosen = evenly_spaced(range(300), limit)
        assert len(set(chosen)) == limit
        gaps = {b - a for a, b in itertools.pairwise(chosen)}
        assert max(gaps, default=1) - min(gaps, default=1) <= 1
