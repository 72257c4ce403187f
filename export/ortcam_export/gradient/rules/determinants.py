"""Determinants."""

from __future__ import annotations

import numpy as np

from ortcam_export.gradient.table import Node, rule
from ortcam_export.gradient.tensor import Tensor

#: Of larger matrices the minors, as many as a matrix has elements, do not fit in the memory.
_LARGEST = 32


@rule("Det", inputs=[0])
def det(n: Node, g: Tensor) -> Tensor:
    """g_X = g cof X: the determinants of X without a row and a column, signed like a chessboard.

    X^-T det X is the same, where X can be inverted.
    """
    size, rank = n.x.extent(-1), n.x.rank
    if not isinstance(size, int) or size > _LARGEST:
        raise n.refuse(f"is of matrices that are not surely of {_LARGEST} rows or fewer")
    if size == 1:
        return g.reshape(n.x.dims)
    others = n.tape.constant([[j for j in range(size) if j != i] for i in range(size)])
    rows = n.tape.op("Gather", n.x, others, axis=rank - 2)
    minors = n.tape.op("Gather", rows, others, axis=rank).moved(rank, rank - 1)
    signs = n.tape.constant((-1.0) ** np.add.outer(range(size), range(size)), n.x.dtype)
    return g.unsqueeze([rank - 2, rank - 1]) * n.tape.op("Det", minors) * signs
