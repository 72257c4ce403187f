"""``ortcam report``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import helper
from PIL import Image
from reports import Read, blocks

import ortcam

Run = Callable[..., Result]


@pytest.fixture
def two(picture: Path, tmp_path: Path) -> Path:
    """Another picture of the same name."""
    (tmp_path / "b").mkdir()
    pixels = np.random.default_rng(4).integers(0, 256, (21, 31, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "b" / picture.name)
    return tmp_path / "b" / picture.name


def test_one_file_of_several_pictures(
    run: Run, artifact: Path, picture: Path, two: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.html"
    result = run("report", artifact, picture, two, "-c", "Car", "-c", "Road", "-o", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{picture} -> {out}\n{two} -> {out}\n"
    data = blocks(out)
    assert [d["name"] for d in data] == [str(picture), str(two)]
    expected = ortcam.load(artifact).explain(two, ["Car", "Road"])
    tops = [m["ranges"]["own"][0][1] for m in data[1]["maps"]]
    assert tops == [float(m.max()) for layer in expected.layers for m in expected.raw[layer]]
    read = Read(out.read_text(encoding="utf-8"))
    for message in (artifact.name, "CPUExecutionProvider", "relu1, relu2", ortcam.__version__):
        assert message in read.text
    assert {p.name for p in tmp_path.iterdir()} == {picture.name, "b", "r.html"}


def test_the_question_and_the_style_reach_the_report(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.html"
    options = ("-c", "Car - Road", "-l", "relu2", "--box", "3,3,12,9", "--upsample", "nearest")
    style = ("--colormap", "viridis", "--scale", "own", "--title", "A & B")
    result = run("report", artifact, picture, *options, *style, "-q", "-o", out)
    assert result.exit_code == 0, result.output
    assert result.output == ""
    question = ortcam.about("Car") - ortcam.about("Road")
    region = ortcam.Box(3, 3, 12, 9)
    expected = ortcam.load(artifact).explain(
        picture, [question], ["relu2"], region, upsample="nearest"
    )
    ((block,),) = (d["maps"] for d in blocks(out))
    assert (block["class"], block["layer"]) == ("Car - Road in the box 3,3,12,9", "relu2")
    assert block["ranges"]["own"][0][1] == float(expected.raw["relu2"].max())
    html = out.read_text(encoding="utf-8")
    assert '"colormap":"viridis","scale":"own"' in html
    assert "<h1><bdi>A &amp; B</bdi></h1>" in html
    assert blocks(out)[0]["name"] == picture.name


def test_a_picture_that_cannot_be_read_is_left_out(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    bad, out = tmp_path / "bad.png", tmp_path / "r.html"
    bad.write_text("no picture")
    result = run("report", artifact, bad, picture, "-o", out)
    assert result.exit_code == 1
    assert "Error: 1 of 2 pictures were left out." in result.stderr
    assert [d["name"] for d in blocks(out)] == [picture.name]
    before = out.read_bytes()
    for pictures in ([bad], [bad, bad]):
        result = run("report", artifact, *pictures, "-o", out)
        assert result.exit_code == 1
        assert "is not a picture that Pillow can read" in result.stderr
        assert out.read_bytes() == before


def test_unusable_outputs(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    html = tmp_path / "a.html"
    Image.new("RGB", (4, 4)).save(html, "PNG")
    for out, pictures, message in (
        (tmp_path / "r.png", [picture], "is not an .html file"),
        (html, [html], "would be overwritten"),
    ):
        result = run("report", artifact, *pictures, "-o", out)
        assert result.exit_code == 2
        assert message in result.stderr
    result = run("report", artifact, picture, "-o", tmp_path / "none" / "r.html")
    assert result.exit_code == 1
    assert "none does not exist" in result.stderr


def test_nasty_names_come_through_as_text(
    run: Run, network_model: onnx.ModelProto, tmp_path: Path
) -> None:
    """Names of a class, a layer, an artifact and a picture."""
    nasty = "<script>alert(1)<!--"
    model = onnx.ModelProto()
    model.CopyFrom(network_model)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [nasty if name == "relu2" else name for name in names]
    onnx.save(model, tmp_path / "n.onnx")
    (tmp_path / "labels.txt").write_text('<script>\n" onload="alert(1)\n</script>\n')
    artifact = tmp_path / "<img src=x>.onnx"
    picture = tmp_path / "'\"><b>.png"
    Image.effect_noise((31, 21), 90).convert("RGB").save(picture)
    labels = ("--labels", tmp_path / "labels.txt")
    result = run("export", tmp_path / "n.onnx", "-o", artifact, "-l", nasty, *labels)
    assert result.exit_code == 0, result.output
    out = tmp_path / "r.html"
    result = run("report", artifact, picture, "-o", out, "-c", "0", "-c", "1", "-c", "2")
    assert result.exit_code == 0, result.output
    read = Read(out.read_text(encoding="utf-8"))
    tags = [tag for tag, _ in read.tags]
    assert (tags.count("script"), tags.count("img"), tags.count("b")) == (3, 1, 0)
    assert not [name for _, attributes in read.tags for name in attributes if name[:2] == "on"]
    for name in (nasty, artifact.name, picture.name, "<script>", "</script>"):
        assert name in read.text
    (data,) = blocks(out)
    assert {m["layer"] for m in data["maps"]} == {nasty}
    assert re.search(r"<script>alert", out.read_text(encoding="utf-8")) is None


def test_a_slice_of_a_volume(run: Run, tmp_path: Path) -> None:
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["x", "w"], ["f"], pads=[1] * 6),
                helper.make_node("Relu", ["f"], ["features"]),
                helper.make_node("Conv", ["features", "v"], ["logits"]),
                helper.make_node("Softmax", ["logits"], ["score"], axis=1),
            ],
            "volume",
            [helper.make_tensor_value_info("x", 1, ["N", 1, "D", "H", "W"])],
            [helper.make_tensor_value_info("score", 1, ["N", 2, "D", "H", "W"])],
            [
                onnx.numpy_helper.from_array(
                    np.random.default_rng(i).normal(0, 1, shape).astype(np.float32), name
                )
                for i, (name, shape) in enumerate(
                    {"w": (4, 1, 3, 3, 3), "v": (2, 4, 1, 1, 1)}.items()
                )
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.save(model, tmp_path / "v.onnx")
    scan = np.random.default_rng(9).normal(0, 1, (1, 1, 5, 12, 16)).astype(np.float32)
    np.save(tmp_path / "scan.npy", scan)
    out = tmp_path / "r.html"
    options = ("-c", "1", "-o", out)
    result = run("report", tmp_path / "v.onnx", tmp_path / "scan.npy", *options)
    assert result.exit_code == 1
    assert "a volume is drawn one slice at a time" in result.stderr
    assert not out.exists()
    result = run("report", tmp_path / "v.onnx", tmp_path / "scan.npy", *options, "--slice", "3")
    assert result.exit_code == 0, result.output
    (data,) = blocks(out)
    assert (data["full"], data["height"]) == ([16, 12], 12)
    html = out.read_text(encoding="utf-8")
    assert "16x12 pixels, slice 3 of 5, counted from 0" in html
    assert "Share of volume" in html
