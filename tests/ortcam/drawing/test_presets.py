"""Presets, compared with pytorch-grad-cam itself and with the tools' formulas."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from results import Build

import ortcam
from ortcam import Explanation
from ortcam.drawing.colormap import table
from ortcam.drawing.overlay import paint_brightened
from ortcam.drawing.presets import DEFAULT, PRESETS
from ortcam.errors import ClassError, InputError
from ortcam.questions.coverage import coverage

Array = NDArray[Any]

GRID = (22, 31)
SEED = 4
CLASS = 3


def sums(built: Any, cam: ortcam.Cam, rgb: Array, layer: str, cls: int = CLASS) -> Array:
    """The sum over k of alpha_k A_k in float64, by central differences: [h, w], signed."""
    x = cam.preprocess(rgb)[0].astype(float)
    alphas = built.reference.weights(x, layer, cls)
    return np.tensordot(alphas, built.reference.features(x)[layer], axes=1)


def cubic(d: Array) -> Array:
    """Keys' kernel, a = -0.5."""
    d = abs(d)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def mirrored(n: int, extent: int) -> Array:
    """[extent, n]: imresize's weights for an enlargement, its indices mirrored at the ends."""
    out = np.zeros((extent, n))
    for i in range(extent):
        u = (i + 0.5) * n / extent - 0.5
        for j in range(int(np.floor(u)) - 1, int(np.floor(u)) + 3):
            k = j % (2 * n)
            out[i, k if k < n else 2 * n - 1 - k] += cubic(np.array(u - j))
    return out


def clamped(n: int, extent: int) -> Array:
    """[extent, n]: OpenCV's INTER_LINEAR."""
    out = np.zeros((extent, n))
    for i in range(extent):
        u = min(max((i + 0.5) * n / extent - 0.5, 0), n - 1)
        j = min(int(u), n - 2)
        out[i, j], out[i, j + 1] = 1 - (u - j), u - j
    return out


def resized(m: Array, weights: Callable[[int, int], Array]) -> Array:
    rows, columns = weights(m.shape[0], GRID[0]), weights(m.shape[1], GRID[1])
    return np.asarray(rows @ m @ columns.T)


def unit(m: Array, epsilon: float = 0) -> Array:
    return np.asarray((m - m.min()) / (epsilon + (m - m.min()).max()))


def in_float64(preset: str, m: Array) -> Array:
    """The map that each tool computes from the sums."""
    relu = np.maximum(m, 0)
    if preset == "ortcam":
        return np.maximum(resized(relu, mirrored), 0)
    if preset == "matlab":
        return resized(relu, mirrored)
    if preset == "matlab-example":
        return resized(unit(m * m.size), mirrored)  # the sum of the gradient, not its mean
    if preset == "pytorch-grad-cam":
        return unit(resized(unit(relu, 1e-7), clamped), 1e-7)
    if preset == "seg-xres-cam":
        return np.asarray(np.uint8(255 * unit(resized(relu, clamped))) / 255)
    if preset == "seggradcam":
        relu = np.maximum(resized(m, clamped), 0)
        return np.asarray(relu / relu.max())
    assert preset == "raw"
    return m


@pytest.mark.parametrize("preset", PRESETS)
def test_a_map_is_the_tools_formula(preset: str, small: Build, rgb: NDArray[np.uint8]) -> None:
    built = small(seed=SEED)
    cam = built.load()
    for layer in cam.layers:
        explanation = cam.explain(rgb, CLASS, layer, preset=preset)
        expected = in_float64(preset, sums(built, cam, rgb, layer))
        found = explanation.map()
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        # A byte may be rounded down otherwise where the value is nearly a whole number.
        tolerance = 1.001 / 255 if preset == "seg-xres-cam" else 1e-4 * abs(expected).max()
        np.testing.assert_allclose(found, expected, atol=tolerance)
        assert (abs(found - expected) > 1e-4 * abs(expected).max()).mean() < 0.02
        np.testing.assert_array_equal(explanation.maps[0, 0], found)
        assert (explanation.preset, explanation.upsampling) == (preset, PRESETS[preset].filter)


def test_the_sums_that_presets_begin_with_have_both_signs(
    small: Build, rgb: NDArray[np.uint8]
) -> None:
    built = small(seed=SEED)
    cam = built.load()
    raw = cam.explain(rgb, CLASS, preset="raw")
    for layer in cam.layers:
        plane = raw.raw[layer][0]
        assert plane.min() < -0.05 * plane.max() < 0
        usual = cam.explain(rgb, CLASS, layer).raw[layer][0]
        np.testing.assert_array_equal(np.maximum(plane, 0), usual)


def test_presets_differ_from_each_other(small: Build, rgb: NDArray[np.uint8]) -> None:
    cam = small(seed=SEED).load()
    made = {p: cam.explain(rgb, CLASS, "late", preset=p, upsample="bicubic") for p in PRESETS}
    maps = {p: one.map() for p, one in made.items()}
    scaled = {p: (m - m.min()) / (m.max() - m.min()) for p, m in maps.items()}
    for one in scaled:
        for other in scaled:
            # MATLAB's map has the undershoot that ortcam's clips, and pytorch-grad-cam's scales
            # to 0 and 1 what MATLAB keeps, as Seg-XRes-CAM does: on one scale and by one filter
            # they are alike.
            # So are those that keep the sums' signs.
            alike = {one, other} <= {"ortcam", "matlab", "pytorch-grad-cam", "seg-xres-cam"}
            alike |= {one, other} <= {"raw", "matlab-example"}
            assert alike or one == other or abs(scaled[one] - scaled[other]).max() > 0.02
    assert maps["matlab"].min() < 0 == maps["ortcam"].min()
    assert maps["pytorch-grad-cam"].max() == pytest.approx(1) != maps["matlab"].max()


@pytest.mark.parametrize("preset", PRESETS)
def test_batches_and_views_take_presets(preset: str, small: Build, rgb: NDArray[np.uint8]) -> None:
    cam = small(seed=SEED).load()
    alone = cam.explain(rgb, [CLASS, 1], preset=preset)
    (found,) = cam.explain_batch([rgb], [[CLASS, 1]], preset=preset)
    np.testing.assert_allclose(found.maps, alone.maps, rtol=1e-5, atol=1e-7)
    view = cam._view(rgb, None, None, None)
    np.testing.assert_array_equal(view.explain([CLASS, 1], preset=preset).maps, alone.maps)


def test_another_filter_may_be_asked_for(small: Build, rgb: NDArray[np.uint8]) -> None:
    cam = small(seed=SEED).load()
    found = cam.explain(rgb, CLASS, "late", preset="matlab", upsample="none")
    np.testing.assert_array_equal(found.map(), cam.explain(rgb, CLASS, "late").raw["late"][0])
    raw = cam.explain(rgb, CLASS, "late", preset="raw", upsample="bicubic")
    expected = resized(raw.raw["late"][0], mirrored)
    np.testing.assert_allclose(raw.map(), expected, atol=1e-5 * abs(expected).max())


def test_a_map_without_anything_stays_zero_and_one_that_is_no_number_stays_none(
    small: Build, rgb: NDArray[np.uint8]
) -> None:
    cam = small(seed=SEED).load()
    for preset in PRESETS:
        explanation = cam.explain(rgb, CLASS, "late", preset=preset)
        raw = np.zeros_like(explanation.raw["late"])
        nothing = dataclasses.replace(explanation, raw={"late": raw})
        assert not nothing.map().any()
        assert nothing.overlay().size == (31, 22)
        raw = raw.copy()
        raw[0, 3, 4] = np.nan
        assert np.isnan(dataclasses.replace(explanation, raw={"late": raw}).map()).any()


def test_notes_tell_what_is_blank_under_the_preset(small: Build, rgb: NDArray[np.uint8]) -> None:
    """The signed map of a class shows something even if all its sums are negative."""
    for seed in range(30):
        cam = small(seed=seed).load()
        raw = cam.explain(rgb, [0, 1, 2, 3], "late", preset="raw")
        negative = [k for k in range(4) if raw.raw["late"][k].max() <= 0]
        if negative:
            break
    k = negative[0]
    assert not any("all zero" in note for note in raw.notes)
    for preset in ("ortcam", "seggradcam", "matlab"):
        notes = cam.explain(rgb, k, "late", preset=preset).notes
        assert "every sum is negative before the ReLU" in notes[-1]


# How they are drawn


def test_matlabs_picture_goes_from_the_least_value_to_the_greatest(
    small: Build, rgb: NDArray[np.uint8]
) -> None:
    explanation = small(seed=SEED).load().explain(rgb, [CLASS, 1], "late", preset="matlab")
    for k, cls in enumerate((CLASS, 1)):
        m = explanation.maps[0, k].astype(float)
        at = np.minimum(np.floor(256 * unit(m)), 255).astype(int)
        expected = 0.5 * rgb + 0.5 * table("jet-matlab")[at]
        off = abs(np.asarray(explanation.overlay(cls)) - expected)
        assert (off > 0.501).mean() < 0.002  # where a value lies between two colours


def test_seggradcams_picture_is_matplotlibs(small: Build, rgb: NDArray[np.uint8]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    explanation = small(seed=SEED).load().explain(rgb, CLASS, "late", preset="seggradcam")
    m = explanation.map()
    assert (m.min(), m.max()) == (0, 1)
    colors = matplotlib.colormaps["jet"](m)[..., :3] * 255
    expected = 0.4 * rgb + 0.6 * colors
    assert abs(np.asarray(explanation.overlay()) - expected).max() <= 1.2


def test_the_signed_sums_are_blue_and_red(small: Build, rgb: NDArray[np.uint8]) -> None:
    explanation = small(seed=SEED).load().explain(rgb, CLASS, "late", preset="raw")
    plane = explanation.raw["late"][0]
    low, top = explanation.limits(0, "late", "shared", "coolwarm")
    assert -low == top == pytest.approx(abs(plane).max())
    bare = dataclasses.replace(explanation, picture=None)
    pixels = np.asarray(bare.overlay()).astype(int)
    red_over_blue = (pixels[..., 0] - pixels[..., 2])[::2, ::2]
    assert red_over_blue.shape == plane.shape
    strong = abs(plane) > 0.2 * top
    np.testing.assert_array_equal(red_over_blue[strong] > 0, plane[strong] > 0)


def test_options_override_the_preset(small: Build, rgb: NDArray[np.uint8]) -> None:
    explanation = small(seed=SEED).load().explain(rgb, CLASS, "late", preset="matlab")
    usual = np.asarray(explanation.overlay())
    for option in ({"alpha": 0.2}, {"colormap": "viridis"}, {"scale": 1e6}, {"contours": True}):
        assert (np.asarray(explanation.overlay(**option)) != usual).any(), option


@pytest.mark.parametrize("preset", PRESETS)
def test_figures_of_presets(preset: str, small: Build, rgb: NDArray[np.uint8]) -> None:
    pytest.importorskip("matplotlib")
    cam = small(seed=SEED).load()
    explanation = cam.explain(rgb, ["Tree"], "late", preset=preset)
    figure = explanation.figure()
    bar = figure.axes[3]
    name = PRESETS[preset].colormap
    np.testing.assert_array_equal(bar.images[0].get_array()[:, 0], table(name))
    assert bar.get_ylim() == explanation.limits(0, "late", PRESETS[preset].scale, name)
    assert len(bar.get_yticklabels()) >= 3
    if not PRESETS[preset].contours:
        np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), explanation.overlay())


# The package itself


@pytest.fixture
def network(small: Build) -> Callable[[str], tuple[Any, Any]]:
    """An artifact, and PyTorch's module with its weights, float32."""
    torch = pytest.importorskip("torch")

    def made(kind: str) -> tuple[Any, Any]:
        built = small(seed=SEED, kind=kind)
        module = torch.nn.Sequential()
        for i, (w, b) in enumerate(zip(built.reference.w, built.reference.b, strict=True)):
            out, channels, size, _ = w.shape
            stride = 2 if i == 0 else 1
            conv = torch.nn.Conv2d(channels, out, size, stride, padding=size // 2)
            conv.weight.data = torch.from_numpy(w).float()
            conv.bias.data = torch.from_numpy(b).float()
            module.append(conv)
            if i < 2:
                module.append(torch.nn.ReLU())
        if kind == "softmax":
            module.append(torch.nn.Softmax(dim=1))
        return built, module

    return made


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["logits", "softmax"])
def test_maps_are_pytorch_grad_cams(
    kind: str, network: Any, pytorch_grad_cam: Any, rgb: NDArray[np.uint8]
) -> None:
    """Through its own classes, from the picture to the output of show_cam_on_image."""
    import torch

    show_cam_on_image = import_module("pytorch_grad_cam.utils.image").show_cam_on_image
    targets = import_module("pytorch_grad_cam.utils.model_targets")

    built, module = network(kind)
    cam = built.load()
    region = np.zeros(GRID, np.float32)
    region[6:20, 3:25] = 1
    mask = coverage(region[None], (11, 16))[0]
    layers = {"early": module[1], "late": module[3]}
    x = torch.from_numpy(cam.preprocess(rgb))

    def theirs(names: list[str], cls: int) -> Array:
        with pytorch_grad_cam.GradCAM(module, [layers[n] for n in names]) as peer:
            maps: list[Array] = peer(x, [targets.SemanticSegmentationTarget(cls, mask)])
        return maps[0]

    ours = cam.explain(rgb, [0, 1, 2, 3], region=region, preset="pytorch-grad-cam")
    shown = 0
    for cls in range(4):
        for layer in layers:
            expected = theirs([layer], cls)
            np.testing.assert_allclose(ours.map(cls, layer), expected, atol=1e-5)
            shown += expected.max() > 0.9
            painted = show_cam_on_image(np.float32(rgb) / 255, expected, use_rgb=True)
            np.testing.assert_array_equal(
                paint_brightened(rgb, expected, 1, colormap="jet-opencv"), painted
            )
            off = abs(np.asarray(ours.overlay(cls, layer)).astype(int) - painted)
            assert off.max() <= 3
            assert (off > 0).mean() < 0.02
        np.testing.assert_allclose(ours.fused(cls), theirs(["early", "late"], cls), atol=1e-5)
    assert shown >= 5


# Refusals


def test_only_a_preset_averages_layers(small: Build, rgb: NDArray[np.uint8]) -> None:
    cam = small(seed=SEED).load()
    joined = cam.explain(rgb, [CLASS, 1], preset="pytorch-grad-cam")
    with pytest.raises(ClassError, match="name a class"):
        joined.fused()
    assert joined.fused(1).shape == GRID
    one = cam.explain(rgb, 1, "late", preset="pytorch-grad-cam")
    np.testing.assert_allclose(one.fused(), one.map(), atol=1e-6)
    with pytest.raises(
        InputError, match=r"'ortcam' does not average layers.*use preset='pytorch-grad-cam'"
    ):
        cam.explain(rgb, 1).fused()


def test_an_unknown_preset_is_refused(small: Build, rgb: NDArray[np.uint8]) -> None:
    cam = small().load()
    with pytest.raises(InputError, match="no preset 'matlap'; the nearest are 'matlab'"):
        cam.explain(rgb, 1, preset="matlap")
    assert cam.explain(rgb, 1).preset == DEFAULT


def test_arrays_tell_the_preset(small: Build, rgb: NDArray[np.uint8], tmp_path: Path) -> None:
    cam = small(seed=SEED).load()
    for name, preset in PRESETS.items():
        explanation: Explanation = cam.explain(rgb, 1, preset=name)
        explanation.save(tmp_path / "e.npz")
        with np.load(tmp_path / "e.npz", allow_pickle=False) as saved:
            assert str(saved["preset"]) == name
            assert str(saved["scale"]) == f"Grad-CAM {preset.words}"
            assert str(saved["upsampling"]) == preset.filter
            np.testing.assert_array_equal(saved["maps"], explanation.maps)
