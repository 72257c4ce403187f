"""Results on request, computed a batch ahead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ortcam.batch.lookahead import Lookahead, batch_size
from ortcam.errors import PictureError


def test_at_most_one_batch_of_results_is_kept() -> None:
    runs: list[list[str]] = []

    def explain_batch(paths: Sequence[Path]) -> list[str]:
        runs.append([path.name for path in paths])
        if Path("bad") in paths:
            raise PictureError("bad")
        return [path.name.upper() for path in paths]

    def explain(picture: Path, progress: Any = None) -> str:
        runs.append([picture.name])
        return picture.name.upper()

    paths = [Path(name) for name in ("a", "b", "x.npy", "c", "a", "bad", "d", "e", "f")]
    lookahead = Lookahead(paths, 2, explain, explain_batch)
    kept = 0
    for path in paths:
        assert lookahead(path) == path.name.upper()
        kept = max(kept, len(lookahead._results))
    assert kept == 1
    # x.npy alone; a again, with its neighbour; bad and its neighbour alone; the last alone
    assert runs == [
        *(["a", "b"], ["x.npy"], ["c", "bad"], ["c"], ["a", "b"], ["bad"], ["d", "e"], ["f"])
    ]


def test_the_provider_decides_the_batch_size() -> None:
    assert batch_size("CUDAExecutionProvider", None) == 8
    assert batch_size("CPUExecutionProvider", None) == 1
    assert batch_size("CPUExecutionProvider", 3) == 3
