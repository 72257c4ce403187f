"""Pools over regions of interest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from ortcam_export.gradient.blocks.interpolate import linear_taps
from ortcam_export.gradient.blocks.scatter_add import put
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Dim, Tensor, at_least, maximum


@rule("RoiAlign", inputs=[0])
def roi_align(n: Node, g: Tensor) -> Tensor:
    """y_r = H_r x W_r' with a matrix of averages for each region and axis: g_x = sum H_r' g W_r.

    In mode "max", y is the largest weighted neighbour of a bin's samples, and g_x = g there.
    """
    if n.attribute("mode", "avg") == "max":
        return _largest_back(n, g, n.input(2), _neighbours(n, 0), _neighbours(n, 1))
    rows, columns = _averages(n, 0), _averages(n, 1)  # [R, out, extent]
    pictures, bins = n.tape.arange(n.x.dim(0)), n.y.dim(0) * n.y.dim(2)
    members = n.input(2).unsqueeze([0]).equals(pictures.unsqueeze([1])).cast(g.dtype)  # [N, R]
    spread = g @ columns.unsqueeze([1])  # [R, C, out, W]
    spread = spread.moved(0, 1).reshape([n.y.dim(1), bins, n.x.dim(3)])
    member_rows = (members.unsqueeze([2, 3]) * rows).reshape([n.x.dim(0), 1, bins, n.x.dim(2)])
    return member_rows.mT @ spread.unsqueeze([0])


@rule("MaxRoiPool", inputs=[0])
def max_roi_pool(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y added up at the largest cell of each bin; bins have integer borders."""
    pictures = n.input(1).slice(1, 0, 1).squeeze([1])
    return _largest_back(n, g, pictures, _cells(n, 0), _cells(n, 1))


@dataclass(frozen=True)
class _Candidates:
    """The cells along an axis whose maximum a bin takes.

    Attributes:
        place: the cells, [R, out, T], all inside.
        weight: their weights, [R, out, T].
        counted: the mask of those that are real, not fill, [R, out, T].
    """

    place: Tensor
    weight: Tensor
    counted: Tensor


def _largest_back(
    n: Node, g: Tensor, pictures: Tensor, rows: _Candidates, columns: _Candidates
) -> Tensor:
    """The cotangent of each bin [R, C, out, out] at its largest cell: [N, C, H, W]."""
    tape, (pictures_, channels, height, width) = n.tape, n.x.dims
    bins = n.y.dim(0) * n.y.dim(2) * n.y.dim(3)
    taps = rows.place.dim(2) * columns.place.dim(2)

    def joined(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        return row.unsqueeze([2, 4]), column.unsqueeze([1, 3])

    row, column = joined(rows.place, columns.place)
    first = (pictures.cast(ir.DataType.INT64) * height).unsqueeze([1, 2, 3, 4])
    place = ((first + row) * width + column).reshape([bins, taps])
    row, column = joined(rows.weight, columns.weight)
    weight = (row * column).reshape([bins, taps])
    row, column = joined(rows.counted, columns.counted)
    counted = (row & column).reshape([bins, taps])

    cells = pictures_ * height * width
    x = n.x.moved(0, 1).reshape([channels, cells])
    values = counted.where(tape.op("Gather", x, place, axis=1) * weight, -math.inf)  # [C, bins, T]
    best = tape.op("ArgMax", values, axis=2, keepdims=0) + tape.arange(bins) * taps
    share = g.moved(0, 1).reshape([channels, bins]) * tape.op("Gather", weight.reshape([-1]), best)
    share = share.masked(counted.cast(g.dtype).sum([1]) > 0)  # an empty bin is 0 for any x
    back = put(share, tape.op("Gather", place.reshape([-1]), best), [channels, cells], 1)
    return back.reshape([channels, pictures_, height, width]).moved(0, 1)


def _cells(n: Node, axis: int) -> _Candidates:
    """The cells along an axis in each bin of a MaxRoiPool."""
    dtype, extent = n.x.dtype, n.x.dim(2 + axis)
    corners = n.input(1) * n.attribute("spatial_scale", 1.0)
    corners = corners.sign() * (corners.apply("Abs") + 0.5).floor()  # as C rounds
    start = corners.slice(1, 2 - axis, 3 - axis)  # picture, x1, y1, x2, y2
    length = maximum(corners.slice(1, 4 - axis, 5 - axis) - start + 1, 1)
    count: int = n.attribute("pooled_shape")[axis]
    size = length / count  # [R, 1]
    bins = n.tape.arange(count).cast(dtype)
    last = n.tape.shape([extent]).cast(dtype)
    low = ((bins * size).floor() + start).clip(0, last)  # [R, out]
    high = (((bins + 1) * size).apply("Ceil") + start).clip(0, last)
    steps = n.tape.arange(_most(high - low)).cast(dtype)
    at = low.unsqueeze([2]) + steps
    counted = at < high.unsqueeze([2])
    place = at.clip(0, last - 1).cast(ir.DataType.INT64)
    return _Candidates(place, counted.cast(dtype), counted)


def _neighbours(n: Node, axis: int) -> _Candidates:
    """The cells along an axis around each sample in each bin of a RoiAlign."""
    at, counted, near, _ = _samples(n, axis)
    dims = [at.dim(0), at.dim(1), at.dim(2) * 2]
    taps = linear_taps(at)
    # the upper neighbour of the last cell has weight 0
    most = n.x.dim(2 + axis) - 1
    places = [tap.place.clip(0, most).unsqueeze([3]) for tap in taps]
    weights = [tap.weight.masked(near).unsqueeze([3]) for tap in taps]
    both = n.tape.concat([counted.unsqueeze([3])] * 2, 3)
    return _Candidates(
        n.tape.concat(places, 3).reshape(dims),
        n.tape.concat(weights, 3).reshape(dims),
        both.reshape(dims),
    )


def _averages(n: Node, axis: int) -> Tensor:
    """The weights [R, out, extent] of the cells along an axis in each bin of each region."""
    at, counted, near, number = _samples(n, axis)
    cells = n.tape.arange(n.x.dim(2 + axis)).cast(n.x.dtype)
    weights = maximum(1 - (at.unsqueeze([3]) - cells).apply("Abs"), 0)
    weights = weights.masked((counted & near).unsqueeze([3]))
    return weights.sum([2]) / maximum(number, 1)


def _samples(n: Node, axis: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The samples of a RoiAlign along an axis.

    Returns:
        Their coordinates [R, out, S], clamped; the masks of those that are real, not fill, and of
        those near enough to the map, [R, out, S]; their number in each bin, [R, 1, 1].
    """
    dtype, extent = n.x.dtype, n.tape.shape([n.x.dim(2 + axis)]).cast(n.x.dtype)
    scale: float = n.attribute("spatial_scale", 1.0)
    half_pixel = n.attribute("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    corners = n.input(1) * scale - (0.5 if half_pixel else 0)
    start = corners.slice(1, 1 - axis, 2 - axis)  # x1, y1, x2, y2
    length = corners.slice(1, 3 - axis, 4 - axis) - start
    if not half_pixel:
        length = maximum(length, 1)
    count = n.attribute(("output_height", "output_width")[axis], 1)
    size = length / count  # [R, 1]
    ratio: int = n.attribute("sampling_ratio", 0)
    samples: Dim = ratio
    number = n.tape.constant([[ratio]], dtype)
    if not ratio:
        number = size.apply("Ceil")
        samples = _most(number)
    sample = n.tape.arange(samples).cast(dtype)  # [S]
    bins = n.tape.arange(count).cast(dtype).unsqueeze([1])  # [out, 1]
    size, number, start = (t.unsqueeze([2]) for t in (size, number, start))
    at = start + bins * size + (sample + 0.5) * size / maximum(number, 1)  # [R, out, S]
    counted = (sample < number) & at.equals(at)
    return at.clip(0, extent - 1), counted, (at >= -1) & (at <= extent), number


def _most(count: Tensor) -> Dim:
    """The largest of some numbers, but at least 1, as an extent."""
    most = count.tape.op("ReduceMax", count, keepdims=0).cast(ir.DataType.INT64)
    return at_least(most.reshape([1]), 1)
