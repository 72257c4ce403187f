"""A small artifact made by hand, its gradient written out, and the same network in NumPy.

The tests of the runtime need no exporter: what the runtime shows is compared with central
differences through :class:`Reference`, in float64.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import ortcam
from ortcam.artifact import METADATA_KEY, Artifact, Expectations, Layer, Preprocessing, Score

Array = NDArray[np.float64]

CLASSES = ("Sky", "Road", "Car", "Tree")
COLORS = ((128, 128, 128), (128, 64, 128), (64, 0, 128), (128, 128, 0))
PREPROCESS = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def convolve(x: Array, w: Array, b: Array, stride: int = 1) -> Array:
    """[C, H, W] to [out, h, w], padded by half the kernel."""
    p = w.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (p, p), (p, p)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[-2:], axis=(1, 2))
    sums: Array = np.einsum("chwij,ocij->ohw", windows[:, ::stride, ::stride], w)
    return sums + b[:, None, None]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=0))
    shares: Array = e / e.sum(axis=0)
    return shares


class Reference:
    """conv, ReLU (early), conv, ReLU (late), 1x1 conv, softmax, in float64."""

    def __init__(self, kind: str, factor: float, seed: int, classifier: bool, classes: int) -> None:
        r = np.random.default_rng(seed)

        def weight(*shape: int) -> Array:
            scale = np.sqrt(2 / np.prod(shape[1:]))
            return r.normal(0, scale, shape).astype(np.float32).astype(np.float64)

        self.kind, self.factor, self.classifier = kind, factor, classifier
        self.w = weight(6, 3, 3, 3), weight(8, 6, 3, 3), weight(classes, 8, 1, 1)
        self.b = tuple(0.1 * weight(len(w), 1)[:, 0] for w in self.w)
        self.b = tuple(b.astype(np.float32).astype(np.float64) for b in self.b)

    def features(self, x: Array, gain: float = 1.0) -> dict[str, Array]:
        early = np.maximum(convolve(x, self.w[0], self.b[0], 2), 0)
        late = np.maximum(convolve(early, self.w[1], self.b[1]), 0)
        return {"early": early, "late": late, "score": self.tail("late", late, gain)}

    def tail(self, layer: str, a: Array, gain: float = 1.0) -> Array:
        """The score [C, h, w], or [C], from a layer's features."""
        if layer == "early":
            a = np.maximum(convolve(a, self.w[1], self.b[1]), 0)
        logits = convolve(a, self.w[2], self.b[2]) * self.factor * gain
        if self.classifier:
            logits = logits.mean(axis=(1, 2))
        if self.kind == "softmax":
            return softmax(logits)
        return 1 / (1 + np.exp(-logits)) if self.kind == "sigmoid" else logits

    def weights(
        self, x: Array, layer: str, cls: int, region: Any = 1.0, gain: float = 1.0
    ) -> Array:
        """The alphas [C]: central differences, a channel shifted as a whole, over its pixels."""
        a = self.features(x, gain)[layer]
        step, alphas = 1e-5, []
        for channel in range(len(a)):
            shift = np.zeros_like(a)
            shift[channel] = step
            up, down = (
                (self.tail(layer, a + s, gain)[cls] * region).sum() for s in (shift, -shift)
            )
            alphas.append((up - down) / (2 * step) / a[0].size)
        return np.array(alphas)

    def raw(self, x: Array, layer: str, cls: int, region: Any = 1.0, gain: float = 1.0) -> Array:
        a = self.features(x, gain)[layer]
        sums = np.tensordot(self.weights(x, layer, cls, region, gain), a, axes=1)
        return np.maximum(sums, 0)


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def __call__(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        out = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out


@dataclasses.dataclass
class Small:
    """An artifact in bytes, its metadata, and its network in NumPy."""

    model: bytes
    artifact: Artifact
    reference: Reference

    def load(self, **options: Any) -> ortcam.Cam:
        return ortcam.load(self.model, **{"providers": "cpu", **options})

    def changed(self, **metadata: Any) -> bytes:
        """The same graph with other metadata; a value of None takes the entry out."""
        proto = onnx.load_from_string(self.model)
        text = json.loads(proto.metadata_props[0].value) | metadata
        text = {name: value for name, value in text.items() if value is not None}
        proto.metadata_props[0].value = json.dumps(text)
        data: bytes = proto.SerializeToString()
        return data


def build(
    *,
    kind: str = "softmax",
    factor: float = 1.0,
    seed: int = 0,
    channels_last: bool = False,
    input_last: bool = False,
    classifier: bool = False,
    gain: bool = False,
    size: tuple[int, int] | None = None,
    batch: int | str = "N",
    named_space: bool = True,
    classes: int = 4,
    expects: Expectations | None = None,
) -> Small:
    """The artifact; see its arguments' names. ``size`` is the network's own (height, width)."""
    reference = Reference(kind, factor, seed, classifier, classes)
    g = _Graph()
    w = [g.constant(v, np.float32) for v in reference.w]
    b = [g.constant(v, np.float32) for v in reference.b]
    conv: dict[str, Any] = {"pads": [1] * 4}
    x = g("Transpose", "input", perm=[0, 3, 1, 2]) if input_last else "input"
    early = g("Relu", g("Conv", x, w[0], b[0], strides=[2, 2], **conv), name="early")
    late = g("Relu", g("Conv", early, w[1], b[1], **conv), name="late_first")
    logits = g("Mul", g("Conv", late, w[2], b[2]), g.constant(factor, np.float32))
    if gain:
        logits = g("Mul", logits, "gain")
    pooled = g("GlobalAveragePool", logits) if classifier else logits
    of: dict[str, Any] = {"axis": 1} if kind == "softmax" else {}
    op = {"softmax": "Softmax", "sigmoid": "Sigmoid", "logits": "Identity"}[kind]
    s = g(op, pooled, **of)

    # The cotangent of the logits: [K, N, C, h, w].
    weights = g("Unsqueeze", "class_weights", g.constant([3, 4]))
    region = g("Unsqueeze", "region", g.constant([2, 3, 4] if classifier else [2]))
    t = g("Mul", weights, region)
    if kind == "softmax":
        inner = g("ReduceSum", g("Mul", t, s), g.constant([2]), keepdims=1)
        cotangent = g("Mul", s, g("Sub", t, inner))
    elif kind == "sigmoid":
        cotangent = g("Mul", t, g("Mul", s, g("Sub", g.constant(1, np.float32), s)))
    else:
        cotangent = g("Add", t, g("Mul", s, g.constant(0, np.float32)))
    zero = g("Mul", logits, g.constant(0, np.float32))
    if classifier:
        pixels = g("Size", g("Slice", zero, g.constant([0]), g.constant([1]), g.constant([1])))
        batches = g("Size", g("Slice", pooled, g.constant([0]), g.constant([1]), g.constant([1])))
        each = g("Cast", g("Div", pixels, batches), to=TensorProto.FLOAT)
        cotangent = g("Div", cotangent, each)
    cotangent = g("Mul", g("Add", cotangent, zero), g.constant(factor, np.float32))
    if gain:
        cotangent = g("Mul", cotangent, "gain")

    outer = g("Shape", cotangent, end=2)
    folded = g("ReduceProd", outer, g.constant([0]), keepdims=1)

    def through(x: str, weight: str, **attributes: Any) -> str:
        """The input's cotangent of a convolution, questions and pictures folded into one axis."""
        inner = g("Shape", x, start=2)
        flat = g("Reshape", x, g("Concat", folded, inner, axis=0), allowzero=1)
        y = g("ConvTranspose", flat, weight, **attributes)
        return g("Reshape", y, g("Concat", outer, g("Shape", y, start=1), axis=0), allowzero=1)

    late_grad = through(cotangent, w[2])
    axes = g.constant([3, 4])
    g("ReduceMean", late_grad, axes, keepdims=0, name="late.weights")
    on = g("Cast", g("Greater", late, g.constant(0, np.float32)), to=TensorProto.FLOAT)
    early_grad = through(g("Mul", late_grad, on), w[1], **conv)
    g("ReduceMean", early_grad, axes, keepdims=0, name="early.weights")

    if channels_last:
        g("Transpose", late, name="late", perm=[0, 2, 3, 1])
        g("Transpose", s, name="score", perm=[0, 2, 3, 1])
    else:
        g("Identity", late, name="late")
        if classifier:
            g("Squeeze", s, g.constant([2, 3]), name="score")
        else:
            g("Identity", s, name="score")

    height, width = size or ("H", "W")
    # Half the extents have no name of their own that says so, as in many networks.
    h, w_ = ("h", "w") if named_space else (None, None)
    float_ = TensorProto.FLOAT
    score_shape: list[Any] = [batch, classes] if classifier else [batch, classes, h, w_]
    late_shape: list[Any] = [batch, 8, h, w_]
    if channels_last:
        score_shape, late_shape = [batch, h, w_, classes], [batch, h, w_, 8]
    inputs: dict[str, list[Any]] = {
        "input": [batch, height, width, 3] if input_last else [batch, 3, height, width],
        **({"gain": [1]} if gain else {}),
        "class_weights": ["K", "class_weights.N", classes],
        "region": ["region.K", "region.N", *([] if classifier else ["region.y", "region.x"])],
    }
    outputs: dict[str, list[Any]] = {
        "score": score_shape,
        "early": [batch, 6, h, w_],
        "early.weights": ["K", batch, 6],
        "late": late_shape,
        "late.weights": ["K", batch, 8],
    }
    graph = helper.make_graph(
        g.nodes,
        "artifact",
        [helper.make_tensor_value_info(k, float_, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, float_, v) for k, v in outputs.items()],
        g.initializers,
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    artifact = Artifact(
        layers=(
            Layer(name="early", weights="early.weights"),
            Layer(name="late", weights="late.weights", channel_axis=3 if channels_last else 1),
        ),
        score=Score(name="score", class_axis=3 if channels_last else 1, kind=kind),
        picture="input",
        expects=expects or Expectations(classes=CLASSES, colors=COLORS, preprocess=PREPROCESS),
        source_sha256="ab" * 32,
    )
    helper.set_model_props(model, {METADATA_KEY: artifact.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return Small(model.SerializeToString(), artifact, reference)


@pytest.fixture(scope="session")
def small() -> Callable[..., Small]:
    """Builds a small artifact."""
    return build


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    """A picture [22, 31, 3]: smooth, so that resampling it means something."""
    y, x = np.mgrid[0:22, 0:31]
    waves = [np.sin(x / 5 + c) * np.cos(y / 4 - c) for c in range(3)]
    pixels: NDArray[np.uint8] = np.rint(127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)
    return pixels
