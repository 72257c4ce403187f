"""The passes of methods that run the network many times: counted, and as many at once as fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.inference.memory import passes_that_fit
from ortcam.inference.query import Query

__all__ = ["Passes"]


class Passes:
    """The passes of one query, which reports their progress."""

    def __init__(self, query: Query, total: int) -> None:
        """Reports that none of the passes is done."""
        self._query = query
        self._total = total
        self._done = 0
        self.count(0)

    def count(self, done: int) -> None:
        """Reports that so many more passes are done."""
        self._done += done
        if self._query.progress is not None:
            self._query.progress(self._done, self._total)

    def parts(
        self, number: int, *, pictures: int = 1, gradient: bool = False, together: bool = True
    ) -> Iterator[range]:
        """Splits the range from 0 to ``number`` into runs that fit into memory, and counts them.

        Args:
            number: the number of passes.
            pictures: the number of pictures in each pass.
            gradient: True if each pass asks for the gradient too.
            together: True if one run may do several passes.
        """
        elements = self._query.batch.picture(0).size * pictures
        fit = passes_that_fit(self._query.memory, elements, gradient=gradient)
        most = int(max(1, min(fit, number))) if together else 1
        for start in range(0, number, most):
            part = range(start, min(start + most, number))
            yield part
            self.count(len(part))

    def variants(
        self, n: int, number: int, variant: Callable[[int], NDArray[Any]], *, gradient: bool = False
    ) -> Iterator[tuple[range, Query]]:
        """Runs variants of picture n, and asks the same questions about them.

        Args:
            n: the picture.
            number: the number of variants.
            variant: computes the i-th variant; called once for each, in order.
            gradient: True if the query asks for the gradient.

        Yields:
            The indices of some variants, and the query about them.
        """
        together = self._query.batch.takes_several
        for part in self.parts(number, gradient=gradient, together=together):
            yield part, self._query.varied(n, np.stack([variant(i) for i in part]))
