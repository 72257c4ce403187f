"""``ortcam export``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import parser

import ortcam

Run = Callable[..., Result]


def test_it_prints_the_layers_and_the_verification(run: Run, network: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.cam.onnx"
    result = run("export", network, "-o", out)
    assert result.exit_code == 0, result.output
    assert f"{out}: " in result.stdout
    assert "feature layers: relu2\n" in result.stdout
    assert "reduction layer: score (softmax)\n" in result.stdout
    error = re.search(
        r"verification: relative error below (\S+) over (\d+) directions", result.stdout
    )
    assert error is not None
    assert 0 < float(error[1]) < 1e-2
    artifact = ortcam.load(out).artifact
    assert artifact.verification is not None
    assert artifact.verification.bound == pytest.approx(float(error[1]), rel=0.1)
    assert artifact.verification.bound <= float(error[1])
    assert artifact.verification.directions == int(error[2])


def test_a_head_computes_the_score(run: Run, network: Path, picture: Path, tmp_path: Path) -> None:
    """Its further inputs are given by --input."""
    head = parser.parse_model("""<ir_version: 8, opset_import: ["": 18]>
        head (float[N, C, h, w] score, float[1, C, 1, 1] factors) => (float[N, 1, h, w] sum) {
            product = Mul(score, factors)
            classes = Constant <value_ints = [1]> ()
            sum = ReduceSum(product, classes)
        }""")
    out = tmp_path / "a.cam.onnx"
    onnx.save(head, tmp_path / "head.onnx")
    result = run("export", network, "-o", out, "--head", tmp_path / "head.onnx")
    assert result.exit_code == 0, result.output
    assert "reduction layer: sum (linear)\n" in result.stdout
    assert (
        "note: the head's input 'factors' [1, 3, 1, 1] has the name of no tensor" in result.stdout
    )
    refused = run("explain", out, picture, "-c", "sum", "-o", tmp_path / "x.npz")
    assert "the network has further inputs: factors" in refused.stderr
    np.save(tmp_path / "factors.npy", np.ones((1, 3, 1, 1), np.float32))
    value = f"factors={tmp_path / 'factors.npy'}"
    saved = run("explain", out, picture, "-c", "sum", "-o", tmp_path / "x.npz", "--input", value)
    assert saved.exit_code == 0, saved.output
    refused = run("export", network, "-o", out, "--head", tmp_path / "head.onnx", "-r", "score")
    assert "the output of --head is the reduction layer; leave --reduction-layer" in refused.stderr


def test_options_reach_the_artifact(
    run: Run, network_model: onnx.ModelProto, tmp_path: Path
) -> None:
    plain = onnx.ModelProto()
    plain.CopyFrom(network_model)
    del plain.metadata_props[:]
    onnx.save(plain, tmp_path / "plain.onnx")
    (tmp_path / "names.txt").write_text("sky\nroad\ncar\n")
    (tmp_path / "colors.txt").write_text("1,2,3\n4,5,6\n7,8,9\n")
    out = tmp_path / "plain.cam.onnx"
    options = (
        *("-l", "relu1", "-l", "relu2", "-r", "logits", "--score", "logits"),
        *("--labels", tmp_path / "names.txt", "--colors", tmp_path / "colors.txt"),
        *("--mean", "0.1,0.2,0.3", "--std", "1,2,4", "--rescale", "1/128", "--bgr"),
        *("--layout", "NCHW", "--size", "32x24", "--divisor", "8"),
        *("--picture-input", "picture", "--no-verify"),
    )
    result = run("export", tmp_path / "plain.onnx", "-o", out, *options)
    assert result.exit_code == 0, result.output
    assert "verification: skipped" in result.stdout
    artifact = ortcam.load(out).artifact
    assert [layer.name for layer in artifact.layers] == ["relu1", "relu2"]
    assert (artifact.score.name, artifact.score.kind) == ("logits", "logits")
    assert artifact.expects.classes == ("sky", "road", "car")
    assert artifact.expects.colors == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    preprocess = artifact.expects.preprocess
    assert preprocess is not None
    assert preprocess.mean == (0.1, 0.2, 0.3)
    assert preprocess.std == (1, 2, 4)
    assert preprocess.scale == 1 / 128
    assert preprocess.color_order == "BGR"
    assert preprocess.size == (32, 24)
    assert preprocess.divisor == 8
    assert not preprocess.assumed


def test_assumptions_are_printed(run: Run, network_model: onnx.ModelProto, tmp_path: Path) -> None:
    plain = onnx.ModelProto()
    plain.CopyFrom(network_model)
    del plain.metadata_props[:]
    onnx.save(plain, tmp_path / "plain.onnx")
    result = run("export", tmp_path / "plain.onnx", "-o", tmp_path / "a.cam.onnx")
    assert result.exit_code == 0, result.output
    notes = [line for line in result.stdout.splitlines() if line.startswith("note: ")]
    assert any("--mean" in note or "preprocess" in note or "assume" in note for note in notes)


def test_the_network_is_not_overwritten(run: Run, network: Path) -> None:
    before = network.read_bytes()
    result = run("export", network, "-o", network.parent / "." / network.name)
    assert result.exit_code == 2
    assert "is the network itself and would be overwritten" in result.stderr
    assert network.read_bytes() == before


def test_a_folder_is_not_an_artifact(run: Run, network: Path, tmp_path: Path) -> None:
    result = run("export", network, "-o", tmp_path)
    assert result.exit_code == 2
    assert f"File '{tmp_path}' is a directory." in result.stderr


@pytest.mark.parametrize("command", ["layers", "export"])
def test_without_onnx_one_sentence_says_what_to_install(
    network: Path, tmp_path: Path, command: str
) -> None:
    program = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'onnx_ir' else find(name, *rest)\n"
        "sys.modules['onnx_ir'] = None\n"
        "from ortcam.cli import main\n"
        "main(sys.argv[1:], prog_name='ortcam')\n"
    )
    output = ["-o", str(tmp_path / "a.onnx")] if command == "export" else []
    done = subprocess.run(
        [sys.executable, "-c", program, command, str(network), *output],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: exporting a network needs onnx-ir; install what is missing with: "
        "pip install 'ortcam[export]'\n"
    )
