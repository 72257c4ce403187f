"""LpPool and GlobalLpPool, attribute by attribute, against NumPy."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from finite_differences import check_operator

WINDOWS = {
    "plain": {},
    "strides": {"strides": [2, 3]},
    "pads": {"pads": [1, 0, 0, 1], "strides": [2, 2]},
    "dilations": {"dilations": [2, 1]},
    "SAME_UPPER": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
}


def lp_pool(attributes, p, f):
    """Over windows of 3 x 2."""
    kernel, x = (3, 2), f["x"]
    strides = attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    pads = attributes.get("pads", [0, 0, 0, 0])
    if "auto_pad" in attributes:
        totals = [
            max((-(-x.shape[2 + i] // strides[i]) - 1) * strides[i] + kernel[i] - x.shape[2 + i], 0)
            for i in range(2)
        ]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = small + large if attributes["auto_pad"] == "SAME_UPPER" else large + small
    x = np.pad(x, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
    counts = [
        (x.shape[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(2)
    ]
    total = 0
    for i, j in itertools.product(range(3), range(2)):
        rows = i * dilations[0] + strides[0] * np.arange(counts[0])
        columns = j * dilations[1] + strides[1] * np.arange(counts[1])
        total = total + np.abs(x[:, :, rows][..., columns]) ** p
    return total ** (1 / p)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("attributes", WINDOWS.values(), ids=WINDOWS)
def test_lp_pool(normal, attributes, p):
    check_operator(
        "LpPool", {"x": normal(2, 2, 6, 7)}, kernel_shape=[3, 2], p=p, opset=22, double=False,
        function=functools.partial(lp_pool, attributes, p), **attributes,
    )  # fmt: skip


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_global_lp_pool(normal, space, p):
    def function(f):
        axes = tuple(range(2, 2 + len(space)))
        return (np.abs(f["x"]) ** p).sum(axes, keepdims=True) ** (1 / p)

    check_operator(
        "GlobalLpPool", {"x": normal(2, 3, *space)}, p=p, function=function, double=False
    )
