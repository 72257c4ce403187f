"""Conv and ConvTranspose, attribute by attribute, with respect to x, w and b."""

from __future__ import annotations

from typing import Any

import pytest
from finite_differences import check_operator

FIXED = ("w", "b")

CONV = {
    "plain": {},
    "strides": {"strides": [2, 3]},
    "dilations": {"dilations": [2, 1]},
    "pads": {"pads": [1, 1, 1, 1]},
    "uneven pads": {"pads": [0, 2, 1, 0]},
    "strides and dilations": {"strides": [3, 2], "dilations": [1, 2], "pads": [2, 1, 0, 1]},
    "a stride beyond the kernel": {"strides": [4, 4]},
    "wide pads": {"pads": [4, 3, 3, 5]},
    "SAME_UPPER": {"auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"auto_pad": "SAME_LOWER"},
    "SAME_UPPER, strides": {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
    "SAME_LOWER, strides": {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
    "VALID": {"auto_pad": "VALID", "strides": [2, 1]},
}


@pytest.mark.parametrize("attributes", CONV.values(), ids=CONV)
def test_conv_of_pictures(normal: Any, attributes: Any) -> None:
    x, w, b = normal(2, 3, 9, 8), normal(4, 3, 3, 2), normal(4)
    check_operator("Conv", {"x": x, "w": w, "b": b}, fixed=FIXED, **attributes)


@pytest.mark.parametrize("group", [2, 4], ids=["groups", "depthwise"])
@pytest.mark.parametrize(
    "attributes", [{}, {"strides": [2, 2], "pads": [1, 0, 1, 2], "dilations": [1, 2]}]
)
def test_conv_in_groups(normal: Any, group: Any, attributes: Any) -> None:
    x, w, b = normal(2, 4, 7, 8), normal(8, 4 // group, 3, 3), normal(8)
    inputs = {"x": x, "w": w, "b": b}
    # the reference evaluator's ConvTranspose, Conv's adjoint, knows no groups
    check_operator("Conv", inputs, fixed=FIXED, group=group, double=False, **attributes)


@pytest.mark.parametrize(
    ("space", "kernel", "attributes"),
    [
        ((9,), (3,), {"strides": [2], "pads": [1, 2]}),
        ((9,), (4,), {"strides": [2], "auto_pad": "SAME_LOWER"}),
        ((4, 5, 6), (2, 3, 2), {"strides": [1, 2, 2], "pads": [1, 0, 1, 0, 1, 1]}),
    ],
    ids=["sequences", "sequences, SAME_LOWER", "volumes"],
)
def test_conv_of_sequences_and_volumes(
    normal: Any, space: Any, kernel: Any, attributes: Any
) -> None:
    x, w, b = normal(2, 2, *space), normal(4, 1, *kernel), normal(4)
    check_operator(
        "Conv", {"x": x, "w": w, "b": b}, fixed=FIXED, group=2, double=False, **attributes
    )


def test_conv_without_bias_and_with_weights_that_are_fed(normal: Any) -> None:
    check_operator("Conv", {"x": normal(1, 2, 5, 5), "w": normal(3, 2, 2, 3)}, dynamic=["x"])


def test_conv_of_one_pixel(normal: Any) -> None:
    inputs = {"x": normal(2, 3, 5, 6), "w": normal(4, 3, 1, 1)}
    check_operator("Conv", inputs, fixed=["w"])


TRANSPOSE = {
    "plain": {},
    "strides": {"strides": [2, 3]},
    "dilations": {"dilations": [2, 3]},
    "pads": {"pads": [1, 1, 1, 1]},
    "uneven pads": {"strides": [2, 2], "pads": [0, 1, 2, 0]},
    "output_padding": {"strides": [2, 3], "output_padding": [1, 2]},
    "output_padding and pads": {
        "strides": [3, 2], "output_padding": [1, 1], "pads": [1, 0, 0, 1], "dilations": [1, 2],
    },
    "output_shape": {"strides": [2, 2], "output_shape": [9, 8]},
    "output_shape, SAME_UPPER": {
        "strides": [2, 2], "output_shape": [9, 10], "auto_pad": "SAME_UPPER",
    },
    "output_shape, SAME_LOWER": {
        "strides": [2, 2], "output_shape": [9, 10], "auto_pad": "SAME_LOWER",
    },
    "SAME_UPPER": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    "VALID": {"strides": [2, 1], "auto_pad": "VALID"},
}  # fmt: skip


@pytest.mark.parametrize("attributes", TRANSPOSE.values(), ids=TRANSPOSE)
def test_conv_transpose_of_pictures(normal: Any, attributes: Any) -> None:
    x, w, b = normal(2, 3, 4, 5), normal(3, 2, 3, 3), normal(2)
    linear = "auto_pad" in attributes or "output_shape" in attributes
    check_operator(
        "ConvTranspose", {"x": x, "w": w, "b": b}, fixed=FIXED, linear=linear, **attributes
    )


@pytest.mark.parametrize("group", [2, 4], ids=["groups", "depthwise"])
@pytest.mark.parametrize("attributes", [{}, {"strides": [2, 3], "pads": [1, 0, 1, 2]}])
def test_conv_transpose_in_groups(normal: Any, group: Any, attributes: Any) -> None:
    x, w, b = normal(2, 4, 4, 5), normal(4, 8 // group, 3, 2), normal(8)
    check_operator(
        "ConvTranspose", {"x": x, "w": w, "b": b}, fixed=FIXED, group=group, linear=True,
        **attributes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("space", "kernel", "attributes"),
    [
        ((5,), (3,), {"strides": [2], "pads": [1, 0], "output_padding": [1]}),
        ((2, 3, 4), (2, 3, 2), {"strides": [2, 1, 2], "pads": [0, 1, 0, 1, 0, 1]}),
    ],
    ids=["sequences", "volumes"],
)
def test_conv_transpose_of_sequences_and_volumes(
    normal: Any, space: Any, kernel: Any, attributes: Any
) -> None:
    x, w, b = normal(2, 2, *space), normal(2, 3, *kernel), normal(3)
    check_operator(
        "ConvTranspose", {"x": x, "w": w, "b": b}, fixed=FIXED, linear=True, **attributes
    )
