"""Resize: along each axis a matrix of interpolation weights, [output extent, input extent]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from ortcam_export.gradient.blocks.separable import adjoint_contracted, along_band
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import Ask, contracted, rule
from ortcam_export.gradient.tape import Tape
from ortcam_export.gradient.tensor import Dim, Tensor, maximum, minimum
from ortcam_export.gradient.windows import Windows

__all__ = ["matrices"]

_Kernel: TypeAlias = Callable[[Node, Tensor], Tensor]

#: From this size on bands pay. Two questions, 11 classes, ONNX Runtime, two cores, bands to dense:
#: 90 x 120 to 360 x 480 0.53 to 0.58, 180 x 240 to 720 x 960 0.58; 19 classes 90 x 120 to 360 x 480
#: 0.41; 128 channels 23 x 30 to 90 x 120 1.5, and 256 channels 30 x 40 to 60 x 80 2.3.
_LARGE = 1 << 14
_FEW_CHANNELS = 64

#: The expected factor of an axis whose factor only the run knows: that of decoders, which resize a
#: tensor to the size of the one they join it to.
_SUPPOSED = 2


@rule("Resize", inputs=[0])
def resize(n: Node, g: Tensor) -> Tensor:
    """g_x = M' g_y along each axis, M the interpolation weights."""
    resized = {axis: _Axis.of(n, axis, i) for axis, i in _resized(n).items()}
    factors = {axis: _factor(n, axis, i) for axis, i in _resized(n).items()}
    if n.x.rank != 4 or not set(factors) <= {2, 3} or not _repeats(n, factors):
        return _adjoint(n, g, resized)
    if None not in factors.values():
        return _summed(n, g, factors)
    return _summed_where_doubled(n, g, resized, factors)


@contracted("Resize")
def resize_contracted(n: Node, windows: Windows, ask: Ask) -> Tensor:
    """<A, g_x> = <A M', g_y>, M the interpolation weights along each axis.

    The weights of each place inside add up to one, so ones stay ones.
    """
    whole = n.attribute("coordinate_transformation_mode") != "tf_crop_and_resize"
    return adjoint_contracted(n, windows, ask, matrices(n), ones_to_ones=whole)


@dataclass(frozen=True)
class _Axis:
    """One axis that is resized: its index among the named ones, its scale [1], its two extents."""

    i: int
    scale: Tensor
    extent: Dim
    out: Dim

    def inside(self, tape: Tape) -> _Axis:
        """The same on the tape of a branch."""
        extent, out = (d if isinstance(d, int) else tape.seen(d) for d in (self.extent, self.out))
        return _Axis(self.i, tape.seen(self.scale), extent, out)

    @classmethod
    def of(cls, n: Node, axis: int, i: int) -> _Axis:
        return cls(i, _scale(n, axis, i), n.x.dim(axis), n.y.dim(axis))


def _adjoint(n: Node, g: Tensor, resized: Mapping[int, _Axis]) -> Tensor:
    for axis, along in resized.items():
        matrix = _matrix(n, along).mT
        g = along_band(g, axis, matrix) if _large(n, axis) else g.along(axis, matrix)
    return g


def _large(n: Node, axis: int) -> bool:
    """True if a product with the matrix costs more than copying the cotangent."""
    extents, channels = (n.x.extent(axis), n.y.extent(axis)), n.x.extent(1)
    if isinstance(extents[0], int) and isinstance(extents[1], int):
        return extents[0] * extents[1] >= _LARGE
    # maps of many channels are usually small
    return n.x.rank > 2 and isinstance(channels, int) and channels <= _FEW_CHANNELS


def _factor(n: Node, axis: int, i: int) -> int | None:
    """The integer factor of an axis; 0 where it is no integer, None where it is unknown."""
    extent, out, scale = n.x.extent(axis), n.y.extent(axis), _constant_scale(n, i)
    if scale is not None:
        return int(scale) if scale.is_integer() else 0
    if isinstance(extent, int) and isinstance(out, int):
        return out // extent if extent and out % extent == 0 else 0
    return None


def _repeats(n: Node, factors: Mapping[int, int | None]) -> bool:
    """True if the node repeats each element, in order, as often as the factor says."""
    if n.attribute("mode", "nearest") != "nearest" or not factors:
        return False
    if n.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
        return False
    for factor in factors.values():
        by = _SUPPOSED if factor is None else factor
        scale = n.tape.constant([by], n.x.dtype)
        sample = _matrix(n, _Axis(0, scale, 3, 3 * by)).const if by else None
        if sample is None or not np.array_equal(sample, np.eye(3).repeat(by, 0)):
            return False
    return True


def _summed(n: Node, g: Tensor, factors: Mapping[int, int | None]) -> Tensor:
    """The adjoint of repeating: the sum of each block.

    Two questions, U-Net on two cores, to dense matrices: 32 channels 176 x 240 to 352 x 480 0.25,
    64 channels 88 x 120 0.41, 128 channels 44 x 60 0.57; sums over reshaped axes take as long.
    """
    block = [factors.get(axis) or 1 for axis in (2, 3)]
    means = g.tape.op("AveragePool", g.folded(), kernel_shape=block, strides=block)
    return (means * math.prod(block)).unfolded(n.x.dim(0))


def _summed_where_doubled(
    n: Node, g: Tensor, resized: Mapping[int, _Axis], factors: Mapping[int, int | None]
) -> Tensor:
    """The sum of each block where the output is twice the input, which only the run knows."""
    tape = n.tape
    supposed = {axis: factor or _SUPPOSED for axis, factor in factors.items()}
    out = tape.shape([along.out for along in resized.values()])
    blocks = tape.shape([along.extent * supposed[axis] for axis, along in resized.items()])
    doubled = (out - blocks).apply("Abs").sum([0]).equals(0)
    branches = []
    for name in ("blocks", "any"):
        branch = ir.Graph([], [], nodes=[], name=name)
        inner = tape.inside(branch)
        node, total = Node(inner, n.node, n.index), inner.seen(g)
        if name == "blocks":
            total = _summed(node, total, supposed)
        else:
            for axis, along in resized.items():
                total = total.along(axis, _matrix(node, along.inside(inner)).mT)
        branch.outputs.append(total.value)
        branches.append(branch)
    questions = tape.questions if isinstance(tape.questions, int) else tape.questions.symbol
    return tape.branch(doubled.value, branches, g.dtype, [questions, *n.x.shape])


def matrices(n: Node) -> dict[int, Tensor]:
    """The interpolation weights [out, in] of a Resize along each axis that is resized."""
    return {axis: _matrix(n, _Axis.of(n, axis, i)) for axis, i in _resized(n).items()}


def _resized(n: Node) -> dict[int, int]:
    """The axes that are resized, each with its index among the named ones."""
    axes = _named(n)
    crops = n.attribute("coordinate_transformation_mode") == "tf_crop_and_resize"
    resized = {}
    for i, axis in enumerate(axes):
        extent, out = n.x.extent(axis), n.y.extent(axis)
        same = extent is not None and extent == out
        # The batch axis is never resized, though its extent may not be inferred.
        if (axis == 0 and not (isinstance(extent, int) and isinstance(out, int))) or (
            same and not crops
        ):
            continue
        if not crops and _constant_scale(n, i) == 1:
            continue
        resized[axis] = i
    return resized


def _named(n: Node) -> list[int]:
    return [int(a) % n.x.rank for a in n.attribute("axes") or range(n.x.rank)]


def _matrix(n: Node, along: _Axis) -> Tensor:
    scale, extent = along.scale, along.extent
    x = _coordinates(n, along)
    mode = n.attribute("mode", "nearest")
    antialias = bool(n.attribute("antialias", 0))
    if mode == "nearest":
        weights = _nearest(n, x, extent)
    elif mode == "linear":
        weights = _widened(n, x, extent, scale, _hat) if antialias else _linear(n, x, extent)
    elif mode == "cubic":
        weights = _widened(n, x, extent, scale, _keys) if antialias else _cubic(n, x, extent)
    else:
        raise n.refuse(f"has mode {mode!r}, for which there is no rule")
    if n.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
        outside = (x < 0) | (x > _number(n, extent - 1))
        weights = weights.masked(~outside)
    return weights


def _constant_scale(n: Node, i: int) -> float | None:
    """The scale along an axis, if it is a constant input."""
    if n.has(2) and n.input(2).const is not None and n.input(2).const.size:  # type: ignore[union-attr]
        return float(n.input(2).const[i])  # type: ignore[index]
    return None


def _scale(n: Node, axis: int, i: int) -> Tensor:
    """The scale along an axis [1], as ONNX Runtime computes it."""
    if n.has(2) and n.input(2).shape != (0,):
        return n.input(2).slice(0, i, i + 1).cast(n.x.dtype)
    policy = n.attribute("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        sizes, axes = n.input(3), _named(n)
        ratios = [
            sizes.slice(0, j, j + 1).cast(n.x.dtype) / _number(n, n.x.dim(a))
            for j, a in enumerate(axes)
        ]
        joined = n.tape.concat(ratios, 0)
        kind = "ReduceMin" if policy == "not_larger" else "ReduceMax"
        return n.tape.op(kind, joined, n.tape.constant([0]), keepdims=1)
    return _number(n, n.y.dim(axis)) / _number(n, n.x.dim(axis))


def _coordinates(n: Node, along: _Axis) -> Tensor:
    """The coordinate in the input of each place of the output, [out, 1]."""
    mode = n.attribute("coordinate_transformation_mode", "half_pixel")
    scale, extent, out = along.scale, along.extent, along.out
    p = n.tape.arange(out).cast(n.x.dtype)
    last, out_last = _number(n, extent - 1), maximum(_number(n, out - 1), 1)
    if mode == "half_pixel":
        x = (p + 0.5) / scale - 0.5
    elif mode == "pytorch_half_pixel":
        x = ((p + 0.5) / scale - 0.5) * (_number(n, out) > 1).cast(n.x.dtype)
    elif mode == "half_pixel_symmetric":
        size, exact = _number(n, extent), scale * _number(n, extent)
        x = size / 2 * (1 - _number(n, out) / exact) + (p + 0.5) / scale - 0.5
    elif mode == "asymmetric":
        x = p / scale
    elif mode == "align_corners":
        x = p * last / out_last
    elif mode == "tf_crop_and_resize":
        roi, i, count = n.input(1).cast(n.x.dtype), along.i, len(_named(n))
        start, end = roi.slice(0, i, i + 1), roi.slice(0, count + i, count + i + 1)
        x = (_number(n, out) > 1).where(
            start * last + p * (end - start) * last / out_last, (start + end) * 0.5 * last
        )
    else:
        raise n.refuse(f"has coordinate_transformation_mode {mode!r}, for which there is no rule")
    return x.unsqueeze([1])


def _nearest(n: Node, x: Tensor, extent: Dim) -> Tensor:
    mode = n.attribute("nearest_mode", "round_prefer_floor")
    if mode == "round_prefer_floor":
        place = (x - 0.5).apply("Ceil")
    elif mode == "round_prefer_ceil":
        place = (x + 0.5).floor()
    else:
        place = x.apply("Ceil") if mode == "ceil" else x.floor()
    return _hits(n, place, extent)


def _linear(n: Node, x: Tensor, extent: Dim) -> Tensor:
    inside = minimum(maximum(x, 0), _number(n, extent - 1))
    return _hat(n, inside - _places(n, extent))


def _cubic(n: Node, x: Tensor, extent: Dim) -> Tensor:
    """Four taps; places beyond the border read the border, or are excluded."""
    below = x.floor()
    weights: Tensor | None = None
    last = _number(n, extent - 1)
    total: Tensor | None = None
    for tap in (-1, 0, 1, 2):
        place = below + tap
        weight = _keys(n, x - place)
        if n.attribute("exclude_outside", 0):
            weight = weight.masked((place >= 0) & (place <= last))
            total = weight if total is None else total + weight
        term = weight * _hits(n, place, extent)
        weights = term if weights is None else weights + term
    assert weights is not None
    return weights if total is None else weights / total


def _widened(n: Node, x: Tensor, extent: Dim, scale: Tensor, kernel: _Kernel) -> Tensor:
    """Antialiasing: the kernel as wide as an output cell, its weights adding up to one.

    Places beyond the border read the border, or are excluded.
    """
    shrink = minimum(scale, 1)
    if n.attribute("exclude_outside", 0):
        weights = kernel(n, (x - _places(n, extent)) * shrink)
    else:
        reach = (_REACH[kernel] / shrink).apply("Ceil").cast(n.tape.constant(0).dtype) + 1
        count = extent + 2 * (reach.item if reach.const is not None else reach)
        place = (n.tape.arange(count) - reach).cast(n.x.dtype)
        beyond = kernel(n, (x - place) * shrink)
        weights = beyond @ _hits(n, place.unsqueeze([1]), extent)
    return weights / weights.sum([1], keepdims=True)


def _hat(n: Node, distance: Tensor) -> Tensor:
    return maximum(1 - distance.apply("Abs"), 0)


def _keys(n: Node, distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel (1981), with the operator's coefficient a."""
    a = n.attribute("cubic_coeff_a", -0.75)
    d = distance.apply("Abs")
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return (d <= 1).where(near, far.masked(d < 2))


#: The reach of each kernel from its centre.
_REACH: dict[_Kernel, int] = {_hat: 1, _keys: 2}


def _hits(n: Node, place: Tensor, extent: Dim) -> Tensor:
    """One at each place, clamped to the input; zero elsewhere."""
    inside = minimum(maximum(place, 0), _number(n, extent - 1))
    return inside.equals(_places(n, extent)).cast(n.x.dtype)


def _places(n: Node, extent: Dim) -> Tensor:
    return n.tape.arange(extent).cast(n.x.dtype)


def _number(n: Node, dim: Dim) -> Tensor:
    return n.tape.shape([dim]).cast(n.x.dtype)
