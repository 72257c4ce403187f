"""Networks in half, brain and double precision, from their file to their maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from PIL import Image
from quantizing import SIZE, picture, quantized

import ortcam
from ortcam.cli import main
from ortcam.errors import ModelError
from ortcam_export import Exported, export
from ortcam_export.graph.model_io import open_session

Array = NDArray[Any]
LAYERS = ["a_relu", "e_relu"]


def weights(made: Exported, x: Array) -> list[Array]:
    """The weights [K, C] of each layer, every class asked for."""
    artifact = made.artifact
    session = open_session(ir.from_proto(onnx.load_from_string(made.model)))
    feeds: dict[str, Array] = {
        artifact.picture: x,
        artifact.class_weights: np.eye(4, dtype=np.float32)[:, None],
        artifact.region: np.ones((1, 1, 1, 1), np.float32),
    }
    if artifact.mask is not None:
        feeds[artifact.mask] = np.ones(len(artifact.layers), bool)
    names = [layer.weights for layer in artifact.layers]
    found = session.run(names, feeds)
    return [found[name][:, 0] for name in names]


def in_type(model: onnx.ModelProto, element: int) -> onnx.ModelProto:
    """The network with another floating type wherever it has float32."""
    network = ir.from_proto(model)
    for value in network.graph.initializers.values():
        if value.dtype == ir.DataType.FLOAT and value.const_value is not None:
            array = value.const_value.numpy().astype(ir.DataType(element).numpy())
            value.const_value = ir.tensor(array, dtype=ir.DataType(element), name=value.name)
            value.dtype = ir.DataType(element)
    for value in (*network.graph.inputs, *network.graph.outputs):
        value.dtype = ir.DataType(element)
    return ir.to_proto(network)


@pytest.mark.parametrize(
    "options",
    [{"keep_io_types": True}, {}, {"keep_io_types": True, "op_block_list": ["Softmax"]}],
    ids=["float32 outside", "float16 throughout", "softmax in float32"],
)
def test_half_precision_explains_what_float32_does(options: dict[str, Any]) -> None:
    half = convert_float_to_float16(networks.deployed(), **options)
    made = export(half, feature_layers=LAYERS, size=SIZE[::-1])
    checked = made.artifact.verification
    assert checked is not None
    assert checked.form == "in float32"
    element = np.float32 if options else np.float16
    expected = weights(export(networks.deployed(), feature_layers=LAYERS, verify=False), picture(0))
    for ours, theirs in zip(weights(made, picture(0).astype(element)), expected, strict=True):
        assert ours.dtype == np.float32
        assert np.linalg.norm(ours - theirs) < 0.02 * np.linalg.norm(theirs)
    cam = ortcam.load(made.model)
    pixels = (picture(0)[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    explanation = cam.explain(pixels, [0, 2])
    assert np.isfinite(explanation.maps).all()
    assert explanation.maps.any()


def test_a_large_score_in_half_precision_loses_nothing() -> None:
    """A score of 691200 pixels: their sum is ten times what float16 can hold, or is lost.

    Logits that are the features themselves have the class weights as the sum of gradients, and
    such weights a pixel by itself hardly has: 1 / 691200 is below float16's least normal number.
    """
    model = networks.half_precision()
    x = np.random.default_rng(0).random((1, 3, 960, 720), np.float32)
    wide = in_float32(model)
    for score in ("logits", "softmax"):
        options: dict[str, Any] = {"score": score, "feature_layers": ["b_relu"], "verify": False}
        (ours,), (theirs,) = (weights(export(m, **options), x) for m in (model, wide))
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, theirs, rtol=5e-3, atol=5e-3 * abs(theirs).max())
    kernel = next(t for t in wide.graph.initializer if t.name == "logits.weight")
    (ours,) = weights(export(model, score="logits", feature_layers=["b_relu"], verify=False), x)
    np.testing.assert_allclose(ours, numpy_helper.to_array(kernel)[:, :, 0, 0], rtol=1e-3)


def in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """A network of half precision in float32, its weights the same."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for tensor in wide.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for node in wide.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in wide.graph.output:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    return wide


def test_a_network_in_double_precision() -> None:
    """Of what onnxruntime has kernels for in it, Conv not among them; the check runs as it is."""
    g = networks.Builder(0)
    w, b = g.weight("w", 3, 6, fan_in=3), g.weight("b", 6, fan_in=9)
    x = g.node("MatMul", [g.node("Transpose", ["input"], "nhwc", perm=[0, 2, 3, 1]), w], "product")
    a = g.node("Relu", [g.node("Add", [x, b], "moved")], "relu")
    y = g.node("MatMul", [a, g.weight("v", 6, 4, fan_in=6)], "last")
    g.node("Softmax", [g.node("Transpose", [y], "logits", perm=[0, 3, 1, 2])], "scores", axis=1)
    model = g.model({"scores": (TensorProto.FLOAT, ["N", 4, "H", "W"])})
    made = export(in_type(model, TensorProto.DOUBLE), feature_layers=["relu"], size=(96, 64))
    assert made.artifact.numbers == "float64"
    assert made.artifact.verification is not None
    assert made.artifact.verification.form == ""
    picture = np.random.default_rng(0).random((1, 3, 32, 48))
    (ours,) = weights(made, picture)
    (theirs,) = weights(
        export(model, feature_layers=["relu"], size=(96, 64), verify=False),
        picture.astype(np.float32),
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * abs(theirs).max())
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    assert np.isfinite(ortcam.load(made.model).explain(pixels, [0]).maps).all()


@pytest.mark.parametrize(
    ("element", "name"), [(TensorProto.BFLOAT16, "bfloat16"), (TensorProto.DOUBLE, "float64")]
)
def test_formats_that_onnxruntime_has_no_kernel_for(element: int, name: str) -> None:
    with pytest.raises(
        ModelError, match=rf"; the network computes in {name}: convert it to float32"
    ):
        export(in_type(networks.unet(), element), size=(96, 64))


def test_weights_stored_as_brain_floats() -> None:
    """Cast is what onnxruntime has in bfloat16; the network computes in float32."""
    model = networks.unet()
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT:
            stored = helper.make_tensor(
                f"{tensor.name}.stored", TensorProto.BFLOAT16, array.shape, array.ravel()
            )
            cast = helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
            tensor.CopyFrom(stored)
    made = export(model, size=(96, 64))
    x = np.random.default_rng(0).random((1, 3, 32, 48), np.float32)
    (ours,) = weights(made, x)
    (theirs,) = weights(export(networks.unet(), verify=False), x)
    assert np.linalg.norm(ours - theirs) < 0.05 * np.linalg.norm(theirs)


# ---- Quantized, from the command --------------------------------------------------------------


def test_the_command_explains_a_quantized_file(tmp_path: Path) -> None:
    network, artifact = tmp_path / "net.onnx", tmp_path / "net.cam.onnx"
    onnx.save(quantized(networks.deployed()), network)
    pixels = (picture(0)[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "street.png")
    printed = [
        CliRunner().invoke(main, [str(argument) for argument in arguments])
        for arguments in (
            ["layers", network],
            ["export", network, "-o", artifact],
            ["info", artifact],
            ["explain", artifact, tmp_path / "street.png", "-c", 0, "-o", tmp_path / "map.png"],
        )
    ]
    assert [result.exit_code for result in printed] == [0, 0, 0, 0], [r.output for r in printed]
    assert "e_relu_DequantizeLinear_Output" in printed[0].output
    assert "quantized to int8" in printed[2].output
    assert "without the rounding of its quantizers" in printed[2].output
    assert (tmp_path / "map.png").stat().st_size > 0


def test_a_quantized_network_in_two_parts_is_the_whole_one(tmp_path: Path) -> None:
    model = quantized(networks.deployed())
    pixels = (picture(0)[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    explained = []
    for split in (False, True):
        made = export(model, tmp_path / f"{split}.onnx", size=SIZE[::-1], split=split)
        assert made.artifact.verification is not None
        assert made.path is not None
        explained.append(ortcam.load(made.path).explain(pixels, [0, 2]))
    one, two = explained
    np.testing.assert_allclose(two.maps, one.maps, rtol=1e-4, atol=1e-5 * one.maps.max())
