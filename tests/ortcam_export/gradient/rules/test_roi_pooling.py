"""Pools over regions of interest."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator

#: Inside, reaching outside, outside, without extent.
REGIONS = np.array(
    [[1, 2, 9, 7], [-3, -2, 4, 20], [0, 0, 30, 30], [40, 40, 50, 50], [3, 3, 3, 3]], np.float32
)
PICTURES = np.array([0, 1, 1, 0, 1], np.int64)


@pytest.fixture
def inputs(normal: Any) -> Any:
    return {"x": normal(2, 3, 6, 7), "rois": REGIONS, "pictures": PICTURES}


@pytest.mark.parametrize("mode", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
@pytest.mark.parametrize("fixed", [True, False])
def test_roi_align(inputs: Any, sampling_ratio: Any, mode: Any, fixed: Any) -> None:
    check_operator(
        "RoiAlign", inputs, wrt=["x"], fixed=["rois", "pictures"] if fixed else [], linear=True,
        opset=16, coordinate_transformation_mode=mode, sampling_ratio=sampling_ratio,
        output_height=2, output_width=3, spatial_scale=0.6,
    )  # fmt: skip


def test_roi_align_of_opset_10(inputs: Any) -> None:
    case = operator("RoiAlign", inputs, opset=10, output_height=2, output_width=2)
    check(case, wrt=["x"], linear=True)


@pytest.mark.parametrize("mode", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
@pytest.mark.parametrize("fixed", [True, False])
def test_roi_align_takes_the_largest(
    inputs: Any, sampling_ratio: Any, mode: Any, fixed: Any
) -> None:
    check_operator(
        "RoiAlign", inputs, wrt=["x"], fixed=["rois", "pictures"] if fixed else [], opset=16,
        coordinate_transformation_mode=mode, sampling_ratio=sampling_ratio, mode="max",
        output_height=2, output_width=3, spatial_scale=0.55,
    )  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("fixed", [True, False])
def test_max_roi_pool(inputs: Any, scale: Any, fixed: Any) -> None:
    rois = np.concatenate([PICTURES[:, None].astype(np.float32), REGIONS], 1)
    check_operator(
        "MaxRoiPool", {"x": inputs["x"], "rois": rois}, wrt=["x"], fixed=["rois"] if fixed else [],
        function=partial(max_roi_pool, rois, scale, (2, 3)), double=False, pooled_shape=[2, 3],
        spatial_scale=scale,
    )  # fmt: skip


def max_roi_pool(rois: Any, scale: Any, shape: Any, feeds: Any) -> Any:
    """MaxRoiPool as Fast R-CNN (2015) has it: bins of whole cells that overlap by one."""
    x = feeds["x"]
    y = np.zeros((len(rois), x.shape[1], *shape))
    for r, (picture, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (int(np.sign(c) * np.floor(abs(c) * scale + 0.5)) for c in corners)
        for i, j in np.ndindex(*shape):
            high, wide = max(y2 - y1 + 1, 1) / shape[0], max(x2 - x1 + 1, 1) / shape[1]
            top, bottom = math.floor(i * high) + y1, math.ceil((i + 1) * high) + y1
            left, right = math.floor(j * wide) + x1, math.ceil((j + 1) * wide) + x1
            cells = x[int(picture), :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
            if cells.size:
                y[r, :, i, j] = cells.max((1, 2))
    return y
