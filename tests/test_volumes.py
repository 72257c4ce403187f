"""Volumes [N, C, D, H, W], as pictures with one more axis, against autograd in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

import ortcam
from ortcam.cli import main
from ortcam.drawing import colormap
from ortcam.errors import InputError, RegionError
from ortcam.grids.resample import resample, upsample
from ortcam.questions.coverage import coverage
from ortcam_export import export

Array = NDArray[Any]

VOLUME = np.random.default_rng(5).normal(size=(1, 2, 8, 11, 14)).astype(np.float32)
GRID = (8, 11, 14)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("volumes") / "volumes.cam.onnx"
    export(networks.volumes(), path, feature_layers=["a_relu", "b_relu"], classes=list("abc"))
    return path


@pytest.fixture(scope="module")
def cam(artifact: Path) -> ortcam.Cam:
    return ortcam.load(artifact, "cpu")


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["everywhere", "shared", "a region per question"])
def test_maps_agree_with_autograd(cam: ortcam.Cam, kind: str) -> None:
    pytest.importorskip("torch")
    from reference import pooled_gradients

    region: Array | None = None
    if kind == "shared":
        region = np.zeros(GRID, bool)
        region[2:5, :6, 3:] = True
    elif kind == "a region per question":
        region = np.random.default_rng(6).random((2, *GRID))
    explanation = cam.explain(None, [0, 2], region=region, tensor=VOLUME)
    rows = np.eye(3)[[0, 2]][:, None]
    cells = np.ones((1, *GRID)) if region is None else region.reshape(-1, *GRID)
    names = ["a_relu", "b_relu"]
    expected = pooled_gradients(
        networks.volumes(), {"input": VOLUME}, "probabilities", names, rows, cells[:, None]
    )
    for name in names:
        alpha, features = expected[name]
        terms = alpha[:, 0, :, None, None, None] * features[0]
        bound = np.abs(terms).sum(1).max((1, 2, 3))
        assert bound.min() > 0
        raw = np.maximum(terms.sum(1), 0)
        assert explanation.raw[name].shape == raw.shape
        assert (np.abs(explanation.raw[name] - raw).max((1, 2, 3)) < 1e-5 * bound).all()
        np.testing.assert_allclose(
            explanation.weights[name], alpha[:, 0], atol=1e-6 * abs(alpha).max()
        )
    assert explanation.maps.shape == (2, 2, *GRID)
    assert explanation.map("c", "b_relu").max() > 0


def test_labels(cam: ortcam.Cam) -> None:
    segmentation = cam.segment(tensor=VOLUME)
    np.testing.assert_array_equal(segmentation.labels, segmentation.score.argmax(0))
    assert segmentation.labels.shape == segmentation.grid == GRID
    explanation = cam.explain(tensor=VOLUME)
    areas = np.bincount(segmentation.labels.ravel(), minlength=3)
    assert explanation.indices == tuple(i for i in np.argsort(-areas, kind="stable") if areas[i])


def test_a_score_coarser_than_the_volume() -> None:
    exported = export(networks.volumes(), reduction_layer="b_relu", score="logits", verify=False,
                      feature_layers=["a_relu"])  # fmt: skip
    coarse = ortcam.load(exported.model, "cpu")
    segmentation = coarse.segment(tensor=VOLUME)
    assert segmentation.score.shape == (8, 4, 6, 7)
    assert segmentation.labels.shape == GRID
    everywhere = coarse.explain(None, [1], region=np.ones(GRID), tensor=VOLUME)
    default = coarse.explain(None, [1], tensor=VOLUME)
    np.testing.assert_allclose(everywhere.weights["a_relu"], default.weights["a_relu"], rtol=1e-4)
    halves = np.zeros((2, *GRID))
    halves[0, :4] = halves[1, 4:] = 1
    parts = [coarse.explain(None, [1], region=half, tensor=VOLUME) for half in halves]
    total = sum(part.weights["a_relu"] for part in parts)
    np.testing.assert_allclose(total, default.weights["a_relu"], rtol=1e-4, atol=1e-7)
    assert np.abs(parts[0].weights["a_relu"]).max() > 0


def test_coverage_is_the_fraction_of_each_cell() -> None:
    region = np.random.default_rng(7).random((2, 6, 8, 4)).astype(np.float32)
    blocks = region.reshape(2, 3, 2, 2, 4, 2, 2).mean((2, 4, 6))
    np.testing.assert_allclose(coverage(region, (3, 2, 2)), blocks, rtol=1e-6)


@pytest.mark.parametrize("method", ["bicubic", "bilinear", "nearest"])
def test_all_axes_of_a_volume_are_resampled_alike(method: str) -> None:
    """The filter is separable, so the order of the axes does not matter."""
    volume = np.random.default_rng(8).random((3, 4, 5)).astype(np.float32)
    grid = (7, 9, 16)
    resampled = resample(volume, grid, method)
    transposed = resample(volume.transpose(2, 0, 1), (16, 7, 9), method).transpose(1, 2, 0)
    np.testing.assert_allclose(resampled, transposed, atol=1e-6)
    assert resampled.shape == grid
    flat = np.broadcast_to(volume[:1], (3, 4, 5))
    plane = resample(volume[0], (9, 16), method)
    np.testing.assert_allclose(resample(flat, grid, method), np.stack([plane] * 7), atol=1e-6)


def test_the_undershoot_is_clipped() -> None:
    point = np.zeros((5, 5, 5), np.float32)
    point[2, 2, 2] = 1
    assert upsample(point, (20, 20, 20)).min() == 0
    assert upsample(point, (20, 20, 20), "none") is point


# ---- Presets


def test_presets_of_volumes(cam: ortcam.Cam) -> None:
    default = cam.explain(tensor=VOLUME, classes="a", layers="b_relu")
    raw = cam.explain(tensor=VOLUME, classes="a", layers="b_relu", preset="raw")
    np.testing.assert_array_equal(np.maximum(raw.map(), 0), default.raw["b_relu"][0])
    assert raw.overlay(slice=3).size == (14, 11)
    matlab = cam.explain(tensor=VOLUME, classes="a", layers="b_relu", preset="matlab")
    np.testing.assert_array_equal(np.maximum(matlab.map(), 0), default.map())


@pytest.mark.parametrize("preset", ["pytorch-grad-cam", "seggradcam"])
def test_a_preset_for_pictures_alone_is_refused(cam: ortcam.Cam, preset: str) -> None:
    with pytest.raises(InputError, match=f"'{preset}' draws pictures only"):
        cam.explain(tensor=VOLUME, classes="a", preset=preset)


def test_the_command_names_its_option(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "volume.npy", VOLUME)
    options = ["--preset", "seggradcam", "-o", str(tmp_path / "out.npz")]
    result = CliRunner().invoke(
        main, ["explain", str(artifact), str(tmp_path / "volume.npy"), *options]
    )
    assert result.exit_code == 1
    assert "this is a volume; leave --preset out" in result.stderr


# ---- Figures


def test_maps_are_drawn_over_a_slice_of_the_volume(cam: ortcam.Cam) -> None:
    explanation = cam.explain(None, ["a"], "b_relu", tensor=VOLUME)
    first = VOLUME[0, 0]
    grey = (first - first.min()) / (first.max() - first.min()) * 255
    assert explanation.picture is not None
    np.testing.assert_allclose(explanation.picture[..., 1], grey, atol=0.51)
    for index in (0, 7):
        drawn = np.asarray(explanation.overlay(slice=index, alpha=1, colormap="jet"))
        top = explanation.top(0, "b_relu")
        expected = colormap.apply(explanation.map()[index], top, "jet")
        np.testing.assert_array_equal(drawn, expected)
    segmentation = cam.segment(tensor=VOLUME)
    painted = np.asarray(segmentation.overlay(0, slice=3))
    np.testing.assert_array_equal(painted, np.array(cam.colors)[segmentation.labels[3]])


def test_figures_of_a_slice(cam: ortcam.Cam, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one = cam.explain(None, None, "b_relu", tensor=VOLUME)
    figure = one.figure(slice=4, contours=False)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["Slice 4", "Segmentation"]
    images = [image.get_array() for axes in figure.axes for image in axes.images]
    drawn = [image for image in images if image is not None and image.shape == (11, 14, 3)]
    assert one.picture is not None
    assert one.segmentation is not None
    np.testing.assert_array_equal(drawn[0], one.picture[4])
    np.testing.assert_array_equal(drawn[1], np.asarray(one.segmentation.overlay(slice=4)))
    np.testing.assert_array_equal(drawn[2], np.asarray(one.overlay(one.indices[0], slice=4)))
    one.save(tmp_path / "one.png", slice=4)
    cam.explain(tensor=VOLUME).save(tmp_path / "grid.png", slice=0)
    cam.segment(tensor=VOLUME).save(tmp_path / "labels.png", slice=7)
    for name in ("one", "grid", "labels"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size[0] > 10


def test_without_a_slice_nothing_is_drawn(cam: ortcam.Cam, tmp_path: Path) -> None:
    explanation, segmentation = cam.explain(tensor=VOLUME), cam.segment(tensor=VOLUME)
    sentence = r"a volume is drawn one slice at a time; give slice= from 0 to 7"
    for draw in (explanation.figure, segmentation.figure, segmentation.overlay):
        with pytest.raises(InputError, match=sentence):
            draw()
    with pytest.raises(InputError, match=sentence):
        explanation.save(tmp_path / "x.png")
    with pytest.raises(InputError, match="there is no slice 8"):
        explanation.figure(slice=8)
    with pytest.raises(InputError, match="there is no slice -1"):
        explanation.overlay(explanation.indices[0], "a_relu", slice=-1)
    assert not list(tmp_path.iterdir())


def test_arrays_of_a_volume(cam: ortcam.Cam, tmp_path: Path) -> None:
    cam.explain(None, ["a", "b"], tensor=VOLUME).save(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as arrays:
        assert arrays["maps"].shape == (2, 2, *GRID)
        assert arrays["raw_1"].shape == (2, 4, 6, 7)
    cam.segment(tensor=VOLUME).save(tmp_path / "labels.npz")
    with np.load(tmp_path / "labels.npz") as arrays:
        assert arrays["labels"].shape == GRID


# ---- What goes wrong


def test_refusals(cam: ortcam.Cam, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match=r"is \[11, 14\] and the volume \[8, 11, 14\] \(depth,"):
        cam.explain(None, ["a"], region=np.ones((11, 14)), tensor=VOLUME)
    Image.new("L", (14, 11), 255).save(tmp_path / "region.png")
    with pytest.raises(RegionError, match="the region of a volume must be an array"):
        cam.explain(None, ["a"], region=tmp_path / "region.png", tensor=VOLUME)
    with pytest.raises(InputError, match="on which a picture cannot be drawn"):
        cam.explain(np.zeros((11, 14, 3), np.uint8), ["a"], tensor=VOLUME)
    with pytest.raises(InputError, match=r"the preprocessing of the input .* is unknown"):
        cam.explain(np.zeros((11, 14, 3), np.uint8), ["a"])


# ---- The command line


def cli(*arguments: object, code: int = 0) -> str:
    """Run a command, and return its output."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_line(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VOLUME)
    region = np.zeros(GRID)
    region[1] = 1
    np.save(tmp_path / "r.npy", region)
    options = ["-c", "a", "-l", "b_relu", "--mask", tmp_path / "r.npy"]
    cli("explain", artifact, tmp_path / "v.npy", "-o", tmp_path / "m.npz", *options)
    with np.load(tmp_path / "m.npz") as arrays:
        expected = ortcam.load(artifact, "cpu").explain(
            None, ["a"], "b_relu", region, tensor=VOLUME
        )
        np.testing.assert_array_equal(arrays["maps"], expected.maps)
    cli("explain", artifact, tmp_path / "v.npy", "-o", tmp_path / "m.png", "--slice", 2)
    cli("segment", artifact, tmp_path / "v.npy", "-o", tmp_path / "s.png", "--slice", 2)
    assert (tmp_path / "m.png").exists()
    assert (tmp_path / "s.png").exists()
    output = cli("segment", artifact, tmp_path / "v.npy", "-o", tmp_path / "s.png", code=1)
    assert "a volume is drawn one slice at a time" in output
    (tmp_path / "v.npy").write_bytes(b"no array")
    output = cli("segment", artifact, tmp_path / "v.npy", "-o", tmp_path / "s.npz", code=1)
    assert "v.npy cannot be read as a NumPy array" in output
