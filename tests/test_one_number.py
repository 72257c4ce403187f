"""Scores that are no class scores, explained as they are: one number, several, planes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import handmade
import networks
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto
from PIL import Image

import ortcam
from ortcam import Box, Component, Predicted, about
from ortcam.artifact import Expectations, Layer, Preprocessing, Score
from ortcam.cli import main
from ortcam.errors import ModelError, RegionError

RGB = np.random.default_rng(4).integers(0, 256, (20, 26, 3), np.uint8)
EXPECTS = Expectations(preprocess=Preprocessing())


def regression(values: int) -> bytes:
    """``a``, pooled, and a matrix to [N, values]."""
    g = networks.Builder(2)
    a = g.relu(g.conv("input", 3, 8, "conv", strides=[2, 2]), "a")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    g.node("Gemm", [flat, g.weight("w", 8, values, fan_in=8)], "score")
    return handmade.artifact(
        g.model({"score": (TensorProto.FLOAT, ["N", values])}),
        Score(name="score", kind="linear", axes=("batch", "class")),
        [Layer(name="a", weights="a.weights")],
        expects=EXPECTS,
    )


def depth() -> bytes:
    """A depth at each pixel, [N, 1, H, W], behind a ReLU."""
    g = networks.Builder(3)
    a = g.relu(g.conv("input", 3, 8, "conv"), "a")
    g.relu(g.conv(a, 8, 1, "far"), "score")
    return handmade.artifact(
        g.model({"score": (TensorProto.FLOAT, ["N", 1, "H", "W"])}),
        Score(name="score", kind="linear", axes=("batch", "class", "space", "space")),
        [Layer(name="a", weights="a.weights")],
        expects=EXPECTS,
    )


def load(model: bytes) -> ortcam.Cam:
    return ortcam.load(model, "cpu", threads=1)


def test_what_raises_and_what_lowers_one_number() -> None:
    cam = load(regression(1))
    assert cam.classes == ("value",)
    explanation = cam.explain(RGB, preset="raw")
    assert explanation.classes == ("value", "-value")
    assert explanation.captions == ("what raises value", "what lowers value")
    raises, lowers = explanation.raw["a"]
    np.testing.assert_array_equal(lowers, -raises)
    assert raises.any()
    assert explanation.indices == (0, None)
    for lowering in ("-0", "-value", "- value"):
        from ortcam.questions.question import parse

        one = cam.explain(RGB, [parse(lowering, cam.classes)], preset="raw")
        assert one.captions == ("what lowers value",)
        np.testing.assert_array_equal(one.raw["a"][0], lowers)


def test_the_largest_of_several_numbers() -> None:
    cam = load(regression(4))
    assert cam.classes == ("channel 0", "channel 1", "channel 2", "channel 3")
    explanation = cam.explain(RGB)
    best = int(explanation.score.argmax())
    assert explanation.classes == (f"channel {best}",)
    assert any(
        f"of the 4 values of the score the largest is explained, channel {best};" in note
        for note in explanation.notes
    )
    assert cam.explain(RGB, ["channel 1", 3]).classes == ("channel 1", "channel 3")


def test_a_plane_of_numbers_has_places_and_no_segmentation() -> None:
    cam = load(depth())
    explanation = cam.explain(RGB, region=Box(3, 4, 9, 8))
    assert explanation.classes[1] == "-value in the box 3,4,9,8"
    assert explanation.captions[1] == "what lowers value in the box 3,4,9,8"
    assert explanation.segmentation is None
    whole = cam.explain(RGB, about(0).at(5, 5), preset="raw")
    assert whole.regions[0] is not None
    reason = "'score' of the model holds values that are no class scores as far as is known"
    for where in (Predicted(), Component(3, 3)):
        with pytest.raises(RegionError, match=reason):
            cam.explain(RGB, 0, region=where)
    with pytest.raises(ModelError, match=f"{reason}.*score='softmax'"):
        cam.segment(RGB)


def test_the_titles_of_figures_and_reports(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    explanation = load(regression(1)).explain(RGB)
    titles = [axes.get_title() for axes in explanation.figure().axes]
    assert "Grad-CAM: what raises value" in [t.removesuffix(", all zero") for t in titles]
    explanation.save(tmp_path / "e.html")
    text = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert "what lowers value" in text
    assert "<caption>Value</caption>" in text
    assert f"{float(explanation.score[0]):.3g}" in text


def test_classes_too_have_what_lowers_them() -> None:
    cam = handmade.cam(
        networks.classifier(),
        Score(name="probabilities", axes=("batch", "class")),
        [Layer(name="b_relu", weights="b_relu.weights")],
        expects=EXPECTS,
    )
    explanation = cam.explain(RGB, [-about(1), about(1) - about(2), (-2 * about(0)).named("x")])
    assert explanation.classes == ("-class 1", "class 1 - class 2", "x")
    assert explanation.captions == ("what lowers class 1", "class 1 - class 2", "x")


@pytest.mark.parametrize("typed", ["-0", "-value", "- value"])
def test_the_command_takes_a_leading_minus(typed: str, tmp_path: Path) -> None:
    (tmp_path / "age.cam.onnx").write_bytes(regression(1))
    Image.fromarray(RGB).save(tmp_path / "a.png")
    arguments = [tmp_path / "age.cam.onnx", tmp_path / "a.png", "-o", tmp_path / "a.npz"]
    result = CliRunner().invoke(main, ["explain", *map(str, arguments), "-c", typed])
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["classes"].tolist() == ["-value"]


def clip() -> Any:
    """Two towers: a picture's and a text's embedding, and the logits of each text, transposed."""
    g = networks.Builder(7)
    a = g.relu(g.conv("input", 3, 8, "conv", strides=[2, 2]), "a")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    picture = g.node("Gemm", [flat, g.weight("w", 8, 5, fan_in=8)], "image_embeds")
    words = g.node("Gather", [g.weight("table", 11, 5, fan_in=5), "input_ids"], "words")
    text = g.node("ReduceMean", [words, g.constant("axis", [1])], "text_embeds", keepdims=0)
    across = g.node("Transpose", [picture], "across", perm=[1, 0])
    per_text = g.node("MatMul", [text, across], "logits_per_text")
    g.node("Transpose", [per_text], "logits_per_image", perm=[1, 0])
    inputs: dict[str, tuple[int, networks.Shape]] = {
        "input": (TensorProto.FLOAT, ["N", 3, "H", "W"]),
        "input_ids": (TensorProto.INT64, ["texts", "length"]),
    }
    return g.model({"logits_per_image": (TensorProto.FLOAT, ["N", "texts"])}, inputs)


def test_a_picture_and_the_texts_that_it_is_compared_with(tmp_path: Path) -> None:
    """The texts are a further input, and the class names are the texts."""
    names = ("a cat", "a dog", "a car")
    expects = Expectations(classes=names, preprocess=Preprocessing())
    artifact = handmade.artifact(
        clip(),
        Score(name="logits_per_image", kind="logits", axes=("batch", "class")),
        [Layer(name="a", weights="a.weights")],
        expects=expects,
    )
    cam = load(artifact)
    tokens: NDArray[np.int64] = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    explanation = cam.explain(RGB, inputs={"input_ids": tokens}, preset="raw")
    assert explanation.classes == (names[int(explanation.score.argmax())],)
    table, w = (
        np.frombuffer(t.raw_data, np.float32).reshape(t.dims)
        for t in clip().graph.initializer
        if t.name in ("table", "w")
    )
    if table.shape != (11, 5):
        table, w = w, table
    features = cam.features(RGB, inputs={"input_ids": tokens})["a"]
    both = cam.explain(RGB, ["a dog", about("a dog") - about("a cat")], preset="raw",
                       inputs={"input_ids": tokens}).raw["a"]  # fmt: skip
    text = table[tokens].mean(axis=1)
    for raw, embedding in zip(both, (text[1], text[1] - text[0]), strict=True):
        exact = np.tensordot(w @ embedding / features[0].size, features, axes=1)
        np.testing.assert_allclose(raw, exact, rtol=1e-4, atol=1e-7)
    (tmp_path / "clip.cam.onnx").write_bytes(artifact)
    np.save(tmp_path / "ids.npy", tokens)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    arguments = [tmp_path / "clip.cam.onnx", tmp_path / "a.png", "-o", tmp_path / "a.npz"]
    options = ["-c", "a dog - a cat", "--input", f"input_ids={tmp_path / 'ids.npy'}"]
    result = CliRunner().invoke(main, ["explain", *map(str, arguments), *options])
    assert result.exit_code == 0, result.output
