from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from networks import Builder
from onnx import TensorProto, helper, numpy_helper

from ortcam.artifact import Artifact, Layer, Preprocessing, Score, Verification
from ortcam.errors import ModelError, VerificationError
from ortcam.inference.session import Session
from ortcam_export import export
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.scores import choose_score
from ortcam_export.graph.model_io import open_session
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.trials.inputs import scene, trial_feeds
from ortcam_export.verify.central_differences import STEPS, GradientError, judge
from ortcam_export.verify.forms.in_float32 import WidenToFloat32, is_half
from ortcam_export.verify.gradient import verify
from ortcam_export.verify.network_tail import Tail
from ortcam_export.verify.questions import Questions, ask


def plain(model: onnx.ModelProto) -> ir.Model:
    network = PreparedNetwork(prepare(load(model)))
    choose_score(network)
    return network.model


def checked(
    model: onnx.ModelProto,
    spoil: Callable[[onnx.ModelProto], None] | None = None,
    layer: str | None = None,
) -> Verification:
    """Verify a network's artifact, changed by ``spoil``."""
    layers = [layer] if layer else None
    exported = export(model, feature_layers=layers, size=(96, 64), verify=False)
    artifact = onnx.load_from_string(exported.model)
    if spoil is not None:
        spoil(artifact)
    session = Session(artifact.SerializeToString(), "cpu")
    return verify(plain(model), session, exported.artifact)


def scaled(name: str, by: float, channel: int | None = None) -> Callable[[onnx.ModelProto], None]:
    """Multiply an output, or one channel of it, by a number."""

    def spoil(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for index, output in enumerate(node.output):
                if output == name:
                    node.output[index] = f"{name}.right"
        extent = next(
            o.type.tensor_type.shape.dim[2].dim_value for o in model.graph.output if o.name == name
        )
        factor = np.full(extent, by if channel is None else 1, np.float32)
        factor[channel] = by
        model.graph.initializer.append(numpy_helper.from_array(factor, "factor"))
        model.graph.node.append(helper.make_node("Mul", [f"{name}.right", "factor"], [name]))

    return spoil


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (networks.unet, "dec1_relu"),
        (networks.unet, "mid_relu"),
        (networks.unet_sigmoid, "cat1"),
        (networks.channels_last, "deep_relu"),
        (networks.further_inputs, "a_relu"),
        (networks.classifier, "a_relu"),
        (networks.unet_resized, "b_relu"),
    ],
)
def test_a_right_gradient_passes_by_far(make: Callable[[], onnx.ModelProto], layer: str) -> None:
    result = checked(make(), layer=layer)
    assert result.error < 5e-3
    assert result.directions == 4
    assert result.isolation is not None
    assert result.isolation < 1e-5


@pytest.mark.parametrize("layer", ["dec1_relu", "mid_relu"])
@pytest.mark.parametrize("by", [1.03, 0.97, -1.0, 0.0, float("nan")])
def test_a_wrong_gradient_does_not(layer: str, by: float) -> None:
    with pytest.raises(VerificationError) as caught:
        checked(networks.unet(), scaled(f"{layer}.weights", by), layer)
    if np.isfinite(by):
        assert f"the exported gradient at '{layer}' is off by" in str(caught.value)
        assert "so no artifact is made" in str(caught.value)
    else:
        assert "is not finite" in str(caught.value)


def test_one_wrong_channel_does_not() -> None:
    for channel in range(6):
        with pytest.raises(VerificationError, match="is off by"):
            checked(networks.unet(), scaled("dec1_relu.weights", 0.5, channel))


def untrained(kind: str) -> onnx.ModelProto:
    """A head whose logits are 1e-5: a probability in single precision has 1% of their change left.

    A MaxPool before the head has kinks, which forbid long steps.
    """
    g = Builder(0)
    a = g.block(g.block("input", 3, 4, "a"), 4, 8, "b")
    pooled = g.node("MaxPool", [a], "pooled", kernel_shape=[3, 3], strides=[2, 2])
    faint = g.node("Mul", [g.conv(pooled, 8, 5, "head"), g.constant("few", 1e-5, np.float32)], "f")
    options = {"axis": 1} if kind == "Softmax" else {}
    g.node(kind, [faint], "y", **options)
    return g.model({"y": (TensorProto.FLOAT, ["N", 5, None, None])})


@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid"])
def test_an_untrained_head_is_measured_before_its_probabilities(kind: str) -> None:
    assert checked(untrained(kind), layer="b_relu").error < 5e-3
    with pytest.raises(GradientError, match="is off by"):
        checked(untrained(kind), scaled("b_relu.weights", 1.03), layer="b_relu")


def test_what_rounds_in_the_tail_is_measured_by_a_longer_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a tail of many layers, rounding exceeds that of the logits."""

    def run(tail: Tail, *args: Any) -> Any:
        return np.round(exact(tail, *args) / unit) * unit

    exact, unit = Tail.run_to_end, 1e-4
    monkeypatch.setattr(Tail, "run_to_end", run)
    assert checked(networks.classifier(), layer="a_relu").error < 1e-2
    with pytest.raises(GradientError, match="is off by"):
        checked(networks.classifier(), scaled("a_relu.weights", 1.03), layer="a_relu")
    monkeypatch.setattr("ortcam_export.verify.central_differences.LONGER", STEPS[-1] / 10)
    monkeypatch.setattr("ortcam_export.verify.central_differences.STEPS", STEPS[-2:])
    monkeypatch.setattr("ortcam_export.verify.central_differences.AFFINE_STEPS", STEPS[-1:])
    with pytest.raises(GradientError, match="cannot measure"):
        checked(networks.classifier(), layer="a_relu")


def test_a_wrong_score_is_found() -> None:
    model = networks.unet()
    exported = export(model, verify=False)
    other = plain(networks.unet(seed=1))
    with pytest.raises(
        VerificationError, match="score 'probabilities' differs from the network's by"
    ):
        verify(other, Session(exported.model, "cpu"), exported.artifact)


def test_a_raised_opset_that_changes_the_network_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    g = Builder(0)
    a = g.conv("input", 3, 4, "a")
    by = g.constant("by", [1, 1, 2, 2], np.float32)
    wide = g.node("Upsample", [g.relu(a, "a_relu"), by], "u", mode="linear")
    g.node("Sigmoid", [g.conv(wide, 4, 3, "logits")], "mask")
    output: networks.Shape = ["N", 3, "H2", "W2"]
    model = g.model({"mask": (TensorProto.FLOAT, output)}, opset=9, ir_version=8)
    assert export(model, size=(96, 64)).artifact.verification is not None
    monkeypatch.setattr("ortcam_export.prepare.opset._keep_asymmetric", lambda _: None)
    with pytest.raises(VerificationError) as caught:
        export(model, size=(96, 64))
    assert "raising the network's opset changes its output 'mask'" in str(caught.value)


def test_a_network_that_mixes_its_pictures_is_found() -> None:
    g = Builder(0)
    a = g.block("input", 3, 4, "a")
    mean = g.node("ReduceMean", [a, g.constant("axes", [0])], "mean", keepdims=1)
    b = g.block(g.node("Sub", [a, mean], "centred"), 4, 4, "b")
    g.node("Softmax", [g.conv(b, 4, 3, "logits", k=1)], "probabilities", axis=1)
    model = g.model({"probabilities": (TensorProto.FLOAT, ["N", 3, "H", "W"])})
    with pytest.raises(VerificationError) as caught:
        export(model)
    assert "the network mixes the pictures of a batch" in str(caught.value)


def test_a_layer_whose_first_axis_is_not_the_pictures_is_refused() -> None:
    g = Builder(0)
    zero = g.constant("zero", [0])
    rows = [g.node("Unsqueeze", [g.block("input", 3, 4, n), zero], f"{n}_row") for n in "ab"]
    stack = g.node("Concat", rows, "stack", axis=0)
    g.conv(g.node("ReduceSum", [stack, zero], "met", keepdims=0), 4, 3, "y")
    model = g.model({"y": (TensorProto.FLOAT, ["N", 3, None, None])})
    with pytest.raises(
        VerificationError, match="first axis of 'stack' has length 2 for one picture"
    ):
        export(model, feature_layers=["stack"])


def test_half_precision_is_checked_in_float32() -> None:
    exported = export(networks.half_precision(), size=(96, 64))
    verification = exported.artifact.verification
    assert verification is not None
    assert verification.error < 2e-3
    types = {i.name: i.type for i in onnxruntime.InferenceSession(exported.model).get_outputs()}
    assert types["logits"] == "tensor(float16)"  # the artifact itself runs as the network does
    assert types["b_relu.weights"] == "tensor(float)"


def test_widening_changes_types_and_nothing_else() -> None:
    model = prepare(load(networks.half_precision()))
    assert is_half(model)
    wide = WidenToFloat32()(model).model
    assert not is_half(wide)
    assert is_half(model)
    x = np.random.default_rng(0).random((1, 3, 20, 20), np.float32)
    half, single = (open_session(m).run(["logits"], {"input": x})["logits"] for m in (model, wide))
    assert half.dtype == np.float16
    assert single.dtype == np.float32
    np.testing.assert_allclose(half, single, atol=2e-2)


def test_a_fixed_batch_of_one_has_no_isolation() -> None:
    model = networks.unet()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    assert checked(model).isolation is None


def test_a_network_that_does_not_take_the_trial_size() -> None:
    g = Builder(0)
    x = g.node("Reshape", ["input", g.constant("shape", [0, 3, 50, 50])], "fixed")
    g.node("Softmax", [g.conv(g.block(x, 3, 4, "a"), 4, 3, "logits")], "s", axis=1)
    model = g.model({"s": (TensorProto.FLOAT, ["N", 3, 50, 50])})
    with pytest.raises(ModelError) as caught:
        export(model)
    assert "does not run on trial input of shape [1, 3, 192, 192]" in str(caught.value)
    assert str(caught.value).endswith("; set the size that it takes (size=, divisor=)")


# ---- The parts


def test_questions_are_answered_as_the_formula_says() -> None:
    random = np.random.default_rng(0)
    score = random.random((2, 4, 5, 3))
    questions = ask(score.astype(np.float32))
    k = len(questions.class_weights)
    regions = np.ones((k, 1, 5, 3))
    regions[questions.whole :] = questions.regions
    expected = np.einsum("kzc,kzhw,nchw->kn", questions.class_weights, regions, score)
    np.testing.assert_allclose(questions.reduce(score), expected, rtol=1e-6)
    assert questions.whole == 4
    assert questions.class_weights[3].sum() == 0  # the first rather than the second
    assert not np.allclose(regions[-1], regions[-2])


def test_questions_about_a_vector_and_about_one_class() -> None:
    assert ask(np.ones((1, 5), np.float32)).regions.shape == (0, 1)
    one = ask(np.ones((1, 1, 4, 4), np.float32))
    assert isinstance(one, Questions)
    assert one.class_weights.shape == (3, 1, 1)


def test_the_tail_gives_the_networks_own_score() -> None:
    network = plain(networks.unet())
    tail = Tail(network, "probabilities", Layer(name="mid_relu", weights="w"))
    assert {"enc1_relu", "enc2_relu"} < set(tail.needs)
    assert "input" not in tail.needs
    proto = ir.to_proto(network)
    for name in ("mid_relu", *tail.needs):
        proto.graph.output.append(helper.make_empty_tensor_value_info(name))
    session = Session(proto.SerializeToString(), "cpu")
    x = np.random.default_rng(0).random((1, 3, 20, 20), np.float32)
    values = session.run(["probabilities", "mid_relu", *tail.needs], {"input": x})
    np.testing.assert_allclose(
        tail.run(values["mid_relu"], values), values["probabilities"], atol=1e-6
    )


def measurements(noise: float) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    expected = random.standard_normal((4, 5, 1))
    measured = expected[:, None] * (1 + noise * random.standard_normal((4, 3, 5, 1)))
    return measured, expected


def test_the_judge_takes_the_steps_that_agree() -> None:
    measured, expected = measurements(1e-4)
    measured[:, 0] *= 1.5  # a step too wide
    judgement = judge("a", measured, expected)
    assert judgement.error < 1e-3
    assert judgement.directions == 4


def test_the_judge_does_not_take_noise_for_agreement() -> None:
    measured, expected = measurements(0.1)
    with pytest.raises(VerificationError, match="cannot measure the gradient at 'a'"):
        judge("a", measured, expected)


def test_the_judge_sees_one_wrong_direction() -> None:
    measured, expected = measurements(1e-4)
    expected[2] *= 1.1
    assert judge("a", measured, expected).error > 0.03


def test_a_question_without_an_answer_is_no_error() -> None:
    measured, expected = measurements(1e-4)
    measured[:, :, 2] = expected[:, 2] = 0
    assert judge("a", measured, expected).error < 1e-3
    expected[:, 2] = 1e-9
    assert judge("a", measured, expected).error == float("inf")
    assert judge("a", measured, expected, unseen=1e-8).error < 1e-3


def test_a_score_that_does_not_move_cannot_be_judged() -> None:
    nothing: Any = np.zeros((4, 3, 5, 1))
    with pytest.raises(VerificationError, match="the score does not respond to 'a'"):
        judge("a", nothing, nothing[:, 0])


# ---- Networks without biases


def unbiased(seed: int) -> onnx.ModelProto:
    """Convolutions without biases, which are exactly zero on windows of zero features."""
    g = Builder(seed)

    def conv(x: str, c: int, out: int, name: str, **attributes: int) -> str:
        w = g.weight(f"{name}.weight", out, c, 3, 3, fan_in=9 * c)
        return g.node("Conv", [x, w], name, pads=[1, 1, 1, 1], **attributes)

    a = g.relu(conv("input", 3, 6, "a"), "a_relu")
    b = g.relu(conv(a, 6, 6, "b"), "b_relu")
    up = g.node("ConvTranspose", [b, g.weight("up.weight", 6, 6, 1, 1, fan_in=6)], "up")
    g.node("Softmax", [conv(g.relu(up, "up_relu"), 6, 3, "logits")], "probabilities", axis=1)
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", 3, "H", "W"])})


@pytest.mark.parametrize("seed", range(4))
def test_a_network_without_biases_is_checked_at_its_kinks(seed: int) -> None:
    """Where the features are 0, so is the convolution, and the ReLU behind it has a kink."""
    for layer in ("a_relu", "b_relu", "up_relu"):
        assert checked(unbiased(seed), layer=layer).error < 1e-4


def test_a_wrong_gradient_without_biases_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortcam_export.gradient.tensor.Tensor.flip", lambda self, axis: self)
    with pytest.raises(GradientError, match="is off by"):
        export(unbiased(1), feature_layers=["a_relu"], size=(96, 64))


# ---- Trial inputs


def test_trial_inputs() -> None:
    network = plain(networks.further_inputs())
    feeds = trial_feeds(network, "input", Preprocessing(size=(480, 360), divisor=48), batch=2)
    assert {name: value.shape for name, value in feeds.items()} == {
        "input": (2, 3, 96, 192),
        "gain": (2, 1),
        "shift": (6, 1, 1),
    }
    again = trial_feeds(network, "input", Preprocessing(size=(480, 360), divisor=48), batch=2)
    for name, value in feeds.items():
        np.testing.assert_array_equal(value, again[name])
    assert 0 <= feeds["input"].min() < feeds["input"].max() <= 1
    assert not np.array_equal(feeds["input"][0], feeds["input"][1])


def test_a_further_input_of_text_cannot_be_tried() -> None:
    model = networks.unet()
    model.graph.input.append(helper.make_tensor_value_info("text", TensorProto.STRING, [1]))
    with pytest.raises(ModelError, match="the further input 'text' takes no numbers"):
        export(model)


def test_a_scene_is_smooth_and_has_edges() -> None:
    picture = scene((96, 64), np.random.default_rng(0)).astype(float)
    assert picture.shape == (64, 96, 3)
    steps = np.abs(np.diff(picture, axis=1))
    assert np.median(steps) < 10
    assert steps.max() > 60


def test_artifacts_say_what_was_measured() -> None:
    exported = export(networks.unet())
    verification = exported.artifact.verification
    assert verification is not None
    props = {p.key: p.value for p in onnx.load_from_string(exported.model).metadata_props}
    assert Artifact.from_json(props["ortcam"], source="it").verification == verification
    assert export(networks.unet(), verify=False).artifact.verification is None
    assert isinstance(exported.artifact.score, Score)
