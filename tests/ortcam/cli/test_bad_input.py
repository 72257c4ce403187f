"""Bad input ends a command with exit code 1 and one sentence that helps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import TensorProto, helper
from PIL import Image

Run = Callable[..., Result]


def complaint(result: Result) -> str:
    """The only line that a failing command prints to stderr, but for progress."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    progress = re.compile(r" runs on \w+\.$| is a plain network: exporting it in memory, ")
    lines = [line for line in result.stderr.splitlines() if not progress.search(line)]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    assert "unexpected" not in lines[0]
    return lines[0]


# ---- Networks and artifacts -------------------------------------------------------------------


@pytest.fixture(params=["not-onnx", "truncated", "empty"])
def unusable(request: pytest.FixtureRequest, network: Path, tmp_path: Path) -> Path:
    data = network.read_bytes()
    path = tmp_path / f"{request.param}.onnx"
    path.write_bytes(
        {"not-onnx": b"\xff" * 64, "truncated": data[: len(data) // 2]}.get(request.param, b"")
    )
    return path


def test_a_file_that_is_not_a_usable_network(
    run: Run, unusable: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    for arguments in (
        ("layers", unusable),
        ("export", unusable, "-o", tmp_path / "a.onnx"),
        ("info", unusable),
        ("segment", unusable, picture, "-o", out),
        ("explain", unusable, picture, "-c", "Car", "-o", out),
    ):
        message = complaint(run(*arguments))
        assert unusable.name in message
        assert re.search(r"not an ONNX|cut short|damaged|empty", message), message
    assert not out.exists()
    assert not (tmp_path / "a.onnx").exists()


def test_an_artifact_in_place_of_a_network(run: Run, artifact: Path, tmp_path: Path) -> None:
    message = complaint(run("export", artifact, "-o", tmp_path / "a.onnx"))
    assert "is an artifact" in message
    message = complaint(run("layers", artifact, "--score", "logits"))
    assert "is an artifact, whose score is 'score'" in message


def test_a_network_in_place_of_an_artifact(run: Run, network: Path) -> None:
    message = complaint(run("info", network))
    assert f"{network} is a plain network, not an artifact; export it first" in message


def test_an_artifact_of_a_later_format(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    model = onnx.load(artifact)
    props = {p.key: p.value for p in model.metadata_props}
    helper.set_model_props(
        model, {"ortcam": json.dumps({**json.loads(props["ortcam"]), "format": 9})}
    )
    onnx.save(model, tmp_path / "later.onnx")
    message = complaint(run("segment", tmp_path / "later.onnx", picture, "-o", tmp_path / "o.png"))
    assert "has format 9, and this ortcam reads formats up to 1" in message


# ---- Layers and classes -----------------------------------------------------------------------


def test_no_such_layer(
    run: Run, network: Path, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    for arguments in (
        ("export", network, "-l", "rellu2", "-o", tmp_path / "a.onnx"),
        ("explain", artifact, picture, "-c", "Car", "-l", "rellu2", "-o", out),
        ("explain", network, picture, "-c", "Car", "-l", "rellu2", "-o", out),
    ):
        message = complaint(run(*arguments))
        assert "'rellu2'" in message
        assert re.search(r"the nearest (is|are) 'relu2'", message), message
    message = complaint(run("layers", network, "-r", "scores"))
    assert "no layer 'scores'; the nearest are 'score'" in message


def test_no_such_class(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    message = complaint(run("explain", artifact, picture, "-c", "Raod", "-o", out))
    assert "'Raod'" in message
    assert "'Road'" in message
    message = complaint(run("explain", artifact, picture, "-c", "3", "-o", out))
    assert "3" in message
    assert not out.exists()


def changed(model: onnx.ModelProto, path: Path, *nodes: onnx.NodeProto, **replaced: str) -> Path:
    """Write the network with nodes inserted behind the producer of their input."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        node.input[:] = [replaced.get(name, name) for name in node.input]
    rest = list(copy.graph.node)
    at = next(i for i, n in enumerate(rest) if nodes[0].input[0] in n.output) + 1
    del copy.graph.node[:]
    copy.graph.node.extend([*rest[:at], *nodes, *rest[at:]])
    onnx.save(copy, path)
    return path


def test_a_layer_that_no_gradient_reaches(
    run: Run, network_model: onnx.ModelProto, tmp_path: Path
) -> None:
    side = helper.make_node("Tanh", ["relu1"], ["aside"], "aside")
    path = changed(network_model, tmp_path / "side.onnx", side)
    message = complaint(run("export", path, "-l", "aside", "-o", tmp_path / "a.onnx"))
    assert "no gradient reaches 'aside': 'score' does not depend on it" in message


def test_an_operator_without_a_rule(
    run: Run, network_model: onnx.ModelProto, tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Sigmoid", ["relu1"], ["chance"], "chance"),
        helper.make_node("Bernoulli", ["chance"], ["drawn"], "draw", seed=1.0),
    ]
    path = changed(network_model, tmp_path / "drawn.onnx", *nodes)
    model = onnx.load(path)
    next(n for n in model.graph.node if n.name == "conv2").input[0] = "drawn"
    onnx.save(model, path)
    out = tmp_path / "a.onnx"
    message = complaint(run("export", path, "-l", "relu1", "-o", out))
    assert "Bernoulli (node 'draw')" in message
    assert "choose a feature layer after it, such as " in message
    would_do = re.search(r"such as '(\w+)'", message)
    assert would_do is not None
    # Not verified: the network draws at random, so no two runs of it agree.
    assert run("export", path, "-l", would_do[1], "-o", out, "--no-verify").exit_code == 0


def test_an_argmax_whose_input_is_not_a_score(run: Run, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["picture"], ["whole"], "whole", to=TensorProto.INT32),
        helper.make_node("ArgMax", ["whole"], ["labels"], "labels", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "argmax",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", 1, "H", "W"])],
    )
    path = tmp_path / "argmax.onnx"
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    message = complaint(run("layers", path))
    assert "the output 'labels' is the ArgMax of 'whole', which is int32" in message
    assert "so it holds no score" in message


# ---- Options ----------------------------------------------------------------------------------


def test_labels_that_do_not_fit(run: Run, network: Path, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("Sky\nRoad\n")
    message = complaint(
        run("export", network, "--labels", tmp_path / "two.txt", "-o", tmp_path / "a.onnx")
    )
    assert "2" in message
    assert "3" in message


def test_labels_that_are_not_text(run: Run, network: Path, tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(bytes(range(256)))
    message = complaint(
        run("export", network, "--labels", tmp_path / "bytes.txt", "-o", tmp_path / "a.onnx")
    )
    assert "bytes.txt" in message


def test_no_such_provider(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    message = complaint(run("segment", artifact, picture, "-o", out, "--provider", "Quantum"))
    assert "onnxruntime has no provider 'Quantum'" in message


def test_an_input_that_the_network_lacks(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3, np.float32))
    out = tmp_path / "out.png"
    message = complaint(
        run("segment", artifact, picture, "-o", out, "--input", f"prompt={tmp_path}/a.npy")
    )
    assert "'prompt'" in message


# ---- Regions and pictures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "value", "words"),
    [((30, 21), 255, "give a region of the picture's size"), ((31, 21), 0, "selects no pixel")],
)
def test_a_region_that_does_not_fit(
    run: Run,
    artifact: Path,
    picture: Path,
    tmp_path: Path,
    size: tuple[int, int],
    value: int,
    words: str,
) -> None:
    Image.new("L", size, value).save(tmp_path / "mask.png")
    out = tmp_path / "out.png"
    options = ("-c", "Car", "--mask", tmp_path / "mask.png", "-o", out)
    assert words in complaint(run("explain", artifact, picture, *options))
    assert not out.exists()


def bomb() -> bytes:
    """The header of a PNG of 60,000 x 60,000 pixels, with almost no data."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", "is not a picture that Pillow can read"),
        ("truncated", "is truncated or damaged"),
        ("bomb", "Pillow's limit against decompression bombs"),
    ],
)
def test_a_file_that_is_not_a_picture(
    run: Run, artifact: Path, picture: Path, tmp_path: Path, name: str, words: str
) -> None:
    bad = tmp_path / f"{name}.png"
    data = picture.read_bytes()
    bad.write_bytes(
        {"text": b"no picture", "truncated": data[: len(data) // 2]}.get(name) or bomb()
    )
    out = tmp_path / "out.png"
    for arguments in (
        ("segment", artifact, bad, "-o", out),
        ("explain", artifact, bad, "-c", "Car", "-o", out),
    ):
        message = complaint(run(*arguments))
        assert str(bad) in message
        assert words in message
    assert not out.exists()


# ---- Outputs ----------------------------------------------------------------------------------


def test_an_unwritable_output_fails_before_the_work(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    """The network is unusable too, so opening it would fail otherwise."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"\xff" * 64)
    out = tmp_path / "missing" / "out.png"
    for arguments in (
        ("export", bad, "-o", out.with_suffix(".onnx")),
        ("segment", bad, picture, "-o", out),
        ("explain", bad, picture, "-c", "Car", "-o", out),
    ):
        message = complaint(run(*arguments))
        assert f"cannot be written: {out.parent} does not exist" in message
    assert not out.parent.exists()


def test_an_existing_file_is_kept_if_the_work_fails(
    run: Run, network: Path, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    for name, arguments in (
        ("a.onnx", ("export", network, "-l", "nowhere")),
        ("a.png", ("explain", artifact, picture, "-c", "Nobody")),
        ("a.npz", ("explain", artifact, picture, "-c", "Nobody")),
    ):
        out = tmp_path / name
        out.write_bytes(b"before")
        complaint(run(*arguments, "-o", out))
        assert out.read_bytes() == b"before"
        assert not list(tmp_path.glob(".ortcam-*"))


def test_missing_files_are_wrong_usage(run: Run, artifact: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for arguments in (
        ("layers", missing),
        ("export", missing, "-o", tmp_path / "a.onnx"),
        ("info", missing),
        ("segment", artifact, missing, "-o", tmp_path / "a.png"),
        ("explain", artifact, missing, "-c", "Car", "-o", tmp_path / "a.png"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert f"File '{missing}' does not exist." in result.stderr
