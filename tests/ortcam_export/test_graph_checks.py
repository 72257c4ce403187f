"""The checks that ``ortcam evaluate`` takes from an artifact's graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from PIL import Image
from quantizing import SIZE, quantized

import ortcam
from ortcam_export import export
from ortcam_export.graph_checks import Checked

LAYERS = ("enc1_relu", "dec1_relu")


def picture() -> NDArray[np.uint8]:
    y, x = np.mgrid[0:64, 0:96]
    waves = [np.sin(x / 9 + c) * np.cos(y / 7 - c) for c in range(3)]
    noise = np.random.default_rng(0).normal(0, 8, (64, 96, 3))
    return np.clip(127 + 90 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


def made(
    folder: Path, make: Callable[..., onnx.ModelProto] = networks.unet, **options: Any
) -> tuple[ortcam.Cam, Checked]:
    path = folder / "artifact.onnx"
    export(make(), path, **{"feature_layers": LAYERS, "size": (96, 64), "verify": False, **options})
    cam = ortcam.load(path, "cpu")
    return cam, Checked(path, cam.artifact)


def errors(cam: ortcam.Cam, checked: Checked) -> dict[str, float]:
    feeds = {cam.artifact.picture: cam.preprocess(picture())}
    return checked.gradient_errors(cam._graph.session, feeds)


@pytest.mark.parametrize("options", [{}, {"split": True}, {"methods": "all"}], ids=str)
def test_the_gradient_on_a_picture_agrees_with_differences(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    measured = errors(*made(tmp_path, **options))
    assert set(measured) == set(LAYERS)
    assert max(measured.values()) < 1e-2


def test_it_does_so_in_half_precision(tmp_path: Path) -> None:
    cam, checked = made(tmp_path, networks.half_precision, feature_layers=("a_relu", "b_relu"))
    assert max(errors(cam, checked).values()) < 1e-2


@pytest.mark.parametrize("split", [False, True])
def test_it_does_so_where_the_network_rounds(tmp_path: Path, split: bool) -> None:
    network = quantized(networks.deployed())
    cam, checked = made(
        tmp_path,
        lambda: network,
        feature_layers=["e_relu_DequantizeLinear_Output"],
        size=SIZE[::-1],
        methods=["ablation-cam"],
        split=split,
    )
    assert max(errors(cam, checked).values()) < 1e-2


def test_a_wrong_gradient_is_found(tmp_path: Path) -> None:
    """The artifact's file holds twice the weights, and the check reads it."""
    made(tmp_path)
    model = onnx.load(tmp_path / "artifact.onnx")
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name == "dec1_relu.weights":
                node.output[i] = "half"
    two = numpy_helper.from_array(np.array(2, np.float32), "two")
    model.graph.initializer.append(two)
    double = onnx.helper.make_node("Mul", ["half", "two"], ["dec1_relu.weights"])
    model.graph.node.append(double)
    onnx.save(model, tmp_path / "wrong.onnx")
    cam = ortcam.load(tmp_path / "wrong.onnx", "cpu")
    measured = errors(cam, Checked(tmp_path / "wrong.onnx", cam.artifact))
    assert measured["dec1_relu"] == pytest.approx(1, rel=0.15)
    assert measured["enc1_relu"] < 1e-2


def test_shuffled_weights_are_the_same_numbers_from_the_score_down(tmp_path: Path) -> None:
    _, checked = made(tmp_path)
    names = [node.outputs[0].name for node in checked.weighted]
    trained = weights(checked.network)
    for last in (2, 4):
        model, tensor = checked.shuffled(last, LAYERS, [], seed=0)
        assert tensor == names[-last]
        other = Checked(written(tmp_path, model), ortcam.load(model, "cpu").artifact)
        shuffled = weights(other.network)
        assert list(shuffled) == list(trained)
        for i, name in enumerate(trained):
            same = np.array_equal(shuffled[name], trained[name])
            assert same == (i < len(names) - last), name
            np.testing.assert_array_equal(
                np.sort(shuffled[name], None), np.sort(trained[name], None)
            )
    again, _ = checked.shuffled(2, LAYERS, [], seed=0)
    fewer = weights(Checked(written(tmp_path, again), ortcam.load(again, "cpu").artifact).network)
    for name in list(trained)[-2:]:
        np.testing.assert_array_equal(fewer[name], shuffled[name])


def test_the_artifact_of_shuffled_weights_is_right_too(tmp_path: Path) -> None:
    _, checked = made(tmp_path)
    model, _ = checked.shuffled(len(checked.weighted), LAYERS, ["hires-cam"], seed=1)
    cam = ortcam.load(model, "cpu")
    assert cam.layers == LAYERS
    assert max(errors(cam, Checked(written(tmp_path, model), cam.artifact)).values()) < 1e-2
    assert cam.explain(picture(), 0, method="hires-cam").raw["dec1_relu"].any()


def written(folder: Path, model: bytes) -> Path:
    path = folder / "shuffled.onnx"
    path.write_bytes(model)
    return path


def weights(network: Any) -> dict[str, NDArray[Any]]:
    """The kernels of each node with weights, by its output's name."""
    return {
        node.outputs[0].name: node.inputs[1].const_value.numpy()
        for node in network.graph
        if len(node.inputs) > 1
        and node.inputs[1] is not None
        and node.inputs[1].const_value is not None
        and node.inputs[1].const_value.numpy().ndim > 1
    }


def test_the_maps_of_shuffled_weights_fall_away(tmp_path: Path) -> None:
    """The further down the cascade goes, the less similar the maps are."""
    cam, _ = made(tmp_path, methods=["hires-cam"])
    Image.fromarray(picture()).save(tmp_path / "picture.png")
    summary = ortcam.evaluate(
        cam,
        tmp_path / "picture.png",
        tmp_path / "out",
        metrics=["gradient", "randomisation"],
        methods=["grad-cam", "hires-cam"],
        layers=["dec1_relu"],
        stages=3,
        min_area=0.02,
    ).summary
    likeness = {
        (line.other, line.method): line.mean
        for line in summary.lines
        if line.metric == "randomised-spearman" and not line.cls
    }
    last = f"{len(Checked(tmp_path / 'artifact.onnx', cam.artifact).weighted)} of"
    for (other, method), value in likeness.items():
        if other.startswith(last):
            assert value is not None
            assert value < 0.6, (method, likeness)
    assert len(likeness) == 6
    (error,) = (line for line in summary.lines if line.metric == "gradient-error")
    assert error.mean is not None
    assert error.mean < 1e-2


def values() -> onnx.ModelProto:
    """Five values that are no class scores as far as is known."""
    g = networks.Builder(0)
    a = g.block(g.block("input", 3, 4, "a"), 4, 8, "b", strides=[2, 2])
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    g.node("Gemm", [flat, g.weight("last", 8, 5, fan_in=8)], "values")
    return g.model({"values": (TensorProto.FLOAT, ["N", 5])})


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (values, {"feature_layers": ["b_relu"]}),
        (networks.channels_last, {"feature_layers": ["deep_relu"]}),
        (networks.anchors, {"feature_layers": ["p8_relu"]}),
        (
            networks.queries,
            {
                "feature_layers": ["b_relu"],
                "reduction_layer": "class_queries",
                "class_axis": 2,
                "score": "softmax",
            },
        ),
        (networks.classifier, {"feature_layers": ["a_relu"], "score": "logits"}),
        (networks.transformer, {"feature_layers": ["sum_0"], "size": None}),
    ],
    ids=["linear", "class axis", "anchors", "queries", "logits", "tokens"],
)
def test_every_kind_of_score_is_checked_and_shuffled(
    tmp_path: Path, make: Callable[..., onnx.ModelProto], options: dict[str, Any]
) -> None:
    cam, checked = made(tmp_path, make, **options)
    assert max(errors(cam, checked).values()) < 1e-2
    (layer,) = cam.layers
    model, _ = checked.shuffled(2, [layer], ["hires-cam"], seed=0)
    other = ortcam.load(model, "cpu")
    assert other.artifact.score == dataclasses.replace(
        cam.artifact.score, reason=other.artifact.score.reason
    )
    assert other.artifact.layers[0].channel_axis == cam.artifact.layers[0].channel_axis
    assert max(errors(other, Checked(written(tmp_path, model), other.artifact)).values()) < 1e-2
