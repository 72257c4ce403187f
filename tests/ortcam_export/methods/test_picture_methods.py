"""Methods about the picture itself: against PyTorch in float64, and against Captum."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

import ortcam
from ortcam.errors import ArtifactError, InputError, LayerError
from ortcam.methods.registry import METHODS, PIXELS
from ortcam_export import Exported, export

Array = NDArray[Any]

FAST: dict[str, Any] = {
    "size": (48, 32),
    "mean": (0.4, 0.5, 0.6),
    "std": (0.2, 0.25, 0.3),
    "rescale": 1 / 255,
    "verify": False,
    "methods": ["smooth-grad"],
}
CLASSES = (2, 0, 1)
ABOUT_PICTURES = [name for name, method in METHODS.items() if method.needs == PIXELS]

#: A network, and the channel axis of its score and its input.
CASES: dict[str, tuple[Callable[[], onnx.ModelProto], int]] = {
    "unet": (networks.unet, 1),
    "channels last": (networks.channels_last, 3),
    "classifier": (networks.classifier, 1),
}


def rgb(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (32, 48, 3)).astype(np.uint8)


def load(exported: Exported) -> ortcam.Cam:
    return ortcam.load(exported.model, "cpu", gradient=exported.gradient)


@cache
def made(case: str = "unet", split: bool = False) -> ortcam.Cam:
    return load(export(CASES[case][0](), split=split, **FAST))


def close(actual: Array, expected: Array) -> None:
    """Assert that the largest error is within 1e-4 of the largest value."""
    assert actual.shape == expected.shape
    size = np.abs(expected).max()
    assert size > 0
    assert np.abs(actual - expected).max() <= 1e-4 * size


def raw(cam: ortcam.Cam, method: str, classes: Any = CLASSES, **options: Any) -> Array:
    explanation = cam.explain(options.pop("picture", rgb()), classes, method=method, **options)
    assert explanation.layers == ("input",)
    return explanation.raw["input"]


@cache
def network(case: str) -> onnx.ModelProto:
    return CASES[case][0]()


def answers(case: str, region: Array | None = None) -> Callable[[Any], Any]:
    """The scores y [N, classes] as a function of the input [N, C, H, W], a PyTorch tensor."""
    from reference import run

    axis = CASES[case][1]
    model = network(case)

    def of(x: Any) -> Any:
        s = run(model, {"input": x})["probabilities"].moveaxis(axis, 1)
        s = s if region is None else s * x.new_tensor(region)
        return s.flatten(2).sum(2) if s.ndim > 2 else s

    return of


def gradients(case: str, x: Array, region: Array | None = None) -> Array:
    """The gradients [CLASSES, C, H, W] by autograd, float64."""
    torch = pytest.importorskip("torch")
    entering = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y = answers(case, region)(entering)
    each = [torch.autograd.grad(y[0, c], entering, retain_graph=True)[0] for c in CLASSES]
    return np.asarray(torch.stack(each)[:, 0].moveaxis(CASES[case][1], 1).numpy())


@pytest.mark.torch
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_autograds(case: str, split: bool) -> None:
    cam = made(case, split=split)
    g = gradients(case, cam.preprocess(rgb()))
    close(raw(cam, "gradient"), np.abs(g).max(axis=1))
    close(raw(cam, "gradient:channels=sum"), np.abs(g).sum(axis=1))
    close(raw(cam, "gradient:sign=positive"), np.maximum(g, 0).max(axis=1))
    close(raw(cam, "gradient:sign=negative,channels=sum"), np.maximum(-g, 0).sum(axis=1))


@pytest.mark.torch
@pytest.mark.parametrize("case", CASES)
def test_smooth_grad_is_the_mean_of_autograds_gradients(case: str) -> None:
    cam = made(case)
    x = cam.preprocess(rgb())
    random = np.random.default_rng(3)
    sigma = 0.2 * (x.max() - x.min())
    noisy = [(x + random.normal(0, sigma, x[0].shape)).astype(np.float32) for _ in range(4)]
    mean = np.mean([gradients(case, one) for one in noisy], axis=0)
    close(raw(cam, "smooth-grad:samples=4,noise=0.2,seed=3"), np.abs(mean).max(axis=1))


@pytest.mark.torch
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("baseline", ["zero", "black", "white"])
def test_integrated_gradients_are_captums(case: str, baseline: str) -> None:
    torch = pytest.importorskip("torch")
    attr = pytest.importorskip("captum.attr")
    cam = made(case)
    x = torch.tensor(cam.preprocess(rgb()), dtype=torch.float64)
    value = {"black": 0, "white": 255}.get(baseline)
    uniform = None if value is None else cam.preprocess(np.full((32, 48, 3), value, np.uint8))
    b = torch.zeros_like(x) if uniform is None else torch.tensor(uniform, dtype=torch.float64)
    method = attr.IntegratedGradients(answers(case), multiply_by_inputs=True)
    parts = [
        method.attribute(x, b, target=c, n_steps=10, method="gausslegendre").detach()[0]
        for c in CLASSES
    ]
    attributions = torch.stack(parts).moveaxis(CASES[case][1], 1).numpy()
    name = f"integrated-gradients:steps=10,baseline={baseline}"
    close(raw(cam, name), np.abs(attributions).sum(axis=1))
    close(raw(cam, name + ",sign=negative,channels=max"), np.maximum(-attributions, 0).max(axis=1))


@pytest.mark.torch
def test_a_region_reaches_the_pixels() -> None:
    cam = made()
    region = np.zeros((32, 48), bool)
    region[4:20, 8:30] = True
    g = gradients("unet", cam.preprocess(rgb()), region)
    close(raw(cam, "gradient", region=region), np.abs(g).max(axis=1))


def score(cam: ortcam.Cam, picture: Array) -> Array:
    """The scores y of CLASSES."""
    classes = cam.segment(picture).score[list(CLASSES)]
    return np.asarray(classes.sum(axis=(1, 2), dtype=np.float64))


def missed(steps: int, baseline: str) -> Array:
    """The relative difference between the sum of attributions and y(x) - y(b)."""
    cam = made()
    method = f"integrated-gradients:steps={steps},baseline={baseline}"
    positive, negative = (raw(cam, f"{method},sign={s}") for s in ("positive", "negative"))
    total = (positive.astype(np.float64) - negative).sum(axis=(1, 2))
    value = {"black": 0, "white": 255}[baseline]
    change = score(cam, rgb()) - score(cam, np.full_like(rgb(), value))
    return np.asarray(np.abs(total - change) / np.abs(change))


def test_integrated_gradients_are_complete() -> None:
    """Up to the quadrature's error, which falls slowly because of kinks, as in Captum."""
    for baseline in ("black", "white"):
        errors = [missed(steps, baseline).max() for steps in (1, 10, 200)]
        assert errors[0] > 0.5
        assert errors[1] < 0.1
        assert errors[2] < 0.01


def test_incomplete_attributions_are_noted() -> None:
    cam = made()
    message = "is made of attributions that add up to .*, while the score changes by .*steps=200"
    few = cam.explain(rgb(), CLASSES, method="integrated-gradients:steps=1,baseline=black")
    assert re.search(rf"the map of ({'|'.join(few.classes)}) {message}", " ".join(few.notes))
    enough = cam.explain(rgb(), CLASSES, method="integrated-gradients:steps=200,baseline=black")
    assert not [note for note in enough.notes if "attributions" in note]


@pytest.mark.parametrize("method", ABOUT_PICTURES)
def test_little_memory_and_a_batch_change_nothing(method: str) -> None:
    cam = made()
    pictures, classes = [rgb(0), rgb(1)], [[2, 0, 1], [3]]
    together = cam.explain_batch(pictures, classes, method=method)
    for picture, question, one in zip(pictures, classes, together, strict=True):
        alone = cam.explain(picture, question, method=method, memory=1)
        assert one.notes == alone.notes
        np.testing.assert_allclose(one.raw["input"], alone.raw["input"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ABOUT_PICTURES)
def test_a_network_of_one_picture_takes_variants_one_by_one(method: str) -> None:
    model = networks.unet()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    fixed = load(export(model, **FAST))
    np.testing.assert_allclose(raw(fixed, method), raw(made(), method), rtol=1e-3, atol=1e-5)


def test_further_inputs_go_with_every_variant() -> None:
    cam = load(export(networks.further_inputs(), **FAST))
    r = np.random.default_rng(0)
    shift = r.normal(size=(6, 1, 1)).astype(np.float32)

    def saliency(gain: float, **options: Any) -> Array:
        inputs = {"gain": np.array([[gain]], np.float32), "shift": shift}
        return raw(cam, "smooth-grad:samples=4", inputs=inputs, **options)

    np.testing.assert_allclose(saliency(1.5, memory=1), saliency(1.5), rtol=1e-3, atol=1e-6)
    assert np.abs(saliency(1.5) - saliency(0.5)).max() > 0.01 * saliency(1.5).max()


def test_a_view_takes_them() -> None:
    cam = made(split=True)
    view = cam.open(rgb())
    for method in ABOUT_PICTURES:
        actual = view.explain(2, method=method).raw["input"]
        np.testing.assert_allclose(actual, raw(cam, method, 2), rtol=1e-5, atol=1e-8)


def test_noise_is_the_same_again_and_another_by_its_seed() -> None:
    cam = made()
    first = raw(cam, "smooth-grad:samples=3")
    np.testing.assert_array_equal(first, raw(cam, "smooth-grad:samples=3"))
    assert np.abs(first - raw(cam, "smooth-grad:samples=3,seed=1")).max() > 0.01 * first.max()
    plain = raw(cam, "gradient")
    close(raw(cam, "smooth-grad:samples=2,noise=1e-6"), plain)
    assert np.abs(first - plain).max() > 0.1 * plain.max()


def test_passes_are_reported() -> None:
    passes: list[tuple[int, int]] = []
    cam = made()
    options: dict[str, Any] = {"progress": lambda *counts: passes.append(counts)}
    raw(cam, "smooth-grad:samples=5", memory=1, **options)
    assert passes == [(done, 5) for done in range(6)]
    passes.clear()
    cam.explain_batch([rgb(0), rgb(1)], 2, method="integrated-gradients:steps=3", **options)
    assert passes == [(0, 6), (3, 6), (6, 6)]


def test_layers_are_none_of_theirs() -> None:
    cam = made()
    explanation = cam.explain(rgb(), 2, "input", method="gradient")
    assert explanation.maps.shape == (1, 1, 32, 48)
    message = "Gradient is about the picture itself and takes no layer; leave layers= out"
    for layers in ("dec1_relu", ["input", "dec1_relu"], []):
        with pytest.raises(LayerError, match=message):
            cam.explain(rgb(), 2, layers, method="gradient")
    with pytest.raises(LayerError, match="no layer 'input'"):
        cam.explain(rgb(), 2, "input")


def test_a_method_that_an_artifact_lacks_is_an_error() -> None:
    cam = load(export(networks.unet(), **FAST | {"methods": ["hires-cam"]}))
    message = r"SmoothGrad needs the gradient at the picture's pixels.*methods='smooth-grad'"
    with pytest.raises(ArtifactError, match=message):
        cam.explain(rgb(), 2, method="smooth-grad:samples=2")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("smooth-grad:samples=0", "samples .* must be a whole number of at least 1, got '0'"),
        ("smooth-grad:noise=0", "noise .* must be a number above 0, got '0'"),
        ("smooth-grad:noise=nan", "noise .* must be a number above 0, got 'nan'"),
        ("gradient:sign=plus", "must be absolute, positive or negative"),
        ("integrated-gradients:baseline=grey", "must be zero, black or white"),
    ],
)
def test_options_are_checked(method: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made().explain(rgb(), 2, method=method)


def test_a_baseline_of_pixels_takes_a_picture() -> None:
    cam = load(export(networks.volumes(), methods=["gradient"], verify=False))
    x = np.random.default_rng(0).normal(size=(1, 2, 8, 16, 16)).astype(np.float32)
    inputs: dict[str, Any] = {"tensor": x, "classes": 1}
    for method in ABOUT_PICTURES:
        assert cam.explain(**inputs, method=method).maps.shape == (1, 1, 8, 16, 16)
    with pytest.raises(InputError, match=r"unknown, so there is no black baseline.*baseline=zero"):
        cam.explain(**inputs, method="integrated-gradients:baseline=black")


def of_bytes() -> onnx.ModelProto:
    """The U-Net with an integer picture input."""
    model = networks.unet()
    for node in model.graph.node:
        node.input[:] = ["float" if name == "input" else name for name in node.input]
    cast = helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return model


def test_integers_have_no_gradient() -> None:
    reason = "the picture enters the network as uint8, and integers have no gradient"
    options: dict[str, Any] = {"size": (48, 32), "verify": False}
    exported = export(of_bytes(), methods="all", **options)
    assert any(f"{reason}, so the methods about" in note for note in exported.notes)
    assert exported.artifact.pixels is None
    assert load(exported).explain(rgb(), 2, method="hires-cam").maps.any()
    with pytest.raises(LayerError, match=f"{reason}: export without"):
        export(of_bytes(), methods=["gradient"], **options)


def test_the_gradient_is_checked_against_central_differences() -> None:
    options = {name: value for name, value in FAST.items() if name != "verify"}
    exported = export(networks.unet(), **options)
    checked = exported.artifact.verification
    assert checked is not None
    assert checked.directions > 8
    assert checked.error < 0.01
