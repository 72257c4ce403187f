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
    axis, inverse = _axis(n), n.attribute("inverse", 0)
    onesided = n.attribute("onesided", 0)
    length = _length(n, axis, halved=bool(inverse and onesided))
    if onesided and not inverse:
        g = g.pad(axis, 0, length - g.dim(axis))
    back = transform(n, g, axis, inverse=1 - inverse, onesided=int(inverse and onesided))
    size = length.cast(g.dtype) if isinstance(length, Tensor) else length
    back = back / size if inverse else back * size
    if inverse and onesided:
        back = back * _sides(n, length).unsqueeze(range(1, back.rank - axis))
    back = back.pad(axis, 0, n.x.dim(axis) - back.dim(axis))
    return back.slice(back.rank - 1, 0, n.x.dim(-1))


def _sides(n: Node, length: Dim) -> Tensor:
    """How often each frequency of one side stands in the whole: with its mirror image or alone."""
    frequency = n.tape.arange(length // 2 + 1)
    alone = frequency.equals(0) | (frequency * 2).equals(n.tape.shape([length]))
    return alone.where(n.tape.constant(1, n.x.dtype), n.tape.constant(2, n.x.dtype))


def _axis(n: Node) -> int:
    if n.tape.opset < 20:
        return n.axis(1)
    given = n.constants(2)
    return int(given[0] if given else -2) % n.x.rank


def _length(n: Node, axis: int, *, halved: bool) -> Dim:
    if not n.has(1):
        return (n.x.dim(axis) - 1) * 2 if halved else n.x.dim(axis)
    given = n.input(1)
    return int(given.item) if given.const is not None else given.reshape([1])


def transform(n: Node, t: Tensor, axis: int, *, inverse: int, onesided: int) -> Tensor:
    """The transform of a tensor, or its inverse, in the node's version of the operator."""
    kind = {"inverse": inverse, "onesided": onesided}
    if n.tape.opset < 20:
        found = n.tape.op("DFT", t, lead=t.lead, axis=axis + t.lead, **kind)
    else:
        place = n.tape.constant(axis + t.lead)
        found = n.tape.op("DFT", t, None, place, lead=t.lead, **kind)
    extent = t.extent(axis)
    kept: int | str | None = extent
    if onesided:
        kept = extent // 2 + 1 if isinstance(extent, int) else None
    known = list(t.shape)
    known[axis + t.lead], known[-1] = kept, 2
    return found.ranked(t.rank).stamped(known)
