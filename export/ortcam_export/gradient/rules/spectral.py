"""The discrete Fourier transform, which is linear."""

from __future__ import annotations

from ortcam_export.gradient.table import Node, rule
from ortcam_export.gradient.tensor import Dim, Tensor


@rule("DFT", inputs=[0])
def dft(n: Node, g: Tensor) -> Tensor:
    """The adjoint of a transform of length L is L times the inverse one; of that, 1/L times it.

    Of a transform of which one side was kept, the other side's cotangent is 0. Of a real signal
    the cotangent is real; where fewer or more than L places were transformed, it is so long.
    """
    axis = _axis(n)
    length = _length(n, axis)
    inverse, onesided = n.attribute("inverse", 0), n.attribute("onesided", 0)
    if inverse and onesided:
        raise n.refuse("is an inverse transform of one side, which no rule covers")
    if onesided:
        g = g.pad(axis, 0, length - g.dim(axis))
    back = _transform(n, g, axis, inverse=1 - inverse)
    size = length.cast(g.dtype) if isinstance(length, Tensor) else length
    back = back / size if inverse else back * size
    back = back.pad(axis, 0, n.x.dim(axis) - length)
    return back.slice(back.rank - 1, 0, n.x.dim(-1))


def _axis(n: Node) -> int:
    if n.tape.opset < 20:
        return n.axis(1)
    given = n.constants(2)
    return int(given[0] if given else -2) % n.x.rank


def _length(n: Node, axis: int) -> Dim:
    if not n.has(1):
        return n.x.dim(axis)
    given = n.input(1)
    return int(given.item) if given.const is not None else given.reshape([1])


def _transform(n: Node, t: Tensor, axis: int, *, inverse: int) -> Tensor:
    if n.tape.opset < 20:
        found = n.tape.op("DFT", t, lead=t.lead, axis=axis + t.lead, inverse=inverse)
    else:
        place = n.tape.constant(axis + t.lead)
        found = n.tape.op("DFT", t, None, place, lead=t.lead, inverse=inverse)
    return found.ranked(t.rank).stamped(t.shape)
