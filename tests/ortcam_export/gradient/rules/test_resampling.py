"""Resize and Upsample in every mode.

Resize is linear, and is checked against ONNX Runtime's differences: where onnx's evaluator
differs, the gradient belongs to ONNX Runtime's pixels.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator, symbolic

from ortcam_export.vjp import vjp

MODES = ["nearest", "linear", "cubic"]
COORDINATES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
]
ROUNDING = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]

#: Scales and sizes, up and down, by odd factors and fractions, to one element and from one.
SCALES = [(2, 3), (1.5, 2.6), (0.3, 1.7)]
SIZES = [(10, 4), (3, 15), (1, 11)]


def check_resize(
    x: Any,
    *,
    scales: Any = None,
    sizes: Any = None,
    roi: Any = None,
    fixed: Any = ("roi", "scales", "sizes"),
    **more: Any,
) -> None:
    def array(values: Any, dtype: Any) -> Any:
        return None if values is None else np.array(values, dtype)

    inputs = {
        "x": x,
        "roi": array(roi, np.float32),
        "scales": array(scales, np.float32),
        "sizes": array(sizes, np.int64),
    }
    check_operator("Resize", inputs, wrt=["x"], fixed=fixed, linear=True, **more)


def whole(amounts: Any, like: Any) -> Any:
    """Amounts over all axes: those of pictures and channels stay."""
    return (*like, *amounts)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", MODES)
def test_sizes(normal: Any, mode: Any, coordinates: Any, sizes: Any) -> None:
    roi = [0, 0, 0.1, 0.2, 1, 1, 0.9, 1.1] if coordinates == "tf_crop_and_resize" else None
    check_resize(
        normal(2, 2, 5, 7), sizes=whole(sizes, (2, 2)), roi=roi, mode=mode,
        coordinate_transformation_mode=coordinates,
    )  # fmt: skip


@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", MODES)
def test_scales(normal: Any, mode: Any, coordinates: Any, scales: Any) -> None:
    roi = [0, 0, -0.2, 0.3, 1, 1, 0.8, 0.7] if coordinates == "tf_crop_and_resize" else None
    check_resize(
        normal(2, 2, 5, 7), scales=whole(scales, (1, 1)), roi=roi, mode=mode,
        coordinate_transformation_mode=coordinates,
    )  # fmt: skip


@pytest.mark.parametrize("rounding", ROUNDING)
@pytest.mark.parametrize("coordinates", COORDINATES[:-1])
def test_rounding(normal: Any, coordinates: Any, rounding: Any) -> None:
    for amounts in ({"scales": (1, 1, 2, 0.5)}, {"sizes": (2, 2, 3, 11)}):
        check_resize(
            normal(2, 2, 6, 7), **amounts, mode="nearest", nearest_mode=rounding,
            coordinate_transformation_mode=coordinates,
        )  # fmt: skip


@pytest.mark.parametrize("a", [-0.75, -0.5])
@pytest.mark.parametrize("coordinates", COORDINATES[:-1])
def test_cubic_without_what_lies_outside(normal: Any, coordinates: Any, a: Any) -> None:
    for scales in ((1, 1, 2, 1.7), (1, 1, 0.6, 0.8)):
        check_resize(
            normal(1, 2, 5, 6), scales=scales, mode="cubic", exclude_outside=1, cubic_coeff_a=a,
            coordinate_transformation_mode=coordinates,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "exclude", "coordinates"),
    [
        *itertools.product(
            ["linear", "cubic"], [0, 1], ["half_pixel", "align_corners", "asymmetric"]
        )
    ],
)
@pytest.mark.parametrize("scales", [(0.6, 0.4), (0.5, 2), (1.5, 0.3)], ids=str)
def test_antialias(normal: Any, mode: Any, exclude: Any, coordinates: Any, scales: Any) -> None:
    check_resize(
        normal(1, 2, 7, 9), scales=whole(scales, (1, 1)), mode=mode, antialias=1,
        exclude_outside=exclude, coordinate_transformation_mode=coordinates,
    )  # fmt: skip


@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [-1, -2], [3]])
@pytest.mark.parametrize("mode", MODES)
def test_axes(normal: Any, mode: Any, axes: Any) -> None:
    sizes, scales = [8, 5][: len(axes)], [1.5, 0.7][: len(axes)]
    x = normal(2, 2, 5, 7)
    check_resize(x, sizes=sizes, axes=axes, mode=mode)
    check_resize(x, scales=scales, axes=axes, mode=mode)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", MODES)
def test_keep_aspect_ratio(normal: Any, mode: Any, policy: Any) -> None:
    x = normal(1, 2, 5, 7)
    options = {"axes": [2, 3], "mode": mode, "keep_aspect_ratio_policy": policy}
    check_resize(x, sizes=[8, 9], **options)
    check_resize(x, sizes=[3, 11], **options)


@pytest.mark.parametrize("extrapolation", [0.0, 2.5])
def test_crop_reaching_outside(normal: Any, extrapolation: Any) -> None:
    check_resize(
        normal(2, 2, 5, 7), sizes=[2, 2, 6, 6], roi=[0, 0, -0.4, 0.2, 1, 1, 1.3, 1.5],
        mode="linear", coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=extrapolation,
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_sequences_and_volumes(normal: Any, mode: Any) -> None:
    check_resize(normal(2, 2, 5), scales=[1, 1, 1.75], mode=mode)
    check_resize(normal(2, 2, 3, 4, 5), sizes=[2, 2, 5, 3, 8], mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_sizes_known_only_when_run(normal: Any, mode: Any) -> None:
    check_resize(normal(2, 2, 5, 7), sizes=[2, 2, 9, 4], mode=mode, fixed=["roi"], dynamic=["x"])
    check_resize(
        normal(2, 2, 5, 7), scales=[1, 1, 1.3, 0.6], mode=mode, fixed=["roi"], dynamic=["x"]
    )


@pytest.mark.parametrize("sizes", [(200, 5), (410, 3), (183, 30)], ids=str)
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "tf_crop_and_resize"])
@pytest.mark.parametrize("mode", MODES)
def test_bands_of_large_extents(normal: Any, mode: Any, coordinates: Any, sizes: Any) -> None:
    roi = [0, 0, 0.7, 0.2, 1, 1, 0.1, 0.9] if coordinates == "tf_crop_and_resize" else None
    check_resize(
        normal(1, 2, 90, 4), sizes=whole(sizes, (1, 2)), roi=roi, mode=mode,
        coordinate_transformation_mode=coordinates,
    )  # fmt: skip


@pytest.mark.parametrize("antialias", [0, 1])
def test_bands_of_a_reduction(normal: Any, antialias: Any) -> None:
    for mode in ("linear", "cubic"):
        check_resize(normal(1, 2, 250, 3), sizes=[1, 2, 70, 3], mode=mode, antialias=antialias)


@pytest.mark.parametrize(
    ("coordinates", "rounding"),
    [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("asymmetric", "ceil")],
)
@pytest.mark.parametrize("dynamic", [[], ["x"]], ids=["known", "open"])
def test_sums_of_blocks(normal: Any, coordinates: Any, rounding: Any, dynamic: Any) -> None:
    options = {
        "mode": "nearest", "nearest_mode": rounding, "dynamic": dynamic,
        "coordinate_transformation_mode": coordinates, "axes": [2, 3],
    }  # fmt: skip
    check_resize(normal(2, 3, 2, 3), scales=[2, 3], **options)
    for sizes in ([4, 6], [4, 7], [6, 3]):
        check_resize(normal(2, 3, 2, 3), sizes=sizes, fixed=["roi"], **options)


def test_branches_hold_no_constant_that_nothing_reads(normal: Any) -> None:
    x, sizes = normal(1, 2, 3, 4).astype(np.float32), np.array([6, 8])
    inputs = {"x": x, "roi": None, "scales": None, "sizes": sizes}
    case = operator("Resize", inputs, axes=[2, 3])
    gradient = vjp(symbolic(case.model, ["x"]), case.model.graph.output[0].name, ["x"])
    branches = [
        attribute.g
        for node in gradient.graph.node
        if node.op_type == "If"
        for attribute in node.attribute
    ]
    assert ["AveragePool" in {node.op_type for node in b.node} for b in branches].count(True) == 1
    for branch in branches:
        read = {name for node in branch.node for name in node.input}
        assert {constant.name for constant in branch.initializer} <= read


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2, 3), (1.5, 2.5)], ids=str)
def test_upsample_of_opset_9(normal: Any, mode: Any, scales: Any) -> None:
    x, factors = normal(2, 2, 4, 5), np.array([1, 1, *scales], np.float32)
    case = operator("Upsample", {"x": x, "scales": factors}, fixed=["scales"], opset=9, mode=mode)
    check(case, wrt=["x"], linear=True)


def test_upsample_of_opset_7(normal: Any) -> None:
    case = operator(
        "Upsample", {"x": normal(1, 2, 3, 5)}, opset=7, mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]
    )
    check(case, wrt=["x"], linear=True)
