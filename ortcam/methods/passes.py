"""What methods of many passes share: variants of a picture, as many at once as the memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.inference.query import Query

__all__ = ["Passes"]

_FORWARD = 100
"""Elements that a run keeps for one of the picture; DeepLab v3+ on a ResNet-18 keeps 54."""

_BACKWARD = 50
"""Elements that the gradient of a question takes beside these; there it takes 17."""


class Passes:
    """Runs of the network, counted."""

    def __init__(self, asking: Query, total: int) -> None:
        """Tells that none of so many runs is done."""
        self._asking = asking
        self._total = total
        self._done = 0
        self.count(0)

    def count(self, done: int) -> None:
        """Tells that so many more are done."""
        self._done += done
        if self._asking.progress is not None:
            self._asking.progress(self._done, self._total)

    def parts(
        self, number: int, *, pictures: int = 1, gradient: bool = False, together: bool = True
    ) -> Iterator[range]:
        """0 to ``number`` in parts, as many at once as the memory holds; each part is counted.

        Args:
            number: how many runs there are, were each by itself.
            pictures: how many pictures are in each.
            gradient: whether the gradient is asked for too.
            together: whether several can be one run.
        """
        elements = self._asking.opened.picture(0).size * pictures
        size = 4 * elements * (_FORWARD + (_BACKWARD if gradient else 0))
        most = int(max(1, min(self._asking.memory / size, number))) if together else 1
        for start in range(0, number, most):
            part = range(start, min(start + most, number))
            yield part
            self.count(len(part))

    def variants(
        self, n: int, number: int, made: Callable[[int], NDArray[Any]], *, gradient: bool = False
    ) -> Iterator[tuple[range, Query]]:
        """Variants of picture n in the graph, to be asked the same.

        Args:
            n: the picture.
            number: how many variants there are.
            made: makes the i-th of them; called once for each, in order.
            gradient: whether the gradient is asked for too.

        Yields:
            Which of them these are, and the questions about them.
        """
        together = self._asking.opened.takes_several
        for part in self.parts(number, gradient=gradient, together=together):
            yield part, self._asking.varied(n, np.stack([made(i) for i in part]))
