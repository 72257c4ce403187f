"""Summing a cotangent over the axes that an operand was broadcast along."""

from __future__ import annotations

from collections.abc import Sequence

from ortcam_export.gradient.tensor import Dim, Tensor

__all__ = ["summed_to"]


def summed_to(g: Tensor, output: Sequence[Dim], shape: Tensor) -> Tensor:
    """The cotangent of a broadcast result, summed over the axes that an operand was repeated along.

    Args:
        g: the cotangent, with the output's rank.
        output: the extents of the broadcast result.
        shape: the operand.
    """
    missing = len(output) - shape.rank
    axes, unknown = list(range(missing)), False
    for axis in range(shape.rank):
        extent, full = shape.extent(axis), g.extent(axis + missing)
        if extent == 1:
            axes.append(axis + missing)
        elif not isinstance(extent, int) and (extent is None or extent != full):
            unknown = True
    if unknown:
        return _summed_at_run_time(g, output, shape)
    return g.sum(axes, keepdims=True).squeeze(range(missing)) if axes else g


def _summed_at_run_time(g: Tensor, output: Sequence[Dim], shape: Tensor) -> Tensor:
    tape = g.tape
    full = tape.shape(output)
    operand = tape.shape([*([1] * (len(output) - shape.rank)), *shape.dims])
    repeated = tape.op("NonZero", ~full.equals(operand)).reshape([-1])
    summed = tape.op(
        "ReduceSum", g, repeated + g.lead, lead=g.lead, keepdims=1, noop_with_empty_axes=1
    )
    return summed.ranked(g.rank).reshape(shape.dims)
