"""Operators that move, repeat or drop elements; all are linear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("blocksize", [2, 3])
def test_depth_to_space(normal: Any, blocksize: Any, mode: Any) -> None:
    x = normal(2, blocksize**2 * 2, 2, 3)
    check_operator("DepthToSpace", {"x": x}, linear=True, blocksize=blocksize, mode=mode)


@pytest.mark.parametrize("blocksize", [2, 3])
def test_space_to_depth(normal: Any, blocksize: Any) -> None:
    x = normal(2, 3, blocksize * 2, blocksize * 3)
    check_operator("SpaceToDepth", {"x": x}, linear=True, blocksize=blocksize)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("repeats", [[1, 1, 1], [2, 3, 1], [1, 1, 4]])
def test_tile(normal: Any, repeats: Any, fixed: Any) -> None:
    inputs = {"x": normal(2, 3, 4), "repeats": np.array(repeats, np.int64)}
    check_operator("Tile", inputs, fixed=["repeats"] if fixed else [], linear=True)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, 0, 1, -2, 9])
def test_trilu(normal: Any, k: Any, upper: Any) -> None:
    inputs = {"x": normal(2, 4, 5), "k": None if k is None else np.array(k, np.int64)}
    check_operator("Trilu", inputs, fixed=["k"], linear=True, upper=upper)


@pytest.mark.parametrize(("batch_axis", "time_axis"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("fixed", [True, False])
def test_reverse_sequence(normal: Any, batch_axis: Any, time_axis: Any, fixed: Any) -> None:
    shape = (3, 4, 2) if batch_axis == 0 else (4, 3, 2)
    inputs = {"x": normal(*shape), "lengths": np.array([1, 4, 3], np.int64)}
    check_operator(
        "ReverseSequence", inputs, fixed=["lengths"] if fixed else [], linear=True,
        batch_axis=batch_axis, time_axis=time_axis,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("image", "block", "attributes"),
    [
        ((5, 6), (2, 3), {}),
        ((5, 6), (2, 2), {"strides": [2, 3]}),
        ((5, 5), (2, 2), {"dilations": [2, 1]}),
        ((4, 5), (3, 2), {"pads": [1, 0, 2, 1]}),
        ((7,), (3,), {"strides": [2], "pads": [1, 1]}),
        ((3, 4, 5), (2, 1, 3), {"strides": [1, 2, 1], "pads": [0, 0, 1, 1, 0, 0]}),
    ],
)
def test_col2im(normal: Any, image: Any, block: Any, attributes: Any) -> None:
    space = len(image)
    strides = attributes.get("strides", [1] * space)
    dilations = attributes.get("dilations", [1] * space)
    pads = attributes.get("pads", [0] * 2 * space)
    columns = 1
    for i in range(space):
        reach = dilations[i] * (block[i] - 1) + 1
        columns *= (image[i] + pads[i] + pads[space + i] - reach) // strides[i] + 1
    inputs = {
        "x": normal(2, 3 * int(np.prod(block)), columns),
        "image": np.array(image, np.int64),
        "block": np.array(block, np.int64),
    }
    check_operator("Col2Im", inputs, fixed=["image", "block"], linear=True, **attributes)


@pytest.mark.parametrize("attributes", [{"axes": [2, 3]}, {"axes": [-1]}, {}])
@pytest.mark.parametrize("more", [-2, 0, 3])
def test_center_crop_pad(normal: Any, attributes: Any, more: Any) -> None:
    x = normal(2, 3, 5, 6)
    axes = attributes.get("axes", range(4))
    target = np.array([x.shape[axis] + more * (axis % 4 > 1) for axis in axes], np.int64)
    case = operator("CenterCropPad", {"x": x, "shape": target}, fixed=["shape"], **attributes)
    check(case, wrt=["x"], linear=True)
