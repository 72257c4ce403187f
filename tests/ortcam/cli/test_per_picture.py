"""Pictures that enter together: what is written is what is written of each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from ortcam.batch.lookahead import Together
from ortcam.errors import PictureError
from ortcam.inference.session import Session

Run = Callable[..., Result]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Five of two sizes, by turns, and a file that is none in their midst."""
    random = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        shape = (21, 31, 3) if i % 2 else (16, 40, 3)
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(path)
    paths[2].write_bytes(b"no picture")
    return paths


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures entered, run by run."""
    seen: list[int] = []
    run = Session.run

    def counted(self: Session, outputs: Any, feeds: Any) -> Any:
        seen.append(len(feeds["picture"]))
        return run(self, outputs, feeds)

    monkeypatch.setattr(Session, "run", counted)
    return seen


def same(found: Path, expected: Path) -> None:
    names = sorted(path.name for path in expected.iterdir())
    assert sorted(path.name for path in found.iterdir()) == names
    for name in names:
        with np.load(found / name) as one, np.load(expected / name) as other:
            assert one.files == other.files
            for key in one.files:
                if one[key].dtype.kind == "f":
                    np.testing.assert_allclose(one[key], other[key], rtol=1e-4, atol=1e-6)
                else:
                    np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize(
    "asked",
    [
        ("segment",),
        ("explain",),
        ("explain", "--where", "predicted", "--box", "3,2,20,12", "-l", "relu2"),
        ("explain", "-c", "Car", "-c", "Road - Car", "--method", "eigen-cam"),
        ("explain", "-c", "Car", "--at", "20,10", "--upsample", "none", "--scale", "pictures"),
    ],
    ids=" ".join,
)
def test_each_is_told_what_it_is_told_alone(
    asked: tuple[str, ...],
    run: Run,
    artifact: Path,
    pictures: list[Path],
    tmp_path: Path,
    entered: list[int],
) -> None:
    np.save(array := tmp_path / "array.npy", np.zeros((1, 3, 16, 24), np.float32))
    listed = [*pictures[:3], array, *pictures[3:]]
    command, *options = asked
    said = []
    for batch in (1, 2, 8):
        entered.clear()
        out = ("-o", tmp_path / str(batch), "--format", "npz")
        result = run(command, artifact, *listed, *options, *out, "--batch", batch)
        assert result.exit_code == 1
        assert result.stderr.endswith("1 of 7 pictures were left out.\n")
        said.append([result.stdout.replace(str(out[1]), ""), result.stderr])
        same(tmp_path / str(batch), tmp_path / "1")
        assert max(entered) == (batch if batch < 8 else 1)  # 8 hold the one that is none
    assert said[0] == said[1] == said[2]


def test_pictures_of_all_sizes_that_are_resized_alike_go_together(
    run: Run, artifact: Path, pictures: list[Path], tmp_path: Path, entered: list[int]
) -> None:
    sound = [path for path in pictures if path.name != "2.png"]
    asked = ("-o", tmp_path / "out", "--format", "npz", "--batch", 3)
    assert run("segment", artifact, *sound, *asked).exit_code == 0
    assert entered == [3, 2]
    entered.clear()
    assert run("segment", artifact, *sound, *asked, "--size", "native").exit_code == 0
    assert sorted(entered) == [1, 1, 1, 2]  # of two sizes, three at a time


def test_on_the_cpu_each_goes_by_itself(
    run: Run, artifact: Path, pictures: list[Path], tmp_path: Path, entered: list[int]
) -> None:
    asked = (*pictures[3:], "-o", tmp_path / "out", "--format", "npz", "--provider", "cpu")
    assert run("segment", artifact, *asked).exit_code == 0
    assert set(entered) == {1}
    assert run("segment", artifact, *asked, "--batch", 0).exit_code == 2


def test_no_more_results_are_kept_than_enter_together() -> None:
    runs: list[list[str]] = []

    def many(paths: Sequence[Path]) -> list[str]:
        runs.append([path.name for path in paths])
        if Path("bad") in paths:
            raise PictureError("bad")
        return [path.name.upper() for path in paths]

    def one(path: Path, progress: Any = None) -> str:
        runs.append([path.name])
        return path.name.upper()

    listed = [Path(name) for name in ("a", "b", "x.npy", "c", "a", "bad", "d", "e", "f")]
    together = Together(listed, 2, one, many)
    kept = 0
    for path in listed:
        assert together(path) == path.name.upper()
        kept = max(kept, len(together._found))
    assert kept == 1
    # x.npy alone; a again, after its fellow; bad and its fellow alone; the last alone
    assert runs == [
        *(["a", "b"], ["x.npy"], ["c", "bad"], ["c"], ["a", "b"], ["bad"], ["d", "e"], ["f"])
    ]
