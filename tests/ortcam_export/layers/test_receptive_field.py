"""Receptive fields against the closed formula, and against the pixels that move a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import networks
import numpy as np
import onnx
import pytest
from networks import Builder
from numpy.typing import NDArray
from onnx import TensorProto

from ortcam.inference.session import Session
from ortcam_export import layers

EXTENT = 48
TRIES = 3

Make = Callable[[], onnx.ModelProto]


def fields(model: onnx.ModelProto) -> dict[str, tuple[int, ...] | str | None]:
    return {c.name: c.receptive_field for c in layers(model) if c.kind == "feature"}


def fixed(make: Make) -> onnx.ModelProto:
    """A network of pictures of fixed height and width: cells and their phases are then known."""
    model = make()
    (picture,) = model.graph.input
    for dim in picture.type.tensor_type.shape.dim:
        if dim.dim_param in ("H", "W"):
            dim.dim_value = EXTENT
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def moving(model: onnx.ModelProto, axes: dict[str, int]) -> dict[str, tuple[int, ...] | None]:
    """How many rows and columns of the picture, first to last, move each layer's central cell.

    ``axes`` are the layers' channel axes. None where nothing moves it.
    """
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    there = {output.name for output in shown.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=n) for n in axes if n not in there)
    session = Session(shown.SerializeToString(), "cpu")
    random = np.random.default_rng(0)
    (picture,) = model.graph.input
    last = picture.type.tensor_type.shape.dim[3].dim_value == 3
    shape = (EXTENT, EXTENT, 3) if last else (3, EXTENT, EXTENT)
    x = random.normal(size=shape).astype(np.float32)

    def central(pictures: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        cells = {}
        for name, values in session.run(list(axes), {picture.name: pictures}).items():
            first = np.moveaxis(values, axes[name], 1)
            cells[name] = first[(..., *(n // 2 for n in first.shape[2:]))]
        return cells

    extents: dict[str, tuple[int, ...]] = dict.fromkeys(axes, ())
    for axis in (0, 1) if last else (1, 2):
        moved = {name: np.zeros(EXTENT, bool) for name in axes}
        for _ in range(TRIES):
            others = np.repeat(x[None], EXTENT, axis=0)
            for place in range(EXTENT):
                at = [slice(None)] * 3
                at[axis] = slice(place, place + 1)
                here = others[place][tuple(at)]
                here[...] = random.normal(0, 30, here.shape)
            before = central(x[None])
            for name, cells in central(others).items():
                moved[name] |= (cells != before[name]).any(axis=1)
        for name, found in moved.items():
            places = np.flatnonzero(found)
            extents[name] += (int(np.ptp(places)) + 1,) if len(places) else ()
    return {name: found or None for name, found in extents.items()}


def resized(mode: str, **attributes: object) -> onnx.ModelProto:
    """A convolution of stride 4, resized by 4, and a scorer."""
    g = Builder(1)
    a = g.block("input", 3, 6, "a", k=3, strides=[4, 4])
    scales = g.constant("scales", [1, 1, 4, 4], np.float32)
    b = g.node("Resize", [a, "", scales], "b", mode=mode, **attributes)
    g.node("Softmax", [g.conv(b, 6, 4, "logits", k=1)], "probabilities", axis=1)
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", 4, "h", "w"])})


def moved_about() -> onnx.ModelProto:
    """Dilation, uneven kernels and padding, Pad, Slice, Split, pixel shuffling and its reverse."""
    g = Builder(2)
    w = g.weight("wide.weight", 8, 3, 3, 5, fan_in=45)
    x = g.node(
        "Conv", ["input", w], "wide", kernel_shape=[3, 5], dilations=[2, 3], pads=[2, 0, 2, 12]
    )
    x = g.relu(x, "wide_relu")
    x = g.node("Pad", [x, g.constant("pads", [0, 0, 3, 1, 0, 0, 1, 3])], "padded")
    ends = [g.constant("starts", [2, 0]), g.constant("ends", [2**40, -4]), g.constant("at", [2, 3])]
    x = g.node("Slice", [x, *ends], "cut")
    x = g.relu(g.node("SpaceToDepth", [x], "deep", blocksize=2), "deep_relu")
    x = g.relu(g.conv(x, 32, 32, "between"), "between_relu")
    x = g.relu(g.node("DepthToSpace", [x], "shallow", blocksize=2), "shallow_relu")
    first, second = "first", "second"
    split = [x, g.constant("sizes", [3, 5])]
    g.nodes.append(onnx.helper.make_node("Split", split, [first, second], "Split/first", axis=1))
    pooled = g.node("AveragePool", [first], "pooled", kernel_shape=[3, 3], pads=[1] * 4)
    x = g.node("Concat", [pooled, second], "joined", axis=1)
    g.node("Softmax", [g.conv(x, 8, 4, "logits", k=1)], "probabilities", axis=1)
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", 4, "h", "w"])})


def sparse() -> onnx.ModelProto:
    """A transposed convolution whose windows leave gaps, and one whose windows overlap."""
    g = Builder(3)
    x = g.block("input", 3, 6, "a", strides=[2, 2])
    w = g.weight("gaps.weight", 6, 6, 2, 2, fan_in=24)
    x = g.node("ConvTranspose", [x, w], "gaps", kernel_shape=[2, 2], strides=[3, 3])
    x = g.relu(g.conv(x, 6, 6, "filled"), "filled_relu")
    w = g.weight("over.weight", 6, 4, 4, 4, fan_in=96)
    x = g.node(
        "ConvTranspose", [x, w], "over", kernel_shape=[4, 4], strides=[2, 2], pads=[1, 1, 1, 1]
    )
    x = g.relu(x, "over_relu")
    g.node("Softmax", [g.conv(x, 4, 4, "logits", k=1)], "probabilities", axis=1)
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", 4, "h", "w"])})


def windows() -> onnx.ModelProto:
    """Attention within windows of 4 x 4 cells, as in Swin, of cells of 2 x 2 pixels."""
    g = Builder(4)
    side, width = EXTENT // 2, 6
    x = g.conv("input", 3, width, "cells", k=2, strides=[2, 2], pads=[0] * 4)
    parts = g.constant("parts", [-1, width, side // 4, 4, side // 4, 4])
    x = g.node("Reshape", [x, parts], "split")
    x = g.node("Transpose", [x], "sorted", perm=[0, 2, 4, 3, 5, 1])
    x = g.node("Reshape", [x, g.constant("flat", [-1, 16, width])], "in_windows")
    keys = g.node("Transpose", [x], "keys", perm=[0, 2, 1])
    a = g.node("Softmax", [g.node("MatMul", [x, keys], "alike")], "attention", axis=-1)
    x = g.node("MatMul", [a, x], "attended")
    x = g.node("Reshape", [x, g.constant("back", [-1, side // 4, side // 4, 4, 4, width])], "six")
    x = g.node("Transpose", [x], "unsorted", perm=[0, 5, 1, 3, 2, 4])
    x = g.node("Reshape", [x, g.constant("whole", [-1, width, side, side])], "together")
    x = g.relu(g.conv(x, width, 6, "after"), "after_relu")
    g.node("Softmax", [g.conv(x, 6, 4, "logits", k=1)], "probabilities", axis=1)
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", 4, "h", "w"])})


@pytest.mark.parametrize(
    "make",
    [
        networks.unet,
        networks.unet_resized,
        networks.channels_last,
        networks.deployed,
        moved_about,
        sparse,
        windows,
        lambda: resized("nearest"),
        lambda: resized("linear"),
        lambda: resized("linear", coordinate_transformation_mode="align_corners"),
        lambda: resized("cubic", coordinate_transformation_mode="asymmetric"),
    ],
)
def test_they_are_the_pixels_that_move_the_central_cell(make: Make) -> None:
    model = fixed(make)
    listed = [c for c in layers(model) if c.kind == "feature"]
    axes = {c.name: 1 if c.shape[1] == c.channels else len(c.shape) - 1 for c in listed}
    wanted = moving(model, axes)
    assert len(wanted) >= 2
    assert {c.name: c.receptive_field for c in listed} == wanted


@pytest.mark.parametrize(
    "steps",
    [
        [(3, 1, 1), (3, 1, 1)],
        [(7, 2, 1), (3, 2, 1), (3, 1, 1), (1, 1, 1)],
        [(3, 1, 2), (5, 3, 1), (3, 2, 4), (2, 2, 1), (3, 1, 6)],
    ],
)
def test_a_chain_has_the_closed_form(steps: Sequence[tuple[int, int, int]]) -> None:
    """Araujo et al. 2019, equation 2: 1 + sum over layers of d (k - 1) prod of strides before."""
    g = Builder(0)
    x, channels, field, stride, wanted = "input", 3, 1, 1, []
    for i, (k, s, d) in enumerate(steps):
        options = {"strides": [s, s], "dilations": [d, d]}
        x, channels = g.relu(g.conv(x, channels, 4, f"conv{i}", k=k, **options), f"relu{i}"), 4
        field += d * (k - 1) * stride
        stride *= s
        wanted.append((field, field))
    g.node("Softmax", [g.conv(x, 4, 3, "logits", k=1)], "probabilities", axis=1)
    model = g.model({"probabilities": (TensorProto.FLOAT, ["N", 3, "h", "w"])})
    found = fields(model)
    assert [found[f"relu{i}"] for i in range(len(steps))] == wanted


def test_it_reaches_past_the_picture() -> None:
    g = Builder(0)
    x = g.block("input", 3, 4, "a", k=3, dilations=[500, 500], pads=[500] * 4)
    g.node("Softmax", [g.conv(x, 4, 3, "logits", k=1)], "probabilities", axis=1)
    model = g.model({"probabilities": (TensorProto.FLOAT, ["N", 3, "H", "W"])})
    assert fields(model)["a_relu"] == (1001, 1001)


def test_attention_sees_everything() -> None:
    found = fields(networks.transformer(head="map"))
    assert found["tokens"] == found["norm_0"] == (4, 4)
    assert {found[name] for name in ("sum_0", "hidden_0", "norm_1", "norm")} == {"global"}


def test_a_pooling_over_all_makes_it_global() -> None:
    g = Builder(0)
    a = g.block("input", 3, 4, "a")
    gate = g.node("Sigmoid", [g.conv(g.node("GlobalAveragePool", [a], "mean"), 4, 4, "g", 1)], "s")
    b = g.block(g.node("Mul", [a, gate], "gated"), 4, 4, "b")
    g.node("Softmax", [g.conv(b, 4, 3, "logits", k=1)], "probabilities", axis=1)
    found = fields(g.model({"probabilities": (TensorProto.FLOAT, ["N", 3, "H", "W"])}))
    assert (found["a_relu"], found["b_relu"]) == ((3, 3), "global")


def test_volumes() -> None:
    assert fields(networks.volumes())["b_relu"] == (5, 5, 5)


def test_what_takes_no_picture_of_the_trial_size_is_not_known() -> None:
    model = networks.unet()
    other = model.graph.input.add()
    other.CopyFrom(model.graph.input[0])
    other.name = "depth"
    assert set(fields(model).values()) == {None}
