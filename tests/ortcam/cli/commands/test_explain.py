"""``ortcam explain``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import TensorProto, helper
from PIL import Image

import ortcam

Run = Callable[..., Result]


def maps(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["maps"]


def test_figures(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    sizes = {}
    for name, layers in (("one", ["-l", "relu2"]), ("two", [])):
        out = tmp_path / f"{name}.png"
        result = run("explain", artifact, picture, "-c", "Road", "-c", "Car", *layers, "-o", out)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[0] == f"{picture} -> {out}"
        with Image.open(out) as figure:
            sizes[name] = figure.size
    assert min(min(size) for size in sizes.values()) > 100


def test_arrays_match_those_of_python(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    result = run("explain", artifact, picture, "-c", "Car", "-c", "1", "-o", out)
    assert result.exit_code == 0, result.output
    expected = ortcam.load(artifact).explain(picture, ["Car", "Road"])
    np.testing.assert_array_equal(maps(out), expected.maps)
    assert expected.maps.shape == (2, 2, 21, 31)
    assert expected.maps.any()


def test_layers_and_upsampling(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    options = ("-c", "Car", "-l", "relu2", "--upsample", "nearest", "--size", "30x20")
    result = run("explain", artifact, picture, *options, "-o", out)
    assert result.exit_code == 0, result.output
    expected = ortcam.load(artifact).explain(
        picture, ["Car"], ["relu2"], size=(30, 20), upsample="nearest"
    )
    np.testing.assert_array_equal(maps(out), expected.maps)
    assert len(np.unique(maps(out))) <= 15 * 10


def test_a_region(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    mask = np.zeros((21, 31), np.uint8)
    mask[3:6, 4:9] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    out = tmp_path / "out.npz"
    options = ("-c", "Car", "--mask", tmp_path / "mask.png", "--size", "native")
    result = run("explain", artifact, picture, *options, "-o", out)
    assert result.exit_code == 0, result.output
    cam = ortcam.load(artifact)
    expected = cam.explain(picture, ["Car"], region=mask > 0, size="native")
    np.testing.assert_array_equal(maps(out), expected.maps)
    assert np.abs(maps(out) - cam.explain(picture, ["Car"], size="native").maps).max() > 0


def test_colormap(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    pictures = {}
    for name in ("jet", "viridis"):
        out = tmp_path / f"{name}.png"
        result = run("explain", artifact, picture, "-c", "Car", "--colormap", name, "-o", out)
        assert result.exit_code == 0, result.output
        pictures[name] = out.read_bytes()
    assert pictures["jet"] != pictures["viridis"]


def test_scale(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    pictures = []
    for options in ((), ("--scale", "shared"), ("--scale", "own")):
        out = tmp_path / "out.png"
        result = run("explain", artifact, picture, "-c", "Car", "-c", "Road", *options, "-o", out)
        assert result.exit_code == 0, result.output
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_preset(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    cam, out = ortcam.load(artifact), tmp_path / "out.npz"
    options = ("-c", "Car", "-l", "relu2", "-o", out)
    for preset in ("matlab", "pytorch-grad-cam", "raw"):
        result = run("explain", artifact, picture, *options, "--preset", preset)
        assert result.exit_code == 0, result.output
        expected = cam.explain(picture, ["Car"], ["relu2"], preset=preset)
        np.testing.assert_array_equal(maps(out), expected.maps)
    result = run("explain", artifact, picture, *options, "--preset", "matlab", "--upsample", "none")
    assert result.exit_code == 0, result.output
    assert maps(out).shape == (1, 1, 8, 12)


@pytest.mark.parametrize("suffix", ["jpg", "svg", "pdf"])
def test_formats_into_a_folder(
    run: Run, artifact: Path, picture: Path, tmp_path: Path, suffix: str
) -> None:
    options = ("-c", "Car", "-l", "relu2", "-o", tmp_path / "out", "--format", suffix)
    result = run("explain", artifact, picture, *options, "--no-contours")
    assert result.exit_code == 0, result.output
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == f"scene.explain.{suffix}"
    explanation = ortcam.load(artifact).explain(picture, ["Car"], ["relu2"])
    explanation.save(tmp_path / f"e.{suffix}", contours=False)
    assert file.read_bytes() == (tmp_path / f"e.{suffix}").read_bytes()


def test_pictures_share_a_scale(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    faint = tmp_path / "faint.png"
    with Image.open(picture) as image:
        Image.blend(image, Image.new("RGB", image.size, "grey"), 0.7).save(faint)
    (tmp_path / "none.png").write_bytes(b"no picture")
    cam = ortcam.load(artifact)
    explanations = [cam.explain(p, ["Car"], ["relu2"]) for p in (picture, faint)]
    scale = ortcam.common_scale(explanations)
    assert len({e.top(0, "relu2") for e in explanations}) == 2
    pictures = (picture, tmp_path / "none.png", faint)
    options = ("-c", "Car", "-l", "relu2", "-o", tmp_path / "out")
    result = run("explain", artifact, *pictures, *options, "--scale", "pictures")
    assert result.exit_code == 1
    assert result.stderr.count("none.png") == 1
    assert result.stderr.endswith("1 of 3 pictures were left out.\n")
    for explanation, name in zip(explanations, ("scene", "faint"), strict=True):
        explanation.save(tmp_path / "e.png", scale=scale)
        file = tmp_path / "out" / f"{name}.explain.png"
        assert file.read_bytes() == (tmp_path / "e.png").read_bytes()


def test_a_scale_may_be_a_number(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    options = ("-c", "Car", "-l", "relu2", "-o", tmp_path / "out.png")
    result = run("explain", artifact, picture, *options, "--scale", "0.5", "--alpha", "0.3")
    assert result.exit_code == 0, result.output
    explanation = ortcam.load(artifact).explain(picture, ["Car"], ["relu2"])
    explanation.save(tmp_path / "e.png", scale=0.5, alpha=0.3)
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "e.png").read_bytes()
    for wrong in ("0", "-1", "nan", "widest"):
        result = run("explain", artifact, picture, *options, "--scale", wrong)
        assert result.exit_code == 2
        assert "is neither shared, own, layers, none, pictures nor a number" in result.stderr


def test_a_plain_network_is_exported_with_the_layers_of_the_options(
    run: Run, network: Path, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    both = []
    for model in (network, artifact):
        out = tmp_path / f"{model.name}.npz"
        result = run("explain", model, picture, "-c", "Car", "-l", "relu1", "-o", out)
        assert result.exit_code == 0, result.output
        both.append(maps(out))
    np.testing.assert_allclose(both[0], both[1], rtol=1e-4, atol=1e-7 * both[1].max())


def test_a_class_by_its_index_or_by_a_name_of_digits(
    run: Run, network: Path, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("7\n0\n1\n")
    artifact = tmp_path / "digits.cam.onnx"
    result = run("export", network, "-o", artifact, "--labels", tmp_path / "names.txt")
    assert result.exit_code == 0, result.output
    cam = ortcam.load(artifact)
    for typed, index in (("0", 1), ("7", 0), ("2", 2)):
        out = tmp_path / "out.npz"
        result = run("explain", artifact, picture, "-c", typed, "-o", out)
        assert result.exit_code == 0, result.output
        np.testing.assert_array_equal(maps(out), cam.explain(picture, [index]).maps)


def test_without_class_those_in_the_picture_are_explained(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    result = run("explain", artifact, picture, "-o", out)
    assert result.exit_code == 0, result.output
    labels = ortcam.load(artifact).segment(picture).score.argmax(axis=0)
    classes, counts = np.unique(labels, return_counts=True)
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["class_indices"].tolist() == classes[np.argsort(-counts)].tolist()


def test_without_matplotlib_one_sentence_says_what_to_install(
    artifact: Path, picture: Path, tmp_path: Path
) -> None:
    program = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'matplotlib' else find(name, *rest)\n"
        "sys.modules['matplotlib'] = None\n"
        "from ortcam.cli import main\n"
        "main(sys.argv[1:], prog_name='ortcam')\n"
    )

    def explain(out: Path) -> subprocess.CompletedProcess[str]:
        arguments = ["explain", str(artifact), str(picture), "-c", "Car", "-q", "-o", str(out)]
        return subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True
        )

    done = explain(tmp_path / "out.png")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the figure of an explanation needs matplotlib: pip install 'ortcam[plot]', "
        "or write arrays, to a .npz file\n"
    )
    assert explain(tmp_path / "out.npz").returncode == 0


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_but_the_results_is_left(
    run: Run, artifact: Path, picture: Path, tmp_path: Path, count: int
) -> None:
    out = tmp_path / "results"
    result = run("explain", artifact, *[picture] * count, "-c", "Car", "-o", out)
    assert result.exit_code == 0, result.output
    assert len(list(out.iterdir())) == count


def test_an_additional_input(
    run: Run, network_model: onnx.ModelProto, picture: Path, tmp_path: Path
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(network_model)
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    softmax.input[0] = "sharper"
    sharpen = helper.make_node("Mul", ["logits", "gain"], ["sharper"], "sharper")
    model.graph.node.insert(len(model.graph.node) - 1, sharpen)
    model.graph.input.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1]))
    onnx.save(model, tmp_path / "gain.onnx")
    artifact = tmp_path / "gain.cam.onnx"
    result = run("export", tmp_path / "gain.onnx", "-o", artifact)
    assert result.exit_code == 0, result.output

    out, results = tmp_path / "out.npz", []
    for gain in (1.0, 3.0):
        np.save(tmp_path / "gain.npy", np.array([gain], np.float32))
        options = ("-c", "Car", "--input", f"gain={tmp_path}/gain.npy")
        result = run("explain", artifact, picture, *options, "-o", out)
        assert result.exit_code == 0, result.output
        expected = ortcam.load(artifact).explain(picture, ["Car"], inputs={"gain": [gain]})
        np.testing.assert_array_equal(maps(out), expected.maps)
        results.append(maps(out))
    assert np.abs(results[0] - results[1]).max() > 0

    result = run("explain", artifact, picture, "-c", "Car", "-o", out)
    assert result.exit_code == 1
    assert "gain" in result.stderr.splitlines()[-1]


def test_a_plain_network_is_exported_for_the_method(
    run: Run, network: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    options = ("-c", "Car", "--method", "smooth-grad:samples=2")
    result = run("explain", network, picture, *options, "-o", out)
    assert result.exit_code == 0, result.output
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["maps"].shape == (1, 1, 21, 31)
        assert list(arrays["layers"]) == ["picture"]
        assert str(arrays["method"]) == "smooth-grad:samples=2"
