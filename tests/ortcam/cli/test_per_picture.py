"""Pictures in batches give the results that each gives alone; progress of many passes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from ortcam.cli.per_picture import pass_progress
from ortcam.inference.session import Session

Run = Callable[..., Result]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Five pictures of two sizes, alternating, with a file among them that is no picture."""
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
    """The number of pictures that enter the network, run by run."""
    counts: list[int] = []
    run = Session.run

    def counted(self: Session, outputs: Any, feeds: Any) -> Any:
        counts.append(len(feeds["picture"]))
        return run(self, outputs, feeds)

    monkeypatch.setattr(Session, "run", counted)
    return counts


def assert_same_arrays(folder: Path, expected: Path) -> None:
    names = sorted(path.name for path in expected.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        with np.load(folder / name) as one, np.load(expected / name) as other:
            assert one.files == other.files
            for key in one.files:
                if one[key].dtype.kind == "f":
                    np.testing.assert_allclose(one[key], other[key], rtol=1e-4, atol=1e-6)
                else:
                    np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize(
    "arguments",
    [
        ("segment",),
        ("explain",),
        ("explain", "--where", "predicted", "--box", "3,2,20,12", "-l", "relu2"),
        ("explain", "-c", "Car", "-c", "Road - Car", "--method", "eigen-cam"),
        ("explain", "-c", "Car", "--at", "20,10", "--upsample", "none", "--scale", "pictures"),
    ],
    ids=" ".join,
)
def test_batches_change_no_result(
    arguments: tuple[str, ...],
    run: Run,
    artifact: Path,
    pictures: list[Path],
    tmp_path: Path,
    entered: list[int],
) -> None:
    np.save(array := tmp_path / "array.npy", np.zeros((1, 3, 16, 24), np.float32))
    paths = [*pictures[:3], array, *pictures[3:]]
    command, *options = arguments
    outputs = []
    for batch in (1, 2, 8):
        entered.clear()
        out = ("-o", tmp_path / str(batch), "--format", "npz")
        result = run(command, artifact, *paths, *options, *out, "--batch", batch)
        assert result.exit_code == 1
        assert result.stderr.endswith("1 of 7 pictures were left out.\n")
        outputs.append([result.stdout.replace(str(out[1]), ""), result.stderr])
        assert_same_arrays(tmp_path / str(batch), tmp_path / "1")
        assert max(entered) == (batch if batch < 8 else 1)  # a batch of 8 holds the bad one
    assert outputs[0] == outputs[1] == outputs[2]


def test_resized_pictures_share_a_batch(
    run: Run, artifact: Path, pictures: list[Path], tmp_path: Path, entered: list[int]
) -> None:
    sound = [path for path in pictures if path.name != "2.png"]
    options = ("-o", tmp_path / "out", "--format", "npz", "--batch", 3)
    assert run("segment", artifact, *sound, *options).exit_code == 0
    assert entered == [3, 2]
    entered.clear()
    assert run("segment", artifact, *sound, *options, "--size", "native").exit_code == 0
    assert sorted(entered) == [1, 1, 1, 2]  # of two sizes, three at a time


def test_the_cpu_takes_one_picture_at_a_time(
    run: Run, artifact: Path, pictures: list[Path], tmp_path: Path, entered: list[int]
) -> None:
    options = (*pictures[3:], "-o", tmp_path / "out", "--format", "npz", "--provider", "cpu")
    assert run("segment", artifact, *options).exit_code == 0
    assert set(entered) == {1}
    assert run("segment", artifact, *options, "--batch", 0).exit_code == 2


def test_passes_have_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", screen)
    with pass_progress(hidden=False) as progress:
        assert progress is not None
        for done in range(4):
            progress(done, 3)
    assert "passes" in screen.getvalue()
    assert "100%" in screen.getvalue()
    with pass_progress(hidden=True) as progress:
        assert progress is None
    monkeypatch.setattr(sys, "stderr", StringIO())
    with pass_progress(hidden=False) as progress:
        assert progress is None
