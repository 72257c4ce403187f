"""Convolutions of one to three space axes, and their transposes.

Along each space axis, with stride s, dilation d and padding p before,

    Conv            y[q] = sum over taps i of W[i] x[s q + d i - p]
    ConvTranspose   y[s q + d i - p] += W[i] x[q]

so each is the other's adjoint in x, and the gradient of W correlates x with g.
"""

from __future__ import annotations

from dataclasses import dataclass

from ortcam_export.gradient.blocks.autopad import padding
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, parted, rule
from ortcam_export.gradient.tensor import Dim, Tensor, at_most
from ortcam_export.gradient.windows import Edged, Ones, Window, Windows

__all__ = ["Geometry", "conv_geometry"]

#: More windows than this cost more than the convolution whose gradient they spare.
_MOST_WINDOWS = 128


@rule("Conv", inputs=[0])
def conv_x(n: Node, g: Tensor) -> Tensor:
    """g_x[h] = sum over taps of W[i]' g_y[(h + p - d i) / s]."""
    geometry = conv_geometry(n)
    return _transposed_conv(n, g, n.input(1), geometry)


@parted("Conv")
def conv_x_part(n: Node, g: Tensor, start: Dim, stop: Dim) -> Tensor:
    """g_x of some channels, by the kernels of these channels alone."""
    if n.attribute("group", 1) > 1:
        return conv_x(n, g).slice(1, start, stop)
    return _transposed_conv(n, g, n.input(1).slice(1, start, stop), conv_geometry(n))


@rule("Conv", inputs=[1])
def conv_w(n: Node, g: Tensor) -> Tensor:
    """g_W[o, c, i] = sum over pictures and q of g_y[o, q] x[c, s q + d i - p]."""
    geometry, group = conv_geometry(n), n.attribute("group", 1)
    c, o = n.x.dim(1), n.y.dim(1)
    x = _grouped(n.x, group).moved(0, 2).moved(0, 1)  # [c, group, N, ...]
    x = x.reshape([_part(c, group), n.x.dim(0) * group, *n.x.dims[2:]])
    kernel = _grouped(g, group).revealed().moved(2, 0).moved(2, 3)  # [group, K, o, N, ...]
    questions = n.tape.questions
    kernel = kernel.reshape([questions * o, n.x.dim(0), *n.y.dims[2:]])
    taps = _correlated(x, kernel, geometry, group)
    taps = taps.reshape([_part(c, group), group, questions, _part(o, group), *geometry.kernel])
    return taps.moved(0, 3).moved(0, 1).reshape([questions, *n.input(1).dims]).leading()


@rule("ConvTranspose", inputs=[0])
def conv_transpose_x(n: Node, g: Tensor) -> Tensor:
    """g_x[q] = sum over taps of W[i] g_y[s q + d i - p]: a convolution."""
    geometry = _conv_transpose(n)
    folded = geometry.padded(g.folded())
    out = n.tape.op(
        "Conv",
        folded,
        n.input(1),
        group=n.attribute("group", 1),
        strides=geometry.strides,
        dilations=geometry.dilations,
        pads=geometry.static_pads,
    )
    return _cropped(out, n.x.dims).unfolded(n.x.dim(0))


@rule("ConvTranspose", inputs=[1])
def conv_transpose_w(n: Node, g: Tensor) -> Tensor:
    """g_W[c, o, i] = sum over pictures and q of x[c, q] g_y[o, s q + d i - p]."""
    geometry, group = _conv_transpose(n), n.attribute("group", 1)
    o, questions = n.y.dim(1), n.tape.questions
    y = _grouped(g, group).revealed().moved(1, 3)  # [K, group, o, N, ...]
    y = y.moved(1, 2).reshape([questions * _part(o, group), n.x.dim(0) * group, *n.y.dims[2:]])
    kernel = n.x.moved(0, 1)  # [C, N, ...]
    taps = _correlated(y, kernel, geometry, group)
    taps = taps.reshape([questions, _part(o, group), n.x.dim(1), *geometry.kernel])
    return taps.moved(1, 2).leading()


@rule("Conv", "ConvTranspose", inputs=[2])
def bias(n: Node, g: Tensor) -> Tensor:
    """g_b = the sum of g_y over pictures and space."""
    return g.sum([axis for axis in range(g.rank) if axis != 1])


@contracted("Conv")
def conv_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = sum over taps of W[i]' <A_i, g_y> with A_i[q] = A[s q + d i - p], 0 outside."""
    geometry = conv_geometry(n)
    if not _over_space(n, windows):
        return None
    axes = {axis: _tapped(n, windows, axis, geometry) for axis in windows.axes}
    if not _few(windows.over(axes)):
        return None
    p = ask(n.node.outputs[0], windows.over(axes))
    return _combined(n, p, _swapped(n.input(1), n.attribute("group", 1)), geometry)


@contracted("ConvTranspose")
def conv_transpose_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor | None:
    """<A, g_x> = sum over taps of W[i] <A_i, g_y> with A_i[s q + d i - p] = A[q], 0 between."""
    geometry = _conv_transpose(n)
    if not _over_space(n, windows):
        return None
    axes = {axis: _spread(n, windows, axis, geometry) for axis in windows.axes}
    if not _few(windows.over(axes)):
        return None
    p = ask(n.node.outputs[0], windows.over(axes))
    return _combined(n, p, n.input(1), geometry)


@dataclass(frozen=True)
class Geometry:
    """The geometry of a convolution and its adjoint, along each space axis."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    before: list[Dim]
    after: list[Dim]

    def span(self, i: int) -> int:
        """The extent of a dilated kernel along a space axis."""
        return self.dilations[i] * (self.kernel[i] - 1) + 1

    @property
    def static_pads(self) -> list[int]:
        """The padding as an attribute; zeros where :meth:`padded` applies it."""
        pads = [*self.before, *self.after]
        return [p for p in pads if isinstance(p, int)] if self._static else [0] * len(pads)

    def padded(self, x: Tensor) -> Tensor:
        """x padded by an operator, where an attribute cannot hold the amounts."""
        if not self._static:
            for i, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
                x = x.pad(2 + i, before, after)
        return x

    @property
    def _static(self) -> bool:
        return all(isinstance(p, int) and p >= 0 for p in [*self.before, *self.after])


def conv_geometry(n: Node) -> Geometry:
    """The geometry of a Conv, with explicit padding."""
    kernel, strides, dilations = _kernel(n)
    before, after = zip(*padding(n, kernel, strides, dilations), strict=True)
    return Geometry(kernel, strides, dilations, list(before), list(after))


def _conv_transpose(n: Node) -> Geometry:
    kernel, strides, dilations = _kernel(n)
    space = len(kernel)
    mode = n.attribute("auto_pad", "NOTSET")
    if mode == "NOTSET" and not n.attribute("output_shape"):
        pads = n.attribute("pads", [0] * 2 * space)
        return Geometry(kernel, strides, dilations, list(pads[:space]), list(pads[space:]))
    extra = n.attribute("output_padding", [0] * space)
    before, after = [], []
    for i in range(space):  # the length of the output tells the amounts that are cut off
        span = dilations[i] * (kernel[i] - 1) + 1
        full = (n.x.dim(2 + i) - 1) * strides[i] + extra[i] + span
        total = full - n.y.dim(2 + i) if mode != "VALID" else 0
        small = total // 2
        large = total - small
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return Geometry(kernel, strides, dilations, before, after)


def _kernel(n: Node) -> tuple[list[int], list[int], list[int]]:
    w = n.input(1)
    kernel = [extent for extent in w.shape[2:] if isinstance(extent, int)]
    if len(kernel) < w.rank - 2:
        raise n.refuse("has a kernel whose size is known only when the network runs")
    ones = [1] * len(kernel)
    return kernel, list(n.attribute("strides", ones)), list(n.attribute("dilations", ones))


def _transposed_conv(n: Node, g: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
    """The adjoint of a convolution in its input."""
    group, space = n.attribute("group", 1), len(geometry.kernel)
    folded = g.folded()
    pads = [
        geometry.span(i) - 1 - p if isinstance(p, int) else -1
        for side in (geometry.before, geometry.after)
        for i, p in enumerate(side)
    ]
    if all(s == 1 for s in geometry.strides) and min(pads) >= 0:
        # a convolution with the kernel reversed: in ONNX Runtime faster than ConvTranspose, much
        # faster with many groups
        kernel = _swapped(w, group)
        for i in range(space):
            kernel = kernel.flip(2 + i)
        out = n.tape.op(
            "Conv", folded, kernel, group=group, dilations=geometry.dilations, pads=pads
        )
        return out.unfolded(n.x.dim(0))
    # Up to stride - 1 elements at the end met no kernel: make the longest output, then crop it.
    out = n.tape.op(
        "ConvTranspose",
        folded,
        w,
        group=group,
        strides=geometry.strides,
        dilations=geometry.dilations,
        output_padding=[s - 1 for s in geometry.strides],
    )
    for i in range(space):
        before = geometry.before[i]
        out = out.slice(2 + i, before, before + n.x.dim(2 + i))
    return out.unfolded(n.x.dim(0))


def _correlated(x: Tensor, kernel: Tensor, geometry: Geometry, group: int) -> Tensor:
    """x correlated with a cotangent of the output's extents: one value per tap."""
    out = x.tape.op(
        "Conv",
        geometry.padded(x),
        kernel,
        group=group,
        strides=geometry.dilations,
        dilations=geometry.strides,
        pads=geometry.static_pads,
    ).ranked(x.rank)  # inference gives up on a kernel of unknown extents
    for i, taps in enumerate(geometry.kernel):
        out = out.slice(2 + i, 0, taps)
    return out


def _swapped(w: Tensor, group: int) -> Tensor:
    """Weights [O, C / group, ...] as those of the adjoint, [C, O / group, ...]."""
    o, c = w.dim(0), w.dim(1)
    parts = w.reshape([group, _part(o, group), c, *w.dims[2:]]).moved(1, 2)
    return parts.reshape([c * group, _part(o, group), *w.dims[2:]])


def _grouped(x: Tensor, group: int) -> Tensor:
    """[N, C, ...] as [N, group, C / group, ...]."""
    return x.reshape([x.dim(0), group, _part(x.dim(1), group), *x.dims[2:]])


def _cropped(x: Tensor, dims: list[Dim]) -> Tensor:
    for axis in range(2, x.rank):
        x = x.slice(axis, 0, dims[axis])
    return x


def _over_space(n: Node, windows: Windows) -> bool:
    return set(windows.axes) == set(range(2, n.x.rank))


def _few(windows: Windows) -> bool:
    return windows.total <= _MOST_WINDOWS


def _tapped(n: Node, windows: Windows, axis: int, geometry: Geometry) -> Window:
    """The windows [a, extent] seen through each tap: [a * taps, output extent]."""
    i = axis - 2
    window, extent = windows.axes[axis], n.x.dim(axis)
    out, taps = n.y.dim(axis), geometry.kernel[i]
    if taps == 1 and geometry.before[i] == geometry.after[i] == 0:
        if isinstance(window, Ones):
            return Ones(out)
        if geometry.strides[i] == 1:
            return window
    if isinstance(window, Ones) and _few_at_ends(geometry, i, extent):
        return _edged(n, windows, axis, geometry)
    places = n.tape.arange(out) * geometry.strides[i] + (
        n.tape.arange(taps).unsqueeze([1]) * geometry.dilations[i] - geometry.before[i]
    )
    return _looked_up(windows, axis, places, (places >= 0) & (places < extent), extent, out)


def _few_at_ends(geometry: Geometry, i: int, extent: Dim) -> bool:
    """True if only few places along an axis are seen by some taps but not all."""
    before, after, taps = geometry.before[i], geometry.after[i], geometry.kernel[i]
    if geometry.strides[i] > 1 or not isinstance(before, int) or not isinstance(after, int):
        return False
    if min(before, after) < 1:
        return False
    # an unknown extent counts as 48, which the maps of a picture usually exceed
    return taps * (before + after) * 2 <= (extent if isinstance(extent, int) else 48)


def _edged(n: Node, windows: Windows, axis: int, geometry: Geometry) -> Edged:
    """Ones seen through each tap at stride 1, 0 where the tap lies in the padding.

    With p the padding before and p' the padding after, tap i lies before the tensor at the first
    p - d i places of the output, and behind it at the last p' - d (taps - 1 - i) places.
    """
    i = axis - 2
    tape, out = n.tape, n.y.dim(axis)
    reach = tape.arange(geometry.kernel[i]).unsqueeze([1]) * geometry.dilations[i]
    before, after = geometry.before[i], geometry.after[i]
    assert isinstance(before, int)
    assert isinstance(after, int)
    head = -(tape.arange(before) < before - reach).cast(windows.dtype)
    tail = -(tape.arange(after) >= geometry.span(i) - 1 - reach).cast(windows.dtype)
    first, last = at_most(before, out), at_most(after, out)
    return Edged(Ones(out), head.slice(1, 0, first), tail.slice(1, after - last, after), out)


def _spread(n: Node, windows: Windows, axis: int, geometry: Geometry) -> Tensor:
    """The windows [a, extent] as each tap writes them: [a * taps, output extent]."""
    i = axis - 2
    stride, extent, out = geometry.strides[i], n.x.dim(axis), n.y.dim(axis)
    places = n.tape.arange(out) - (
        n.tape.arange(geometry.kernel[i]).unsqueeze([1]) * geometry.dilations[i]
        - geometry.before[i]
    )
    # counted from a multiple of the stride below every place, as the division truncates
    shift = geometry.span(i) * stride
    source = (places + shift) // stride - shift // stride
    hit = (source * stride).equals(places) & (source >= 0) & (source < extent)
    return _looked_up(windows, axis, source, hit, extent, out)


def _looked_up(
    windows: Windows, axis: int, places: Tensor, valid: Tensor, extent: Dim, out: Dim
) -> Tensor:
    mask = valid.cast(windows.dtype)
    if isinstance(windows.axes[axis], Ones):
        return mask
    clamped = places.clip(0, extent - 1)
    looked_up = windows.tape.op("Gather", windows.matrix(axis), clamped, axis=1)
    return (looked_up * mask).reshape([windows.count(axis) * _rows(places), out])


def _rows(places: Tensor) -> int:
    rows = places.shape[0]
    assert isinstance(rows, int)
    return rows


def _combined(n: Node, p: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
    """The contractions of all taps combined: sum over taps of W[i] P[i]."""
    out = n.tape.op("Conv", p.folded(), w, group=n.attribute("group", 1), strides=geometry.kernel)
    return out.unfolded(n.x.dim(0))


def _part(dim: Dim, group: int) -> Dim:
    return dim if group == 1 else dim // group
