"""The choices, each with its ways as small ONNX models that compute the same."""

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
"""Questions asked at once."""


@dataclass(frozen=True)
class Choice:
    """A choice among ways to the same numbers.

    Attributes:
        name: its key in the results.
        title: what is computed, as the table calls it.
        ways: by their names, the one that the engine takes first.
        feeds: what each is fed, of all inputs that it has.
        taken: the module that makes the choice.
    """

    name: str
    title: str
    ways: dict[str, onnx.ModelProto]
    feeds: dict[str, Array]
    taken: str


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Array],
    constants: Constants | None = None,
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    """A model whose inputs have a batch axis of any extent."""
    graph = helper.make_graph(
        list(nodes),
        "way",
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


def _turned(w: Array, group: int) -> Array:
    """The adjoint's kernel of a convolution at stride 1: channels swapped, taps turned round."""
    return np.ascontiguousarray(_swapped(w, group)[..., ::-1, ::-1])


def _swapped(w: Array, group: int) -> Array:
    """[O, C / group, ...] as [C, O / group, ...]."""
    o, c, *kernel = w.shape
    parts = w.reshape(group, o // group, c, *kernel).swapaxes(1, 2)
    return parts.reshape(group * c, o // group, *kernel)


def _even(
    name: str, title: str, space: tuple[int, int], channels: int, dilation: int = 1, group: int = 1
) -> Choice:
    """The gradient of a 3x3 convolution at stride 1, as many channels in as out."""
    w, g = _noise(channels, channels // group, 3, 3), _noise(K, channels, *space)
    same: dict[str, Any] = {"group": group, "dilations": [dilation] * 2, "pads": [dilation] * 4}
    ways = {
        way: _model([_node(way, ["g", "w"], ["y"], **same)], {"g": g}, {"w": kernel})
        for way, kernel in (("Conv", _turned(w, group)), ("ConvTranspose", w))
    }
    return Choice(name, title, ways, {"g": g}, "gradient/rules/convolution.py")


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
    for y, x in np.ndindex(k, k):  # place 2 m + f of the long output is reached by taps f, f + 2...
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
        "w": _turned(w, group),
        "axes_": np.array([3, 5]),
        "behind": np.array([0] * 6 + [0, 0, 0, 1, 0, 1]),
        "shape": np.array([0, o, *space]),
    }
    by_phase = phases.reshape(4 * c, o // group, taps, taps)
    ways = {
        "ConvTranspose": _model([transposed, crop], {"g": g}, {"w": w, **cut}),
        "Conv for each phase, DepthToSpace": _model(
            [*apart, crop], {"g": g}, {"w": by_phase, **cut}
        ),
        "zeros between, Conv": _model(zeros, {"g": g}, stuffing),
    }
    return Choice(name, title, ways, {"g": g}, "gradient/rules/convolution.py")


def _softmax(name: str, title: str, classes: int, space: tuple[int, int]) -> Choice:
    x = 3 * _noise(1, classes, *space)
    parts = [
        _node("ReduceMax", ["x", "axes"], ["top"]),
        _node("Sub", ["x", "top"], ["less"]),
        _node("Exp", ["less"], ["e"]),
        _node("ReduceSum", ["e", "axes"], ["sum"]),
        _node("Div", ["e", "sum"], ["y"]),
    ]
    turned = [
        _node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
        _node("Softmax", ["t"], ["s"], axis=-1),
        _node("Transpose", ["s"], ["y"], perm=[0, 3, 1, 2]),
    ]
    ways = {
        "Exp, ReduceSum, Div": _model(parts, {"x": x}, {"axes": np.array([1])}),
        "Softmax": _model([_node("Softmax", ["x"], ["y"], axis=1)], {"x": x}),
        "Softmax between Transposes": _model(turned, {"x": x}),
    }
    return Choice(name, title, ways, {"x": x}, "append/fast_softmax.py")


def _relu(name: str, title: str, shape: tuple[int, int, int]) -> Choice:
    y, g = _noise(1, *shape), _noise(K, *shape)
    positive = _node("Greater", ["a", "zero"], ["mask"])
    product = [
        _node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        _node("Mul", ["g", "m"], ["y"]),
    ]
    chosen = [_node("Where", ["mask", "g", "zero"], ["y"])]
    zero: Constants = {"zero": np.zeros((), np.float32)}
    ways = {
        "product with the mask": _model([positive, *product], {"a": y, "g": g}, zero),
        "Where": _model([positive, *chosen], {"a": y, "g": g}, zero),
    }
    return Choice(name, title, ways, {"a": y, "g": g}, "gradient/rules/activation.py")


def _pool(name: str, title: str, shape: tuple[int, int, int], *, asked: bool) -> Choice:
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
    if not asked:
        ways = {
            "the pool without Indices": _model(plain, {"x": x}, constants),
            "the pool with Indices": _model(own, {"x": x}, constants),
        }
        return Choice(name, title, ways, {"x": x}, "gradient/rules/pooling.py")
    ways = {
        "Indices of a pool of its own": _model(
            [*plain, again, *put], {"x": x, "g": g}, constants, ["y", "z"]
        ),
        "Indices of the network's pool": _model(
            [*own, *put], {"x": x, "g": g}, constants, ["y", "z"]
        ),
    }
    return Choice(name, title, ways, {"x": x, "g": g}, "gradient/rules/pooling.py")


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
        "pool-unasked", "between two Conv, MaxPool 3x3 at stride 2, 64 channels, 180 x 240: "
        "no question", (64, 180, 240), asked=False,
    ),
    "pool-asked": lambda: _pool(
        "pool-asked", "the same, with its gradient", (64, 180, 240), asked=True
    ),
}  # fmt: skip
"""The choices by their names, made when they are measured."""
