"""Questions about a batch of pictures, as methods get them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Layer
from ortcam.inference.answer import Answer, Formula
from ortcam.inference.artifact_graph import PictureBatch

__all__ = ["Progress", "Query"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of runs done and the total."""


@dataclass(frozen=True, eq=False)
class Query:
    """Questions about a batch of pictures.

    Attributes:
        batch: the pictures.
        rows, cells, layers, memory: see :meth:`PictureBatch.ask`.
        progress: called by methods that take many runs.
    """

    batch: PictureBatch
    rows: NDArray[np.float32]
    cells: NDArray[np.float32] | None
    layers: Sequence[Layer]
    memory: float
    progress: Progress | None = None

    def varied(self, n: int, inputs: NDArray[Any]) -> Query:
        """The same questions about variants of picture n; see :meth:`PictureBatch.varied`."""
        rows, cells = (
            values if values is None or values.shape[1] == 1 else values[:, n : n + 1]
            for values in (self.rows, self.cells)
        )
        assert rows is not None
        return replace(self, batch=self.batch.varied(n, inputs), rows=rows, cells=cells)

    def values(self) -> NDArray[np.float64]:
        """The value of each question, y [questions, N] of :mod:`ortcam.artifact`."""
        score = self.batch.score
        flat = score.reshape(*score.shape[:2], -1)
        if self.cells is None:
            sums: NDArray[np.float64] = flat.sum(axis=2, dtype=np.float64)
        else:
            cells = self.cells.reshape(*self.cells.shape[:2], -1)
            cells = np.broadcast_to(cells, (len(cells), len(flat), flat.shape[2]))
            each = [flat[n].astype(np.float64) @ cells[:, n].T for n in range(len(flat))]
            sums = np.stack(each).transpose(2, 0, 1)
        values: NDArray[np.float64] = np.sum(self.rows * sums, axis=2)
        return values

    def ask(self) -> list[Answer]:
        """See :meth:`PictureBatch.ask`."""
        return self.batch.ask(self.rows, self.cells, self.layers, self.memory)

    def apply(self, formula: Formula) -> list[Answer]:
        """See :meth:`PictureBatch.apply`."""
        return self.batch.apply(formula, self.rows, self.cells, self.layers, self.memory)
