"""Methods under presets that reproduce another tool, against that tool's arithmetic in float64.

Each formula is written here once more, in a few lines after the tool's code; where pytorch-grad-cam
is installed, its own classes run too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from reference import cut, run, whole_gradients

import ortcam
from ortcam_export import export

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

Array = NDArray[Any]

FAST: dict[str, Any] = {"size": (48, 32), "rescale": 1 / 255, "mean": 0.5, "std": 0.25}
GRID = (32, 48)
CLASSES = 4
METHODS = ("score-cam", "ablation-cam", "eigen-cam", "eigen-grad-cam")
PRESET = "pytorch-grad-cam"


def rgb(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (*GRID, 3)).astype(np.uint8)


@cache
def network() -> onnx.ModelProto:
    """A segmenter whose logits are the score; two of its classes score below 0."""
    return networks.unet_logits()


@cache
def made(layer: str) -> ortcam.Cam:
    options: dict[str, Any] = {"score": "logits", "feature_layers": [layer], "verify": False}
    exported = export(network(), methods=["ablation-cam", "hires-cam"], **FAST | options)
    return ortcam.load(exported.model, "cpu", gradient=exported.gradient)


def parts(cam: ortcam.Cam, layer: str) -> tuple[Any, Array, Array, Array]:
    """The input, A [C, h, w], G [K, C, h, w] and y [K], of the sum of each class's logits."""
    x = cam.preprocess(rgb())
    rows, region = np.eye(CLASSES)[:, None], np.ones((1, 1, 1, 1))
    g, a = whole_gradients(network(), {"input": x}, "logits", [layer], rows, region)[layer]
    y = run(network(), {"input": x})["logits"].detach().sum(dim=(0, 2, 3)).numpy()
    return torch.tensor(x, dtype=torch.float64), a[0], g[:, 0], y


def scores(x: Any, layer: str | None = None, change: Any = None) -> Array:
    """y [K] of an input, of a network whose layer is changed."""
    with torch.no_grad():
        env = run(network(), {"input": x}, {layer: change} if layer else None)
    return np.asarray(env["logits"].sum(dim=(0, 2, 3)))


def score_cam(x: Any, a: Array) -> Array:
    """[K, C]: ScoreCAM.get_cam_weights."""
    up = torch.nn.functional.interpolate(
        torch.from_numpy(a)[None], GRID, mode="bilinear", align_corners=True
    )[0]
    low, high = up.amin((1, 2), keepdim=True), up.amax((1, 2), keepdim=True)
    y = np.stack([scores(x * mask) for mask in (up - low) / (high - low + 1e-8)], axis=1)
    return np.asarray(torch.softmax(torch.from_numpy(y), dim=1))


def ablation_cam(x: Any, a: Array, y: Array, layer: str) -> Array:
    """[K, C]: AblationCAM.get_cam_weights, of features whose minimum is 0."""
    rest = [
        scores(x, layer, lambda value, c=c: value * (torch.arange(len(a)) != c)[:, None, None])
        for c in range(len(a))
    ]
    return np.asarray((y - np.stack(rest)) / y).T


def component(values: Array) -> Array:
    """get_2d_projection."""
    cells = np.float32(values.reshape(len(values), -1)).T
    cells = cells - cells.mean(axis=0)
    _, _, vt = np.linalg.svd(cells, full_matrices=True)
    return np.asarray((cells @ vt[0]).reshape(values.shape[1:]))


def sums(method: str, layer: str) -> Array:
    """The maps [K, h, w] before their ReLU."""
    x, a, g, y = parts(made(layer), layer)
    if method == "eigen-cam":
        return np.stack([component(a)] * CLASSES)
    if method == "eigen-grad-cam":
        return np.stack([component(row * a) for row in g])
    weights = score_cam(x, a) if method == "score-cam" else ablation_cam(x, a, y, layer)
    return np.asarray(np.einsum("kc,chw->khw", weights, a))


def close(actual: Array, expected: Array, tolerance: float = 1e-4) -> None:
    """Assert that the largest error is within a fraction of the largest value."""
    assert actual.shape == expected.shape
    size = np.abs(expected).max()
    assert size > 0
    assert np.abs(actual - expected).max() <= tolerance * size


@pytest.mark.parametrize("layer", ["mid_relu", "dec2_relu"])
@pytest.mark.parametrize("method", METHODS)
def test_the_preset_takes_pytorch_grad_cams_formula(method: str, layer: str) -> None:
    expected = np.maximum(sums(method, layer), 0)
    cam = made(layer)
    theirs = cam.explain(rgb(), range(CLASSES), layer, method=method, preset=PRESET)
    ours = cam.explain(rgb(), range(CLASSES), layer, method=method)
    for k in range(CLASSES):
        if expected[k].any():
            close(theirs.raw[layer][k], expected[k])
        else:
            assert not theirs.raw[layer][k].any()
    size = np.abs(expected).max()
    assert np.abs(ours.raw[layer] - expected).max() > 1e-2 * size
    assert theirs.method.startswith(f"{method}:")


def test_some_scores_are_below_zero_and_some_above() -> None:
    y = parts(made("mid_relu"), "mid_relu")[3]
    assert y.min() < 0 < y.max()


@pytest.mark.parametrize("layer", ["mid_relu", "dec2_relu"])
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_pytorch_grad_cams(method: str, layer: str, pytorch_grad_cam: Any) -> None:
    """From the picture to the finished map, by its own classes."""
    peers = {
        "score-cam": pytorch_grad_cam.ScoreCAM,
        "ablation-cam": pytorch_grad_cam.AblationCAM,
        "eigen-cam": pytorch_grad_cam.EigenCAM,
        "eigen-grad-cam": pytorch_grad_cam.EigenGradCAM,
    }
    cam, module = made(layer), cut(network(), layer, "logits")
    x = torch.tensor(cam.preprocess(rgb()), dtype=torch.float64, requires_grad=True)
    actual = cam.explain(rgb(), range(CLASSES), layer, method=method, preset=PRESET)
    for k in range(CLASSES):
        with peers[method](module, [module.layer]) as peer:
            (expected,) = peer(x, [lambda output, k=k: output[k].sum()])
        np.testing.assert_allclose(actual.map(k), expected, atol=1e-4)


def test_an_option_overrides_the_preset() -> None:
    cam = made("mid_relu")
    explanation = cam.explain(rgb(), 0, method="eigen-cam:sign=dark", preset=PRESET)
    np.testing.assert_array_equal(
        explanation.raw["mid_relu"], cam.explain(rgb(), 0, method="eigen-cam").raw["mid_relu"]
    )
    assert explanation.method == "eigen-cam:sign=svd,sign=dark"


def test_ablations_that_pytorch_grad_cam_makes_otherwise_are_noted() -> None:
    """It sets a channel to 0 only where the least value of the features is 0."""
    noted = made("mid_conv").explain(rgb(), [0, 1], method="ablation-cam", preset=PRESET).notes
    assert sum("made by setting channels of mid_conv to 0, while" in note for note in noted) == 2
    plain = made("mid_conv").explain(rgb(), 0, method="ablation-cam").notes
    rectified = made("mid_relu").explain(rgb(), 0, method="ablation-cam", preset=PRESET).notes
    assert not any("-1e7" in note for note in (*plain, *rectified))


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize("block", [3, 5, 7])
def test_maps_are_seg_xres_cams(block: int, pool: str) -> None:
    """block_reduce and resize of scikit-image, cv2.resize, and a map of bytes."""
    layer = "mid_relu"
    cam = made(layer)
    _, a, g, _ = parts(cam, layer)
    height, width = a.shape[1:]
    high, wide = -(-height // block), -(-width // block)
    method = f"seg-xres-cam:block={block},pool={pool}"
    actual = cam.explain(rgb(), range(CLASSES), layer, method=method, preset="seg-xres-cam")
    for k in range(CLASSES):
        filled = np.zeros((len(a), high * block, wide * block))
        filled[:, :height, :width] = g[k]
        blocks = filled.reshape(len(a), high, block, wide, block)
        pooled = blocks.max((2, 4)) if pool == "max" else blocks.mean((2, 4))
        stretched = torch.nn.functional.interpolate(
            torch.from_numpy(pooled)[None], (height, width), mode="nearest-exact"
        )[0].numpy()
        plane = np.maximum((stretched * a).sum(axis=0), 0)
        close(actual.raw[layer][k], plane) if plane.any() else None
        grown = torch.nn.functional.interpolate(
            torch.from_numpy(plane)[None, None], GRID, mode="bilinear"
        )[0, 0].numpy()
        expected = np.uint8(255 * (grown - grown.min()) / (np.ptp(grown) or 1)) / 255
        assert np.abs(actual.map(k) - expected).max() <= 1.001 / 255
        assert (np.abs(actual.map(k) - expected) > 1e-3).mean() < 0.02


def test_smooth_grad_of_parts_is_captums_mean_of_magnitudes() -> None:
    exported = export(network(), methods=["smooth-grad"], score="logits", verify=False, **FAST)
    cam = ortcam.load(exported.model, "cpu")
    x = cam.preprocess(rgb())
    random = np.random.default_rng(0)
    total = np.zeros(x.shape)
    for _ in range(6):
        noisy = torch.tensor(x + random.normal(0, 0.15 * np.ptp(x), x.shape[1:]))
        noisy = noisy.double().requires_grad_()
        y = run(network(), {"input": noisy})["logits"][0, 2].sum()
        total += torch.autograd.grad(y, noisy)[0].abs().numpy() / 6
    method = "smooth-grad:samples=6,average=parts"
    (actual,) = cam.explain(rgb(), 2, method=method).raw.values()
    close(actual[0], total[0].max(axis=0), 1e-3)
    signed = cam.explain(rgb(), 2, method="smooth-grad:samples=6").raw
    assert (next(iter(signed.values())) < 0.95 * actual).any()
