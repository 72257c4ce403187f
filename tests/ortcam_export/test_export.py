from __future__ import annotations

import hashlib
import inspect
import json
import os
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
from onnx import TensorProto, helper, numpy_helper, parser

import ortcam_export
from ortcam.artifact import METADATA_KEY, Artifact
from ortcam.errors import (
    ArtifactError,
    InputError,
    LayerError,
    ModelError,
    OperatorError,
    OutputError,
    VerificationError,
)
from ortcam_export import export

RANDOM = np.random.default_rng(0)
FAST: dict[str, Any] = {"size": (96, 64)}


def run(model: bytes, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def question(*rows: list[float], space: int = 2) -> dict[str, NDArray[Any]]:
    return {
        "class_weights": np.array(rows, np.float32)[:, None],
        "region": np.ones((1, 1, *[1] * space), np.float32),
    }


def refusal(kind: type[Exception], model: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        export(model, *args, **options)
    return str(caught.value)


ALL: list[tuple[Callable[[], onnx.ModelProto], str, int]] = [
    (networks.unet, "probabilities", 1),
    (networks.unet_logits, "logits.softmax", 1),
    (networks.unet_sigmoid, "mask", 1),
    (networks.unet_argmax, "logits.softmax", 1),
    (networks.unet_resized, "probabilities", 1),
    (networks.unet_two_heads, "out.softmax", 1),
    (networks.channels_last, "probabilities", 3),
    (networks.classifier, "probabilities", 1),
    (networks.with_functions, "probabilities", 1),
]


@pytest.mark.parametrize(("make", "score", "axis"), ALL)
def test_an_artifact_is_the_network_and_more(
    make: Callable[[], onnx.ModelProto], score: str, axis: int
) -> None:
    model = make()
    exported = export(model, **FAST)
    artifact = exported.artifact
    assert (artifact.score.name, artifact.score.class_axis) == (score, axis)
    proto = onnx.load_from_string(exported.model)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version >= 18
    layer = artifact.layers[0]
    own_inputs, own_outputs = (
        [v.name for v in vs] for vs in (model.graph.input, model.graph.output)
    )
    assert [v.name for v in proto.graph.input] == [*own_inputs, "class_weights", "region"]
    outputs = [v.name for v in proto.graph.output]
    assert outputs[: len(own_outputs)] == own_outputs
    assert {score, layer.name, layer.weights} <= set(outputs)
    x = RANDOM.random((2, 3, 21, 33), np.float32)
    x = x.transpose(0, 2, 3, 1) if make is networks.channels_last else x
    space = 0 if make is networks.classifier else 2
    nothing = {
        "class_weights": np.zeros((0, 1, _classes(make)), np.float32),
        "region": np.zeros((0, 1, *[1] * space), np.float32),
    }
    unasked = run(exported.model, {"input": x, **nothing})
    plain = run(model.SerializeToString(), {"input": x})
    for name, value in plain.items():
        np.testing.assert_allclose(unasked[name], value, atol=1e-6)
    assert unasked[layer.weights].shape[:2] == (0, 2)


def _classes(make: Callable[[], onnx.ModelProto]) -> int:
    counts: dict[Any, int] = {networks.unet_sigmoid: 1, networks.classifier: 5}
    return counts.get(make, 4)


def test_weights_by_hand_where_the_scorer_follows_the_layer() -> None:
    """For logits = W a + b summed over all pixels, dy_c/da_k = W_ck at every pixel."""
    exported = export(networks.unet(), score="logits", **FAST)
    x = RANDOM.random((2, 3, 21, 33), np.float32)
    weights = run(exported.model, {"input": x, **question([1, 0, 0, 0], [0, 1, -1, 0])})
    kernel = next(t for t in networks.unet().graph.initializer if t.name == "logits.weight")
    w = numpy_helper.to_array(kernel)[:, :, 0, 0]
    for n in range(2):
        np.testing.assert_allclose(
            weights["dec1_relu.weights"][:, n], [w[0], w[1] - w[2]], rtol=1e-5
        )


def test_the_options_are_the_contracts() -> None:
    parameters = inspect.signature(export).parameters
    assert list(parameters) == [
        "model",
        "path",
        "feature_layers",
        "reduction_layer",
        "score",
        "class_axis",
        "head",
        "picture_input",
        "classes",
        "colors",
        "color_order",
        "layout",
        "rescale",
        "mean",
        "std",
        "size",
        "divisor",
        "token_grid",
        "leading_tokens",
        "engine",
        "split",
        "static",
        "maps",
        "methods",
        "verify",
        "picture",
        "scale",
    ]
    assert ortcam_export.__all__ == sorted(ortcam_export.__all__)
    for name in ortcam_export.__all__:
        assert getattr(ortcam_export, name).__doc__


def test_the_file(tmp_path: Path) -> None:
    source, target = tmp_path / "net.onnx", tmp_path / "net.cam.onnx"
    onnx.save(networks.unet(), source)
    exported = export(source, target, **FAST)
    assert exported.path == target.resolve()
    assert target.read_bytes() == exported.model
    assert exported.artifact.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    props = {p.key: p.value for p in onnx.load(target).metadata_props}
    assert Artifact.from_json(props[METADATA_KEY], source="it") == exported.artifact
    assert sorted(os.listdir(tmp_path)) == ["net.cam.onnx", "net.onnx"]  # noqa: PTH208
    assert "net.cam.onnx is an artifact already" in refusal(ArtifactError, target)


def test_what_was_chosen_and_assumed_is_said() -> None:
    assert export(networks.unet_logits(), verify=False).notes == (
        "reduction layer 'logits', the logits",
        "appended a softmax to 'logits' as the score, for the name 'logits', which changes every "
        "map; "
        "score='logits' explains the logits as they stand",
        "feature layer 'dec1_relu', the last activation (Relu) of a convolution before the scorer",
        "nothing says what the network expects of a picture: assumed RGB pixels from 0 to 1, "
        "without mean and std; say it by rescale=, mean=, std= and color_order=",
    )


def test_nothing_is_noted_where_everything_is_said() -> None:
    told: dict[str, Any] = {
        "feature_layers": ["mid_relu", "dec1_relu"],
        "reduction_layer": "probabilities",
        "rescale": 1.0,
        "classes": list("abcd"),
    }
    exported = export(networks.unet(), verify=False, **told)
    assert exported.notes == ()
    assert [layer.name for layer in exported.artifact.layers] == ["mid_relu", "dec1_relu"]
    assert exported.artifact.expects.classes == ("a", "b", "c", "d")


def test_the_shipped_network(shipped_network: Path) -> None:
    layers = ["res5b_relu", "catAspp", "dec_relu1", "dec_relu4"]
    exported = export(shipped_network, feature_layers=layers)
    artifact = exported.artifact
    assert [layer.name for layer in artifact.layers] == layers
    assert [layer.pooled for layer in artifact.layers] == [False, False, False, True]
    assert artifact.score.name == "softmax-out"
    assert artifact.expects.classes is not None
    assert artifact.expects.classes[3] == "Road"
    assert artifact.verification is not None
    assert artifact.verification.error < 5e-3
    assert exported.notes == ("reduction layer 'softmax-out', the softmax",)


def test_an_old_network() -> None:
    model = networks.opset_11()
    exported = export(model, **FAST)
    x = RANDOM.random((1, 3, 32, 32), np.float32)
    plain = run(model.SerializeToString(), {"input": x})
    asked = run(exported.model, {"input": x, **question([1, 0, 0, 0])})
    np.testing.assert_allclose(asked["probabilities"], plain["probabilities"], atol=1e-6)


def test_further_inputs_stay_inputs() -> None:
    exported = export(networks.further_inputs(), **FAST)
    assert exported.artifact.picture == "input"
    feeds = {
        "input": RANDOM.random((2, 3, 24, 24), np.float32),
        "gain": np.array([[1.0], [0.0]], np.float32),
        "shift": np.zeros((6, 1, 1), np.float32),
    }
    weights = run(exported.model, {**feeds, **question([1, 0, 0, 0])})["c_relu.weights"]
    assert weights.shape == (1, 2, 6)


def test_names_that_the_network_has_already() -> None:
    model = networks.further_inputs()
    for old, new in (
        ("gain", "class_weights"),
        ("gained", "region"),
        ("shifted", "c_relu.weights"),
    ):
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]
        for value in model.graph.input:
            value.name = new if value.name == old else value.name
    exported = export(model, **FAST)
    artifact = exported.artifact
    assert (artifact.class_weights, artifact.region) == ("class_weights_2", "region_2")
    assert artifact.layers[0].weights == "c_relu.weights_2"
    proto = onnx.load_from_string(exported.model)
    assert [v.name for v in proto.graph.input][-2:] == ["class_weights_2", "region_2"]
    assert "c_relu.weights_2" in [v.name for v in proto.graph.output]
    assert artifact.verification is not None


def test_channels_last_may_be_said() -> None:
    model = networks.channels_last()
    model.graph.input[0].type.tensor_type.shape.dim[3].Clear()
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "C"
    exported = export(model, layout="NHWC", **FAST)
    assert exported.artifact.layers[0].channel_axis == 3
    assert exported.artifact.expects.preprocess is not None
    assert exported.artifact.expects.preprocess.layout == "NHWC"


def test_external_data(tmp_path: Path) -> None:
    exported = export(networks.with_external_data(tmp_path), **FAST)
    plain = export(networks.unet(), **FAST)
    x = RANDOM.random((1, 3, 20, 20), np.float32)
    feeds = {"input": x, **question([0, 1, 0, 0])}
    np.testing.assert_allclose(
        run(exported.model, feeds)["dec1_relu.weights"],
        run(plain.model, feeds)["dec1_relu.weights"],
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("form", ["proto", "ir"])
def test_the_model_is_left_as_it_is(form: str) -> None:
    model = networks.unet_logits()
    given = model if form == "proto" else ir.from_proto(model)

    def now() -> bytes:
        proto = given if isinstance(given, onnx.ModelProto) else ir.to_proto(given)
        data: bytes = proto.SerializeToString(deterministic=True)
        return data

    before = now()
    export(given, verify=False)
    assert now() == before


# ---- What goes wrong


def test_a_path_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    target = tmp_path / "none" / "net.cam.onnx"
    sentence = refusal(OutputError, tmp_path / "not even read.onnx", target)
    assert sentence == f"{target} cannot be written: {target.parent.resolve()} does not exist"
    assert "is a folder; name a file in it" in refusal(OutputError, networks.unet(), tmp_path)


def test_nothing_is_written_where_the_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "net.cam.onnx"
    target.write_bytes(b"what was there before")

    def wrong(*_: object) -> None:
        raise VerificationError("wrong")

    monkeypatch.setattr("ortcam_export.verify.verify_export.verify", wrong)
    assert refusal(VerificationError, networks.unet(), target) == "wrong"
    assert target.read_bytes() == b"what was there before"
    assert os.listdir(tmp_path) == ["net.cam.onnx"]  # noqa: PTH208


def test_a_layer_that_the_gradient_does_not_reach() -> None:
    sentence = refusal(
        LayerError, networks.unet_two_heads(), reduction_layer="aux", feature_layers=["dec1_relu"]
    )
    assert sentence.startswith("no gradient reaches 'dec1_relu': 'aux' does not depend on")


def test_a_layer_that_is_not_there() -> None:
    sentence = refusal(LayerError, networks.unet(), feature_layers=["dec1_rleu"])
    assert sentence.startswith("the network has no layer 'dec1_rleu'; the nearest are 'dec1_relu'")


def test_an_operator_without_a_rule() -> None:
    model = parser.parse_model("""
        <ir_version: 10, opset_import: ["": 18]>
        g (float[N, 3, H, W] x) => (float[N, 4, H, W] y)
        <float[4, 3, 1, 1] w1, float[4, 4, 1, 1] w2>
        {
            c = Conv(x, w1)
            a = Relu(c)
            d = Bernoulli(a)
            g = Add(a, d)
            b = Relu(g)
            z = Conv(b, w2)
            y = Softmax<axis = 1>(z)
        }
    """)
    for name, shape in (("w1", (4, 3, 1, 1)), ("w2", (4, 4, 1, 1))):
        values = RANDOM.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    assert export(model, verify=False).artifact.layers[0].name == "b"
    sentence = refusal(OperatorError, model, feature_layers=["a"])
    assert sentence.startswith("Bernoulli (node 'd') has no gradient rule")
    assert "choose a feature layer after it" in sentence


def test_an_argmax_of_no_score() -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18]>'
        "g (float[N, 3, H, W] x) => (int64[N, H, W] y)"
        "{ i = Cast<to = 7>(x) y = ArgMax<axis = 1, keepdims = 0>(i) }"
    )
    assert "is the ArgMax of 'i', which is int64, so it holds no score" in refusal(
        LayerError, model
    )


def test_options_that_do_not_fit() -> None:
    assert "names 2 classes, but the score has 4" in refusal(
        InputError, networks.unet(), classes=["a", "b"]
    )
    assert "the network has no input 'image'" in refusal(
        InputError, networks.unet(), picture_input="image"
    )


def test_no_network() -> None:
    assert "is not an ONNX" in refusal(ModelError, b"\x89PNG\r\n")


def test_damaged_metadata_of_the_network() -> None:
    model = networks.unet()
    helper.set_model_props(model, {METADATA_KEY: json.dumps({"format": 1, "classes": 5})})
    assert "has damaged metadata under 'ortcam'" in refusal(ModelError, model)


def test_a_network_that_does_not_give_numbers() -> None:
    model = networks.unet()
    bias = next(t for t in model.graph.initializer if t.name == "logits.bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), "logits.bias"))
    assert "nan" in refusal(VerificationError, model).casefold() or "not finite" in refusal(
        VerificationError, model
    )


def test_volumes_are_explained_too() -> None:
    g = networks.Builder(0)
    w = g.weight("w", 4, 1, 3, 3, 3, fan_in=27)
    a = g.relu(g.node("Conv", ["input", w], "conv", pads=[1] * 6), "relu")
    v = g.weight("v", 2, 4, 1, 1, 1, fan_in=4)
    g.node("Softmax", [g.node("Conv", [a, v], "logits")], "probabilities", axis=1)
    shape: list[Any] = ["N", 1, "D", "H", "W"]
    model = g.model(
        {"probabilities": (TensorProto.FLOAT, ["N", 2, "D", "H", "W"])},
        {"input": (TensorProto.FLOAT, shape)},
    )
    exported = export(model)
    assert exported.artifact.expects.preprocess is None
    assert exported.artifact.layers[0].name == "relu"
    assert exported.artifact.verification is not None
