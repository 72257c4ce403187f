"""Small networks with seeded random weights, one function a kind of network.

All take float32 pictures of three channels with N, H and W dynamic, at any size from 12 up, odd
ones too, unless they say otherwise. A node is called ``<operator>/<its tensor>``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser

Shape = list[int | str | None]


class Builder:
    """A graph in the making: every method adds a node and returns the name of its output."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.metadata: dict[str, str] = {}

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], f"{op}/{name}", **attributes))
        return name

    def constant(self, name: str, values: Any, dtype: Any = np.int64) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weight(self, name: str, *shape: int, fan_in: int) -> str:
        scale = (2 / fan_in) ** 0.5
        values: NDArray[Any] = self.random.normal(0, scale, shape)
        return self.constant(name, values, np.float32)

    def conv(self, x: str, c: int, out: int, name: str, k: int = 3, **attributes: Any) -> str:
        """A convolution that keeps the size at stride 1."""
        w = self.weight(f"{name}.weight", out, c, k, k, fan_in=c * k * k)
        b = self.weight(f"{name}.bias", out, fan_in=20)
        options = {"kernel_shape": [k, k], "pads": [k // 2] * 4, **attributes}
        return self.node("Conv", [x, w, b], name, **options)

    def up(self, x: str, c: int, out: int, name: str) -> str:
        """A transposed convolution that doubles the size."""
        w = self.weight(f"{name}.weight", c, out, 2, 2, fan_in=c)
        return self.node("ConvTranspose", [x, w], name, kernel_shape=[2, 2], strides=[2, 2])

    def norm(self, x: str, c: int, name: str) -> str:
        r = self.random
        of = [
            self.constant(f"{name}.{part}", values, np.float32)
            for part, values in (
                ("scale", r.uniform(0.5, 1.5, c)),
                ("bias", r.normal(0, 0.2, c)),
                ("mean", r.normal(0, 0.2, c)),
                ("var", r.uniform(0.5, 1.5, c)),
            )
        ]
        return self.node("BatchNormalization", [x, *of], name)

    def relu(self, x: str, name: str) -> str:
        return self.node("Relu", [x], name)

    def block(self, x: str, c: int, out: int, name: str, **attributes: Any) -> str:
        """Convolution, batch normalisation, ReLU; the last is called ``<name>_relu``."""
        y = self.conv(x, c, out, f"{name}_conv", **attributes)
        return self.relu(self.norm(y, out, f"{name}_norm"), f"{name}_relu")

    def crop(self, x: str, like: str, name: str) -> str:
        """The upper left part of ``x`` that is as high and wide as ``like``."""
        ends = self.node("Shape", [like], f"{name}_ends", start=2)
        starts = self.constant(f"{name}_starts", [0, 0])
        axes = self.constant(f"{name}_axes", [2, 3])
        return self.node("Slice", [x, starts, ends, axes], name)

    def resize(self, x: str, like: str, name: str, **attributes: Any) -> str:
        """``x`` linearly resized to the height and width of ``like``."""
        outer = self.node("Shape", [x], f"{name}_outer", end=2)
        space = self.node("Shape", [like], f"{name}_space", start=2)
        sizes = self.node("Concat", [outer, space], f"{name}_sizes", axis=0)
        return self.node("Resize", [x, "", "", sizes], name, mode="linear", **attributes)

    def model(
        self,
        outputs: dict[str, tuple[int, Shape]],
        inputs: dict[str, tuple[int, Shape]] | None = None,
        opset: int = 18,
        ir_version: int = 10,
    ) -> onnx.ModelProto:
        """The model; ``inputs`` is one picture [N, 3, H, W] called ``input`` by default."""
        inputs = inputs or {"input": (TensorProto.FLOAT, ["N", 3, "H", "W"])}
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(k, *v) for k, v in inputs.items()],
            [helper.make_tensor_value_info(k, *v) for k, v in outputs.items()],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
        helper.set_model_props(model, self.metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


def _unet(g: Builder, classes: int, width: int) -> str:
    e1 = g.block("input", 3, width, "enc1")
    p1 = g.node("MaxPool", [e1], "pool1", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    e2 = g.block(p1, width, 2 * width, "enc2")
    p2 = g.node("MaxPool", [e2], "pool2", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    mid = g.block(p2, 2 * width, 2 * width, "mid")
    u2 = g.crop(g.up(mid, 2 * width, width, "up2"), e2, "up2_crop")
    d2 = g.block(g.node("Concat", [u2, e2], "cat2", axis=1), 3 * width, width, "dec2")
    u1 = g.crop(g.up(d2, width, width, "up1"), e1, "up1_crop")
    d1 = g.block(g.node("Concat", [u1, e1], "cat1", axis=1), 2 * width, width, "dec1")
    return g.conv(d1, width, classes, "logits", k=1)


def _map(classes: int) -> tuple[int, Shape]:
    return TensorProto.FLOAT, ["N", classes, "H", "W"]


def unet(seed: int = 0, classes: int = 4, width: int = 6) -> onnx.ModelProto:
    """A U-Net with ConvTranspose, ``probabilities`` its softmax.

    Of its layers ``enc1_relu``, ``enc2_relu``, ``mid_relu``, ``cat2``, ``dec2_relu``,
    ``dec1_relu`` (the one chosen), ``logits``.
    """
    g = Builder(seed)
    g.node("Softmax", [_unet(g, classes, width)], "probabilities", axis=1)
    return g.model({"probabilities": _map(classes)})


def unet_logits(seed: int = 0, classes: int = 4) -> onnx.ModelProto:
    """The U-Net, ending in its ``logits``."""
    g = Builder(seed)
    return g.model({_unet(g, classes, 6): _map(classes)})


def unet_sigmoid(seed: int = 0, classes: int = 1) -> onnx.ModelProto:
    """The U-Net, ending in a sigmoid; one channel unless said otherwise."""
    g = Builder(seed)
    g.node("Sigmoid", [_unet(g, classes, 6)], "mask")
    return g.model({"mask": _map(classes)})


def unet_argmax(seed: int = 0, classes: int = 4, *, softmax: bool = False) -> onnx.ModelProto:
    """The U-Net, ending in ``labels``: the ArgMax of its logits, or of its softmax."""
    g = Builder(seed)
    x = _unet(g, classes, 6)
    if softmax:
        x = g.node("Softmax", [x], "probabilities", axis=1)
    g.node("ArgMax", [x], "labels", axis=1, keepdims=0)
    return g.model({"labels": (TensorProto.INT64, ["N", "H", "W"])})


def unet_resized(seed: int = 0, classes: int = 4) -> onnx.ModelProto:
    """A network at half size whose softmax is resized, transposed and copied before it leaves."""
    g = Builder(seed)
    a = g.block("input", 3, 6, "a", strides=[2, 2])
    b = g.block(a, 6, 6, "b")
    s = g.node("Softmax", [g.conv(b, 6, classes, "logits", k=1)], "probabilities", axis=1)
    r = g.resize(s, "input", "full_size")
    t = g.node("Transpose", [r], "last", perm=[0, 2, 3, 1])
    g.node("Identity", [t], "output")
    return g.model({"output": (TensorProto.FLOAT, ["N", "H", "W", classes])})


def unet_two_heads(seed: int = 0, classes: int = 4) -> onnx.ModelProto:
    """Two outputs: ``out``, the U-Net's logits, and ``aux``, those of a head on ``enc2_relu``."""
    g = Builder(seed)
    out = g.node("Identity", [_unet(g, classes, 6)], "out")
    aux = g.resize(g.conv("enc2_relu", 12, classes, "aux_conv", k=1), "input", "aux")
    return g.model({out: _map(classes), aux: _map(classes)})


def further_inputs(seed: int = 0, classes: int = 4) -> onnx.ModelProto:
    """A network that takes a ``gain`` [N, 1] and a ``shift`` [6, 1, 1] beside the picture."""
    g = Builder(seed)
    a = g.block("input", 3, 6, "a")
    axes = g.constant("axes", [2, 3])
    gain = g.node("Unsqueeze", ["gain", axes], "gain_4d")
    b = g.node("Add", [g.node("Mul", [a, gain], "gained"), "shift"], "shifted")
    c = g.block(b, 6, 6, "c")
    g.node("Softmax", [g.conv(c, 6, classes, "logits", k=1)], "probabilities", axis=1)
    inputs: dict[str, tuple[int, Shape]] = {
        "input": (TensorProto.FLOAT, ["N", 3, "H", "W"]),
        "gain": (TensorProto.FLOAT, ["N", 1]),
        "shift": (TensorProto.FLOAT, [6, 1, 1]),
    }
    return g.model({"probabilities": _map(classes)}, inputs)


def channels_last(seed: int = 0, classes: int = 4) -> onnx.ModelProto:
    """A network as TensorFlow's converter writes it: [N, H, W, C] but inside each convolution.

    Its layers ``stem_relu``, ``deep_relu``, ``cat`` and ``head_relu`` (the one chosen) keep their
    channels in axis 3, as do ``logits`` and the softmax, ``probabilities``.
    """
    g = Builder(seed)

    def inside(x: str, name: str) -> str:
        return g.node("Transpose", [x], f"{name}_nchw", perm=[0, 3, 1, 2])

    def outside(x: str, name: str) -> str:
        return g.node("Transpose", [x], name, perm=[0, 2, 3, 1])

    def block(x: str, c: int, out: int, name: str, **attributes: Any) -> str:
        y = g.conv(inside(x, name), c, out, f"{name}_conv", **attributes)
        return g.relu(outside(g.norm(y, out, f"{name}_norm"), f"{name}_nhwc"), f"{name}_relu")

    stem = block("input", 3, 6, "stem")
    deep = block(stem, 6, 8, "deep", strides=[2, 2])
    wide = g.resize(inside(deep, "wide"), inside(stem, "like"), "wide_resized")
    cat = g.node("Concat", [outside(wide, "wide"), stem], "cat", axis=3)
    head = block(cat, 14, 6, "head")
    logits = outside(g.conv(inside(head, "logits"), 6, classes, "logits_conv", k=1), "logits")
    g.node("Softmax", [logits], "probabilities", axis=-1)
    picture: tuple[int, Shape] = (TensorProto.FLOAT, ["N", "H", "W", 3])
    return g.model(
        {"probabilities": (TensorProto.FLOAT, ["N", "H", "W", classes])}, {"input": picture}
    )


def classifier(seed: int = 0, classes: int = 5, *, softmax: bool = True) -> onnx.ModelProto:
    """A classifier: ``a_relu``, ``b_relu`` (the one chosen), pooling, Gemm, maybe a softmax."""
    g = Builder(seed)
    a = g.block("input", 3, 6, "a")
    b = g.block(a, 6, 8, "b", strides=[2, 2])
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [b], "pooled")], "flat")
    w = g.weight("fc.weight", 8, 8, fan_in=8)
    hidden = g.relu(g.node("Gemm", [flat, w], "fc"), "fc_relu")
    x = g.node("Gemm", [hidden, g.weight("last.weight", 8, classes, fan_in=8)], "logits")
    if softmax:
        x = g.node("Softmax", [x], "probabilities", axis=-1)
    return g.model({x: (TensorProto.FLOAT, ["N", classes])})


def transformer(
    seed: int = 0,
    classes: int = 4,
    *,
    leading: int = 1,
    trailing: int = 0,
    head: str = "class token",
) -> onnx.ModelProto:
    """Two blocks of a transformer of 8 channels on patches of 4 by 4 pixels, as a ViT's.

    ``leading`` class and register tokens stand before the picture's, and ``trailing`` queries of a
    detector behind them. The head reads the class token, the ``"mean"`` of the tokens, the mean of
    the ``"queries"``, each of the picture's (``"map"``, a segmentation), or two further tokens
    behind them (``"boxes"``, ``logits`` and ``pred_boxes`` [N, 2, 4]).
    Its layers of tokens are ``tokens``, and for block b ``norm_b``, ``sum_b``, ``mlp_norm_b``,
    ``hidden_b``, ``out_b``; then ``norm``.
    """
    g = Builder(seed)
    width = 8

    def dense(x: str, c: int, out: int, name: str) -> str:
        y = g.node("MatMul", [x, g.weight(f"{name}.w", c, out, fan_in=c)], f"{name}_matmul")
        return g.node("Add", [y, g.weight(f"{name}.b", out, fan_in=20)], name)

    def norm(x: str, name: str) -> str:
        scale = g.constant(f"{name}.scale", g.random.uniform(0.5, 1.5, width), np.float32)
        return g.node(
            "LayerNormalization", [x, scale, g.weight(f"{name}.b", width, fan_in=9)], name
        )

    def heads(x: str, name: str, perm: list[int]) -> str:
        split = g.node(
            "Reshape", [x, g.constant(f"{name}.split", [0, 0, 2, width // 2])], f"{name}_4d"
        )
        return g.node("Transpose", [split], name, perm=perm)

    patches = g.conv("input", 3, width, "patches", k=4, strides=[4, 4], pads=[0] * 4)
    flat = g.node("Reshape", [patches, g.constant("flat.shape", [0, width, -1])], "flat")
    x = g.node("Transpose", [flat], "picture_tokens", perm=[0, 2, 1])
    if leading:
        batch = g.node("Shape", [patches], "batch", end=1)
        rest = g.constant("class.rest", [leading, width])
        shape = g.node("Concat", [batch, rest], "class.shape", axis=0)
        first = g.weight("class.token", 1, leading, width, fan_in=2)
        operands = [g.node("Expand", [first, shape], "first"), x]
        if head == "boxes":
            rest = g.constant("boxes.rest", [2, width])
            shape = g.node("Concat", [batch, rest], "boxes.shape", axis=0)
            behind = g.weight("boxes.token", 1, 2, width, fan_in=2)
            operands.append(g.node("Expand", [behind, shape], "boxes.tokens"))
        x = g.node("Concat", operands, "tokens", axis=1)
    if trailing:
        batch = g.node("Shape", [patches], "queries.batch", end=1)
        rest = g.constant("queries.rest", [trailing, width])
        shape = g.node("Concat", [batch, rest], "queries.shape", axis=0)
        queries = g.weight("queries.token", 1, trailing, width, fan_in=2)
        x = g.node("Concat", [x, g.node("Expand", [queries, shape], "queries")], "all", axis=1)
    for b in range(2):
        y = norm(x, f"norm_{b}")
        q = heads(dense(y, width, width, f"q_{b}"), f"q_{b}_heads", [0, 2, 1, 3])
        k = heads(dense(y, width, width, f"k_{b}"), f"k_{b}_heads", [0, 2, 3, 1])
        v = heads(dense(y, width, width, f"v_{b}"), f"v_{b}_heads", [0, 2, 1, 3])
        a = g.node("Softmax", [g.node("MatMul", [q, k], f"qk_{b}")], f"attention_{b}", axis=-1)
        o = g.node("Transpose", [g.node("MatMul", [a, v], f"av_{b}")], f"o_{b}", perm=[0, 2, 1, 3])
        o = g.node("Reshape", [o, g.constant(f"merge_{b}", [0, 0, width])], f"merged_{b}")
        x = g.node("Add", [x, dense(o, width, width, f"proj_{b}")], f"sum_{b}")
        h = g.relu(dense(norm(x, f"mlp_norm_{b}"), width, 16, f"fc1_{b}"), f"hidden_{b}")
        x = g.node("Add", [x, dense(h, 16, width, f"fc2_{b}")], f"out_{b}")
    x = norm(x, "norm")
    if head == "map":
        ends, axis = g.constant("ends", [2**63 - 1]), g.constant("axis", [1])
        x = g.node("Slice", [x, g.constant("starts", [leading]), ends, axis], "picture_only")
        scores = g.node(
            "Transpose", [dense(x, width, classes, "head")], "first_scores", perm=[0, 2, 1]
        )
        space = g.node("Shape", [patches], "space", start=2)
        outer = g.node("Shape", [scores], "outer", end=2)
        shape = g.node("Concat", [outer, space], "map.shape", axis=0)
        logits = g.node("Reshape", [scores, shape], "logits")
        g.node("Softmax", [logits], "probabilities", axis=1)
        return g.model({"probabilities": (TensorProto.FLOAT, ["N", classes, "h", "w"])})
    if head == "boxes":
        bounds = [g.constant(f"read.{i}", [bound]) for i, bound in enumerate((-2, 2**63 - 1, 1))]
        x = g.node("Slice", [x, *bounds], "read")
        dense(x, width, classes, "logits")
        g.node("Sigmoid", [dense(x, width, 4, "box")], "pred_boxes")
        outputs: dict[str, tuple[int, Shape]] = {
            name: (TensorProto.FLOAT, ["N", 2, 4]) for name in ("logits", "pred_boxes")
        }
        return g.model(outputs)
    if head == "queries":
        bounds = [g.constant("from", [-trailing]), g.constant("to", [2**31 - 1])]
        x = g.node("Slice", [x, *bounds, g.constant("tokens.axis", [1])], "last_tokens")
    if head in ("mean", "queries"):
        x = g.node("ReduceMean", [x, g.constant("over", [1])], "read", keepdims=0)
    else:
        x = g.node("Gather", [x, g.constant("zero", 0)], "read", axis=1)
    last = [x, g.weight("last.weight", width, classes, fan_in=width)]
    g.node("Softmax", [g.node("Gemm", last, "logits")], "probabilities", axis=-1)
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", classes])})


def anchors(seed: int = 0, classes: int = 3) -> onnx.ModelProto:
    """A head of a YOLO for masks, at the strides 4 and 8: boxes, classes and mask coefficients.

    ``output0`` [N, 4 + classes + 5, anchors] and ``output1``, 5 prototypes [N, 5, H/4, W/4]. The
    classes of a scale are ``class_4`` and ``class_8``, before their sigmoid.
    """
    g = Builder(seed)
    stem = g.block(g.block("input", 3, 6, "stem", strides=[2, 2]), 6, 8, "p4", strides=[2, 2])
    scales = {4: stem, 8: g.block(stem, 8, 8, "p8", strides=[2, 2])}
    parts: dict[str, list[str]] = {"box": [], "class": [], "mask": []}
    for stride, x in scales.items():
        for part, out in (("box", 4), ("class", classes), ("mask", 5)):
            hidden = g.block(x, 8, 8, f"{part}_{stride}_hidden")
            y = g.conv(hidden, 8, out, f"{part}_{stride}", k=1)
            shape = g.constant(f"{part}_{stride}.shape", [0, out, -1])
            parts[part].append(g.node("Reshape", [y, shape], f"{part}_{stride}_flat"))
    boxes, scores, coefficients = (
        g.node("Concat", parts[part], f"{part}_all", axis=2) for part in parts
    )
    found = [boxes, g.node("Sigmoid", [scores], "class_probabilities"), coefficients]
    g.node("Concat", found, "output0", axis=1)
    g.node("Identity", [g.conv(stem, 8, 5, "prototypes", k=1)], "output1")
    return g.model(
        {
            "output0": (TensorProto.FLOAT, ["N", 9 + classes, "anchors"]),
            "output1": (TensorProto.FLOAT, ["N", 5, "h", "w"]),
        }
    )


def queries(seed: int = 0, classes: int = 3, *, product: bool = False) -> onnx.ModelProto:
    """A head of a Mask2Former: 6 queries, their classes (and none of them) and their masks.

    ``class_queries`` [N, 6, classes + 1] and ``mask_queries`` [N, 6, H/2, W/2]; with ``product``
    also ``segmentation`` [N, classes, H/2, W/2], the sum over queries of the probabilities'
    products.
    """
    g = Builder(seed)
    x = g.block(g.block("input", 3, 6, "a", strides=[2, 2]), 6, 8, "b")
    masks = g.conv(x, 8, 6, "mask_queries", k=1)
    pooled = g.node("GlobalAveragePool", [x], "pooled")
    wide = g.conv(pooled, 8, 6 * (classes + 1), "wide", k=1)
    shape = g.constant("queries.shape", [0, 6, classes + 1])
    scores = g.node("Reshape", [wide, shape], "class_queries")
    outputs: dict[str, tuple[int, Shape]] = {
        scores: (TensorProto.FLOAT, ["N", 6, classes + 1]),
        masks: (TensorProto.FLOAT, ["N", 6, "h", "w"]),
    }
    if product:
        sure = g.node("Softmax", [scores], "class_probabilities", axis=-1)
        bounds = [g.constant(n, [v]) for n, v in (("from", 0), ("to", classes), ("of", 2))]
        named = g.node("Slice", [sure, *bounds], "named_classes")
        there = g.node("Sigmoid", [masks], "mask_probabilities")
        g.node("Einsum", [named, there], "segmentation", equation="bqc,bqhw->bchw")
        outputs["segmentation"] = (TensorProto.FLOAT, ["N", classes, "h", "w"])
    return g.model(outputs)


def volumes(seed: int = 0, classes: int = 3) -> onnx.ModelProto:
    """A segmentation of volumes [N, 2, D, H, W]: ``a_relu`` and ``b_relu``, at half the size."""
    g = Builder(seed)

    def block(x: str, c: int, out: int, name: str, **attributes: Any) -> str:
        w = g.weight(f"{name}.weight", out, c, 3, 3, 3, fan_in=27 * c)
        b = g.weight(f"{name}.bias", out, fan_in=20)
        return g.relu(g.node("Conv", [x, w, b], name, pads=[1] * 6, **attributes), f"{name}_relu")

    b = block(block("input", 2, 6, "a"), 6, 8, "b", strides=[2, 2, 2])
    full = g.resize(b, "input", "full_size")
    w = g.weight("last.weight", classes, 8, 1, 1, 1, fan_in=8)
    g.node("Softmax", [g.node("Conv", [full, w], "logits")], "probabilities", axis=1)
    shape: Shape = ["N", classes, "D", "H", "W"]
    inputs: dict[str, tuple[int, Shape]] = {
        "input": (TensorProto.FLOAT, ["N", 2, "D", "H", "W"]),
    }
    return g.model({"probabilities": (TensorProto.FLOAT, shape)}, inputs)


def opset_11(seed: int = 0, classes: int = 4) -> onnx.ModelProto:
    """Opset 11, IR 3: weights among the inputs, a coerced Softmax between two Transposes."""
    g = Builder(seed)
    a = g.block("input", 3, 6, "a")
    scales = g.constant("scales", [1, 1, 2, 2], np.float32)
    roi = g.constant("roi", [], np.float32)
    p = g.node("MaxPool", [a], "pool", kernel_shape=[2, 2], strides=[2, 2])
    u = g.node("Resize", [p, roi, scales], "wide", mode="linear")
    b = g.block(u, 6, 6, "b")
    last = g.node("Transpose", [g.conv(b, 6, classes, "logits", k=1)], "nhwc", perm=[0, 2, 3, 1])
    s = g.node("Softmax", [last], "softmax", axis=3)
    g.node("Transpose", [s], "probabilities", perm=[0, 3, 1, 2])
    for node in g.nodes:
        node.metadata_props.add(key="written_by", value=node.output[0])
    inputs: dict[str, tuple[int, Shape]] = {
        "input": (TensorProto.FLOAT, ["N", 3, "H", "W"]),
        **{t.name: (t.data_type, list(t.dims)) for t in g.initializers},
    }
    outputs: dict[str, tuple[int, Shape]] = {
        "probabilities": (TensorProto.FLOAT, ["N", classes, "H2", "W2"])
    }
    return g.model(outputs, inputs, opset=11, ir_version=3)


def half_precision(seed: int = 0, classes: int = 4) -> onnx.ModelProto:
    """A network that runs in float16 and takes and gives float32, ending in float16 logits."""
    g = Builder(seed)
    g.node("Cast", ["input"], "half", to=TensorProto.FLOAT16)
    a = g.relu(g.conv("half", 3, 6, "a"), "a_relu")
    b = g.relu(g.conv(a, 6, 6, "b", strides=[2, 2]), "b_relu")
    g.conv(b, 6, classes, "logits", k=1)
    for tensor in g.initializers:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    return g.model({"logits": (TensorProto.FLOAT16, ["N", classes, "h", "w"])})


def deployed(seed: int = 0, classes: int = 4, *, bias: bool = True) -> onnx.ModelProto:
    """What a quantizer meets: a depthwise convolution, sums, pools, Resize, Concat, Clip.

    Its layers ``a_relu``, ``pool``, ``depth_relu``, ``sum_relu``, ``mean``, ``up``, ``cat`` and
    ``e_relu`` (the one chosen), for pictures of even height and width.
    """
    g = Builder(seed)
    a = g.block("input", 3, 8, "a")
    p = g.node("MaxPool", [a], "pool", kernel_shape=[2, 2], strides=[2, 2])
    w = g.weight("depth.weight", 8, 1, 3, 3, fan_in=9)
    b = [g.weight("depth.bias", 8, fan_in=20)] if bias else []
    d = g.relu(g.node("Conv", [p, w, *b], "depth", pads=[1] * 4, group=8), "depth_relu")
    s = g.relu(g.node("Add", [g.conv(d, 8, 8, "c"), p], "sum"), "sum_relu")
    m = g.node("AveragePool", [s], "mean", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)
    scales = g.constant("scales", [1, 1, 2, 2], np.float32)
    up = g.node("Resize", [m, "", scales], "up", mode="linear")
    cat = g.node("Concat", [up, a], "cat", axis=1)
    limits = [g.constant("zero", 0, np.float32), g.constant("six", 6, np.float32)]
    e = g.node("Clip", [g.conv(cat, 16, 8, "e"), *limits], "e_relu")
    g.node("Softmax", [g.conv(e, 8, classes, "logits")], "probabilities", axis=1)
    return g.model({"probabilities": _map(classes)})


def with_functions(seed: int = 0) -> onnx.ModelProto:
    """A network whose blocks are calls of a model-local function that calls another."""
    r = np.random.default_rng(seed)

    def values(*shape: int) -> str:
        return ", ".join(f"{v:.6f}" for v in r.normal(0, 0.4, int(np.prod(shape))))

    model = parser.parse_model(f"""
        <ir_version: 10, opset_import: ["": 18, "local": 1]>
        network (float[N, 3, H, W] input) => (float[N, 4, H, W] probabilities)
        <float[6, 3, 3, 3] w1 = {{{values(6, 3, 3, 3)}}},
         float[6, 6, 3, 3] w2 = {{{values(6, 6, 3, 3)}}},
         float[4, 6, 1, 1] w3 = {{{values(4, 6)}}}>
        {{
            first = local.Block(input, w1)
            second = local.Block(first, w2)
            logits = Conv(second, w3)
            probabilities = Softmax<axis = 1>(logits)
        }}
        <opset_import: ["": 18, "local": 1], domain: "local">
        Block (x, w) => (y) {{
            c = Conv<pads = [1, 1, 1, 1]>(x, w)
            y = local.Activation(c)
        }}
        <opset_import: ["": 18], domain: "local">
        Activation (x) => (y) {{
            y = Relu(x)
        }}
    """)
    onnx.checker.check_model(model)
    return model


def with_external_data(folder: Path, seed: int = 0) -> Path:
    """The U-Net as ``network.onnx`` in ``folder``, its weights beside it in ``weights.bin``."""
    path = folder / "network.onnx"
    onnx.save_model(
        unet(seed),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=64,
        convert_attribute=False,
    )
    return path
