"""The short-time Fourier transform: frames of a signal, windowed, each transformed."""

from __future__ import annotations

from ortcam_export.gradient.blocks.scatter_add import added
from ortcam_export.gradient.rules.fourier import transform
from ortcam_export.gradient.table import Node, rule
from ortcam_export.gradient.tensor import Dim, Tensor


@rule("STFT", inputs=[0])
def stft(n: Node, g: Tensor) -> Tensor:
    """Each frame's cotangent, windowed, is added up where the frame was taken."""
    back = _transformed_back(n, g)
    if n.has(2):
        back = back * n.input(2).unsqueeze([1])
    places = _places(n)
    count = places.dim(0)
    parts = n.x.dim(2) if n.x.rank == 3 else 1
    frames = back.slice(3, 0, parts).reshape([n.x.dim(0), count, parts])
    return added(frames, places, n.x.dim(1)).reshape(n.x.dims)


@rule("STFT", inputs=[2])
def stft_window(n: Node, g: Tensor) -> Tensor:
    """Each frame's cotangent times the frame, added up over signals and frames."""
    back = _transformed_back(n, g)
    frames = n.tape.op("Gather", n.x, _places(n), axis=1)
    parts = n.x.dim(2) if n.x.rank == 3 else 1
    frames = frames.reshape([n.x.dim(0), n.y.dim(1), _length(n), parts])
    return (back.slice(3, 0, parts) * frames).sum([0, 1, 3])


def _transformed_back(n: Node, g: Tensor) -> Tensor:
    """The cotangents of the windowed frames [signals, frames, length, 2], as for a DFT."""
    length = _length(n)
    if n.attribute("onesided", 1):
        g = g.pad(2, 0, length - g.dim(2))
    size = length.cast(g.dtype) if isinstance(length, Tensor) else length
    return transform(n, g, 2, inverse=1, onesided=0) * size


def _length(n: Node) -> Dim:
    """How long a frame is."""
    if n.has(2):
        return n.input(2).dim(0)
    (length,) = n.constants(3) or [None]
    if length is None:
        raise n.refuse("has neither a window nor the length of a frame")
    return int(length)


def _places(n: Node) -> Tensor:
    """Where in the signal each element of each frame stands, flat."""
    (step,) = n.constants(1) or [1]
    starts = n.tape.arange(n.y.dim(1)).unsqueeze([1]) * int(step)
    return (starts + n.tape.arange(_length(n))).reshape([-1])
