"""The shapes that ONNX Runtime computes, where onnx's inference finds others or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import forward, operator
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from onnx import parser

from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

EXAMPLES = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def agrees(case: Any) -> None:
    """Compare the static shape of the output with that of a run, which must be possible."""
    try:
        y = forward(case.model, case.feeds, "y")
    except Exception:  # an attribute that ONNX Runtime refuses
        assume(False)
    (output,) = prepare(load(case.model)).graph.outputs
    assert output.shape is not None
    assert list(output.shape) == list(y.shape)


@st.composite
def pools(draw: Any) -> Any:
    kernel, stride, dilation = (draw(st.integers(1, high)) for high in (5, 5, 3))
    attributes: dict[str, Any] = {
        "kernel_shape": [kernel], "strides": [stride], "dilations": [dilation],
    }  # fmt: skip
    mode = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if mode == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, kernel - 1)) for _ in range(2)]
    else:
        attributes["auto_pad"] = mode
    op_type = draw(st.sampled_from(["AveragePool", "LpPool", "MaxPool"]))
    x = np.zeros((1, 1, draw(st.integers(1, 40))), np.float32)
    ceil = draw(st.integers(0, 1))
    return operator(op_type, {"x": x}, opset=22, ceil_mode=ceil, **attributes)


@EXAMPLES
@given(pools())
def test_pools(case: Any) -> None:
    agrees(case)


@st.composite
def transposed_convolutions(draw: Any) -> Any:
    kernel, stride, dilation = (draw(st.integers(1, high)) for high in (5, 5, 3))
    inputs = {
        "x": np.zeros((1, 1, draw(st.integers(1, 20))), np.float32),
        "w": np.ones((1, 1, kernel), np.float32),
    }
    return operator(
        "ConvTranspose", inputs, fixed=["w"], strides=[stride], dilations=[dilation],
        auto_pad=draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"])),
        output_padding=[draw(st.integers(0, max(stride, dilation) - 1))],
    )  # fmt: skip


@EXAMPLES
@given(transposed_convolutions())
def test_transposed_convolutions(case: Any) -> None:
    agrees(case)


@st.composite
def resizes(draw: Any) -> Any:
    extent = draw(st.integers(1, 60))
    scale = draw(st.one_of(st.floats(0.2, 4), st.integers(1, 60).map(lambda out: out / extent)))
    assume(np.float32(scale) * extent >= 1)
    inputs = {
        "x": np.zeros((1, 1, extent), np.float32),
        "roi": None,
        "scales": np.array([1, 1, scale], np.float32),
    }
    return operator("Resize", inputs, fixed=["scales"], mode="linear")


@EXAMPLES
@given(resizes())
def test_resizes(case: Any) -> None:
    agrees(case)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("windowed", [True, False])
def test_frames_of_a_signal(onesided: Any, windowed: Any) -> None:
    inputs = {
        "x": np.zeros((2, 23, 1), np.float32),
        "step": np.array(4),
        "window": np.ones(6, np.float32) if windowed else None,
        "length": None if windowed else np.array(6),
    }
    agrees(operator("STFT", inputs, fixed=["step", "length"], onesided=onesided))


def test_a_pool_behind_a_pool_sees_what_onnxruntime_computes() -> None:
    model = parser.parse_model("""
        <ir_version: 10, opset_import: ["": 22]>
        g (float[1, 1, 29, 29] x) => (float[a, b, c, d] y, int64[4] s)
        {
            p = MaxPool<kernel_shape = [3, 3], strides = [3, 3], dilations = [2, 2],
                        auto_pad = "SAME_UPPER">(x)
            q = Relu(p)
            y = MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>(q)
            s = Shape(y)
        }
    """)
    x = {"x": np.zeros((1, 1, 29, 29), np.float32)}
    graph = prepare(load(model)).graph
    assert list(graph.outputs[0].shape or ()) == forward(model, x, "s").tolist()


SPLIT = """
    <ir_version: 10, opset_import: ["": 18]>
    g (float[N, 6, {extent}] x, float[{extent}] w) => (float[N, a, b] y)
    <int64[1] two = {{2}}>
    {{
        part = Shape<start = 0>(w)
        half = Div(part, two)
        rest = Sub(part, half)
        sizes = Concat<axis = 0>(half, rest)
        y, z = Split<axis = 2>(x, sizes)
    }}
"""


def test_a_split_by_computed_sizes() -> None:
    shape: Any = prepare(load(parser.parse_model(SPLIT.format(extent=7)))).graph.outputs[0].shape
    assert [shape[1], shape[2]] == [6, 3]
    shape = prepare(load(parser.parse_model(SPLIT.format(extent="E")))).graph.outputs[0].shape
    assert len(shape) == 3
    assert shape[1] == 6
    assert not isinstance(shape[2], int)
