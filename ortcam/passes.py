"""What methods of many passes share: variants of a picture, as many at once as the memory holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.graph import Asking

__all__ = ["Passes"]

_FORWARD = 100
"""Elements that a run keeps for one of the picture; DeepLab v3+ on a ResNet-18 keeps 54."""

_BACKWARD = 50
"""Elements that the gradient of a question takes beside these; there it takes 17."""


class Passes:
    """Runs of the network, counted."""

    def __init__(self, asking: Asking, total: int) -> None:
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

    def at_once(self, number: int, bytes_of_one: float) -> Iterator[range]:
        """0 to ``number`` in parts, as many at once as the memory holds; each part is counted."""
        most = int(min(max(1, self._asking.memory // bytes_of_one), number))
        for start in range(0, number, most):
            part = range(start, min(start + most, number))
            yield part
            self.count(len(part))

    def variants(
        self, n: int, number: int, made: Callable[[int], NDArray[Any]], *, gradient: bool
    ) -> Iterator[tuple[range, Asking]]:
        """Variants of picture n in the graph, to be asked the same.

        Args:
            n: the picture.
            number: how many variants there are.
            made: makes the i-th of them; called once for each, in order.
            gradient: whether the gradient is asked for too.

        Yields:
            Which of them these are, and the questions about them.
        """
        asking = self._asking
        size = 4 * asking.opened.picture(n).size * (_FORWARD + (_BACKWARD if gradient else 0))
        one = size if asking.opened.takes_several else math.inf
        for part in self.at_once(number, one):
            yield part, asking.varied(n, np.stack([made(i) for i in part]))
