from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import parser

from ortcam.errors import ModelError
from ortcam_export.graph.model_io import opset
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

RANDOM = np.random.default_rng(0)


def prepared(model: onnx.ModelProto) -> ir.Model:
    return prepare(load(model))


def run(model: onnx.ModelProto, **feeds: NDArray[Any]) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, feeds)  # type: ignore[no-any-return]


def tensors(model: onnx.ModelProto) -> set[str]:
    return {name for node in model.graph.node for name in node.output if name}


@pytest.mark.parametrize(
    "make",
    [
        networks.unet,
        networks.unet_argmax,
        networks.unet_resized,
        networks.classifier,
        networks.opset_11,
        networks.with_functions,
    ],
)
def test_a_prepared_network_is_the_same_function_with_the_same_names(
    make: Callable[[], onnx.ModelProto],
) -> None:
    model = make()
    ready = ir.to_proto(prepared(model))
    onnx.checker.check_model(ready, full_check=True)
    x = RANDOM.random((2, 3, 20, 32), np.float32)
    for one, other in zip(run(model, input=x), run(ready, input=x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert tensors(model) <= tensors(ready)


def test_functions_are_inlined() -> None:
    ready = prepared(networks.with_functions())
    assert not ready.functions
    assert {node.domain for node in ready.graph} == {""}
    assert {"first", "second"} <= {value.name for node in ready.graph for value in node.outputs}


def test_functions_that_call_themselves() -> None:
    model = networks.with_functions()
    model.functions[1].node[0].op_type = "Block"
    model.functions[1].node[0].domain = "local"
    model.functions[1].opset_import.add(domain="local", version=1)
    model.functions[1].node[0].input.append("x")
    with pytest.raises(ModelError, match="the network's functions cannot be inlined: "):
        prepared(model)


def test_the_opset_is_raised_to_18_and_never_lowered() -> None:
    assert opset(prepared(networks.opset_11())) == 18
    model = networks.unet()
    model.opset_import[0].version = 21
    assert opset(prepared(model)) == 21


def test_what_the_converter_drops_is_put_back() -> None:
    model = networks.opset_11()
    onnx.helper.set_model_props(model, {"note": "kept"})
    ready = prepared(model)
    assert ready.metadata_props["note"] == "kept"
    told = {
        value.name: node.metadata_props.get("written_by")
        for node in ready.graph
        for value in node.outputs
    }
    for name in ("a_conv", "a_relu", "wide", "softmax", "probabilities"):
        assert told[name] == name


def test_weights_among_the_inputs_are_constants() -> None:
    model = networks.opset_11()
    assert len(model.graph.input) > 1
    ready = prepared(model)
    assert [value.name for value in ready.graph.inputs] == ["input"]
    assert ready.graph.initializers["a_conv.weight"].const_value is not None


OLD = """
    <ir_version: 8, opset_import: ["": {opset}]>
    g (float[N, 4, H, W] x) => (float[N, 4, H2, W2] y)
    <float[4] scales = {{1.0, 1.0, 2.0, 3.0}}>
    {{ r = Relu(x)  u = {operator}  y = Identity(u) }}
"""


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("version", "operator"),
    [
        (7, "Upsample<mode = '{}', scales = [1.0, 1.0, 2.0, 3.0]>(r)"),
        (9, "Upsample<mode = '{}'>(r, scales)"),
        (10, "Resize<mode = '{}'>(r, scales)"),
    ],
)
def test_old_resizings_keep_their_grid_and_their_names(
    version: int, operator: str, mode: str
) -> None:
    text = OLD.format(opset=version, operator=operator.format(mode).replace("'", '"'))
    model = parser.parse_model(text)
    ready = prepared(model)
    x = RANDOM.standard_normal((1, 4, 5, 7)).astype(np.float32)
    np.testing.assert_allclose(run(model, x=x)[0], run(ir.to_proto(ready), x=x)[0], atol=1e-6)
    assert "u" in {value.name for node in ready.graph for value in node.outputs}


def test_what_the_converter_takes_apart_keeps_its_name_at_the_end() -> None:
    """Below opset 13 a Softmax runs over all axes from its own on: it becomes three nodes."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 11]> g (float[N, 3, H, W] x) => (float[N, 3, H, W] y)'
        "{ s = Softmax<axis = 1>(x)  y = Relu(s) }"
    )
    ready = ir.to_proto(prepared(model))
    ready.graph.output.append(onnx.helper.make_empty_tensor_value_info("s"))
    x = RANDOM.random((2, 3, 4, 5), np.float32)
    y, s = run(ready, x=x)
    np.testing.assert_array_equal(s, y)
    np.testing.assert_allclose(run(model, x=x)[0], y, atol=1e-6)


def test_an_opset_that_cannot_be_raised() -> None:
    model = parser.parse_model(
        '<ir_version: 3, opset_import: ["": 5]> g (float[2, 3] x) => (float[2, 3] y)'
        "{ y = ImageScaler<scale = 2.0>(x) }"
    )
    with pytest.raises(ModelError) as caught:
        prepared(model)
    assert str(caught.value).startswith("the network has opset 5 and cannot be raised to 18 (")
    assert str(caught.value).endswith("; export it again with opset 18 or later")


def test_a_scan_of_opset_8() -> None:
    """onnx's converter makes another network of it, whose inputs have lost an axis."""
    model = parser.parse_model(
        '<ir_version: 3, opset_import: ["": 8]> g (float[1, 3, 2] x) => (float[1, 3, 2] y)'
        '{ y = Scan("", x) <num_scan_inputs = 1, body = b (float[2] s) => (float[2] o)'
        "{ o = Sin(s) }> }"
    )
    with pytest.raises(ModelError, match=r"a Scan of opset 8, .*; export it again with opset 9 or"):
        prepared(model)


def test_no_opset_of_onnx() -> None:
    model = networks.unet()
    model.opset_import[0].domain = "com.example"
    with pytest.raises(ModelError, match="imports no ONNX operators"):
        prepared(model)


def test_the_default_domain_by_its_other_name() -> None:
    model = networks.unet()
    model.opset_import[0].domain = "ai.onnx"
    assert opset(prepared(model)) == 18


def test_constants_become_initializers_under_their_names() -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y)'
        "{ c = Constant<value_floats = [1.0, 2.0]>()  y = Mul(x, c) }"
    )
    ready = prepared(model)
    assert [node.op_type for node in ready.graph] == ["Mul"]
    constant = ready.graph.initializers["c"].const_value
    assert constant is not None
    assert constant.numpy().tolist() == [1, 2]


def test_every_node_has_a_name_of_its_own_and_no_tensor_is_renamed() -> None:
    model = networks.unet()
    before = tensors(model)
    for node in model.graph.node[::2]:
        node.name = ""
    for node in model.graph.node[1::2]:
        node.name = "same"
    ready = prepared(model)
    names = [node.name for node in ready.graph]
    assert all(names)
    assert len(set(names)) == len(names)
    assert tensors(ir.to_proto(ready)) == before


def test_nodes_are_put_in_order() -> None:
    model = networks.unet()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    onnx.checker.check_model(ir.to_proto(prepared(model)), full_check=True)
    with pytest.raises(ModelError, match="not in an order in which they can run; sort them"):
        load(ir.from_proto(model))


def test_nodes_in_a_circle() -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y)'
        "{ a = Add(x, y)  y = Relu(a) }"
    )
    with pytest.raises(ModelError, match="the model is no network: its nodes form a circle"):
        prepared(model)


def test_stale_shapes_are_not_believed() -> None:
    model = networks.unet()
    stale = onnx.helper.make_tensor_value_info("mid_relu", onnx.TensorProto.FLOAT, [1, 99, 7, 7])
    model.graph.value_info.append(stale)
    shapes = {v.name: v.shape for node in prepared(model).graph for v in node.outputs}
    shape = shapes["mid_relu"]
    assert shape is not None
    assert shape[1] == 12
    assert not any(isinstance(shape[axis], int) for axis in (0, 2, 3))


def test_a_shape_that_only_the_file_knows_is_kept() -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18, "custom": 1]>'
        "g (float[1, 3, 8, 8] x) => (float[1, 3, 4, 4] y)"
        "<float[1, 3, 8, 8] c> { c = custom.Op(x)  y = MaxPool<kernel_shape = [2, 2], "
        "strides = [2, 2]>(c) }"
    )
    shapes = {v.name: v.shape for node in prepared(model).graph for v in node.outputs}
    assert shapes["c"] == ir.Shape([1, 3, 8, 8])
    assert shapes["y"] == ir.Shape([1, 3, 4, 4])


def test_inference_ends_though_it_names_unknown_extents_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tensor that is padded and cropped, as in Swin, once went through all 64 rounds."""
    runs = []

    def infer_shapes(*args: Any, **kwargs: Any) -> onnx.ModelProto:
        runs.append(args)
        return inference(*args, **kwargs)

    inference = onnx.shape_inference.infer_shapes
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", infer_shapes)
    g = networks.Builder(0)
    a = g.block("input", 3, 4, "a")
    shape = g.node("Shape", [a], "shape")
    over = g.node("Mod", [shape, g.constant("seven", [7])], "over")
    pads = g.node("Concat", [g.constant("before", [0] * 4), over], "pads", axis=0)
    padded = g.node("Pad", [a, pads], "padded")
    height = g.node("Gather", [shape, g.constant("two", [2])], "height")
    crop = [g.constant("zero", [0]), height, g.constant("axis", [2])]
    cropped = g.node("Slice", [padded, *crop], "cropped")
    channels = g.node("Gather", [g.node("Shape", [a], "again"), g.constant("one", [1])], "channels")
    long = g.node("Cast", [channels], "float", to=onnx.TensorProto.FLOAT)
    g.conv(g.node("Mul", [cropped, long], "scaled"), 4, 3, "y")
    ready = prepare(load(g.model({"y": (onnx.TensorProto.FLOAT, ["N", 3, None, None])})))
    assert len(runs) < 5
    channels_ = ready.graph.initializers["channels"].const_value
    assert channels_ is not None
    assert channels_.numpy() == [4]


def test_a_cropped_tensor_keeps_its_channels() -> None:
    shapes = {v.name: v.shape for node in prepared(networks.unet()).graph for v in node.outputs}
    for name, channels in (("up1_crop", 6), ("cat1", 12), ("cat2", 18)):
        shape = shapes[name]
        assert shape is not None
        assert shape[1] == channels


#: Vectors of 10^12 elements, which a file of a few hundred bytes can ask for.
LONG = {
    "in numbers": "r = Range(zero, many, one)  s = Add(r, one)",
    "in an extent": "e = Expand(one, extent)  s = Cast<to = 1>(e)",
    "in an extent that is computed": "m = Mul(million, million)  e = Expand(one, m)  s = Size(e)",
    "behind another that is computed": (
        "m = Mul(million, million)  e = ConstantOfShape(m)  f = Mul(e, e)  n = Shape(f)"
        "g = ConstantOfShape(n)  h = Neg(g)  s = Mul(h, h)"
    ),
    "inside a branch": (
        "s = If(yes) <then_branch = a () => (t) { r = Range(zero, many, one)  t = Add(r, one) },"
        "else_branch = b () => (u) { u = Identity(million) }>"
    ),
    "by doubling": "a0 = Identity(million)  "
    + "  ".join(f"a{i + 1} = Concat<axis = 0>(a{i}, a{i})" for i in range(40))
    + "  s = Cast<to = 1>(a40)",
}

MEASURED = """
import resource, sys
from ortcam_export.reading.model_file import load
from ortcam_export.prepare.prepare import prepare
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
prepare(load(sys.stdin.buffer.read()))
"""


@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
def test_a_small_file_takes_neither_memory_nor_time(body: str, root: Path) -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[1] x, bool yes) => (float[1] y)'
        "<int64 zero = {0}, int64 one = {1}, int64 many = {1000000000000},"
        " int64[1] million = {1000000}, int64[1] extent = {1000000000000}>"
        f"{{ {body}  y = Relu(x) }}"
    )
    subprocess.run(  # where there is nothing else, whose memory would count
        [sys.executable, "-c", MEASURED],
        input=model.SerializeToString(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "export")])},
        check=True,
    )


def test_shapes_are_propagated_behind_long_vectors() -> None:
    """A node through which data are not propagated has its shape, and so have those behind it."""
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[2, 3, 40, 50] x) => (y)'
        "<int64[1] all = {-1}, int64[1] two = {2}, int64[1] first = {0}, float[1] half = {0.5}>"
        "{ flat = Reshape(x, all)  halved = Mul(flat, half)  n = Size(halved)"
        "  m = Unsqueeze(n, first)  k = Div(m, two)  shape = Concat<axis = 0>(two, k)"
        "  y = Reshape(halved, shape) }"
    )
    shapes = {v.name: v.shape for node in prepared(model).graph for v in node.outputs}
    assert shapes["halved"] == ir.Shape([12000])
    assert shapes["y"] == ir.Shape([2, 6000])
