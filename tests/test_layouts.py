"""Inputs of any layout: each map is that of the same network with its channels first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto, parser

import ortcam
from ortcam.cli import main
from ortcam.errors import InputError
from ortcam_export import export

Array = NDArray[Any]

#: From each layout to channels first: the permutation that a network begins with.
FIRST = {
    "NHWC": [0, 3, 1, 2],
    "NDHWC": [0, 4, 1, 2, 3],
    "NTHWC": [0, 4, 1, 2, 3],
    "NTCHW": [0, 2, 1, 3, 4],
    "NCDHW": [0, 1, 2, 3, 4],
    "NCHW": [0, 1, 2, 3],
}

GRID = {4: (12, 17), 5: (6, 10, 13)}


def network(layout: str, channels: int, *, shape: networks.Shape | None = None) -> onnx.ModelProto:
    """A classifier behind a Transpose: ``a_relu``, and ``b_relu`` of stride 2."""
    g = networks.Builder(3)
    space = len(layout) - 2
    perm = FIRST[layout]
    x = "input"
    if perm != sorted(perm):
        x = g.node("Transpose", ["input"], "first", perm=perm)

    def conv(x: str, c: int, out: int, name: str, **attributes: Any) -> str:
        w = g.weight(f"{name}.w", out, c, *[3] * space, fan_in=c * 3**space)
        b = g.weight(f"{name}.b", out, fan_in=9)
        y = g.node("Conv", [x, w, b], f"{name}_conv", pads=[1] * 2 * space, **attributes)
        return g.relu(y, f"{name}_relu")

    b = conv(conv(x, channels, 5, "a"), 5, 6, "b", strides=[2] * space)
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [b], "pooled")], "flat")
    logits = g.node("MatMul", [flat, g.weight("fc", 6, 4, fan_in=6)], "logits")
    g.node("Softmax", [logits], "probabilities", axis=1)
    own: networks.Shape = [channels if letter == "C" else letter for letter in layout]
    return g.model(
        {"probabilities": (TensorProto.FLOAT, ["N", 4])},
        {"input": (TensorProto.FLOAT, shape or own)},
    )


def array(layout: str, channels: int) -> tuple[Array, Array]:
    """The same values in a layout, and with their channels first."""
    first = np.random.default_rng(8).normal(size=(1, channels, *GRID[len(layout)]))
    back = np.argsort(FIRST[layout])
    return first.transpose(back).astype(np.float32), first.astype(np.float32)


@pytest.mark.parametrize(
    ("layout", "channels"),
    [("NHWC", 13), ("NHWC", 4), ("NTHWC", 3), ("NTCHW", 3), ("NDHWC", 2), ("NTHWC", 7)],
)
@pytest.mark.parametrize("stated", [False, True])
def test_maps_lie_in_space_and_time(layout: str, channels: int, stated: bool) -> None:
    values, first = array(layout, channels)
    plain = "NCHW" if len(layout) == 4 else "NCDHW"
    expected = ortcam.load(export(network(plain, channels), verify=False).model, "cpu").explain(
        None, [0, 2], tensor=first
    )
    exported = export(network(layout, channels), layout=layout if stated else None)
    assert exported.artifact.expects.preprocess is None
    assert exported.artifact.verification is not None
    if stated:
        assert exported.artifact.expects.layout == layout
    explanation = ortcam.load(exported.model, "cpu").explain(None, [0, 2], tensor=values)
    assert explanation.grid == GRID[len(layout)]
    np.testing.assert_allclose(explanation.maps, expected.maps, rtol=1e-5, atol=1e-7)
    assert explanation.maps.any()


@pytest.mark.parametrize(
    ("layout", "stated", "message"),
    [
        (
            "NHWC",
            "NCHW",
            r"layout NCHW does not fit: the network reads axis 1 of the input 'input'",
        ),
        ("NCHW", "NHWC", "layout NHWC does not fit: the network reads axis 1 of .* as channels"),
        ("NCHW", "NCDHW", r"layout NCDHW does not fit: it has 5 axes"),
        ("NTCHW", "NTHWC", "layout NTHWC does not fit: the network reads axis 2 of .* as channels"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(layout: str, stated: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export(network(layout, 13), layout=stated, verify=False)


def test_an_assumed_layout_is_noted() -> None:
    g = networks.Builder(1)
    x = g.relu(g.node("Sub", ["input", g.constant("half", 0.5, np.float32)], "shifted"), "on")
    pooled = g.node("ReduceMean", [x, g.constant("axes", [2, 3])], "pooled", keepdims=0)
    logits = g.node("MatMul", [pooled, g.weight("fc", 13, 3, fan_in=13)], "logits")
    g.node("Softmax", [logits], "probabilities", axis=1)
    model = g.model(
        {"probabilities": (TensorProto.FLOAT, ["N", 3])},
        {"input": (TensorProto.FLOAT, ["N", 13, 20, 24])},
    )
    exported = export(model, feature_layers=["on"], verify=False)
    assert (
        "nothing shows the layout of the input 'input' [N,13,20,24]: assumed NCHW; say it by "
        "layout=" in exported.notes
    )
    assert exported.artifact.expects.layout == "NCHW"
    stated = export(model, feature_layers=["on"], layout="NCHW", verify=False)
    assert not any("assumed" in note for note in stated.notes)


def test_a_spectrogram_without_channels() -> None:
    g = networks.Builder(5)
    x = g.node("Unsqueeze", ["input", g.constant("one", [1])], "image")
    a = g.relu(g.conv(x, 1, 6, "a"), "a_relu")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    logits = g.node("MatMul", [flat, g.weight("fc", 6, 3, fan_in=6)], "logits")
    g.node("Softmax", [logits], "probabilities", axis=1)
    model = g.model(
        {"probabilities": (TensorProto.FLOAT, ["N", 3])},
        {"input": (TensorProto.FLOAT, ["N", 40, "T"])},
    )
    cam = ortcam.load(export(model).model, "cpu")
    values = np.random.default_rng(0).normal(size=(1, 40, 60)).astype(np.float32)
    explanation = cam.explain(None, [0], tensor=values)
    assert explanation.grid == (40, 60)
    assert explanation.maps.shape == (1, 1, 40, 60)
    assert cam.explain(None, [0], tensor=values, preset="raw").raw["a_relu"].shape == (1, 40, 60)


def test_options_of_pictures_do_not_apply_to_arrays() -> None:
    with pytest.raises(InputError) as caught:
        export(network("NHWC", 13), mean=[0.5] * 13, std=[0.2] * 13)
    assert str(caught.value) == (
        "the input 'input' [N,H,W,13] takes no grey or colour picture, so arrays enter it "
        "unchanged; normalise them, and leave out the options of pictures: mean=, std="
    )
    cam = ortcam.load(export(network("NHWC", 13), verify=False).model, "cpu")
    with pytest.raises(InputError, match="takes no grey or colour picture; pass a preprocessed"):
        cam.explain(np.zeros((9, 9, 3), np.uint8), [0])


def test_channels_that_a_convolution_reads() -> None:
    """An input of open channels takes a picture if its convolution reads one or three."""
    for channels, takes_pictures in ((3, True), (13, False)):
        model = network("NCHW", channels, shape=["N", "C", "H", "W"])
        assert (
            export(model, verify=False).artifact.expects.preprocess is not None
        ) == takes_pictures


def test_on_the_command_line(tmp_path: Path) -> None:
    onnx.save(network("NTHWC", 3), tmp_path / "clip.onnx")
    np.save(tmp_path / "clip.npy", array("NTHWC", 3)[0])
    run = CliRunner().invoke
    arguments = ["export", f"{tmp_path}/clip.onnx", "-o", f"{tmp_path}/clip.cam.onnx"]
    assert run(main, [*arguments, "--layout", "NTHWC"]).exit_code == 0
    refusal = run(main, [*arguments, "--layout", "NTCHW"])
    assert refusal.exit_code == 1
    assert "layout NTCHW does not fit" in refusal.output
    refusal = run(main, [*arguments, "--mean", ",".join("1" * 13)])
    assert "leave out the options of pictures: --mean" in refusal.output
    out = tmp_path / "clip.npz"
    explained = run(
        main,
        ["explain", f"{tmp_path}/clip.cam.onnx", f"{tmp_path}/clip.npy", "-c", "0", "-o", str(out)],
    )
    assert explained.exit_code == 0, explained.output
    with np.load(out) as arrays:
        assert arrays["maps"].shape[-3:] == GRID[5]


def test_maps_along_a_single_axis_are_refused_before_there_is_an_artifact() -> None:
    text = f"""
        <ir_version: 8, opset_import: ["": 18]>
        g (float[N, 12, 64] x) => (float[N, 4] logits)
        <float[4, 12, 3] w = {{{", ".join(["0.1"] * 144)}}}, int64[1] last = {{2}}>
        {{ a = Conv(x, w) r = Relu(a) logits = ReduceMean<keepdims = 0>(r, last) }}
    """
    with pytest.raises(InputError, match="is a signal, and maps along a single axis are not made"):
        export(parser.parse_model(text), verify=False)
