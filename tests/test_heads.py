"""Heads of every kind, from the network to the figure, and their maps against autograd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto

import ortcam
from ortcam.cli import main
from ortcam.errors import LayerError
from ortcam_export import export, layers

PICTURE = np.random.default_rng(2).integers(0, 256, (22, 30, 3), np.uint8)


def pooled_map(classes: int = 4) -> onnx.ModelProto:
    """A classifier whose scores keep their space, [N, C, 1, 1]."""
    g = networks.Builder(0)
    x = g.block(g.block("input", 3, 6, "a"), 6, 8, "b", strides=[2, 2])
    pooled = g.node("GlobalAveragePool", [x], "pooled")
    g.node("Softmax", [g.conv(pooled, 8, classes, "logits", k=1)], "probabilities", axis=1)
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", classes, 1, 1])})


# name: the network, the options of the export, the layer and the score that it chooses
HEADS: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, Any], str, str]] = {
    "softmax": (networks.unet, {}, "dec1_relu", "probabilities"),
    "one sigmoid": (networks.unet_sigmoid, {}, "dec1_relu", "mask"),
    "several sigmoids": (lambda: networks.unet_sigmoid(classes=3), {}, "dec1_relu", "mask"),
    "argmax of logits": (networks.unet_argmax, {}, "dec1_relu", "logits.softmax"),
    "argmax of a softmax": (
        lambda: networks.unet_argmax(softmax=True),
        {},
        "dec1_relu",
        "probabilities",
    ),
    "the second output": (
        networks.unet_two_heads,
        {"reduction_layer": "aux", "score": "softmax"},
        "enc2_relu",
        "aux.softmax",
    ),
    "channels last": (networks.channels_last, {}, "head_relu", "probabilities"),
    "classifier": (networks.classifier, {}, "b_relu", "probabilities"),
    "classifier of a map": (pooled_map, {}, "b_relu", "probabilities"),
    "one scale's anchors": (
        networks.anchors,
        {"reduction_layer": "class_4", "score": "sigmoid"},
        "class_4_hidden_relu",
        "class_4.sigmoid",
    ),
    "the product of queries": (
        lambda: networks.queries(product=True),
        {"reduction_layer": "segmentation", "score": "logits"},
        "b_relu",
        "segmentation",
    ),
}


@pytest.mark.torch
@pytest.mark.parametrize("head", HEADS)
def test_from_the_network_to_the_figure(head: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    make, options, layer, score = HEADS[head]
    model = make()
    exported = export(model, rescale=1 / 255, size=(30, 22), **options)
    assert exported.artifact.verification is not None
    assert (exported.artifact.layers[0].name, exported.artifact.score.name) == (layer, score)
    cam = ortcam.load(exported.model, "cpu")
    explanation = cam.explain(PICTURE)
    expected = reference(model, cam, explanation.indices)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(explanation.raw[layer], np.maximum(expected, 0), atol=1e-4 * scale)
    explanation.save(tmp_path / "figure.png")
    assert explanation.overlay(explanation.indices[0]).size == (30, 22)
    if exported.artifact.score.name == "probabilities" and head.startswith("classifier"):
        assert len(explanation.classes) == 1
    else:
        assert cam.segment(PICTURE).labels.shape == (22, 30)


def reference(model: onnx.ModelProto, cam: ortcam.Cam, indices: tuple[int | None, ...]) -> Any:
    """The weighted sums of the single layer [classes, h, w], by autograd in float64."""
    import torch
    from reference import run

    artifact = cam.artifact
    (layer,) = artifact.layers
    while model.graph.node[-1].op_type == "ArgMax":
        del model.graph.node[-1]
    env = run(model, {"input": cam.preprocess(PICTURE)})
    logits, _, appended = artifact.score.name.partition(".")
    scored = env[logits].moveaxis(artifact.score.class_axis, 1)
    if appended:
        scored = scored.softmax(1) if appended == "softmax" else scored.sigmoid()
    features = env[layer.name]
    maps = []
    for index in indices:
        total = scored[0, index].sum()
        (gradient,) = torch.autograd.grad(total, features, retain_graph=True)
        g, a = (t.moveaxis(layer.channel_axis, 1)[0] for t in (gradient, features))
        maps.append((g.mean((1, 2))[:, None, None] * a).sum(0).detach().numpy())
    return np.stack(maps)


# ---- Several outputs


def test_other_outputs_are_noted_and_can_be_chosen() -> None:
    notes = export(networks.unet_two_heads(), verify=False).notes
    assert "other outputs have scores too: 'aux'; choose by reduction_layer=" in notes
    scores = [c for c in layers(networks.unet_two_heads()) if c.kind == "reduction"]
    assert [(c.name, c.chosen) for c in scores] == [("out", True), ("aux", False)]


def test_the_command_names_its_options(tmp_path: Path) -> None:
    onnx.save(networks.unet_two_heads(), tmp_path / "net.onnx")
    result = CliRunner().invoke(
        main, ["export", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "a.onnx"), "--no-verify"]
    )
    assert "too: 'aux'; choose by --reduction-layer\n" in result.output
    assert "changes every map; --score logits explains the logits" in result.output
    assert "say it by --rescale, --mean, --std and --bgr\n" in result.output


# ---- Separate classes and masks


def test_a_detectors_classes_are_a_score_over_its_list() -> None:
    exported = export(networks.anchors(), size=(32, 32))
    score = exported.artifact.score
    assert (score.name, score.kind, score.axes) == (
        "class_probabilities",
        "sigmoid",
        ("batch", "class", "list"),
    )
    assert score.reason == (
        "'output0' [N, 12, ?] lists boxes, 3 classes and 5 further rows side by side (boxes by "
        "'box_4' and 'box_8', classes by 'class_4' and 'class_8')"
    )
    assert "prototypes" in [c.taken_for for c in layers(networks.anchors())]


def test_queries_are_refused() -> None:
    with pytest.raises(LayerError) as caught:
        export(networks.queries())
    assert str(caught.value) == (
        "the outputs 'class_queries' [N, 6, 4] and 'mask_queries' [N, 6, ?, ?] hold the "
        "classes and the masks of queries apart, so none scores a class by place; add their "
        "product, the sum over queries of class probability times mask probability, to the "
        "network, and name it by reduction_layer=, with score='logits'"
    )


# ---- A constant score


def test_a_score_that_does_not_respond_is_reported() -> None:
    """With equal weights for every class, the softmax is constant."""
    model = networks.unet()
    for tensor in model.graph.initializer:
        if tensor.name in ("logits.weight", "logits.bias"):
            values = np.ones(tuple(tensor.dims), np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(ortcam.errors.VerificationError) as caught:
        export(model, size=(30, 22))
    assert str(caught.value).startswith(
        "the score does not respond to 'dec1_relu': shifting its features changes no class on "
        "the trial picture"
    )
