"""The discrete Fourier transform and the short-time one: linear, with adjoints of their kind."""

from __future__ import annotations

from ortcam_export.gradient.blocks.scatter_add import added
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Dim, Tensor


@rule("DFT", inputs=[0])
def dft(n: Node, g: Tensor) -> Tensor:
    """y = F x, F of length L: F' = L F^-1, and the adjoint of F^-1 is F / L.

    A one-sided transform has the cotangent 0 on the other side. A real signal has a real cotangent;
    a signal cut or padded to L has one of its own length.
    """
    axis, inverse = _axis(n), n.attribute("inverse", 0)
    onesided = n.attribute("onesided", 0)
    length = _length(n, axis, halved=bool(inverse and onesided))
    if onesided and not inverse:
        g = g.pad(axis, 0, length - g.dim(axis))
    back = _transform(n, g, axis, inverse=1 - inverse, onesided=int(inverse and onesided))
    size = length.cast(g.dtype) if isinstance(length, Tensor) else length
    back = back / size if inverse else back * size
    if inverse and onesided:
        back = back * _sides(n, length).unsqueeze(range(1, back.rank - axis))
    back = back.pad(axis, 0, n.x.dim(axis) - back.dim(axis))
    return back.slice(back.rank - 1, 0, n.x.dim(-1))


@rule("STFT", inputs=[0])
def stft(n: Node, g: Tensor) -> Tensor:
    """g_x = the cotangents of the frames, windowed and added up where the frames were taken."""
    back = _frames_back(n, g)
    if n.has(2):
        back = back * n.input(2).unsqueeze([1])
    places = _places(n)
    count = places.dim(0)
    parts = n.x.dim(2) if n.x.rank == 3 else 1
    frames = back.slice(3, 0, parts).reshape([n.x.dim(0), count, parts])
    return added(frames, places, n.x.dim(1)).reshape(n.x.dims)


@rule("STFT", inputs=[2])
def stft_window(n: Node, g: Tensor) -> Tensor:
    """g_w = the sum, over signals and frames, of the frame's cotangent times the frame."""
    back = _frames_back(n, g)
    frames = n.tape.op("Gather", n.x, _places(n), axis=1)
    parts = n.x.dim(2) if n.x.rank == 3 else 1
    frames = frames.reshape([n.x.dim(0), n.y.dim(1), _frame_length(n), parts])
    return (back.slice(3, 0, parts) * frames).sum([0, 1, 3])


def _sides(n: Node, length: Dim) -> Tensor:
    """The number of times the whole has each frequency of one side: 2, or 1 without a mirror."""
    frequency = n.tape.arange(length // 2 + 1)
    alone = frequency.equals(0) | (frequency * 2).equals(n.tape.shape([length]))
    return alone.where(n.tape.constant(1, n.x.dtype), n.tape.constant(2, n.x.dtype))


def _axis(n: Node) -> int:
    if n.tape.opset < 20:
        return n.axis(1)
    axis = n.constants(2)
    return int(axis[0] if axis else -2) % n.x.rank


def _length(n: Node, axis: int, *, halved: bool) -> Dim:
    if not n.has(1):
        return (n.x.dim(axis) - 1) * 2 if halved else n.x.dim(axis)
    length = n.input(1)
    return int(length.item) if length.const is not None else length.reshape([1])


def _transform(n: Node, t: Tensor, axis: int, *, inverse: int, onesided: int) -> Tensor:
    """The transform of a tensor, or its inverse, in the node's version of the operator."""
    kind = {"inverse": inverse, "onesided": onesided}
    if n.tape.opset < 20:
        y = n.tape.op("DFT", t, lead=t.lead, axis=axis + t.lead, **kind)
    else:
        along = n.tape.constant(axis + t.lead)
        y = n.tape.op("DFT", t, None, along, lead=t.lead, **kind)
    extent = t.extent(axis)
    if onesided:
        extent = extent // 2 + 1 if isinstance(extent, int) else None
    shape = list(t.shape)
    shape[axis + t.lead], shape[-1] = extent, 2
    return y.ranked(t.rank).stamped(shape)


def _frames_back(n: Node, g: Tensor) -> Tensor:
    """The cotangents of the windowed frames, [signals, frames, length, 2]."""
    length = _frame_length(n)
    if n.attribute("onesided", 1):
        g = g.pad(2, 0, length - g.dim(2))
    size = length.cast(g.dtype) if isinstance(length, Tensor) else length
    return _transform(n, g, 2, inverse=1, onesided=0) * size


def _frame_length(n: Node) -> Dim:
    """The length of a frame."""
    if n.has(2):
        return n.input(2).dim(0)
    (length,) = n.constants(3) or [None]
    if length is None:
        raise n.refuse("has neither a window nor a frame length")
    return int(length)


def _places(n: Node) -> Tensor:
    """The place in the signal of each element of each frame, flat."""
    (step,) = n.constants(1) or [1]
    starts = n.tape.arange(n.y.dim(1)).unsqueeze([1]) * int(step)
    return (starts + n.tape.arange(_frame_length(n))).reshape([-1])
