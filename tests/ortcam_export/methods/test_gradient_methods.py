"""Methods from export to map: against PyTorch in float64 and against pytorch-grad-cam itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import ortcam
from ortcam.errors import ArtifactError, InputError, VerificationError
from ortcam.methods import cam_formulas as formulas
from ortcam.methods.registry import METHODS, PIXELS
from ortcam_export import Exported, export
from ortcam_export.append import gradient as gradient_module
from ortcam_export.gradient.tensor import Tensor

Array = NDArray[Any]

FAST: dict[str, Any] = {"size": (48, 32), "verify": False}
CLASSES = (2, 0, 1)

#: The methods about layers; those about the picture itself are in test_picture_methods.py.
AT_LAYERS = [name for name, method in METHODS.items() if method.needs != PIXELS]

#: The methods of features and gradients; the others are in test_perturbation_methods.py.
FORMULAS = [name for name in AT_LAYERS if name not in ("score-cam", "ablation-cam")]

#: A network, its score, layers, and the axis of its channels.
CASES: dict[str, tuple[Callable[[], onnx.ModelProto], str, tuple[str, ...], int]] = {
    "unet": (networks.unet, "probabilities", ("enc1_relu", "mid_relu", "dec1_relu"), 1),
    "one layer": (networks.unet, "probabilities", ("cat2",), 1),
    "channels last": (networks.channels_last, "probabilities", ("stem_relu", "head_relu"), 3),
    "classifier": (networks.classifier, "probabilities", ("a_relu", "b_relu"), 1),
}


def rgb(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (32, 48, 3)).astype(np.uint8)


def load(exported: Exported) -> ortcam.Cam:
    return ortcam.load(exported.model, "cpu", gradient=exported.gradient)


def made(name: str, **options: Any) -> ortcam.Cam:
    make, _, layers, _ = CASES[name]
    return load(export(make(), feature_layers=layers, **FAST | {"methods": "all"} | options))


def close(actual: Array, expected: Array, tolerance: float = 1e-4) -> None:
    """Assert that the largest error is within a fraction of the largest value."""
    assert actual.shape == expected.shape
    size = np.abs(expected).max()
    assert size > 0
    assert np.abs(actual - expected).max() <= tolerance * size


def in_numpy(name: str, a: Array, g: Array) -> Array:
    """The maps [K, *space] of A [C, *space] and G [K, C, *space] in float64."""
    return np.maximum(_sums_in_numpy(name, a, g), 0)


def _sums_in_numpy(name: str, a: Array, g: Array) -> Array:
    total = a.sum(axis=(1, 2))[:, None, None]
    alpha = g**2 / (2 * g**2 + g**3 * total + 1e-6)
    weights = {
        "grad-cam": g.mean(axis=(2, 3)),
        "grad-cam++": (np.maximum(g, 0) * alpha).sum(axis=(2, 3)),
        "xgrad-cam": (g * a / (total + 1e-7)).sum(axis=(2, 3)),
    }
    if name in weights:
        return np.asarray(np.einsum("kc,chw->khw", weights[name], a))
    if name == "seg-xres-cam":
        g = np.stack([[_blocks(channel) for channel in row] for row in g])
    if name == "layer-cam":
        g = np.maximum(g, 0)
    if name in ("eigen-cam", "eigen-grad-cam"):
        parts = np.broadcast_to(a, g.shape) if name == "eigen-cam" else g * a
        return np.stack([_first_component(part) for part in parts])
    return np.asarray((g * a).sum(axis=1))


def _blocks(plane: Array) -> Array:
    """Each block of 2 x 2 cells replaced by its maximum."""
    out = plane.copy()
    for y in range(0, plane.shape[0], 2):
        for x in range(0, plane.shape[1], 2):
            out[y : y + 2, x : x + 2] = plane[y : y + 2, x : x + 2].max()
    return out


def _first_component(values: Array) -> Array:
    """The projection, with the sign that maps a cell of zeros to 0 or less."""
    cells = values.reshape(len(values), -1).T
    mean = cells.mean(axis=0)
    component = np.linalg.svd(cells - mean, full_matrices=False)[2][0]
    sign = 1 if -mean @ component <= 0 else -1
    return np.asarray((sign * (cells - mean) @ component).reshape(values.shape[1:]))


def gradients(name: str, x: Array, classes: tuple[int, ...]) -> dict[str, tuple[Array, Array]]:
    """G [K, N, C, *space] and A [N, C, *space] by autograd, float64."""
    pytest.importorskip("torch")
    from reference import whole_gradients

    make, score, layers, axis = CASES[name]
    count = 5 if name == "classifier" else 4
    rows = np.eye(count)[list(classes)][:, None]
    region = np.ones((1, 1) if name == "classifier" else (1, 1, 1, 1))
    class_axis = 1 if name == "classifier" else axis
    return whole_gradients(make(), {"input": x}, score, layers, rows, region, class_axis, axis)


@pytest.mark.torch
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_maps_are_autograds(case: str, split: bool) -> None:
    cam = made(case, split=split)
    expected = gradients(case, cam.preprocess(rgb()), CLASSES)
    for method in FORMULAS:
        actual = cam.explain(rgb(), CLASSES, method=method)
        assert (actual.method, actual.title) == (method, METHODS[method].title)
        for layer, (g, a) in expected.items():
            maps = in_numpy(method, a[0], g[:, 0])
            if maps.any():
                close(actual.raw[layer], maps)
            else:
                assert not actual.raw[layer].any()


@pytest.mark.torch
@pytest.mark.parametrize("layer", ["enc1_relu", "mid_relu"])
def test_maps_are_pytorch_grad_cams(layer: str, pytorch_grad_cam: Any) -> None:
    """Its own arithmetic, on autograd's gradients; the sign of its EigenCAM is arbitrary."""
    peers = {
        "grad-cam": pytorch_grad_cam.GradCAM,
        "hires-cam": pytorch_grad_cam.HiResCAM,
        "grad-cam++": pytorch_grad_cam.GradCAMPlusPlus,
        "xgrad-cam": pytorch_grad_cam.XGradCAM,
        "layer-cam": pytorch_grad_cam.LayerCAM,
        "eigen-grad-cam": pytorch_grad_cam.EigenGradCAM,
        "eigen-cam": pytorch_grad_cam.EigenCAM,
    }
    cam = made("unet")
    g, a = gradients("unet", cam.preprocess(rgb()), CLASSES)[layer]
    for method, peer in peers.items():
        actual = cam.explain(rgb(), CLASSES, layer, method=method).raw[layer]
        for k in range(len(CLASSES)):
            method_of_peer = peer.__new__(peer)  # without the network that its constructor hooks
            method_of_peer.activations_and_grads = SimpleNamespace(release=lambda: None)
            method_of_peer.uses_gradients = True
            image = np.asarray(method_of_peer.get_cam_image(None, None, None, a, g[k], False))[0]
            signs = (1, -1) if method.startswith("eigen") else (1,)
            differences = [np.abs(actual[k] - np.maximum(s * image, 0)).max() for s in signs]
            assert min(differences) <= 1e-4 * np.abs(image).max(), method


def test_methods_differ_from_each_other() -> None:
    cam = made("unet")
    layer = "enc1_relu"  # as large as the picture
    explained = {
        m: cam.explain(rgb(), CLASSES, layer if m in AT_LAYERS else None, method=m) for m in METHODS
    }
    scaled = {m: one.maps[0] / one.maps.max() for m, one in explained.items()}
    for one, other in combinations(METHODS, 2):
        assert np.abs(scaled[one] - scaled[other]).max() > 0.02, (one, other)


def test_hires_cam_sums_are_grad_cams_before_a_pool_and_a_linear_layer() -> None:
    """The gradient is constant there, so the formulas coincide."""
    cam = made("classifier")
    last = cam.layers[-1]
    expected = cam.explain(rgb(), CLASSES, last).raw[last]
    for method in ("hires-cam", "xgrad-cam", "seg-xres-cam"):
        close(cam.explain(rgb(), CLASSES, last, method=method).raw[last], expected)


@pytest.mark.parametrize("case", ["unet", "one layer", "channels last"])
def test_an_artifact_for_methods_answers_as_the_plain_one(case: str) -> None:
    plain, cam = made(case, methods=()), made(case)
    expected, actual = plain.explain(rgb(), CLASSES), cam.explain(rgb(), CLASSES)
    for layer in plain.layers:
        close(actual.weights[layer], expected.weights[layer])
        close(actual.raw[layer], expected.raw[layer])


def test_layers_that_are_not_asked_for_give_no_gradient() -> None:
    _, _, layers, _ = CASES["unet"]
    exported = export(
        networks.unet(), feature_layers=layers, methods=["hires-cam", "gradient"], **FAST
    )
    session = ortcam.inference.session.Session(exported.model, "cpu")
    assert [layer.name for layer in exported.artifact.targets] == [*layers, "input"]
    feeds = {
        "input": np.zeros((1, 3, 32, 48), np.float32),
        "class_weights": np.eye(4, dtype=np.float32)[:, None],
        "region": np.ones((1, 1, 1, 1), np.float32),
        "layers": np.array([False, False, True, False]),
    }
    names = [f"{layer}.grad" for layer in (*layers, "input")]
    rows = [len(value) for value in session.run(names, feeds).values()]
    assert rows == [0, 0, 4, 0]


def test_a_region_and_little_memory() -> None:
    cam = made("unet")
    region = np.zeros((32, 48), bool)
    region[4:20, 8:30] = True
    for method in ("hires-cam", "xgrad-cam"):
        whole = cam.explain(rgb(), CLASSES, region=region, method=method)
        parts = cam.explain(rgb(), CLASSES, region=region, method=method, memory=1)
        everywhere = cam.explain(rgb(), CLASSES, method=method)
        for layer in cam.layers:
            np.testing.assert_allclose(parts.raw[layer], whole.raw[layer], rtol=1e-4, atol=1e-7)
            assert np.abs(everywhere.raw[layer] - whole.raw[layer]).max() > 0


@pytest.mark.parametrize("method", AT_LAYERS)
def test_several_pictures_are_as_each_alone(method: str) -> None:
    cam = made("unet")
    pictures, classes = [rgb(0), rgb(1)], [[2, 0, 1], [3]]
    actual = cam.explain_batch(pictures, classes, method=method)
    for picture, question, one in zip(pictures, classes, actual, strict=True):
        alone = cam.explain(picture, question, method=method)
        assert (one.method, one.notes) == (method, alone.notes)
        for layer in cam.layers:
            np.testing.assert_allclose(one.raw[layer], alone.raw[layer], rtol=1e-3, atol=1e-5)


def test_a_view_takes_methods() -> None:
    cam = made("unet", split=True)
    view = cam.open(rgb())
    for method in AT_LAYERS:
        one, other = view.explain(2, method=method), cam.explain(rgb(), 2, method=method)
        for layer in cam.layers:
            np.testing.assert_array_equal(one.raw[layer], other.raw[layer])


def test_half_precision_gives_float32_gradients() -> None:
    exported = export(networks.half_precision(), feature_layers=["a_relu"], methods="all", **FAST)
    session = ortcam.inference.session.Session(exported.model, "cpu")
    assert session.outputs["a_relu.grad"].dtype == np.float32
    assert load(exported).explain(rgb(), 2, method="hires-cam").raw["a_relu"].any()


def test_volumes() -> None:
    exported = export(networks.volumes(), methods="all", verify=False)
    cam = load(exported)
    x = np.random.default_rng(0).normal(size=(1, 2, 8, 16, 16)).astype(np.float32)
    for method in METHODS:
        actual = cam.explain(tensor=x, classes=1, method=method)
        assert actual.maps.shape == (1, 1, 8, 16, 16)


def test_a_method_that_an_artifact_lacks_is_an_error() -> None:
    cam = made("one layer", methods=["grad-cam", "eigen-cam"])
    assert all(layer.grad is None for layer in cam.artifact.layers)
    assert cam.explain(rgb(), 2, method="eigen-cam").raw["cat2"].any()
    message = r"HiResCAM needs .* export the network again with methods='hires-cam'"
    with pytest.raises(ArtifactError, match=message):
        cam.explain(rgb(), 2, method="hires-cam")
    with pytest.raises(ArtifactError, match="methods='seg-xres-cam'"):
        cam.explain_batch([rgb()], 2, method="seg-xres-cam:block=4")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("hirescam", "there is no method 'hirescam'; the nearest .*'hires-cam'"),
        ("hires-cam:block=2", "the method 'hires-cam' has no option 'block', and takes none"),
        ("seg-xres-cam:size=2", "has no option 'size'; it has block and pool"),
        ("seg-xres-cam:block=0", "block of the method 'seg-xres-cam' must be a whole number of"),
        ("seg-xres-cam:block=x", "must be a whole number of at least 1, got 'x'"),
        ("seg-xres-cam:pool=min", "must be max or mean, got 'min'"),
    ],
)
def test_an_unknown_method_or_option_is_refused(method: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made("one layer").explain(rgb(), 2, method=method)


def test_options_reach_the_formula() -> None:
    cam = made("one layer")
    largest = cam.explain(rgb(), 2, method="seg-xres-cam:block=100,pool=mean")
    close(largest.raw["cat2"], cam.explain(rgb(), 2).raw["cat2"])
    assert largest.method == "seg-xres-cam:block=100,pool=mean"
    least = cam.explain(rgb(), 2, method="seg-xres-cam:block=1").raw["cat2"]
    close(least, cam.explain(rgb(), 2, method="hires-cam").raw["cat2"])


def test_exports_of_unknown_methods_are_refused() -> None:
    with pytest.raises(InputError, match="there is no method 'all-cams'"):
        export(networks.unet(), methods=["all-cams"], **FAST)


def test_arrays_name_the_method(tmp_path: Path) -> None:
    cam = made("unet")
    for method, weighs in (("hires-cam", False), ("grad-cam++", True), ("eigen-cam", False)):
        explanation = cam.explain(rgb(), CLASSES, method=method)
        explanation.save(tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
            assert str(arrays["method"]) == method
            assert METHODS[method].title in str(arrays["scale"])
            assert ("weights_0" in arrays) is weighs
            np.testing.assert_array_equal(arrays["raw_1"], explanation.raw["mid_relu"])


def test_a_blank_map_of_each_kind_says_why() -> None:
    model = networks.unet()
    scorer = next(t for t in model.graph.initializer if t.name == "logits.weight")
    values = np.abs(onnx.numpy_helper.to_array(scorer)).astype(np.float32)
    values[2] *= -1
    scorer.CopyFrom(onnx.numpy_helper.from_array(values, scorer.name))
    exported = export(model, score="logits", feature_layers=["dec1_relu"], methods="all", **FAST)
    cam = load(exported)

    def why(method: str) -> str:
        return cam.explain(rgb(), 2, method=method).notes[-1]

    for method in ("hires-cam", "xgrad-cam", "seg-xres-cam"):
        assert "every sum is negative before the ReLU" in why(method)
    assert "every sum is zero before the ReLU" in why("layer-cam")
    assert "every weight is zero, though not every gradient" in why("grad-cam++")


def test_a_wrong_gradient_makes_no_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of each cell at another cell, which leaves the mean unchanged."""
    options: dict[str, Any] = {"feature_layers": ["dec1_relu"], "methods": ["hires-cam"]}
    options["size"] = (48, 32)
    export(networks.unet(), **options)

    def flipped(layer: Any, features: Any, sweep: Any) -> dict[str, Tensor]:
        mean, whole = sweep.mean(features, 1), sweep.whole(features)
        return {layer.weights: mean, layer.grad: whole.slice(3, -1, -10000, step=-1)}

    monkeypatch.setattr(gradient_module, "_gradients_of", flipped)
    with pytest.raises(VerificationError, match="off by"):
        export(networks.unet(), **options)


def test_metadata_of_missing_gradients_are_refused() -> None:
    exported = export(networks.unet(), feature_layers=["cat2"], **FAST)
    proto = onnx.load_from_string(exported.model)
    entry = next(p for p in proto.metadata_props if p.key == "ortcam")
    for grad, message in (
        ("cat2.grad", "'cat2.grad' and the graph has no such"),
        (5, "grad must be of type str, got 5"),
    ):
        data = json.loads(entry.value)
        data["layers"][0]["grad"] = grad
        entry.value = json.dumps(data)
        with pytest.raises(ArtifactError, match=message):
            ortcam.load(proto.SerializeToString())


def test_the_other_engine_has_no_whole_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortcam_export.append.ort_training.require", lambda: None)
    with pytest.raises(InputError, match=r"pooled gradients only.*engine='ortcam'"):
        export(networks.unet(), methods=["hires-cam"], engine="ort-training", **FAST)


def test_formulas_are_all_in_the_table() -> None:
    names = {name.replace("_", "-").replace("-plus-plus", "++") for name in formulas.__all__}
    others = {"grad-cam", "smooth-grad", "integrated-gradients"}
    assert names | others == set(METHODS)
