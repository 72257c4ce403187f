from __future__ import annotations

import networks
import onnx
import pytest
from onnx import parser

from ortcam_export.choosing.channel_axes import Axes, channel_axes
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load


def axes(model: onnx.ModelProto) -> Axes:
    return channel_axes(prepare(load(model)))


def after(body: str, inputs: str = "float[N, 3, H, W] x", constants: str = "") -> Axes:
    """The axes in a graph of these nodes."""
    return axes(
        parser.parse_model(
            f'<ir_version: 10, opset_import: ["": 18]> g ({inputs}) => (float y) <{constants}>'
            f"{{ {body} y = Identity(z) }}"
        )
    )


def test_channels_first() -> None:
    found = axes(networks.unet())
    assert {found[name] for name in ("input", "enc1_relu", "up2_crop", "cat1", "logits")} == {1}


def test_channels_last() -> None:
    found = axes(networks.channels_last())
    for name in ("input", "stem_relu", "wide", "cat", "head_relu", "logits", "probabilities"):
        assert found[name] == 3, name
    for name in ("stem_nchw", "stem_conv", "stem_norm", "wide_resized", "logits_conv"):
        assert found[name] == 1, name


@pytest.mark.parametrize(
    ("body", "constants", "axis"),
    [
        ("z = Transpose<perm = [2, 0, 3, 1]>(x)", "", 3),
        ("z = Transpose(x)", "", 2),
        ("z = Squeeze(x, a)", "int64[1] a = {2}", 1),
        ("t = Transpose<perm = [0, 2, 3, 1]>(x) z = Squeeze(t, a)", "int64[1] a = {1}", 2),
        ("z = Unsqueeze(x, a)", "int64[1] a = {1}", 2),
        ("z = Unsqueeze(x, a)", "int64[1] a = {-1}", 1),
        ("z = ReduceMean<keepdims = 0>(x, a)", "int64[2] a = {2, 3}", 1),
        ("z = ReduceMean<keepdims = 0>(x, a)", "int64[1] a = {0}", None),
        ("z = ReduceMean<keepdims = 1>(x, a)", "int64[1] a = {1}", 1),
        ("z = ReduceMax<keepdims = 0>(x, a)", "int64[1] a = {1}", None),
        ("z = ArgMax<axis = 1, keepdims = 0>(x)", "", None),
        ("z = ArgMax<axis = 3, keepdims = 0>(x)", "", 1),
        ("z = Gather<axis = 2>(x, a)", "int64 a = {0}", 1),
        ("z = Gather<axis = 0>(x, a)", "int64 a = {0}", None),
        ("z = Gather<axis = 1>(x, a)", "int64 a = {0}", None),
        ("z = Gather<axis = 1>(x, a)", "int64[2] a = {0, 2}", 1),
        ("z = Flatten(x)", "", 1),
        ("z = Reshape(x, a)", "int64[3] a = {0, 3, -1}", 1),
        ("t = Transpose<perm = [0, 2, 3, 1]>(x) z = Reshape(t, a)", "int64[3] a = {0, -1, 3}", 2),
        ("z = Mul(a, x)", "float[1, 3, 1, 1] a = {1.0, 2.0, 3.0}", 1),
        ("z = Add(x, a)", "float[1, 1, 3, 1, 1] a = {1.0, 2.0, 3.0}", 2),
        ("t = Transpose<perm = [0, 2, 3, 1]>(x) z = MatMul(t, a)", "float[3, 1] a = {1, 2, 3}", 3),
    ],
)
def test_an_operator_moves_the_channels(body: str, constants: str, axis: int | None) -> None:
    assert after(body, constants=constants)["z"] == axis


def test_constants_have_no_channels() -> None:
    assert "a" not in after("z = Mul(a, x)", constants="float[1, 3, 1, 1] a = {1.0, 2.0, 3.0}")
