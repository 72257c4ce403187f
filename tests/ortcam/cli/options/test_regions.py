"""The options of ``ortcam explain`` for the question and its region."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image

import ortcam
from ortcam import Box, Component, Labelled, Mask, Mistaken, Pixel, Polygon, Predicted, about

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def artifact(
    run: Run, network_model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The artifact of a network whose classes all score alike, so that each is predicted."""
    model = onnx.ModelProto()
    model.CopyFrom(network_model)
    x = np.random.default_rng(0).random((1, 3, 16, 24), np.float32)
    scores: Any = ReferenceEvaluator(model).run(None, {"picture": x})
    (bias,) = (i for i in model.graph.initializer if i.name == "scorer.bias")
    even = numpy_helper.to_array(bias) - np.log(scores[0]).mean(axis=(0, 2, 3))
    bias.CopyFrom(numpy_helper.from_array(even.astype(np.float32), bias.name))
    folder = tmp_path_factory.mktemp("even")
    onnx.save(model, folder / "even.onnx")
    result = run("export", folder / "even.onnx", "-o", folder / "a.onnx", "-l", "relu1")
    assert result.exit_code == 0, result.output
    return folder / "a.onnx"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    colors = np.random.default_rng(1).integers(0, 256, (21, 31, 3)).astype(np.uint8)
    Image.fromarray(colors).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


@pytest.fixture
def truth(tmp_path: Path, picture: Path) -> Path:
    folder = tmp_path / "labels"
    folder.mkdir()
    Image.fromarray((np.indices((21, 31))[1] // 8 % 3).astype(np.uint8)).save(
        folder / f"{picture.stem}.png"
    )
    return folder


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--at", "12,8"), Pixel(12, 8)),
        (("--box", "3,4,20,9"), Box(3, 4, 20, 9)),
        (("--polygon", "1,1,30,2.5,14,20"), Polygon([(1, 1), (30, 2.5), (14, 20)])),
        (("--where", "component", "--at", "12,8"), Component(12, 8)),
        (("--where", "component", "--where", "border", "--at", "12,8"), Component(12, 8).border(3)),
        (
            ("--where", "component", "--at", "12,8", "--box", "0,0,14,21"),
            Component(12, 8) & Box(0, 0, 14, 21),
        ),
        (("--where", "predicted"), Predicted()),
        (("--where", "border", "--border-width", "1"), Predicted().border(1)),
        (("--where", "labelled", "--truth", "TRUTH"), Labelled("TRUTH")),
        (("--where", "mistaken", "--truth", "FOLDER"), Mistaken("TRUTH")),
        (
            ("--where", "false-positive", "--truth", "TRUTH"),
            Mistaken("TRUTH", "false-positive"),
        ),
        (
            ("--where", "false-negative", "--truth", "FOLDER"),
            Mistaken("TRUTH", "false-negative"),
        ),
        (
            ("--where", "mistaken", "--where", "predicted", "--truth", "TRUTH"),
            Predicted() & Mistaken("TRUTH"),
        ),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_the_options_build_the_region(
    run: Run,
    artifact: Path,
    picture: Path,
    truth: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    part: Any,
) -> None:
    cam = ortcam.load(artifact)
    file = truth / f"{picture.stem}.png"
    label = cam.classes[int(np.bincount(cam.segment(picture).labels.ravel()).argmax())]
    paths = {"TRUTH": file, "FOLDER": truth}
    typed = [paths.get(option, option) for option in options]
    out = tmp_path / "out.npz"
    result = run("explain", artifact, picture, "-c", label, *typed, "-o", out)
    assert result.exit_code == 0, result.output

    for inner in (part, *getattr(part, "parts", ())):
        if isinstance(inner, Labelled | Mistaken):
            object.__setattr__(inner, "truth", file)
    expected = cam.explain(picture, about(label).over(part))
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["classes"].tolist() == list(expected.classes)
        np.testing.assert_array_equal(arrays["maps"], expected.maps)
        assert arrays["class_indices"].tolist() == [cam.classes.index(label)]
    assert all(f"note: {note}" in result.stderr for note in expected.notes)
    whole = cam.explain(picture, label)
    assert any(abs(expected.weights[a] - whole.weights[a]).max() > 0 for a in cam.layers)


def test_a_mask_within_a_box(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random((21, 31))
    np.save(tmp_path / "mask.npy", weights)
    out = tmp_path / "out.npz"
    options = ("-c", "Car", "--mask", tmp_path / "mask.npy", "--box", "3,4,20,9")
    assert run("explain", artifact, picture, *options, "-o", out).exit_code == 0
    part = Box(3, 4, 20, 9) & Mask(weights)
    expected = ortcam.load(artifact).explain(picture, about("Car").over(part))
    with np.load(out, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["maps"], expected.maps)


def test_differences(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    options = ("-c", "Car - 0.5*Road", "-c", "Sky", "--at", "12,8")
    assert run("explain", artifact, picture, *options, "-o", out).exit_code == 0
    question = about("Car") - 0.5 * about("Road")
    expected = ortcam.load(artifact).explain(picture, [question, "Sky"], region=Pixel(12, 8))
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["classes"].tolist() == ["Car - 0.5*Road at 12,8", "Sky at 12,8"]
        assert arrays["class_indices"].tolist() == [-1, 0]
        np.testing.assert_array_equal(arrays["maps"], expected.maps)


def test_a_picture_that_the_region_misses_is_left_out(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.png"
    with Image.open(picture) as image:
        image.crop((0, 0, 9, 9)).save(small)
    options = ("-c", "Car", "--at", "20,15", "--format", "npz", "-o", tmp_path / "out")
    result = run("explain", artifact, small, picture, *options)
    assert result.exit_code == 1
    assert "lies outside the picture of 9 x 9" in result.stderr
    assert "1 of 2 pictures were left out" in result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--at", "12"), 2, "a column and a row from 0, as in 120,80"),
        (("--at", "12,-3"), 2, "a column and a row from 0"),
        (("--at", "1.5,2"), 2, "a column and a row"),
        (("--box", "1,2,3"), 2, "a left, upper, right and lower edge"),
        (("--polygon", "1,2,3,4"), 2, "three or more corners"),
        (("--polygon", "1,2,3,4,5,nan"), 2, "three or more corners"),
        (("--where", "component"), 2, "needs a pixel of the object: add --at X,Y"),
        (("--where", "mistaken"), 2, "needs a label image: add --truth FILE"),
        (("--truth", "."), 2, "--truth needs --where labelled or --where mistaken"),
        (("--border-width", "3"), 2, "--border-width needs --where border"),
        (("--at", "99,8"), 1, "lies outside the picture of 31 x 21"),
        (("--box", "5,5,5,9"), 1, "the box 5,5,5,9 is empty"),
        (("--where", "mistaken", "--truth", "."), 1, "holds no label image"),
        (("-c", "Car - Rod"), 1, "there is no class 'Rod'"),
        (("-c", "Car - Car"), 1, "has only zero weights"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_invalid_combinations_are_reported(
    run: Run,
    artifact: Path,
    picture: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    out = tmp_path / "out.npz"
    result = run("explain", artifact, picture, "-c", "Car", *options, "-o", out)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not out.exists()
