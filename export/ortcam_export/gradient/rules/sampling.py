"""GridSample, and AffineGrid, which makes its grids."""

from __future__ import annotations

from dataclasses import replace

from ortcam_export.gradient.blocks.interpolate import (
    Points,
    Tap,
    cubic_taps,
    linear_taps,
    nearest_taps,
)
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Dim, Tensor, maximum, minimum, product


@rule("GridSample", inputs=[0])
def grid_sample(n: Node, g: Tensor) -> Tensor:
    """g_x = g_y of each point, added up at the cells it was read from."""
    return _points(n).back(_flat(g)).reshape(n.x.dims)


@rule("GridSample", inputs=[1])
def grid_sample_grid(n: Node, g: Tensor) -> Tensor:
    """g_grid = g_y times the slope of x at the point; a grid counts axes from the last."""
    points, columns = _points(n), []
    aligned = n.attribute("align_corners", 0)
    for axis in reversed(range(n.x.rank - 2)):
        slope = points.slopes(_flat(g), _flat(n.x), axis)
        if slope is None:
            return n.tape.zeros(n.here.dims, g.dtype, lead=1)
        extent = n.tape.shape([n.x.dim(2 + axis)]).cast(g.dtype)
        cells = extent - 1 if aligned else extent
        columns.append((slope * (cells * 0.5)).unsqueeze([2]))
    return n.tape.concat(columns, 2).reshape(n.here.dims)


@rule("AffineGrid", inputs=[0])
def affine_grid(n: Node, g: Tensor) -> Tensor:
    """grid = base theta', base the coordinates of the cells and 1: g_theta = g' base."""
    space = n.y.dims[1:-1]
    count = len(space)
    columns = []
    for i in reversed(range(count)):
        place = n.tape.arange(space[i]).cast(g.dtype)
        extent = n.tape.shape([space[i]]).cast(g.dtype)
        if n.attribute("align_corners", 0):
            centre = 1 - (extent - 1 - place) * 2 / maximum(extent - 1, 1)
        else:
            centre = (place * 2 + 1) / extent - 1
        shaped = centre.unsqueeze([*range(i), *range(i + 1, count)]).expand(space)
        columns.append(shaped.reshape([product(space), 1]))
    columns.append(columns[0].equals(columns[0]).cast(g.dtype))
    base = n.tape.concat(columns, 1)
    return g.reshape([n.y.dim(0), product(space), count]).mT @ base


def _flat(t: Tensor) -> Tensor:
    """[N, C, *space] as [N, C, cells]."""
    return t.reshape([t.dim(0), t.dim(1), product(t.dims[2:])])


def _points(n: Node) -> Points:
    grid, space = n.input(1), n.x.dims[2:]
    mode = n.attribute("mode", "linear")
    taps_of = {
        "nearest": nearest_taps,
        "bilinear": linear_taps,
        "linear": linear_taps,
        "bicubic": cubic_taps,
        "cubic": cubic_taps,
    }[mode]
    taps = []
    for axis, extent in enumerate(space):
        column = grid.slice(-1, len(space) - 1 - axis, len(space) - axis)
        column = column.reshape([grid.dim(0), product(grid.dims[1:-1])])
        size = n.tape.shape([extent]).cast(grid.dtype)
        if n.attribute("align_corners", 0):
            x = (column + 1) / 2 * (size - 1)
        else:
            x = ((column + 1) * size - 1) / 2
        taps.append([_padded(n, tap, extent) for tap in taps_of(x)])
    return Points(taps, space)


def _padded(n: Node, tap: Tap, extent: Dim) -> Tap:
    """A tap moved inside, as the padding mode says."""
    place, mode = tap.place, n.attribute("padding_mode", "zeros")
    if mode == "reflection":
        place = _reflected(n, place, extent)
    inside = (place >= 0) & (place < extent) if mode == "zeros" else None
    return replace(tap, place=place.clip(0, extent - 1), inside=inside)


def _reflected(n: Node, place: Tensor, extent: Dim) -> Tensor:
    """A place reflected at the centres of the outermost cells, or at their outer sides."""
    if n.attribute("align_corners", 0):
        period = maximum(n.tape.shape([2 * (extent - 1)]), 1)
        phase = place.modulo(period)
        return minimum(phase, period - phase)
    phase = place.modulo(extent * 2)
    return minimum(phase, extent * 2 - 1 - phase)
