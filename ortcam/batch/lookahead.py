"""Pictures that enter the network together although their results are requested one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ortcam.errors import PictureError, RegionError
from ortcam.pictures.read import is_array

if TYPE_CHECKING:
    from ortcam.inference.query import Progress

__all__ = ["Explain", "Lookahead", "batch_size"]

BATCH_SIZES = {"CUDAExecutionProvider": 8}
"""The default batch size by provider. Others take 1, which keeps a CPU as busy as several would
(docs/speed.md)."""


Result = TypeVar("Result", covariant=True)


class Explain(Protocol[Result]):
    """Compute the result of one picture."""

    def __call__(self, picture: Path, progress: Progress | None = None) -> Result:
        """Report the progress of methods that take many passes."""


class Lookahead(Generic[Result]):
    """Results of pictures, each on request, computed a batch ahead.

    At most one batch of results is kept. If a picture of a batch cannot be read or explained, the
    pictures of that batch are computed one by one, so that the others lose nothing.
    """

    def __init__(
        self,
        pictures: Sequence[Path],
        batch: int,
        explain: Explain[Result],
        explain_batch: Callable[[Sequence[Path]], Sequence[Result]],
    ) -> None:
        """Split the pictures into batches; arrays are left out, since each has its own shape.

        Args:
            pictures: all pictures, in the order of the requests.
            batch: how many enter the network together.
            explain: computes the result of one picture.
            explain_batch: computes the results of several.
        """
        self._explain, self._explain_batch = explain, explain_batch
        self._batches: dict[Path, Sequence[Path]] = {}
        self._results: dict[Path, Result] = {}
        paths = [path for path in dict.fromkeys(pictures) if not is_array(path)]
        for start in range(0, len(paths), batch):
            neighbours = paths[start : start + batch]
            if len(neighbours) > 1:
                self._batches |= dict.fromkeys(neighbours, neighbours)

    def __call__(self, picture: Path, progress: Progress | None = None) -> Result:
        """Return the result of a picture.

        Raises:
            PictureError, RegionError: the picture cannot be read, or the region selects no pixel.
        """
        if picture not in self._results and picture in self._batches:
            self._compute(self._batches[picture])
        if picture in self._results:
            return self._results.pop(picture)
        return self._explain(picture, progress)

    def _compute(self, batch: Sequence[Path]) -> None:
        try:
            self._results = dict(zip(batch, self._explain_batch(batch), strict=True))
        except (PictureError, RegionError):
            for path in batch:
                del self._batches[path]


def batch_size(provider: str, option: int | None) -> int:
    """The batch size of the option, or the provider's default."""
    return option or BATCH_SIZES.get(provider, 1)
