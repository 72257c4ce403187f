"""The input that takes the picture, and its axes."""

from __future__ import annotations

import onnx
import pytest
from onnx import parser

from ortcam.artifact import LAYOUTS
from ortcam.errors import InputError
from ortcam_export.graph import layouts
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.reading.picture_input import channel_count, find_layout, find_picture


def taking(inputs: str, nodes: str = "y = Flatten(x)") -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 18]> g ({inputs}) => (float y) {{ {nodes} }}'
    )


def test_the_artifact_and_the_network_have_the_same_layouts() -> None:
    assert tuple(layouts.LAYOUTS) == LAYOUTS
    kinds = {"N": "batch", "C": "class", "T": "time"}
    for name, axes in layouts.LAYOUTS.items():
        assert axes == tuple(kinds.get(letter, "space") for letter in name)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ("int64[N, 1, 16, 16] mask, float[N, 3, H, W] x", "x"),
        ("int64[N, 77, 8] tokens, float[N, 3, H, W] x", "x"),
        ("float[N, 77, 8] embeddings, float[N, 13, H, W] x", "x"),
        ("float[N, 4] table, float[N, 12, L] x", "x"),
        ("string[N, 1, 1, 1] name, uint8[N, H, W, 3] x", "x"),
    ],
)
def test_the_picture_among_others(inputs: str, name: str) -> None:
    assert find_picture(load(taking(inputs)), None).name == name


@pytest.mark.parametrize(
    ("inputs", "listed"),
    [
        ("float[N, 3, H, W] x, float[N, 1, H, W] z", "'x' [N,3,H,W], 'z' [N,1,H,W]"),
        ("float[N, 3, T, H, W] x, float[N, 1, H, W] z", "'z' [N,1,H,W], 'x' [N,3,T,H,W]"),
        ("float[N, 12, L] x, float[N, 3, L] z", "'x' [N,12,L], 'z' [N,3,L]"),
    ],
)
def test_several_that_could_be_it_are_listed_by_shape(inputs: str, listed: str) -> None:
    with pytest.raises(InputError) as caught:
        find_picture(load(taking(inputs)))
    assert f"several inputs could take the picture: {listed}; say which by" in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "layout", "source", "channels"),
    [
        ("[N, 3, H, W]", "NCHW", "shown", 3),
        ("[N, H, W, 1]", "NHWC", "shown", 1),
        ("[N, 13, 64, 64]", "NCHW", "assumed", 13),
        ("[N, 8, 3, 64, 64]", "NTCHW", "assumed", 3),
        ("[N, 4, 9, 64, 64]", "NCDHW", "assumed", 4),
        ("[N, 12, 500]", None, "assumed", None),
        ("[N, 0, 0, 0]", "NCHW", "assumed", None),
    ],
)
def test_layouts_by_shape(
    shape: str, layout: str | None, source: str, channels: int | None
) -> None:
    model = load(taking(f"float{shape} x"))
    picture = model.graph.inputs[0]
    found = find_layout(model, picture, None)
    assert (found.name, found.source) == (layout, source)
    assert channel_count(picture, found) == channels


def test_the_channels_that_a_convolution_reads() -> None:
    weights = ", ".join(["0.1"] * 5 * 2 * 9)
    model = prepare(
        load(
            parser.parse_model(f"""
            <ir_version: 10, opset_import: ["": 18]>
            g (float[N, H, W, C] x) => (float[a, b, c, d] y)
            <float[5, 2, 3, 3] w = {{{weights}}}, float half = {{0.5}}>
            {{
                less = Sub(x, half)
                first = Transpose<perm = [0, 3, 1, 2]>(less)
                y = Conv(first, w)
            }}""")
        )
    )
    picture = model.graph.inputs[0]
    found = find_layout(model, picture, None)
    assert (found.name, found.source) == ("NHWC", "shown")
    assert channel_count(picture, found) == 2
    assert find_layout(model, picture, "NHWC").source == "stated"
    with pytest.raises(InputError, match=r"reads axis 1 of the input 'x' \[N,H,W,C\] as places"):
        find_layout(model, picture, "NCHW")
