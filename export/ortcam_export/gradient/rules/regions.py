"""Pools over regions of interest."""

from __future__ import annotations

import onnx_ir as ir

from ortcam_export.gradient.table import Node, rule
from ortcam_export.gradient.tensor import Dim, Tensor, maximum


@rule("RoiAlign", inputs=[0])
def roi_align(n: Node, g: Tensor) -> Tensor:
    """y_r = H_r x W_r' with a matrix of averages for each region and axis: g_x = sum H_r' g W_r."""
    if n.attribute("mode", "avg") != "avg":
        raise n.refuse("takes the largest of weighted neighbours (mode 'max')")
    rows, columns = _averages(n, 0), _averages(n, 1)  # [R, out, extent]
    pictures, bins = n.tape.arange(n.x.dim(0)), n.y.dim(0) * n.y.dim(2)
    owned = n.input(2).unsqueeze([0]).equals(pictures.unsqueeze([1])).cast(g.dtype)  # [N, R]
    spread = g @ columns.unsqueeze([1])  # [R, C, out, W]
    spread = spread.moved(0, 1).reshape([n.y.dim(1), bins, n.x.dim(3)])
    owned_rows = (owned.unsqueeze([2, 3]) * rows).reshape([n.x.dim(0), 1, bins, n.x.dim(2)])
    return owned_rows.mT @ spread.unsqueeze([0])


def _averages(n: Node, axis: int) -> Tensor:
    """The weights [R, out, extent] of the cells along an axis in each bin of each region."""
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
    given = n.tape.constant([[ratio]], dtype)
    if not ratio:
        given = size.apply("Ceil")
        most = n.tape.op("ReduceMax", given, keepdims=0).cast(ir.DataType.INT64)
        samples = maximum(most, 0).reshape([1])
    sample = n.tape.arange(samples).cast(dtype)  # [S]
    bins = n.tape.arange(count).cast(dtype).unsqueeze([1])  # [out, 1]
    size, given, start = (t.unsqueeze([2]) for t in (size, given, start))
    at = start + bins * size + (sample + 0.5) * size / maximum(given, 1)  # [R, out, S]
    counted = (at >= -1) & (at <= extent) & (sample < given)
    inside = at.clip(0, extent - 1).unsqueeze([3])
    cells = n.tape.arange(n.x.dim(2 + axis)).cast(dtype)
    weights = maximum(1 - (inside - cells).apply("Abs"), 0).masked(counted.unsqueeze([3]))
    return weights.sum([2]) / maximum(given, 1)
