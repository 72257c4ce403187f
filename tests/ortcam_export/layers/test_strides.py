"""Strides and fields along each axis of space, in every layout."""

from __future__ import annotations

import networks
import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from ortcam_export import layers
from ortcam_export.layers.strides import place_axes, strides


def clip(shape: str, perm: list[int], channels: int = 3) -> onnx.ModelProto:
    """Two convolutions over time and space, of strides (1, 2, 2) and (2, 2, 2)."""
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 18]> g (float[1, {shape}] x) => (float y)'
        f"{{ t = Transpose<perm = {perm}>(x)"
        " c = Conv<pads = [1, 3, 3, 1, 3, 3], strides = [1, 2, 2]>(t, w) r = Relu(c)"
        " d = Conv<pads = [1, 1, 1, 1, 1, 1], strides = [2, 2, 2]>(r, v) s = Relu(d)"
        " m = GlobalAveragePool(s) f = Flatten(m) y = Softmax(f) }"
    )
    random = np.random.default_rng(0)
    for name, extents in (("w", (4, channels, 3, 7, 7)), ("v", (5, 4, 3, 3, 3))):
        values = random.normal(size=extents).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


@pytest.mark.parametrize(
    ("shape", "perm", "channels"),
    [
        ("3, 16, 32, 48", [0, 1, 2, 3, 4], 3),
        ("16, 3, 32, 48", [0, 2, 1, 3, 4], 3),
        ("16, 32, 48, 3", [0, 4, 1, 2, 3], 3),
        ("13, 16, 32, 48", [0, 1, 2, 3, 4], 13),
        ("16, 32, 48, 13", [0, 4, 1, 2, 3], 13),
    ],
)
def test_clips_in_every_layout(shape: str, perm: list[int], channels: int) -> None:
    listed = {c.name: c for c in layers(clip(shape, perm, channels))}
    assert (listed["r"].strides, listed["s"].strides) == ((1, 2, 2), (2, 4, 4))
    assert (listed["r"].receptive_field, listed["s"].receptive_field) == ((3, 7, 7), (5, 11, 11))
    assert listed["r"].stride_in_words == "1 x 2 x 2"


@pytest.mark.parametrize("batch", [None, 1])
def test_channels_last_of_a_fixed_size(batch: int | None) -> None:
    model = networks.channels_last()
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        dims[1].dim_value, dims[2].dim_value = 40, 24
        if batch is not None:
            dims[0].dim_value = batch
    listed = {c.name: c for c in layers(model)}
    assert (listed["deep_relu"].strides, listed["deep_relu"].receptive_field) == ((2, 2), (5, 5))


def test_channels_last_of_many_bands() -> None:
    g = networks.Builder(0)
    first = g.node("Transpose", ["x"], "first", perm=[0, 3, 1, 2])
    a = g.block(first, 13, 6, "a", strides=[2, 4])
    g.node("Softmax", [g.conv(a, 6, 3, "logits", k=1)], "y", axis=1)
    model = g.model(
        {"y": (onnx.TensorProto.FLOAT, ["N", 3, 16, 16])},
        {"x": (onnx.TensorProto.FLOAT, ["N", 32, 64, 13])},
    )
    (row, *_) = layers(model)
    assert (row.name, row.strides, row.receptive_field) == ("a_relu", (2, 4), (3, 3))
    assert row.stride_in_words == "2 x 4"


def test_volumes_whose_axes_differ_are_ranked_by_all_of_them() -> None:
    listed = layers(networks.volumes())
    assert [c.strides for c in listed if c.kind == "feature"][:2] == [(1, 1, 1), (2, 2, 2)]


def test_what_cannot_be_told_is_left_out() -> None:
    assert place_axes(("batch", None, "space", "space")) == []
    assert place_axes(("batch", "time", "class", "space", "space"), 2) == [3, 4]
    assert place_axes(("batch", "time", "class", "space", "space"), 3) == [1, 3, 4]
    assert strides((32, "W"), (16, 16)) == ()
    assert strides((32,), (16, 16)) == ()
