"""DeformConv, of each of its inputs."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from finite_differences import check_operator

CASES = {
    "plain": ((2, 4, 5, 6), (3, 4, 2, 3), {}),
    "strides, pads": ((1, 4, 6, 7), (2, 4, 3, 3), {"strides": [2, 1], "pads": [1, 0, 1, 2]}),
    "dilations": ((1, 2, 6, 6), (2, 2, 2, 2), {"dilations": [2, 3]}),
    "groups": ((2, 4, 5, 5), (6, 2, 2, 2), {"group": 2}),
    "offset groups": ((2, 4, 5, 5), (2, 4, 2, 2), {"offset_group": 2}),
    "both": ((1, 4, 4, 4), (4, 2, 2, 2), {"group": 2, "offset_group": 2}),
}


def deform_conv(attributes: Any, f: Any) -> Any:
    """Every tap of every offset group separately."""
    x, w, offset = f["x"], f["w"], f["offset"]
    strides, dilations, pads = (
        attributes.get(name, default)
        for name, default in (("strides", [1, 1]), ("dilations", [1, 1]), ("pads", [0] * 4))
    )
    group, groups = attributes.get("group", 1), attributes.get("offset_group", 1)
    pictures, channels, height, width = x.shape
    out = offset.shape[2:]
    columns = np.zeros((pictures, channels, *w.shape[2:], *out))
    offset = offset.reshape(pictures, groups, *w.shape[2:], 2, *out)
    for n, c, i, j in np.ndindex(columns.shape[:4]):
        k = c // (channels // groups)
        rows = np.arange(out[0])[:, None] * strides[0] - pads[0] + i * dilations[0]
        cells = np.arange(out[1]) * strides[1] - pads[1] + j * dilations[1]
        at_y, at_x = rows + offset[n, k, i, j, 0], cells + offset[n, k, i, j, 1]
        share_y = np.maximum(1 - abs(at_y[..., None] - np.arange(height)), 0)
        share_x = np.maximum(1 - abs(at_x[..., None] - np.arange(width)), 0)
        columns[n, c, i, j] = np.einsum("abh,abw,hw->ab", share_y, share_x, x[n, c])
    if "mask" in f:
        mask = f["mask"].reshape(pictures, groups, 1, *w.shape[2:], *out)
        columns = (columns.reshape(pictures, groups, -1, *w.shape[2:], *out) * mask).reshape(
            columns.shape
        )
    columns = columns.reshape(pictures, group, -1, *columns.shape[2:])
    kernel = w.reshape(group, -1, *w.shape[1:])
    y = np.einsum("ngcijab,gocij->ngoab", columns, kernel).reshape(pictures, -1, *out)
    return y + f["b"].reshape(-1, 1, 1) if "b" in f else y


@pytest.mark.parametrize("more", [0, 2])
@pytest.mark.parametrize(("x", "w", "attributes"), CASES.values(), ids=CASES)
def test_deform_conv(normal: Any, x: Any, w: Any, attributes: Any, more: Any) -> None:
    strides, dilations, pads = (
        attributes.get(name, default)
        for name, default in (("strides", [1, 1]), ("dilations", [1, 1]), ("pads", [0] * 4))
    )
    out = [
        (x[2 + i] + pads[i] + pads[2 + i] - dilations[i] * (w[2 + i] - 1) - 1) // strides[i] + 1
        for i in range(2)
    ]
    taps = w[2] * w[3] * attributes.get("offset_group", 1)
    # between cells, where a small step changes no cell
    cells = np.random.default_rng(3).integers(-2, 2, (x[0], 2 * taps, *out)) + 0.5
    offset = cells + np.clip(normal(*cells.shape), -1, 1) / 4
    inputs = {"x": normal(*x), "w": normal(*w), "offset": offset.astype(np.float32)}
    if more:
        inputs |= {"b": normal(w[0]), "mask": normal(x[0], taps, *out)}
    check_operator(
        "DeformConv", inputs, opset=19, fixed=["w", "b"], double=False,
        function=functools.partial(deform_conv, attributes), **attributes,
    )  # fmt: skip
