"""Pools over regions of interest."""

from __future__ import annotations

import numpy as np
import pytest
from finite_differences import check, check_operator, operator

from ortcam.errors import OperatorError
from ortcam_export.vjp import vjp

#: Inside, reaching outside, outside, without extent.
REGIONS = np.array(
    [[1, 2, 9, 7], [-3, -2, 4, 20], [0, 0, 30, 30], [40, 40, 50, 50], [3, 3, 3, 3]], np.float32
)
PICTURES = np.array([0, 1, 1, 0, 1], np.int64)


@pytest.fixture
def inputs(normal):
    return {"x": normal(2, 3, 6, 7), "rois": REGIONS, "pictures": PICTURES}


@pytest.mark.parametrize("mode", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
@pytest.mark.parametrize("fixed", [True, False])
def test_roi_align(inputs, sampling_ratio, mode, fixed):
    check_operator(
        "RoiAlign", inputs, wrt=["x"], fixed=["rois", "pictures"] if fixed else [], linear=True,
        opset=16, coordinate_transformation_mode=mode, sampling_ratio=sampling_ratio,
        output_height=2, output_width=3, spatial_scale=0.6,
    )  # fmt: skip


def test_roi_align_of_opset_10(inputs):
    case = operator("RoiAlign", inputs, opset=10, output_height=2, output_width=2)
    check(case, wrt=["x"], linear=True)


def test_the_largest_of_weighted_neighbours_is_refused(inputs):
    case = operator("RoiAlign", inputs, opset=16, mode="max")
    with pytest.raises(OperatorError, match="mode 'max'"):
        vjp(case.model, "y", ["x"])
