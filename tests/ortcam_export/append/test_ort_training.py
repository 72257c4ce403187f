"""The second engine, ONNX Runtime's own gradient builder, against the first.

Tests that need a training build of onnxruntime are skipped elsewhere; ``nox -s training``
runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import networks
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from networks import Builder
from numpy.typing import NDArray
from onnx import TensorProto, helper

import ortcam
from ortcam.artifact import METADATA_KEY, Artifact, Layer, Score, weights_name
from ortcam.cli import main
from ortcam.errors import (
    DependencyError,
    InputError,
    LayerError,
    ModelError,
    OperatorError,
    VerificationError,
)
from ortcam.inference.providers import is_training_build
from ortcam_export import export
from ortcam_export.append import gradient as differentiate
from ortcam_export.append import ort_training as training
from ortcam_export.append.ort_training import rewrites
from ortcam_export.graph.names import tensor
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

Array = NDArray[Any]

TOLERANCE = 1e-4

with_training_build = pytest.mark.skipif(
    not is_training_build(), reason="the installed onnxruntime is not a training build"
)
without_training_build = pytest.mark.skipif(
    is_training_build(), reason="the installed onnxruntime is a training build"
)


# Networks with one operator, or a few, between the feature layer a_relu and the score.


def around(
    middle: Callable[[Builder, str], str], channels: int = 6, opset: int = 18
) -> onnx.ModelProto:
    g = Builder(1)
    x = middle(g, g.block("input", 3, 6, "a"))
    y = g.relu(g.conv(x, channels, 5, "last"), "last_relu")
    g.node("Softmax", [g.conv(y, 5, 4, "logits", k=1)], "probabilities", axis=1)
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", 4, None, None])}, opset=opset)


def one(op: str, **attributes: Any) -> Callable[[Builder, str], str]:
    return lambda g, x: g.node(op, [x], "b", **attributes)


def pool(op: str, kernel: int, **attributes: Any) -> Callable[[Builder, str], str]:
    return one(op, kernel_shape=[kernel] * 2, **attributes)


def padded_by_itself(g: Builder, x: str, **attributes: Any) -> str:
    return g.node("Conv", [x, g.weight("w", 6, 6, 4, 3, fan_in=72)], "b", **attributes)


def affine(op: str, shape: list[int], **attributes: Any) -> Callable[[Builder, str], str]:
    def middle(g: Builder, x: str) -> str:
        scale = g.constant("scale", g.random.uniform(0.5, 1.5, shape), np.float32)
        bias = g.constant("bias", g.random.normal(0, 0.5, shape), np.float32)
        return g.node(op, [x, scale, bias], "b", **attributes)

    return middle


def layer_norm(g: Builder, x: str) -> str:
    last = g.node("Transpose", [x], "nhwc", perm=[0, 2, 3, 1])
    affine("LayerNormalization", [6])(g, last)
    return g.node("Transpose", ["b"], "nchw", perm=[0, 3, 1, 2])


def dropout(g: Builder, x: str, *, masked: bool) -> str:
    ratio = g.constant("ratio", 0.5, np.float32)
    g.nodes.append(helper.make_node("Dropout", [x, ratio], ["b", "mask"] if masked else ["b"], "d"))
    if not masked:
        return "b"
    ones = g.node("Cast", ["mask"], "ones", to=TensorProto.FLOAT)
    return g.node("Mul", ["b", ones], "kept")


def split(g: Builder, x: str, outputs: list[str], sizes: list[int] | None, **options: Any) -> str:
    given = [x] if sizes is None else [x, g.constant("sizes", sizes)]
    g.nodes.append(helper.make_node("Split", given, outputs, "split", axis=1, **options))
    return "b"


def pad(g: Builder, x: str, axes: list[int] | None, amounts: list[int]) -> str:
    given = [x, g.constant("amounts", amounts), g.constant("value", 0.5, np.float32)]
    if axes is not None:
        given.append(g.constant("pad_axes", axes))
    return g.node("Pad", given, "b")


def several(op: str) -> Callable[[Builder, str], str]:
    def middle(g: Builder, x: str) -> str:
        other = g.conv(x, 6, 6, "other")
        row = g.constant("row", g.random.normal(0, 1, (6, 1, 1)), np.float32)
        return g.node(op, [x, other, row], "b")

    return middle


def resized(g: Builder, x: str, *, to: list[float] | str, **attributes: Any) -> str:
    if isinstance(to, str):
        return g.resize(g.conv(x, 6, 6, "small", strides=[2, 2]), to, "b", **attributes)
    return g.node("Resize", [x, "", g.constant("scales", to, np.float32)], "b", **attributes)


def clip(g: Builder, x: str, low: float | None, high: float | None) -> str:
    bounds = [
        "" if bound is None else g.constant(name, bound, np.float32)
        for name, bound in (("low", low), ("high", high))
    ]
    return g.node("Clip", [x, *bounds], "b")


def stepped(g: Builder, x: str, step: int) -> str:
    bounds = ([0], [7]) if step > 0 else ([-1], [-9])
    given = [g.constant(f"c{i}", v) for i, v in enumerate((*bounds, [2], [step]))]
    return g.node("Slice", [x, *given], "b")


def squeeze_and_excitation(g: Builder, x: str) -> str:
    pooled = g.node("GlobalAveragePool", [x], "pooled")
    gate = g.node("Sigmoid", [g.conv(pooled, 6, 6, "fc", k=1)], "gate")
    return g.node("Mul", [x, gate], "b")


def prelu(g: Builder, x: str) -> str:
    slope = g.constant("slope", g.random.uniform(0.1, 0.4, (6, 1, 1)), np.float32)
    return g.node("PRelu", [g.conv(x, 6, 6, "before"), slope], "b")


OPERATORS: dict[str, Callable[[], onnx.ModelProto]] = {
    **{
        f"Conv {mode} {strides}": partial(
            around, partial(padded_by_itself, auto_pad=mode, strides=[strides] * 2)
        )
        for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")
        for strides in (1, 2)
    },
    "AveragePool": lambda: around(pool("AveragePool", 3, strides=[2, 2], pads=[1, 0, 1, 1])),
    "AveragePool counted": lambda: around(
        pool("AveragePool", 3, strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    ),
    "AveragePool SAME": lambda: around(pool("AveragePool", 2, auto_pad="SAME_UPPER")),
    "BatchNormalization": lambda: around(lambda g, x: g.norm(x, 6, "b")),
    "Clip": lambda: around(lambda g, x: clip(g, x, 0.2, 0.9)),
    "Clip above": lambda: around(lambda g, x: clip(g, x, None, 0.5)),
    "Dropout": lambda: around(lambda g, x: dropout(g, x, masked=False)),
    "Dropout masked": lambda: around(lambda g, x: dropout(g, x, masked=True)),
    "Elu": lambda: around(lambda g, x: g.node("Elu", [g.norm(x, 6, "n")], "b", alpha=0.7)),
    "Gelu": lambda: around(lambda g, x: g.node("Gelu", [g.norm(x, 6, "n")], "b"), opset=20),
    "GroupNormalization": lambda: around(affine("GroupNormalization", [6], num_groups=2), opset=21),
    "HardSwish": lambda: around(lambda g, x: g.node("HardSwish", [g.norm(x, 6, "n")], "b")),
    # Right before it the mean gradient over space would be 0.
    "InstanceNormalization": lambda: around(
        lambda g, x: affine("InstanceNormalization", [6])(g, g.relu(g.conv(x, 6, 6, "c"), "c_relu"))
    ),
    "LayerNormalization": lambda: around(layer_norm),
    "MaxPool": lambda: around(pool("MaxPool", 3, strides=[2, 2], ceil_mode=1)),
    "MaxPool SAME": lambda: around(pool("MaxPool", 2, dilations=[2, 2], auto_pad="SAME_LOWER")),
    "Mean": lambda: around(several("Mean")),
    "Pad": lambda: around(lambda g, x: pad(g, x, None, [0, 0, 1, 2, 0, 0, -1, 3])),
    "Pad axes": lambda: around(lambda g, x: pad(g, x, [3, -2], [1, 2, 3, -1])),
    "PRelu": lambda: around(prelu),
    "Resize linear": lambda: around(lambda g, x: resized(g, x, to="input")),
    "Resize aligned": lambda: around(
        lambda g, x: resized(g, x, to="input", coordinate_transformation_mode="align_corners")
    ),
    "Resize nearest": lambda: around(lambda g, x: resized(g, x, to=[1, 1, 2, 2], mode="nearest")),
    "Resize cubic": lambda: around(lambda g, x: resized(g, x, to=[1, 1, 1.5, 2], mode="cubic")),
    "Slice stepped": lambda: around(lambda g, x: stepped(g, x, 2)),
    "Split used": lambda: around(
        lambda g, x: g.node("Add", [split(g, x, ["b", "c"], None, num_outputs=2), "c"], "d"), 3
    ),
    "Split unused": lambda: around(lambda g, x: split(g, x, ["c", "b", "d"], [1, 2, 3]), 2),
    "Sum": lambda: around(several("Sum")),
    "squeeze and excitation": lambda: around(squeeze_and_excitation),
}


@pytest.fixture(params=OPERATORS.values(), ids=list(OPERATORS))
def network(request: pytest.FixtureRequest) -> onnx.ModelProto:
    network: onnx.ModelProto = request.param()
    return network


def picture(height: int = 21, width: int = 26, n: int = 2) -> Array:
    return np.random.default_rng(4).standard_normal((n, 3, height, width)).astype(np.float32)


def session(model: ir.Model) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    model.ir_version = 10
    return ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model: ir.Model, feeds: dict[str, Array]) -> dict[str, Array]:
    opened = session(model)
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(None, feeds), strict=True))


# Rewriting


def test_rewriting_changes_no_value_and_no_name(network: onnx.ModelProto) -> None:
    plain, normal = prepare(load(network)), prepare(load(network))
    rewrites.ReplaceUnsupported("probabilities", ["a_relu"])(normal)
    kept = ["a_relu", "b", "last", "last_relu", "logits", "probabilities"]
    for model in (plain, normal):
        model.graph.outputs[:] = [tensor(model, name) for name in kept]
    before, after = run(plain, {"input": picture()}), run(normal, {"input": picture()})
    for name in kept:
        scale = np.abs(before[name]).max()
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=1e-5 * scale)


def test_what_does_not_lie_on_the_way_is_left_alone() -> None:
    model = prepare(load(networks.channels_last()))
    rewrites.ReplaceUnsupported("probabilities", ["head_relu"])(model)
    operators = [node.op_type for node in model.graph]
    assert operators.count("BatchNormalization") == 3
    assert operators.count("Resize") == 1
    rewrites.ReplaceUnsupported("probabilities", ["stem_relu"])(model)
    left = [node for node in model.graph if node.op_type == "BatchNormalization"]
    assert [node.outputs[0].name for node in left] == ["stem_norm"]


# Both engines


def compare(
    model: onnx.ModelProto | ir.Model,
    score: str,
    layers: tuple[str, ...],
    feeds: dict[str, Array],
    axis: int = 1,
    region: bool = True,
) -> None:
    """The engines' weights for three questions, with a region each."""
    asked = [Layer(name=n, weights=weights_name(n), channel_axis=axis) for n in layers]
    ours, theirs = (
        engine.append_gradient(prepare(load(model)), Score(name=score, class_axis=axis), asked)
        for engine in (differentiate, training)
    )
    assert any(node.domain == "com.microsoft" for node in theirs.graph.all_nodes())
    random = np.random.default_rng(2)
    plain = prepare(load(model))
    plain.graph.outputs[:] = [tensor(plain, score)]
    shape = list(run(plain, feeds)[score].shape)
    classes, space = shape.pop(axis), shape[1:]
    question = {
        "class_weights": random.standard_normal((3, 1, classes)).astype(np.float32),
        "region": random.random((3, shape[0], *space)).astype(np.float32),
    }
    if not region:
        question["region"] = np.ones((1, 1, *[1] * len(space)), np.float32)
    own, other = run(ours, feeds | question), run(theirs, feeds | question)
    np.testing.assert_allclose(other[score], own[score], rtol=0, atol=1e-5)
    for name in layers:
        wanted = own[weights_name(name)]
        found = other[weights_name(name)]
        assert found.shape == wanted.shape == (3, shape[0], own[name].shape[axis])
        scale = np.abs(wanted).max(axis=2, keepdims=True)
        assert scale.min() > 0
        assert (np.abs(found - wanted) / scale).max() < TOLERANCE, name
    nothing = {name: value[:0] for name, value in question.items()}
    silent = run(theirs, feeds | nothing)
    for name in layers:
        assert silent[weights_name(name)].shape == (0, *own[weights_name(name)].shape[1:])
    np.testing.assert_allclose(silent[score], own[score], rtol=0, atol=1e-5)


@pytest.mark.training
@with_training_build
@pytest.mark.parametrize("region", [True, False], ids=["a region a question", "everywhere"])
@pytest.mark.parametrize(
    ("make", "score", "layers", "axis"),
    [
        (networks.unet, "probabilities", ("dec1_relu", "cat1"), 1),
        (networks.unet_logits, "logits", ("dec1_relu",), 1),
        (networks.unet_sigmoid, "mask", ("dec1_relu",), 1),
        (networks.unet_resized, "full_size", ("a_relu", "b_relu"), 1),
        (
            networks.channels_last,
            "probabilities",
            ("stem_relu", "deep_relu", "cat", "head_relu"),
            3,
        ),
        (networks.classifier, "probabilities", ("a_relu", "b_relu"), 1),
        (networks.opset_11, "probabilities", ("a_relu", "b_relu"), 1),
        (networks.with_functions, "probabilities", ("first", "second"), 1),
    ],
)
def test_the_engines_agree_on_networks(
    make: Callable[[], onnx.ModelProto],
    score: str,
    layers: tuple[str, ...],
    axis: int,
    region: bool,
) -> None:
    x = picture(24, 26)
    compare(
        make(), score, layers, {"input": x if axis == 1 else np.moveaxis(x, 1, 3)}, axis, region
    )


@pytest.mark.training
@with_training_build
def test_the_engines_agree_on_further_inputs() -> None:
    random = np.random.default_rng(6)
    further = {"gain": (2, 1), "shift": (6, 1, 1)}
    feeds = {name: random.standard_normal(s).astype(np.float32) for name, s in further.items()}
    compare(
        networks.further_inputs(),
        "probabilities",
        ("a_relu", "c_relu"),
        {"input": picture(), **feeds},
    )


@pytest.mark.training
@with_training_build
def test_the_engines_agree_on_the_shipped_network(shipped_network: Path) -> None:
    layers = ("res5b_relu", "catAspp", "dec_relu1", "dec_relu4")
    compare(onnx.load(shipped_network), "softmax-out", layers, {"input": picture(96, 128, 1)})


@pytest.mark.training
@with_training_build
def test_the_engines_agree_on_operators(network: onnx.ModelProto) -> None:
    compare(network, "probabilities", ("a_relu",), {"input": picture()})


# Exports


@pytest.mark.training
@with_training_build
@pytest.mark.parametrize("name", ["Conv SAME_UPPER 2", "Split unused", "AveragePool", "MaxPool"])
def test_an_export_is_verified_and_runs(name: str) -> None:
    exported = export(OPERATORS[name](), feature_layers=["a_relu"], engine="ort-training")
    artifact = exported.artifact
    assert artifact.verification is not None
    assert artifact.verification.error < 1e-2
    assert artifact.verification.isolation == pytest.approx(0, abs=1e-4)
    cam = ortcam.load(exported.model)
    assert cam.artifact.engine == "ort-training"
    assert cam.artifact.needs == "onnxruntime-training"
    x = picture(n=1)
    ours = ortcam.load(export(OPERATORS[name](), feature_layers=["a_relu"], verify=False).model)
    assert len(cam.explain(tensor=x, upsample="none").classes) > 0  # asks for them with K = 0
    found, wanted = (c.explain(tensor=x, classes=[2, 0], upsample="none") for c in (cam, ours))
    np.testing.assert_allclose(
        found.raw["a_relu"], wanted.raw["a_relu"], atol=1e-4 * wanted.raw["a_relu"].max()
    )


@pytest.mark.training
@with_training_build
@pytest.mark.parametrize("name", ["Conv SAME_UPPER 2", "Dropout masked"])
def test_a_wrong_gradient_of_the_builder_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrites, "_REWRITES", {})
    with pytest.raises(VerificationError, match=r"is off by .*export with engine='ortcam'"):
        export(OPERATORS[name](), feature_layers=["a_relu"], engine="ort-training")


@pytest.mark.training
@with_training_build
@pytest.mark.parametrize(
    ("network", "error", "said"),
    [
        (networks.unet(), ModelError, r"no CPU kernel for ConvTransposeGrad.*engine='ortcam'"),
        (
            around(one("LRN", size=3)),
            OperatorError,
            r"LRN \(node 'LRN/b'\) has no gradient in ONNX Runtime's .*engine='ortcam'",
        ),
        (
            around(lambda g, x: stepped(g, x, -1)),
            OperatorError,
            r"Slice \(node 'Slice/b'\) has a negative step.*engine='ortcam'",
        ),
        (
            around(one("Identity"), opset=22),
            ModelError,
            r"opset 22, but onnxruntime-training knows opsets up to 21.*engine='ortcam'",
        ),
        (
            around(lambda g, x: g.node("Cast", [g.node("Cast", [x], "h", to=10)], "b", to=1)),
            OperatorError,
            r"tensor 'h' is float16, which .*engine='ortcam'",
        ),
        (
            around(
                lambda g, x: g.node(
                    "Pad", [x, g.constant("amounts", [0, 0, 1, 1] * 2)], "b", mode="reflect"
                )
            ),
            OperatorError,
            r"builder fails .*constant mode only.*engine='ortcam'",
        ),
    ],
    ids=["ConvTranspose", "LRN", "Slice", "opset", "float16", "Pad"],
)
def test_what_the_builder_cannot_says_what_can(
    network: onnx.ModelProto, error: type[Exception], said: str
) -> None:
    layer = "mid_relu" if network.graph.node[0].name == "Conv/enc1_conv" else "a_relu"
    with pytest.raises(error, match=said):
        export(network, feature_layers=[layer], engine="ort-training")


@pytest.mark.training
@with_training_build
def test_a_layer_without_a_gradient_is_told() -> None:
    model = prepare(load(networks.channels_last()))
    layers = [Layer(name=n, weights=weights_name(n)) for n in ("probabilities", "head_relu")]
    with pytest.raises(LayerError, match="no gradient reaches 'probabilities'"):
        training.append_gradient(model, Score(name="logits", class_axis=3), layers)


@pytest.mark.training
@with_training_build
def test_the_builder_keeps_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    export(networks.classifier(), engine="ort-training")
    assert capfd.readouterr() == ("", "")


# Where there is not a training build


def test_an_unknown_engine_is_an_error() -> None:
    with pytest.raises(InputError, match="engine must be 'ortcam' or 'ort-training', got 'tf'"):
        export(networks.unet(), engine="tf")


@without_training_build
def test_the_engine_says_what_to_install() -> None:
    message = (
        r"needs a training build of onnxruntime.*pip install 'ortcam\[export,training\]'"
        ".* in a separate environment"
    )
    with pytest.raises(DependencyError, match=message):
        export(networks.unet(), engine="ort-training")
    model = prepare(load(networks.unet()))
    with pytest.raises(DependencyError, match=message):
        training.append_gradient(model, Score(name="probabilities"), [])


@without_training_build
def test_the_command_says_what_to_install(tmp_path: Path) -> None:
    onnx.save(networks.classifier(), tmp_path / "network.onnx")
    out = tmp_path / "network.cam.onnx"
    command = ["export", str(tmp_path / "network.onnx"), "-o", str(out), "--engine", "ort-training"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: --engine ort-training needs a training build")
    assert not out.exists()


@without_training_build
def test_the_runtime_refuses_its_artifact_elsewhere() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("SoftmaxGrad_13", ["x", "x"], ["g"], domain="com.microsoft", axis=1),
        ],
        "question",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("g", TensorProto.FLOAT, [1, 4]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["K", ""], ["w"], body=body)],
        "artifact",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("K", TensorProto.INT64, []),
        ],
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["K", 1, 4])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    with pytest.raises(ModelError, match=r"needs a training build .*engine='ortcam'"):
        ortcam.load(model.SerializeToString())


def test_the_metadata_tell_what_the_artifact_needs() -> None:
    made = Artifact(layers=(), score=Score(name="s"), picture="p", engine="ort-training")
    assert '"needs": "onnxruntime-training"' in made.to_json()
    assert Artifact.from_json(made.to_json(), source=METADATA_KEY) == made
    assert Artifact(layers=(), score=Score(name="s"), picture="p").needs == "onnxruntime"


def test_the_command_knows_the_engines() -> None:
    option = next(p for p in main.commands["export"].params if p.name == "engine")
    assert option.default == "ortcam"
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == ["ortcam", "ort-training"]
