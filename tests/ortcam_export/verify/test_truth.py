"""Verification tells the truth: no false alarm, and no wrong gradient that passes."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from networks import Builder
from numpy.typing import NDArray
from onnx import TensorProto

from ortcam.artifact import Artifact, Layer, Verification
from ortcam.errors import VerificationError
from ortcam.results.describe_artifact import verification as described
from ortcam_export import export, layers
from ortcam_export.verify import gradient
from ortcam_export.verify.central_differences import (
    TOLERANCE,
    GradientError,
    Judgement,
    PictureGradientError,
)
from ortcam_export.verify.questions import Answers
from ortcam_export.verify.run import run

SHIPPED = Path(__file__).parents[3] / "models" / "deeplabv3plus_resnet18_camvid.onnx"

NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    name: getattr(networks, name)
    for name in (
        "unet",
        "unet_sigmoid",
        "classifier",
        "channels_last",
        "volumes",
        "further_inputs",
        "deployed",
        "opset_11",
    )
}


def mutants(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Wrong gradients [K, N, C, ...]: all scaled, and a channel of any weight left out."""
    yield values * 1.02
    others = tuple(axis for axis in range(values.ndim) if axis != 2)
    sizes = np.sqrt(np.square(values, dtype=np.float64).mean(axis=others))
    heavy = np.flatnonzero(sizes > 0.2 * np.sqrt(np.mean(sizes**2)))
    for channel in (heavy[0], heavy[len(heavy) // 2], heavy[np.argmin(sizes[heavy])]):
        wrong = values.copy()
        wrong[:, :, channel] = 0
        yield wrong


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[float, float]]:
    """For each layer verified from now on, its error and the least error of its mutants."""
    errors: dict[str, tuple[float, float]] = {}
    right = gradient._Trial.judge

    def judge(trial: Any, layer: Layer, answers: Answers) -> Judgement:
        kind = "gradients" if layer.name in answers.gradients else "weights"
        values = getattr(answers, kind)[layer.name]
        changes: list[dict[str, Any]] = [{kind: {layer.name: m}} for m in mutants(values)]
        wrong = [
            right(trial, layer, dataclasses.replace(answers, **change)).error for change in changes
        ]
        judgement = right(trial, layer, answers)
        errors[layer.name] = judgement.error + judgement.uncertainty, min(wrong)
        return judgement

    monkeypatch.setattr(gradient._Trial, "judge", judge)
    return errors


def check_all_layers(
    model: Any,
    methods: list[str],
    judged: dict[str, tuple[float, float]],
    *,
    every: int = 1,
    **options: Any,
) -> None:
    names = [layer.name for layer in layers(model) if layer.kind == "feature"][::every]
    for i in range(0, len(names), 6):
        export(model, feature_layers=names[i : i + 6], methods=methods, **options)
    assert set(judged) >= set(names)
    assert {name: error for name, (error, _) in judged.items() if error > 2e-3} == {}
    assert {name: error for name, (_, error) in judged.items() if error <= TOLERANCE} == {}


@pytest.mark.parametrize("methods", [[], ["hires-cam", "gradient"]])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "unet" else pytest.mark.slow) for name in NETWORKS],
)
def test_every_layer_is_verified_and_every_wrong_gradient_is_found(
    name: str, methods: list[str], judged: dict[str, tuple[float, float]]
) -> None:
    if name == "volumes" and "gradient" in methods:
        methods = ["hires-cam"]
    size: dict[str, Any] = {} if name in ("volumes", "deployed") else {"size": (64, 64)}
    check_all_layers(NETWORKS[name](), methods, judged, **size)


@pytest.mark.slow
@pytest.mark.parametrize("methods", [[], ["hires-cam"]])
def test_layers_of_the_shipped_network_from_the_first_to_the_last(
    methods: list[str], judged: dict[str, tuple[float, float]]
) -> None:
    check_all_layers(SHIPPED, methods, judged, every=6)


# ---- Questions


def heads(*, grouped: bool) -> onnx.ModelProto:
    """Six attributes, each with features of its own."""
    g = Builder(0)
    stem = g.block("input", 3, 6, "stem")
    if grouped:
        own = g.relu(g.conv(stem, 1, 6, "each", group=6), "each_relu")
        g.conv(own, 1, 6, "logits", k=1, group=6)
    else:
        parts = [g.conv(g.block(stem, 6, 4, f"h{i}"), 4, 1, f"o{i}", k=1) for i in range(6)]
        g.node("Concat", parts, "logits", axis=1)
    g.node("Sigmoid", ["logits"], "attributes")
    return g.model({"attributes": (TensorProto.FLOAT, ["N", 6, "H", "W"])})


def test_a_layer_that_moves_one_class_explains_that_class() -> None:
    for i in range(6):
        made = export(heads(grouped=False), feature_layers=[f"h{i}_relu"], size=(48, 32))
        assert made.artifact.verification is not None
        assert made.artifact.verification.error < 1e-4


def test_layers_of_all_heads_together() -> None:
    names = [f"h{i}_relu" for i in range(6)]
    made = export(heads(grouped=False), feature_layers=names, size=(48, 32))
    assert made.artifact.verification is not None
    assert made.artifact.verification.directions == 24


def test_a_grouped_decoder() -> None:
    made = export(heads(grouped=True), feature_layers=["each_relu"], size=(48, 32))
    assert made.artifact.verification is not None


# ---- The picture's gradient


@pytest.mark.parametrize("name", ["unet", "classifier", "channels_last", "deployed"])
def test_the_pictures_gradient_of_ordinary_networks(name: str) -> None:
    made = export(NETWORKS[name](), methods=["gradient", "smooth-grad"])
    assert made.artifact.pixels is not None
    assert made.artifact.verification is not None
    assert made.artifact.verification.bound < 1e-3


def test_a_pictures_gradient_that_cannot_be_verified_takes_no_others_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> Judgement:
        raise PictureGradientError("the score is too rough")

    monkeypatch.setattr(gradient, "_judge_picture", fail)
    made = export(networks.unet(), methods=["gradient", "hires-cam"], size=(48, 32))
    assert made.artifact.pixels is None
    assert made.artifact.mask is None
    assert made.artifact.layers[0].grad is not None
    assert made.artifact.verification is not None
    assert made.notes[-1] == (
        "the methods about the picture itself are left out, as their gradient could not be "
        "verified: the score is too rough"
    )
    inputs = {value.name for value in onnx.load_from_string(made.model).graph.input}
    assert inputs == {"input", "class_weights", "region"}


def test_a_wrong_gradient_of_the_picture_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gradient._Trial.judge

    def judge(trial: Any, layer: Layer, answers: Answers) -> Judgement:
        wrong = {name: values * 1.02 for name, values in answers.gradients.items()}
        return right(trial, layer, dataclasses.replace(answers, gradients=wrong))

    monkeypatch.setattr(gradient._Trial, "judge", judge)
    made = export(networks.unet(), methods=["gradient"], size=(48, 32))
    assert made.artifact.pixels is None
    assert re.search(r"the gradient of the picture is off by (1\.9|2\.0)e-02", made.notes[-1])
    with pytest.raises(GradientError, match=r"'dec1_relu' is off by (1\.9|2\.0)e-02"):
        export(networks.unet(), methods=["hires-cam"], size=(48, 32))


# ---- What is said


def test_an_error_is_printed_as_what_float32_can_tell() -> None:
    nothing = Verification(error=0.0, directions=4)
    assert described(nothing).startswith("relative error below 1.2e-07 over 4 directions")
    measured = Verification(error=1e-3, uncertainty=4.01e-4, directions=4, isolation=0.0)
    assert described(measured).startswith("relative error below 1.5e-03 over 4 directions")
    assert described(measured).endswith("changes the weights by less than 1.2e-07")
    made = export(networks.unet(), size=(48, 32))
    assert "0.0e+00" not in described(made.artifact.verification)
    again = Artifact.from_json(made.artifact.to_json(), source="it").verification
    assert again == made.artifact.verification


@pytest.mark.parametrize(("value", "words"), [(np.nan, "not a number (NaN)"), (np.inf, "infinite")])
def test_a_score_that_is_no_number_is_named_first(value: float, words: str) -> None:
    g = Builder(0)
    logits = g.conv(g.block("input", 3, 4, "a"), 4, 3, "logits")
    g.node(
        "Add", [logits, g.constant("rare", np.array([[[0]], [[value]], [[0]]]), np.float32)], "y"
    )
    model = g.model({"y": (TensorProto.FLOAT, ["N", 3, "H", "W"])})
    with pytest.raises(VerificationError) as caught:
        export(model, score="logits", size=(48, 32))
    sentence = f"the network's score 'y' is {words} at 33% of its values on the trial picture"
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("opset", [12, 13, 17, 18])
def test_whole_numbers_as_the_only_output(opset: int) -> None:
    g = Builder(0)
    logits = g.conv(g.block("input", 3, 4, "a"), 4, 3, "logits")
    g.node("ArgMax", [logits], "labels", axis=1)
    model = g.model({"labels": (TensorProto.INT64, ["N", 1, "H", "W"])}, opset=opset, ir_version=8)
    made = export(model, size=(48, 32))
    assert made.artifact.verification is not None
    assert made.artifact.verification.error < 1e-4


def test_other_whole_numbers_after_a_raised_opset_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = run

    def wrong(session: Any, outputs: list[str], feeds: Any) -> Any:
        results = right(session, outputs, feeds)
        return {k: v + (len(session.inputs) > 1) for k, v in results.items()}

    g = Builder(0)
    g.node("ArgMax", [g.conv(g.block("input", 3, 4, "a"), 4, 3, "logits")], "labels", axis=1)
    shape: networks.Shape = ["N", 1, "H", "W"]
    model = g.model({"labels": (TensorProto.INT64, shape)}, opset=13, ir_version=8)
    monkeypatch.setattr("ortcam_export.verify.consistency.run", wrong)
    with pytest.raises(VerificationError, match="opset changes its output 'labels'"):
        export(model, size=(48, 32))


# ---- Memory and time

_MEASURE = """
import resource, sys, time
import numpy as np, onnxruntime, ortcam_export
if sys.argv[1] == "plain":
    session = onnxruntime.InferenceSession(sys.argv[2])
    feeds = {"input": np.random.default_rng(0).random((1, 3, 1024, 1024), np.float32)}
    session.run(None, feeds)
    start = time.process_time()
    session.run(None, feeds)
else:
    start = time.process_time()
    assert ortcam_export.export(sys.argv[2]).artifact.verification is not None
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_large_picture_takes_little_more_than_the_network(tmp_path: Path) -> None:
    """An encoder and decoder of 1024x1024 that take no other size."""
    g = Builder(0)
    x, c, skips = "input", 3, []
    for i, width in enumerate((32, 64, 128, 128)):
        x, c = g.block(g.block(x, c, width, f"e{i}"), width, width, f"f{i}"), width
        skips.append((x, c))
        x = g.node("MaxPool", [x], f"p{i}", kernel_shape=[2, 2], strides=[2, 2])
    for i, (skip, width) in reversed(list(enumerate(skips))):
        joined = g.node("Concat", [g.resize(x, skip, f"u{i}"), skip], f"c{i}", axis=1)
        x, c = g.block(joined, c + width, width, f"d{i}"), width
    g.node("Sigmoid", [g.conv(x, c, 1, "logits", k=1)], "mask")
    picture: tuple[int, networks.Shape] = TensorProto.FLOAT, [1, 3, 1024, 1024]
    model = g.model({"mask": (TensorProto.FLOAT, [1, 1, 1024, 1024])}, {"input": picture})
    path = tmp_path / "large.onnx"
    onnx.save(model, path)

    def measured(what: str) -> list[float]:
        command = [sys.executable, "-c", _MEASURE, what, str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return [float(value) for value in result.stdout.split()]

    (once, memory), (seconds, peak) = measured("plain"), measured("export")
    assert peak < 2 * memory
    assert seconds < 10 * once
