"""GridSample in every mode, of the tensor and of the grid; AffineGrid."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator

PADDINGS = ["zeros", "border", "reflection"]


def grid(points: Any, space: Any, align_corners: Any = 0) -> Any:
    """Points inside and some way outside, between cells, where a small step changes no cell."""
    random = np.random.default_rng(2)
    cells = [
        random.integers(-3, extent + 2, points) + random.uniform(0.55, 0.95, points)
        for extent in reversed(space)
    ]
    extents = np.array(space[::-1])
    x = np.stack(cells, -1)
    scaled = 2 * x / (extents - 1) - 1 if align_corners else (2 * x + 1) / extents - 1
    return scaled.astype(np.float32)


def hat(d: Any) -> Any:
    return np.maximum(1 - np.abs(d), 0)


def keys(d: Any) -> Any:
    a, d = -0.75, np.abs(d)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def sampled(mode: Any, padding_mode: Any, align_corners: Any, f: Any) -> Any:
    """GridSample by its definition: every cell near a point, weighted by how near it is."""
    x, points = f["x"], f["grid"]
    space = x.shape[2:]
    reach, weight = (2, hat) if mode == "linear" else (3, keys)
    taps = []
    for axis, extent in enumerate(space):
        u = points[..., len(space) - 1 - axis]
        at = (u + 1) / 2 * (extent - 1) if align_corners else ((u + 1) * extent - 1) / 2
        along = []
        for offset in range(-reach, reach + 1):
            cell = np.floor(at).astype(int) + offset
            share = weight(at - cell)
            if padding_mode == "zeros":
                share = share * ((cell >= 0) & (cell < extent))
            elif padding_mode == "reflection":
                bounce = [*range(extent), *reversed(range(extent))]
                if align_corners:
                    bounce = [*range(extent), *reversed(range(1, extent - 1))]
                cell = np.array(bounce)[cell % len(bounce)]
            along.append((np.clip(cell, 0, extent - 1), share))
        taps.append(along)
    pictures = np.arange(len(x)).reshape(-1, *[1] * len(space))
    total: Any = 0
    for corner in itertools.product(*taps):
        share = np.prod([s for _, s in corner], 0)
        cells = x.transpose(0, *range(2, x.ndim), 1)[(pictures, *(c for c, _ in corner))]
        total = total + cells * share[..., None]
    return total.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_of_the_tensor(normal: Any, mode: Any, padding_mode: Any, align_corners: Any) -> None:
    inputs = {"x": normal(2, 3, 4, 5), "grid": grid((2, 3, 4), (4, 5), align_corners)}
    check_operator(
        "GridSample", inputs, wrt=["x"], linear=True, opset=20, mode=mode,
        padding_mode=padding_mode, align_corners=align_corners,
    )  # fmt: skip


@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_of_the_grid(normal: Any, mode: Any, padding_mode: Any, align_corners: Any) -> None:
    inputs = {"x": normal(2, 3, 4, 5), "grid": grid((2, 3, 4), (4, 5), align_corners)}
    check_operator(
        "GridSample", inputs, opset=20, mode=mode, padding_mode=padding_mode, double=False,
        align_corners=align_corners,
        function=functools.partial(sampled, mode, padding_mode, align_corners),
    )  # fmt: skip


def test_nothing_flows_to_the_grid_of_the_nearest(normal: Any) -> None:
    inputs = {"x": normal(2, 3, 4, 5), "grid": grid((2, 3, 4), (4, 5))}
    check_operator("GridSample", inputs, opset=20, mode="nearest", double=False)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_modes_of_opset_16(normal: Any, mode: Any) -> None:
    inputs = {"x": normal(2, 3, 4, 5), "grid": grid((2, 3, 4), (4, 5))}
    function = functools.partial(sampled, mode.removeprefix("bi"), "zeros", 0)
    case = operator("GridSample", inputs, opset=16, mode=mode)
    check(case, wrt=["x", "grid"], function=function, double=False)


@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_volumes(normal: Any, padding_mode: Any, align_corners: Any) -> None:
    space = (3, 4, 5)
    inputs = {"x": normal(2, 2, *space), "grid": grid((2, 2, 3, 2), space, align_corners)}
    check_operator(
        "GridSample", inputs, opset=20, padding_mode=padding_mode, align_corners=align_corners,
        function=functools.partial(sampled, "linear", padding_mode, align_corners), double=False,
    )  # fmt: skip


def test_nearest_in_volumes(normal: Any) -> None:
    inputs = {"x": normal(2, 2, 3, 4, 5), "grid": grid((2, 2, 3, 2), (3, 4, 5))}
    check_operator("GridSample", inputs, wrt=["x"], opset=20, mode="nearest", linear=True)


def test_one_cell(normal: Any) -> None:
    inputs = {"x": normal(1, 2, 1, 3), "grid": grid((1, 2, 2), (4, 3))}
    for align_corners in (0, 1):
        check_operator(
            "GridSample", inputs, wrt=["x"], linear=True, opset=20, padding_mode="border",
            align_corners=align_corners,
        )  # fmt: skip


@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 2, 3, 4), (2, 1, 1, 3)])
def test_affine_grid(normal: Any, size: Any, align_corners: Any) -> None:
    space = len(size) - 2
    inputs = {"theta": normal(2, space, space + 1), "size": np.array(size, np.int64)}
    check_operator(
        "AffineGrid", inputs, fixed=["size"], linear=True, opset=20, align_corners=align_corners
    )
