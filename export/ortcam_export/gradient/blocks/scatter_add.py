"""Adding up cotangents at indices."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ortcam_export.gradient.tensor import Dim, Tensor, product

__all__ = ["added", "flat_places", "put"]


def added(g: Tensor, places: Tensor, extent: Dim) -> Tensor:
    """The elements of g added up at their places along the second of three axes.

    Args:
        g: [before, count, after].
        places: [count], integers; negative ones count from the end.
        extent: the number of places.

    Returns:
        [before, extent, after].
    """
    indices = places.cast(ir.DataType.INT64).unsqueeze([0, 2]).expand(g.dims)
    return put(g, indices, [g.dim(0), extent, g.dim(2)], 1)


def put(g: Tensor, indices: Tensor, dims: Sequence[Dim], axis: int) -> Tensor:
    """The elements of g added up at indices of its shape along an axis."""
    zeros = g.tape.zeros(dims, g.dtype, lead=1)
    return g.tape.op(
        "ScatterElements",
        zeros,
        indices.asked(),
        g,
        lead=1,
        axis=axis % len(dims) + 1,
        reduction="add",
    )


def flat_places(x: Tensor, indices: Tensor, batch_dims: int = 0) -> tuple[Tensor, int]:
    """Indices over several axes, as GatherND and ScatterND have them, as flat ones.

    Args:
        x: the tensor that is indexed.
        indices: [*batch, ..., depth]: the last axis indexes as many axes of x behind the batch's.
        batch_dims: the number of axes that x and the indices share.

    Returns:
        The places [count] in x with its first axes merged, and the number of these axes.
    """
    depth = indices.shape[-1]
    assert isinstance(depth, int)
    tape, indexed = x.tape, batch_dims + depth
    long = indices.cast(ir.DataType.INT64)
    count = product(indices.dims[batch_dims:-1])
    flat = long.reshape([*indices.dims[:batch_dims], count, depth])
    total: Tensor | int = 0
    for i in range(depth):
        part = flat.slice(-1, i, i + 1).squeeze([-1])
        extent = x.dim(batch_dims + i)
        part = (part < 0).where(part + extent, part)
        total = part if i == 0 else total * extent + part
    assert isinstance(total, Tensor)
    for i in range(batch_dims):  # each batch's places behind those of the batches before it
        step = product(x.dims[i + 1 : indexed])
        row = tape.arange(x.dim(i)) * step
        total = total + row.unsqueeze(range(1, total.rank - i))
    return total.reshape([-1]), indexed
