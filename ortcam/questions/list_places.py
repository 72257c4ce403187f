"""Parts of a score over a list: entries by their index, such as a query, an anchor or a time step.

An entry has no place in the picture. A part's weights are [*list, *grid], with an extent of 1 for
each axis that it does not depend on; without a list they are [*grid].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import RegionError
from ortcam.questions.coverage import coverage
from ortcam.questions.regions import Mask, Region, Scene, Weights, Where

__all__ = ["Entry", "Index", "at_entry", "entries", "on_cells"]

Entry: TypeAlias = "int | Sequence[int]"
"""The position of an entry in a list, counted from 0; of a list of several axes one number each."""


class Index(Where):
    """One entry of a score over a list, counted from 0; of several axes one number each.

    Example:
        >>> str(Index(3)), str(Index(3, 1))
        ('at index 3', 'at index 3,1')
    """

    by_list = True
    by_place = False

    def __init__(self, *position: int) -> None:
        """The entry at a position.

        Raises:
            RegionError: it is not at least one whole number of at least 0.
        """
        whole = all(isinstance(i, int | np.integer) and i >= 0 for i in position)
        if not position or not whole:
            raise RegionError(
                f"an index is a whole number from 0 for each axis of the list, got {position}"
            )
        self.position = tuple(int(i) for i in position)

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return 1 at the entry, 0 elsewhere, [*list, 1, 1].

        Raises:
            RegionError: the score is no list, or has no such entry.
        """
        extents, text = scene.list_extents(), ",".join(map(str, self.position))
        if not extents:
            raise RegionError(f"the score is over no list, so it has no entry {text}")
        if len(extents) != len(self.position):
            example = ",".join("0" * len(extents))
            raise RegionError(
                f"the index {text} does not fit a list of {entries(extents)}; give a number for "
                f"each axis, as in {example}"
            )
        if any(i >= extent for i, extent in zip(self.position, extents, strict=True)):
            raise RegionError(
                f"the index {text}, counted from 0, lies outside the list of {entries(extents)}"
            )
        weights = np.zeros((*extents, *[1] * len(scene.grid)), np.float32)
        weights[self.position] = 1
        return weights

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Index) and self.position == other.position

    def __hash__(self) -> int:
        return hash(self.position)

    def __repr__(self) -> str:
        return f"Index({', '.join(map(str, self.position))})"

    def __str__(self) -> str:
        return f"at index {','.join(map(str, self.position))}"


def at_entry(region: Region | None, index: Entry | None) -> Region | None:
    """Return a region, restricted to one entry of a list if there is an index.

    Raises:
        RegionError: the index is not at least one whole number of at least 0.

    Example:
        >>> at_entry(None, 3), str(at_entry(Index(1) | Index(3), [3]))
        (Index(3), '(at index 1 or at index 3) and at index 3')
    """
    if index is None:
        return region
    entry = Index(*index) if isinstance(index, Sequence) else Index(index)
    if region is None:
        return entry
    return (region if isinstance(region, Where) else Mask(region)) & entry


def entries(extents: Sequence[int]) -> str:
    """The number of a list's entries, for a sentence.

    Example:
        >>> entries((6,)), entries((1,)), entries((4, 6))
        ('6 entries', '1 entry', '4 x 6 entries')
    """
    return f"{' x '.join(map(str, extents))} {'entry' if math.prod(extents) == 1 else 'entries'}"


def on_cells(
    weights: Weights, kinds: Sequence[str], extents: tuple[int, ...], grid: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return the weight of each cell of the score.

    Args:
        weights: [*grid] or [*list, *grid], an extent of 1 for axes that it does not depend on.
        kinds: the kind of each of the score's axes beside batch and classes.
        extents: their extents.
        grid: the picture's.

    Returns:
        [*extents]; an axis of space is averaged as :func:`ortcam.questions.coverage.coverage` does.

    Example:
        >>> weights = np.zeros((3, 1, 1), np.float32)
        >>> weights[2] = 1
        >>> on_cells(weights, ["list"], (3,), (8, 8)).tolist()
        [0.0, 0.0, 1.0]
    """
    space = [axis for axis, kind in enumerate(kinds) if kind == "space"]
    lists = [axis for axis, kind in enumerate(kinds) if kind != "space"]
    outer = weights.shape[: weights.ndim - len(grid)] or (1,) * len(lists)
    if space:
        planes = np.broadcast_to(weights, (*weights.shape[: -len(grid)], *grid))
        cells = coverage(planes.reshape(-1, *grid), tuple(extents[axis] for axis in space))
    else:
        cells = weights.astype(np.float32)
    laid = cells.reshape(*outer, *(extents[axis] for axis in space))
    ordered = np.moveaxis(laid, range(len(kinds)), [*lists, *space])
    return np.broadcast_to(ordered, extents)
