"""The forms in which a file may give the same network: each is exported, opened and explained.

All are one network of three convolutions, whose weights and maps are known from central differences
through a second one, written in NumPy in double precision.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser

import ortcam
from ortcam.errors import InputError
from ortcam_export import export, vjp

Array = NDArray[Any]

CLASSES = [0, 2]
LAYERS = ["a_relu", "b_relu"]
PICTURES = np.random.default_rng(1).normal(size=(2, 1, 3, 9, 12)).astype(np.float32)


def _drawn(seed: int, *shape: int) -> str:
    scale = np.sqrt(1.5 / np.prod(shape[1:])) if shape[1:] else 0.2
    drawn = np.random.default_rng(seed).normal(0, scale, int(np.prod(shape)))
    numbers = ", ".join(f"{v:.6f}" for v in drawn)
    return f"{{{numbers}}}"


HEAD = '<ir_version: 10, opset_import: ["": 18, "local": 1]>'
SLOTS = "g (float[N, 3, H, W] x) => (float[N, 4, h, w] p)"
WEIGHTS = f"""
    <float[5, 3, 3, 3] a_w = {_drawn(1, 5, 3, 3, 3)}, float[5] a_b = {_drawn(2, 5)},
     float[6, 5, 3, 3] b_w = {_drawn(3, 6, 5, 3, 3)}, float[6] b_b = {_drawn(4, 6)},
     float[4, 6, 1, 1] c_w = {_drawn(5, 4, 6, 1, 1)}>
"""
FIRST = "a = Conv<pads = [1, 1, 1, 1]>(x, a_w, a_b)  a_relu = Relu(a)"
SECOND = "b = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(a_relu, b_w, b_b)  b_relu = Relu(b)"
LAST = "logits = Conv(b_relu, c_w)  p = Softmax<axis = 1>(logits)"


def network(
    first: str = FIRST,
    second: str = SECOND,
    last: str = LAST,
    *,
    slots: str = SLOTS,
    head: str = HEAD,
    functions: str = "",
) -> onnx.ModelProto:
    """The network, parts of it written otherwise."""
    return parser.parse_model(f"{head} {slots} {WEIGHTS} {{ {first} {second} {last} }} {functions}")


@cache
def known(layer: str, picture: int) -> tuple[Array, Array]:
    """The weights [K, C] of a layer, by central differences, and its features [C, H, W]."""
    features = PICTURES[picture, 0].astype(np.float64)
    features = np.maximum(_convolved(features, "a"), 0)
    if layer == "b_relu":
        features = np.maximum(_convolved(features, "b", 2), 0)

    def y(a: Array) -> Array:
        b = np.maximum(_convolved(a, "b", 2), 0) if layer == "a_relu" else a
        e = np.exp(_convolved(b, "c"))
        return np.asarray((e / e.sum(0))[CLASSES].sum((1, 2)))

    step = 1e-6
    shifts = step * np.eye(len(features))[:, :, None, None]
    slopes = [(y(features + v) - y(features - v)) / (2 * step) for v in shifts]
    return np.stack(slopes, 1) / np.prod(features.shape[1:]), features


def _convolved(x: Array, name: str, stride: int = 1) -> Array:
    """One of the convolutions of a tensor [C, H, W], tap by tap."""
    tensors = {t.name: numpy_helper.to_array(t) for t in network().graph.initializer}
    w = tensors[f"{name}_w"].astype(np.float64)
    reach = w.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
    ends = [extent - 2 * reach for extent in padded.shape[1:]]
    taps = [
        np.tensordot(
            w[:, :, i, j], padded[:, i : i + ends[0] : stride, j : j + ends[1] : stride], 1
        )
        for i, j in np.ndindex(*w.shape[2:])
    ]
    return np.asarray(sum(taps) + tensors.get(f"{name}_b", np.zeros(1))[:, None, None])


Form = Callable[[], onnx.ModelProto]
FORMS: dict[str, Form] = {}
#: What a layer of the network is called in a form that renames it.
RENAMED: dict[str, Callable[[str], str]] = {}


def form(make: Form) -> Form:
    FORMS[make.__name__] = make
    return make


def renamed(model: onnx.ModelProto, name: Callable[[str], str]) -> onnx.ModelProto:
    """The network with its tensors called otherwise, its picture excepted."""
    graph = model.graph
    for node in graph.node:
        for slots in (node.input, node.output):
            slots[:] = [n if n in ("x", "") else name(n) for n in slots]
        node.name = f"{name(node.output[0])}"
    for thing in (*graph.initializer, *graph.output):
        thing.name = name(thing.name)
    return model


# ---- Control flow


@form
def an_if_on_the_path() -> onnx.ModelProto:
    """Decided when the network runs: the picture is never so bright."""
    return network(
        second="""
        brightness = ReduceMax<keepdims = 0>(x)  limit = Constant<value_float = 1000.0>()
        dark = Less(brightness, limit)
        b = If(dark) <
          then_branch = yes () => (float[N, 6, h, w] b_yes) {
            b_yes = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(a_relu, b_w, b_b) },
          else_branch = no () => (float[N, 6, h, w] b_no) {
            half = Constant<value_float = 0.5>()
            dim = Mul(a_relu, half)
            b_no = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(dim, b_w) }>
        b_relu = Relu(b)"""
    )


@form
def an_ifs_output_is_the_layer() -> onnx.ModelProto:
    return network(
        second="""
        brightness = ReduceMax<keepdims = 0>(x)  limit = Constant<value_float = 1000.0>()
        dark = Less(brightness, limit)
        b = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(a_relu, b_w, b_b)
        b_relu = If(dark) <
          then_branch = yes () => (y) { y = Relu(b) },
          else_branch = no () => (n) { n = Neg(b) }>"""
    )


@form
def an_if_that_is_decided() -> onnx.ModelProto:
    return network(
        second="""
        shape = Shape(a_relu)  axis = Constant<value_int = 1>()  five = Constant<value_int = 5>()
        extent = Gather(shape, axis)  same = Equal(extent, five)
        b_relu = If(same) <
          then_branch = yes () => (b_yes) {
            b = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(a_relu, b_w, b_b)
            b_yes = Relu(b) },
          else_branch = no () => (b_no) { b_no = Identity(a_relu) }>"""
    )


@form
def an_if_off_the_path() -> onnx.ModelProto:
    return network(
        last=LAST
        + """
        brightness = ReduceMax<keepdims = 0>(x)  limit = Constant<value_float = 0.0>()
        dark = Less(brightness, limit)
        further = If(dark) <
          then_branch = yes () => (u) { u = Identity(b_relu) },
          else_branch = no () => (v) { v = Neg(a_relu) }>""",
        slots="g (float[N, 3, H, W] x) => (float[N, 4, h, w] p, float[N, c, i, j] further)",
    )


@form
def a_loop_on_the_path() -> onnx.ModelProto:
    """Three runs, each of which adds a third of the convolution."""
    return network(
        second="""
        runs = Constant<value_int = 3>()  third = Constant<value_float = 0.33333333>()
        start = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(a_relu, b_w)
        nothing = Sub(start, start)
        sum = Loop(runs, "", nothing) <body = one (int64 i, bool c, float[N, 6, h, w] so_far)
          => (bool d, float[N, 6, h, w] more) {
            part = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(a_relu, b_w, b_b)
            scaled = Mul(part, third)
            more = Add(so_far, scaled)
            d = Identity(c) }>
        b_relu = Relu(sum)"""
    )


@form
def a_loop_of_unknown_length_off_the_path() -> onnx.ModelProto:
    return network(
        last=LAST
        + """
        shape = Shape(x)  axis = Constant<value_int = 2>()  runs = Gather(shape, axis)
        further = Loop(runs, "", b_relu) <body = one (int64 i, bool c, float[N, 6, h, w] so_far)
          => (bool d, float[N, 6, h, w] more) { more = Sin(so_far)  d = Identity(c) }>""",
        slots="g (float[N, 3, H, W] x) => (float[N, 4, h, w] p, float[N, 6, h, w] further)",
    )


# ---- Functions


@form
def functions_in_functions() -> onnx.ModelProto:
    """With attributes by reference, a default among them, and the same names inside as outside."""
    return network(
        second="b_relu = local.Block<step = [2, 2]>(a_relu, b_w, b_b)",
        functions="""
        <opset_import: ["": 18, "local": 1], domain: "local">
        Block <step, around: ints = [1, 1, 1, 1]> (x, w, a) => (p) {
          b = local.Inner<step: ints = @step, around: ints = @around>(x, w, a)  p = Relu(b) }
        <opset_import: ["": 18], domain: "local">
        Inner <step, around> (x, w, a) => (p) {
          p = Conv<strides: ints = @step, pads: ints = @around>(x, w, a) }""",
    )


@form
def a_function_with_an_if() -> onnx.ModelProto:
    return network(
        second="dark = Constant<value = bool {1}>() b_relu = local.Block(a_relu, b_w, b_b, dark)",
        functions="""
        <opset_import: ["": 18], domain: "local">
        Block (x, w, a, c) => (p) {
          b = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w, a)
          p = If(c) <then_branch = yes () => (u) { u = Relu(b) },
                     else_branch = no () => (v) { v = Neg(b) }> }""",
    )


@form
def a_function_of_an_older_opset() -> onnx.ModelProto:
    """onnxruntime reads it by the network's opset: below 13 the softmax would run over all axes."""
    return network(
        last="logits = Conv(b_relu, c_w)  p = local.Old(logits)",
        functions='<opset_import: ["": 12], domain: "local"> '
        "Old (x) => (p) { p = Softmax<axis = 1>(x) }",
    )


# ---- Names


@form
def names_with_odd_characters() -> onnx.ModelProto:
    return renamed(network(), odd)


def odd(name: str) -> str:
    return f"model/{name}:0 [é]'\"\\,{{}}%s"


RENAMED["names_with_odd_characters"] = odd


@form
def names_of_a_gradient() -> onnx.ModelProto:
    """As in an artifact that lost its metadata; two tensors are called as the weights would be."""
    model = renamed(network(), lambda name: gradient.get(name, f"grad.{name}"))
    for i, node in enumerate(model.graph.node):
        node.name = f"grad.Mul_{i}"
    return model


gradient = {
    "a_relu": "grad.Mul_out_0",
    "a": "grad.Mul_out_0.weights",
    "b_relu": "grad.const_0",
    "b": "grad.const_0.weights",
    "a_w": "class_weights",
    "b_w": "region",
    "a_b": "layers",
}
RENAMED["names_of_a_gradient"] = lambda name: gradient.get(name, f"grad.{name}")


@form
def nodes_without_names() -> onnx.ModelProto:
    model = network()
    for node in model.graph.node:
        node.name = ""
    return model


@form
def nodes_of_one_name() -> onnx.ModelProto:
    model = network()
    for node in model.graph.node:
        node.name = "logits"  # which is a tensor too
    return model


@form
def extents_called_as_the_questions() -> onnx.ModelProto:
    model = network()
    for dim, name in zip(model.graph.input[0].type.tensor_type.shape.dim, EXTENTS, strict=True):
        if name:
            dim.dim_param = name
    return model


EXTENTS = ("class_weights.N", "", "K", "region.1")


# ---- Inputs, outputs, and unused parts


@form
def unused_parts() -> onnx.ModelProto:
    model = network(
        second=SECOND + "  unread = Exp(b)  values, ones = TopK(b_relu, one)",
        last=LAST + "  chosen = ArgMax<axis = 1>(p)",
        slots="g (float[N, 3, H, W] x) => (float[N, 4, h, w] p, int64[N, 1, h, w] chosen)",
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(7, np.float32), "unread_w"))
    return model


@form
def outputs_that_others_read() -> onnx.ModelProto:
    return network(slots="g (float[N, 3, H, W] x) => "
                         "(float[N, 5, H, W] a_relu, float[N, 6, h, w] b_relu, "
                         "float[N, 4, h, w] p, float[N, 4, h, w] logits)")  # fmt: skip


@form
def a_tensor_given_out_twice() -> onnx.ModelProto:
    return network(
        last=LAST + "  again = Identity(p)",
        slots="g (float[N, 3, H, W] x) => (float[N, 4, h, w] again, float[N, 4, h, w] p)",
    )


@form
def an_input_and_a_constant_given_out() -> onnx.ModelProto:
    return network(slots="g (float[N, 3, H, W] x) => (float[N, 4, h, w] p, "
                         "float[N, 3, H, W] x, float[6] b_b)")  # fmt: skip


@form
def weights_among_the_inputs() -> onnx.ModelProto:
    model = network()
    model.ir_version = 8
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        model.graph.input.append(info)
    return model


@form
def weights_among_the_inputs_of_ir_3() -> onnx.ModelProto:
    model = weights_among_the_inputs()
    model.ir_version = 3
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 8))
    softmax = model.graph.node[-1]  # below opset 13 it runs over all axes from its own on
    softmax.input[0], softmax.output[0], softmax.attribute[0].i = "last", "probabilities", 3
    for x, y, perm in (("logits", "last", [0, 2, 3, 1]), ("probabilities", "p", [0, 3, 1, 2])):
        node = helper.make_node("Transpose", [x], [y], perm=perm)
        model.graph.node.insert(len(model.graph.node) - (y == "last"), node)
    return model


@form
def constants_in_nodes() -> onnx.ModelProto:
    model = network()
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    del model.graph.initializer[:]
    for i, node in enumerate(nodes):
        model.graph.node.insert(i, node)
    return model


# ---- Shapes


@form
def no_names_of_extents() -> onnx.ModelProto:
    model = network()
    for info in (*model.graph.input, *model.graph.output):
        for dim in info.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.Clear()
    return model


@form
def the_domains_other_name() -> onnx.ModelProto:
    model = functions_in_functions()
    nodes = [node for function in model.functions for node in function.node]
    for node in (*model.graph.node, *nodes):
        node.domain = node.domain or "ai.onnx"
    for owner in (model, *model.functions):
        for imported in owner.opset_import:
            imported.domain = imported.domain or "ai.onnx"
    return model


@form
def no_shapes() -> onnx.ModelProto:
    model = network()
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.ClearField("shape")
    return model


@form
def the_pictures_channels_open() -> onnx.ModelProto:
    return network(slots="g (float[N, C, H, W] x) => (float[N, c, h, w] p)")


@form
def a_fixed_picture() -> onnx.ModelProto:
    return network(slots="g (float[1, 3, 9, 12] x) => (float[1, 4, 5, 6] p)")


#: Those that are also split in two.
SPLIT = ("an_if_on_the_path", "names_of_a_gradient", "outputs_that_others_read")


@pytest.mark.parametrize(
    ("name", "split"), [(name, False) for name in FORMS] + [(name, True) for name in SPLIT]
)
def test_every_form_is_explained_as_the_network(name: str, split: bool, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    onnx.save(FORMS[name](), path)
    options = {} if name == "a_fixed_picture" else {"size": (48, 32), "divisor": 1}
    check(path, tmp_path / "network.cam.onnx", RENAMED.get(name, str), split=split, **options)


def check(path: Path, target: Path, called: Callable[[str], str], **options: Any) -> None:
    """Exports a network, and compares what its artifact tells with what is known."""
    layers = [called(layer) for layer in LAYERS]
    exported = export(path, target, feature_layers=layers, **options)
    assert exported.artifact.verification is not None
    cam = ortcam.load(target, "cpu")
    assert cam.layers == tuple(layers)
    for i, picture in enumerate(PICTURES):
        found = cam.explain(None, CLASSES, tensor=picture)
        for layer, name in zip(LAYERS, layers, strict=True):
            weights, features = known(layer, i)
            near = 2e-5 * np.abs(weights).max()
            np.testing.assert_allclose(found.weights[name], weights, atol=near)
            map_ = np.maximum(np.einsum("kc,chw->khw", weights, features), 0)
            np.testing.assert_allclose(found.raw[name], map_, atol=5e-5 * map_.max())


def test_external_data(tmp_path: Path) -> None:
    """Each tensor in a file of its own, those of nodes too, in a folder below the network's."""
    (tmp_path / "weights").mkdir()
    model = network()
    second = model.graph.initializer.pop(2)
    model.graph.node.insert(0, helper.make_node("Constant", [], [second.name], value=second))
    for tensor in (*model.graph.initializer, model.graph.node[0].attribute[0].t):
        location = f"weights/{re.sub('_', '.', tensor.name)}"
        (tmp_path / location).write_bytes(b"before" + numpy_helper.to_array(tensor).tobytes())
        for field in ("raw_data", "float_data"):
            tensor.ClearField(field)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        tensor.external_data.add(key="offset", value="6")
    path = tmp_path / "network.onnx"
    path.write_bytes(model.SerializeToString())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    check(path, elsewhere / "network.cam.onnx", str, size=(48, 32), divisor=1)


def test_the_choice_goes_through_an_if() -> None:
    exported = export(an_if_on_the_path(), verify=False)
    assert [layer.name for layer in exported.artifact.layers] == ["b_relu"]


def test_an_input_of_unknown_rank() -> None:
    model = network(first="same = Identity(x)" + FIRST.replace("(x,", "(same,"))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(InputError, match="does not declare the shape of its input 'x'; export it"):
        export(model)


# ---- A gradient in the network


def test_a_gradient_is_differentiated_again() -> None:
    """The third derivative of x^4 along a direction, and names that are taken already."""
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18]> g (float[5] x) => (float[5] y)'
        "{ s = Mul(x, x)  y = Mul(s, s) }"
    )
    for of in ("y", "x.grad", "x.grad_2"):
        model = vjp(model, of, ["x"])
    assert [value.name for value in model.graph.output] == ["y", "x.grad", "x.grad_2", "x.grad_3"]
    inputs = ["y.cotangent", "x.grad.cotangent", "x.grad_2.cotangent"]
    assert [value.name for value in model.graph.input] == ["x", *inputs]
    x, *along = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(["x.grad_3"], {"x": x, **dict(zip(inputs, along, strict=True))})
    np.testing.assert_allclose(found, 24 * x * np.prod(along, 0), rtol=1e-5)
