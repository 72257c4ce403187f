"""The choices of the gradient engine, each with its alternatives as equivalent ONNX models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["CHOICES", "Choice"]

Array = NDArray[np.float32]
Constants = dict[str, NDArray[np.generic]]

K = 2
"""The number of questions per run."""


@dataclass(frozen=True)
class Choice:
    """A choice among equivalent models.

    Attributes:
        name: its key in the results.
        title: its name in the table.
        alternatives: by name; the first is the engine's choice.
        feeds: the values of all inputs.
        module: the module that makes the choice.
    """

    name: str
    title: str
    alternatives: dict[str, onnx.ModelProto]
    feeds: dict[str, Array]
    module: str


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Array],
    constants: Constants | None = None,
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    """A model whose inputs have a dynamic batch axis."""
    graph = helper.make_graph(
        list(nodes),
        "alternative",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *array.shape[1:]])
            for name, array in inputs.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


_node = helper.make_node


def _noise(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _flipped(w: Array, group: int) -> Array:
    """The kernel of the adjoint convolution at stride 1: channels swapped, taps flipped."""
    return np.ascontiguousarray(_swapped(w, group)[..., ::-1, ::-1])


def _swapped(w: Array, group: int) -> Array:
    """[O, C / group, ...] as [C, O / group, ...]."""
    o, c, *kernel = w.shape
    parts = w.reshape(group, o // group, c, *kernel).swapaxes(1, 2)
    return parts.reshape(group * c, o // group, *kernel)


def _even(
    name: str, title: str, space: tuple[int, int], channels: int, dilation: int = 1, group: int = 1
) -> Choice:
    """The gradient of a 3x3 convolution at stride 1 with equal input and output channels."""
    w, g = _noise(channels, channels // group, 3, 3), _noise(K, channels, *space)
    same: dict[str, Any] = {"group": group, "dilations": [dilation] * 2, "pads": [dilation] * 4}
    alternatives = {
        op: _model([_node(op, ["g", "w"], ["y"], **same)], {"g": g}, {"w": kernel})
        for op, kernel in (("Conv", _flipped(w, group)), ("ConvTranspose", w))
    }
    return Choice(name, title, alternatives, {"g": g}, "gradient/rules/convolution.py")


def _strided(
    name: str, title: str, space: tuple[int, int], channels: tuple[int, int], k: int, group: int = 1
) -> Choice:
    """The gradient of a convolution at stride 2, padded by half its kernel; extents are even."""
    c, o = channels
    w, g = _noise(o, c // group, k, k), _noise(K, o, space[0] // 2, space[1] // 2)
    p, swapped = k // 2, _swapped(w, group)
    cut: Constants = {
        "start": np.array([p, p]),
        "stop": np.array([p + space[0], p + space[1]]),
        "axes": np.array([2, 3]),
    }
    crop = _node("Slice", ["long", "start", "stop", "axes"], ["y"])
    transposed = _node(
        "ConvTranspose",
        ["g", "w"],
        ["long"],
        group=group,
        strides=[2, 2],
        output_padding=[1, 1],
    )
    taps = -(-k // 2)
    phases = np.zeros((c, 2, 2, o // group, taps, taps), np.float32)
    for y, x in np.ndindex(
        k, k
    ):  # position 2 m + f of the long output is reached by taps f, f + 2...
        phases[:, y % 2, x % 2, :, taps - 1 - y // 2, taps - 1 - x // 2] = swapped[:, :, y, x]
    after = [-(-(n + p) // 2) - n // 2 for n in space]
    apart = [
        _node("Conv", ["g", "w"], ["c"], group=group, pads=[taps - 1, taps - 1, *after]),
        _node("DepthToSpace", ["c"], ["long"], blocksize=2, mode="CRD"),
    ]
    zeros = [
        _node("Unsqueeze", ["g", "axes_"], ["apart"]),
        _node("Pad", ["apart", "behind"], ["stuffed"]),
        _node("Reshape", ["stuffed", "shape"], ["s"]),
        _node("Conv", ["s", "w"], ["y"], group=group, pads=[k - 1 - p, k - 1 - p, p, p]),
    ]
    stuffing: Constants = {
        "w": _flipped(w, group),
        "axes_": np.array([3, 5]),
        "behind": np.array([0] * 6 + [0, 0, 0, 1, 0, 1]),
        "shape": np.array([0, o, *space]),
    }
    by_phase = phases.reshape(4 * c, o // group, taps, taps)
    alternatives = {
        "ConvTranspose": _model([transposed, crop], {"g": g}, {"w": w, **cut}),
        "Conv for each phase, DepthToSpace": _model(
            [*apart, crop], {"g": g}, {"w": by_phase, **cut}
        ),
        "zeros between, Conv": _model(zeros, {"g": g}, stuffing),
    }
    return Choice(name, title, alternatives, {"g": g}, "gradient/rules/convolution.py")


def _softmax(name: str, title: str, classes: int, space: tuple[int, int]) -> Choice:
    x = 3 * _noise(1, classes, *space)
    parts = [
        _node("ReduceMax", ["x", "axes"], ["top"]),
        _node("Sub", ["x", "top"], ["less"]),
        _node("Exp", ["less"], ["e"]),
        _node("ReduceSum", ["e", "axes"], ["sum"]),
        _node("Div", ["e", "sum"], ["y"]),
    ]
    transposed_softmax = [
        _node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
        _node("Softmax", ["t"], ["s"], axis=-1),
        _node("Transpose", ["s"], ["y"], perm=[0, 3, 1, 2]),
    ]
    alternatives = {
        "Exp, ReduceSum, Div": _model(parts, {"x": x}, {"axes": np.array([1])}),
        "Softmax": _model([_node("Softmax", ["x"], ["y"], axis=1)], {"x": x}),
        "Softmax between Transposes": _model(transposed_softmax, {"x": x}),
    }
    return Choice(name, title, alternatives, {"x": x}, "append/fast_softmax.py")


def _relu(name: str, title: str, shape: tuple[int, int, int]) -> Choice:
    y, g = _noise(1, *shape), _noise(K, *shape)
    positive = _node("Greater", ["a", "zero"], ["mask"])
    product = [
        _node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        _node("Mul", ["g", "m"], ["y"]),
    ]
    where = [_node("Where", ["mask", "g", "zero"], ["y"])]
    zero: Constants = {"zero": np.zeros((), np.float32)}
    alternatives = {
        "product with the mask": _model([positive, *product], {"a": y, "g": g}, zero),
        "Where": _model([positive, *where], {"a": y, "g": g}, zero),
    }
    return Choice(name, title, alternatives, {"a": y, "g": g}, "gradient/rules/activation.py")


def _pool(name: str, title: str, shape: tuple[int, int, int], *, gradient: bool) -> Choice:
    """A convolution, a MaxPool 3x3 at stride 2, a convolution; and the pool's gradient."""
    c, height, width = shape
    x, g = _noise(1, *shape), _noise(K, c, height // 2, width // 2)
    window: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
    before = _node("Conv", ["x", "w"], ["a"], pads=[1] * 4)
    after = _node("Conv", ["m", "w"], ["y"], pads=[1] * 4)
    put = [
        _node("Reshape", ["i", "flat"], ["places"]),
        _node("Shape", ["g"], ["questions"], start=0, end=1),
        _node("Shape", ["places"], ["count"]),
        _node("Concat", ["questions", "count"], ["both"], axis=0),
        _node("Expand", ["places", "both"], ["each"]),
        _node("Reshape", ["g", "both"], ["updates"]),
        _node("Concat", ["questions", "cells"], ["extents"], axis=0),
        _node("ConstantOfShape", ["extents"], ["zeros"]),
        _node("ScatterElements", ["zeros", "each", "updates"], ["z"], axis=1, reduction="add"),
    ]
    constants: Constants = {
        "w": _noise(c, c, 3, 3) / (9 * c) ** 0.5,
        "flat": np.array([-1]),
        "cells": np.array([c * height * width]),
    }
    own = [before, _node("MaxPool", ["a"], ["m", "i"], **window), after]
    plain = [before, _node("MaxPool", ["a"], ["m"], **window), after]
    again = _node("MaxPool", ["a"], ["unused", "i"], **window)
    if not gradient:
        alternatives = {
            "the pool without Indices": _model(plain, {"x": x}, constants),
            "the pool with Indices": _model(own, {"x": x}, constants),
        }
        return Choice(name, title, alternatives, {"x": x}, "gradient/rules/pooling.py")
    alternatives = {
        "Indices of a separate pool": _model(
            [*plain, again, *put], {"x": x, "g": g}, constants, ["y", "z"]
        ),
        "Indices of the network's pool": _model(
            [*own, *put], {"x": x, "g": g}, constants, ["y", "z"]
        ),
    }
    return Choice(name, title, alternatives, {"x": x, "g": g}, "gradient/rules/pooling.py")


CHOICES: dict[str, Callable[[], Choice]] = {
    "conv": lambda: _even(
        "conv", "Conv 3x3, 128 channels, 90 x 120", (90, 120), 128
    ),
    "conv-dilated": lambda: _even(
        "conv-dilated", "Conv 3x3, dilation 18, 128 channels, 23 x 30", (23, 30), 128, dilation=18
    ),
    "conv-depthwise": lambda: _even(
        "conv-depthwise", "Conv 3x3, depthwise, 256 channels, 46 x 60", (46, 60), 256, group=256
    ),
    "strided": lambda: _strided(
        "strided", "Conv 3x3 at stride 2, 64 to 128 channels, 90 x 120", (90, 120), (64, 128), 3
    ),
    "strided-wide": lambda: _strided(
        "strided-wide", "Conv 7x7 at stride 2, 3 to 64 channels, 360 x 480", (360, 480), (3, 64), 7
    ),
    "strided-depthwise": lambda: _strided(
        "strided-depthwise", "Conv 3x3 at stride 2, depthwise, 96 channels, 112 x 112",
        (112, 112), (96, 96), 3, group=96,
    ),
    "softmax-11": lambda: _softmax(
        "softmax-11", "softmax of 11 classes, 360 x 480", 11, (360, 480)
    ),
    "softmax-150": lambda: _softmax(
        "softmax-150", "softmax of 150 classes, 288 x 384", 150, (288, 384)
    ),
    "relu": lambda: _relu("relu", "ReLU, 128 channels, 90 x 120", (128, 90, 120)),
    "pool-unasked": lambda: _pool(
        "pool-unasked", "MaxPool 3x3 at stride 2 between two Conv, 64 channels, 180 x 240: "
        "no gradient", (64, 180, 240), gradient=False,
    ),
    "pool-asked": lambda: _pool(
        "pool-asked", "the same with its gradient", (64, 180, 240), gradient=True
    ),
}  # fmt: skip
"""The choices by name; each is built when it is measured."""
