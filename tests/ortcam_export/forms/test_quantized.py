"""Quantized networks, from their file to their maps, against the float32 ones they come from.

That their gradient is the straight-through one is checked where the rules are, by hand and against
PyTorch; here it is whether it explains what the float32 network's does.
"""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType
from quantizing import SIZE, picture, quantized

import ortcam
from ortcam.errors import VerificationError
from ortcam_export import Exported, export, layers
from ortcam_export.gradient.rules import quantization
from ortcam_export.graph.model_io import open_session
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.verify.ablations import verify_ablations
from ortcam_export.verify.forms.without_rounding import RemoveRounding, is_quantized

FORMATS: dict[str, dict[str, Any]] = {
    "int8": {},
    "int8, by channel": {"per_channel": True},
    "uint8": {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8},
    "int16": {"activation_type": QuantType.QInt16},
    # More pictures: half of each range is empty, and processors without VNNI cut large sums off.
    "int8, symmetric": {"extra_options": {"ActivationSymmetric": True}, "pictures": 24},
    "int8, ReLUs kept": {"extra_options": {"QDQKeepRemovableActivations": True}},
    "int8, preprocessed": {"preprocess": True},
    "uint8, preprocessed, by channel": {
        "preprocess": True,
        "per_channel": True,
        "activation_type": QuantType.QUInt8,
    },
    "int8, weights in pairs": {"extra_options": {"AddQDQPairToWeight": True}},
}
OUTPUT = "_DequantizeLinear_Output"


def unrounded(model: ir.Model) -> ir.Model:
    return RemoveRounding()(model).model


def explained(
    model: onnx.ModelProto, *names: str, **options: Any
) -> tuple[Exported, list[NDArray[Any]], list[NDArray[Any]]]:
    """The artifact, and for each layer its weights [K, C] and maps [K, h, w] of a picture."""
    made = export(model, feature_layers=names, size=SIZE[::-1], **options)
    feeds = {
        "input": picture(0),
        "class_weights": np.eye(4, dtype=np.float32)[:, None],
        "region": np.ones((1, 1, 1, 1), np.float32),
    }
    if made.artifact.mask is not None:
        feeds[made.artifact.mask] = np.ones(len(names), bool)
    session = open_session(ir.from_proto(onnx.load_from_string(made.model)))
    weights, maps = [], []
    for layer in made.artifact.layers:
        w, f = session.run([layer.weights, layer.name], feeds).values()
        weights.append(w[:, 0])
        maps.append(np.maximum(np.einsum("kc,chw->khw", w[:, 0], f[0]), 0))
    return made, weights, maps


def correlation(mine: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.corrcoef(mine.ravel(), other.ravel())[0, 1])


def least(ours: list[NDArray[Any]], theirs: list[NDArray[Any]]) -> float:
    """The lowest correlation of the weights of a layer and a class."""
    pairs = zip(ours, theirs, strict=True)
    return min(correlation(m, o) for one, two in pairs for m, o in zip(one, two, strict=True))


def in_quantized(model: onnx.ModelProto, names: list[str]) -> list[str]:
    """What the layers of the float32 network are called in the quantized one."""
    there = {name for node in model.graph.node for name in node.output}
    return [name + OUTPUT if name + OUTPUT in there else name for name in names]


LAYERS = ["a_relu", "pool", "depth_relu", "sum_relu", "cat", "e_relu"]


@pytest.mark.parametrize("name", FORMATS)
def test_weights_and_maps_are_those_of_the_float_network(name: str) -> None:
    model = quantized(networks.deployed(), **FORMATS[name])
    names = in_quantized(model, LAYERS)
    assert all(layer.endswith(OUTPUT) for layer in names)
    made, weights, maps = explained(model, *names)
    _, expected, expected_maps = explained(networks.deployed(), *LAYERS)
    assert least(weights, expected) > 0.98
    assert min(map(correlation, maps, expected_maps)) > 0.98
    checked = made.artifact.verification
    assert checked is not None
    assert checked.error < 5e-3
    assert checked.form == "without the rounding of its quantizers"


@pytest.mark.parametrize("name", FORMATS)
def test_the_layer_chosen_is_the_one_after_the_quantizer(name: str) -> None:
    """A ReLU, or a Clip at 6, is folded into the quantizer in most of these."""
    model = quantized(networks.deployed(), **FORMATS[name])
    artifact = export(model, verify=False).artifact
    assert artifact.layers[0].name == f"e_relu{OUTPUT}"
    producer = next(n for n in model.graph.node if artifact.score.name in n.output)
    assert producer.op_type == "Softmax"  # not what it is rounded to
    assert artifact.numbers.startswith("float32, quantized to ")


def test_the_layers_offered() -> None:
    found = {layer.name: layer for layer in layers(quantized(networks.deployed()))}
    kept = [name.removesuffix(OUTPUT) for name, layer in found.items() if layer.kind == "feature"]
    assert kept == [*LAYERS[:4], "mean", "up", *LAYERS[4:], "logits"]
    chosen = found[f"e_relu{OUTPUT}"]
    assert chosen.chosen
    assert chosen.operator == "DequantizeLinear of Conv"
    assert chosen.reached


def test_the_float_networks_name_is_of_what_the_quantizer_reads() -> None:
    made = export(quantized(networks.deployed()), feature_layers=["e_relu"], size=SIZE[::-1])
    assert made.artifact.layers[0].name == "e_relu"
    assert (
        "'e_relu' is quantized before the network goes on with it, and cut off to the quantizer's "
        f"range, which a ReLU may be part of; after that it is 'e_relu{OUTPUT}'"
    ) in made.notes
    named = export(quantized(networks.deployed()), feature_layers=["e_relu_DequantizeLinear"])
    assert named.artifact.layers[0].name == f"e_relu{OUTPUT}"


def test_a_silu_written_out_is_known_between_quantizers() -> None:
    g = networks.Builder(0)
    a = g.conv("input", 3, 6, "a")
    silu = g.node("Mul", [a, g.node("Sigmoid", [a], "gate")], "silu")
    g.node("Softmax", [g.conv(silu, 6, 4, "logits")], "probabilities", axis=1)
    model = g.model({"probabilities": (TensorProto.FLOAT, ["N", 4, "H", "W"])})
    exported = export(quantized(model), size=SIZE[::-1])
    assert exported.artifact.layers[0].name == f"silu{OUTPUT}"
    assert "the last activation (DequantizeLinear of Mul)" in "".join(exported.notes)


def test_a_classifier_with_gemm() -> None:
    found = {}
    for name, model in {
        "b_relu": networks.classifier(2, classes=4),
        f"b_relu{OUTPUT}": quantized(networks.classifier(2, classes=4)),
    }.items():
        made = export(model, size=SIZE[::-1])
        assert made.artifact.layers[0].name == name
        feeds = {
            "input": picture(0),
            "class_weights": np.eye(4, dtype=np.float32)[:, None],
            "region": np.ones((1, 1), np.float32),
        }
        run = open_session(ir.from_proto(onnx.load_from_string(made.model))).run
        found[name] = run([f"{name}.weights"], feeds)[f"{name}.weights"][:, 0]
    assert least(*([weights] for weights in found.values())) > 0.99


def test_the_runtime_explains_it() -> None:
    cam = ortcam.load(export(quantized(networks.deployed()), size=SIZE[::-1]).model)
    pixels = (picture(0)[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    explanation = cam.explain(pixels, [0, 2])
    assert np.isfinite(explanation.maps).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["int8", "int8, by channel", "int16"])
def test_a_convolution_without_a_bias_is_checked_too(name: str) -> None:
    """Each layer by itself; where its input is 0 it gives 0, which is the kink of a folded ReLU."""
    model = quantized(networks.deployed(bias=False), **FORMATS[name])
    for layer in in_quantized(model, LAYERS):
        checked = export(model, feature_layers=[layer], size=SIZE[::-1]).artifact.verification
        assert checked is not None
        assert checked.error < 1e-2


# ---- The check --------------------------------------------------------------------------------


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passing what lies outside the range, such as a folded ReLU's negative numbers, is wrong."""
    model = quantized(networks.deployed())
    monkeypatch.setattr(quantization, "cut_off_at", lambda node: (-np.inf, np.inf))
    with pytest.raises(VerificationError, match="is off by"):
        export(model, feature_layers=[f"a_relu{OUTPUT}"], size=SIZE[::-1])


def of_nodes(*nodes: onnx.NodeProto, opset: int = 21) -> ir.Model:
    info = helper.make_tensor_value_info
    constants: dict[str, NDArray[Any]] = {
        "s": np.array(0.1, np.float32),
        "z": np.array(-100, np.int8),
        "scales": np.array([0.1, 0.2, 0.4], np.float32),
        "zeros": np.array([-128, 0, 50], np.int8),
        "w": np.arange(-6, 6, dtype=np.int8).reshape(3, 4),
        "w4": np.arange(-6, 6, dtype=np.int8).reshape(4, 3, 1, 1),
        "columns": np.array([1, -2, 3, 0], np.int8),
        "pads": np.array([0, 0, 1, 1, 0, 0, 0, 0], np.int64),
    }
    graph = helper.make_graph(
        list(nodes),
        "g",
        [info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return prepare(load(helper.make_model(graph, opset_imports=opsets, ir_version=10)))


NODE = helper.make_node
QUANTIZE = NODE("QuantizeLinear", ["x", "s", "z"], ["q"])


def run(model: ir.Model, x: NDArray[np.float32]) -> NDArray[Any]:
    return open_session(model).run(["y"], {"x": x})["y"]


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(5, 9, shape).astype(np.float32)


def test_without_rounding_a_pair_cuts_off_and_nothing_else() -> None:
    model = of_nodes(QUANTIZE, NODE("DequantizeLinear", ["q", "s", "z"], ["y"]))
    x = noise(2, 3, 9, 9)
    expected = np.clip(x, (-128.5 + 100) * 0.1, (127.5 + 100) * 0.1)
    assert (x < expected).any()
    assert (x > expected).any()
    np.testing.assert_allclose(run(unrounded(model), x), expected, atol=1e-5)
    assert is_quantized(model)
    assert not is_quantized(unrounded(model))


def test_without_rounding_along_an_axis() -> None:
    model = of_nodes(
        NODE("QuantizeLinear", ["x", "scales", "zeros"], ["q"], axis=-3),
        NODE("DequantizeLinear", ["q", "scales", "zeros"], ["y"], axis=1),
    )
    x = noise(2, 3, 9, 9) * 4
    s, z = (np.array(v).reshape(3, 1, 1) for v in ([0.1, 0.2, 0.4], [-128, 0, 50]))
    expected = np.clip(x, (-128.5 - z) * s, (127.5 - z) * s)
    np.testing.assert_allclose(run(unrounded(model), x), expected, atol=1e-4)


def test_what_stands_between_works_on_real_numbers() -> None:
    """Also where it reads other whole numbers, as a Pad what it fills in."""
    model = of_nodes(
        QUANTIZE,
        NODE("MaxPool", ["q"], ["p"], kernel_shape=[2, 2]),
        NODE("Pad", ["p", "pads", "z"], ["f"]),
        NODE("Concat", ["f", "f"], ["c"], axis=1),
        NODE("DequantizeLinear", ["c", "s", "z"], ["y"]),
    )
    x = noise(1, 3, 6, 6)
    found = run(unrounded(model), x)
    assert abs(found - run(model, x)).max() <= 0.0501
    assert abs(found - run(model, x)).max() > 0.03
    assert not found[:, :, 0].any()


def test_without_rounding_branches_do_not_round_either() -> None:
    """Nor what they read, or give, as whole numbers."""

    def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        q = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.INT8, None)
        return helper.make_graph(list(nodes), name, [], [q])

    model = of_nodes(
        QUANTIZE,
        NODE("ReduceMax", ["x"], ["highest"], keepdims=0),
        NODE("Greater", ["highest", "s"], ["bright"]),
        NODE(
            "If",
            ["bright"],
            ["i"],
            then_branch=branch(
                "then",
                NODE("DequantizeLinear", ["q", "s", "z"], ["real"]),
                NODE("Sin", ["real"], ["wave"]),
                NODE("QuantizeLinear", ["wave", "s", "z"], ["then_q"]),
            ),
            else_branch=branch("else", NODE("Identity", ["q"], ["else_q"])),
        ),
        NODE("DequantizeLinear", ["i", "s", "z"], ["y"]),
    )
    low, high = (-128.5 + 100) * 0.1, (127.5 + 100) * 0.1
    x = noise(1, 3, 6, 6)
    np.testing.assert_allclose(run(unrounded(model), x), np.sin(np.clip(x, low, high)), atol=1e-5)
    x = -abs(x)
    np.testing.assert_allclose(run(unrounded(model), x), np.clip(x, low, high), atol=1e-5)
    assert not is_quantized(unrounded(model))


@pytest.mark.parametrize("name", ["int8", "uint8, preprocessed, by channel"])
def test_channels_are_left_out_of_a_quantized_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checked without its rounding, which two runs may do otherwise, and done with it."""
    checked = []

    def noted(network: ir.Model, *args: Any) -> None:
        checked.append(is_quantized(network))
        verify_ablations(network, *args)

    monkeypatch.setattr("ortcam_export.verify.add_ablations.verify_ablations", noted)
    model = quantized(networks.deployed(), **FORMATS[name])
    made = export(
        model,
        feature_layers=["e_relu" + OUTPUT],
        size=SIZE[::-1],
        methods=["ablation-cam", "score-cam"],
    )
    rgb = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    exact = export(
        networks.deployed(),
        feature_layers=["e_relu"],
        size=SIZE[::-1],
        methods=["ablation-cam", "score-cam"],
    )
    for method in ("ablation-cam", "score-cam"):
        mine, other = (
            list(ortcam.load(one.model, "cpu").explain(rgb, method=method).weights.values())
            for one in (made, exact)
        )
        assert least(mine, other) > 0.9, method
    assert checked == [False, False]


@pytest.mark.parametrize("zero", ["", "columns"])
@pytest.mark.parametrize("op_type", ["MatMulInteger", "ConvInteger"])
def test_without_rounding_a_dynamic_quantizer_is_the_identity(op_type: str, zero: str) -> None:
    dense = op_type == "MatMulInteger"
    model = of_nodes(
        NODE("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1] if dense else [0, 1, 2, 3]),
        NODE("DynamicQuantizeLinear", ["t"], ["q", "qs", "qz"]),
        NODE(op_type, ["q", "w" if dense else "w4", "qz", zero], ["i"]),
        NODE("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        NODE("Mul", ["f", "qs"], ["y"]),
    )
    x = noise(1, 3, 4, 5)
    moved = np.array([1, -2, 3, 0]) if zero else np.zeros(4)
    w = np.arange(-6, 6).reshape(3, 4) - moved
    if dense:
        expected = x.transpose(0, 2, 3, 1) @ w
    else:
        w4 = np.arange(-6, 6).reshape(4, 3) - moved[:, None]
        expected = np.einsum("oc,nchw->nohw", w4, x)
    np.testing.assert_allclose(run(unrounded(model), x), expected, rtol=1e-4, atol=1e-3)
