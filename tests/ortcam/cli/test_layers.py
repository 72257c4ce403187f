"""``ortcam layers``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
from click.testing import Result
from onnx import helper

Run = Callable[..., Result]


def test_the_table_marks_what_would_be_chosen(run: Run, network: Path) -> None:
    result = run("layers", network)
    assert result.exit_code == 0, result.output
    header, *lines = result.stdout.splitlines()
    assert header.split() == [
        *("layer", "operator", "shape", "channels", "stride", "gradient", "kind")
    ]
    chosen = {line.split()[1]: line for line in lines if line.startswith("*")}
    assert set(chosen) == {"relu2", "score"}
    assert chosen["relu2"].split()[2] == "Relu"
    assert chosen["relu2"].split()[-4:] == ["8", "2", "yes", "feature"]
    assert chosen["score"].split()[-1] == "reduction"
    assert any(line.split()[0] == "relu1" for line in lines if not line.startswith("*"))


def test_json_says_the_same(run: Run, network: Path) -> None:
    result = run("layers", network, "--json")
    assert result.exit_code == 0, result.output
    candidates = {c["name"]: c for c in json.loads(result.stdout)}
    assert candidates["relu2"]["chosen"] is True
    assert candidates["relu2"]["channels"] == 8
    assert candidates["relu2"]["stride"] == 2
    assert candidates["relu1"]["chosen"] is False
    assert candidates["relu1"]["reached"] is True
    assert candidates["score"]["kind"] == "reduction"


def test_a_layer_that_no_gradient_reaches(
    run: Run, network_model: onnx.ModelProto, tmp_path: Path
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(network_model)
    model.graph.node.append(helper.make_node("LeakyRelu", ["conv1"], ["aside"], "aside"))
    onnx.save(model, tmp_path / "side.onnx")
    result = run("layers", tmp_path / "side.onnx")
    assert result.exit_code == 0, result.output
    row = next(line for line in result.stdout.splitlines() if line.split()[0] == "aside")
    assert row.split()[-2:] == ["no", "feature"]


def test_the_score_can_be_the_logits(run: Run, network: Path) -> None:
    result = run("layers", network, "--score", "logits", "--json")
    assert result.exit_code == 0, result.output
    chosen = [c["name"] for c in json.loads(result.stdout) if c["chosen"]]
    assert "logits" in chosen
    assert "score" not in chosen
