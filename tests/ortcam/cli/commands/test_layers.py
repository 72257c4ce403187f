"""``ortcam layers``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import networks
import onnx
import pytest
from click.testing import Result
from onnx import helper
from PIL import Image

Run = Callable[..., Result]


def cells(line: str) -> list[str]:
    return line.lstrip("* ").split()


def test_the_table_ranks_layers_and_marks_the_default(run: Run, network: Path) -> None:
    result = run("layers", network)
    assert result.exit_code == 0, result.output
    header, *lines = result.stdout.splitlines()
    assert header.split() == [
        *("rank", "layer", "operator", "shape", "stride", "field", "cost", "gradient")
    ]
    features, scores = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert [cells(line)[:3] for line in features[:2]] == [
        ["1", "relu2", "Relu"],
        ["2", "relu1", "Relu"],
    ]
    assert cells(features[0])[-4:] == ["2", "5", "0.03", "pooled"]
    assert cells(features[1])[-3] == "3"
    assert [line.startswith("*") for line in features[:2]] == [True, False]
    assert scores[0].split() == [
        *("reduction", "layer", "operator", "shape", "classes", "taken", "for", "because", "of")
    ]
    assert scores[1].endswith("class scores  the softmax at its end")
    assert scores[1].startswith("*")
    assert cells(scores[1])[0] == "score"
    assert "rank: the last layer of every stride" in result.stderr


def test_json_holds_the_same(run: Run, network: Path) -> None:
    result = run("layers", network, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    candidates = {c["name"]: c for c in json.loads(result.stdout)}
    relu2 = candidates["relu2"]
    facts = ("rank", "chosen", "channels", "stride", "receptive_field", "pooled", "dead")
    assert [relu2[fact] for fact in facts] == [1, True, 8, 2, [5, 5], True, None]
    assert 0 < relu2["cost"] < candidates["relu1"]["cost"]
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
    row = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["aside"])
    assert row.split()[-1] == "none"


def test_the_score_can_be_the_logits(run: Run, network: Path) -> None:
    result = run("layers", network, "--score", "logits", "--json")
    assert result.exit_code == 0, result.output
    chosen = [c["name"] for c in json.loads(result.stdout) if c["chosen"]]
    assert "logits" in chosen
    assert "score" not in chosen


def test_sort(run: Run, network: Path) -> None:
    result = run("layers", network, "--sort", "depth", "--json")
    names = [c["name"] for c in json.loads(result.stdout) if c["kind"] == "feature"]
    assert names[:2] == ["relu1", "relu2"]


def test_a_picture_adds_what_is_measured(
    run: Run, network: Path, picture: Path, tmp_path: Path
) -> None:
    figure = tmp_path / "layers.png"
    result = run("layers", network, "--picture", picture, "--figure", figure)
    assert result.exit_code == 0, result.output
    header, first = result.stdout.splitlines()[:2]
    assert header.split()[-3:] == ["dead", "gini", "inside"]
    assert cells(first)[-1] == "%"
    assert f"{picture} -> {figure}" in result.stderr
    assert "is the same everywhere has that share inside" in result.stderr
    with Image.open(figure) as image:
        assert image.width > image.height / 4
    again = run("layers", network, "--picture", picture, "--json")
    measured = {c["name"]: c for c in json.loads(again.stdout)}
    assert 0 <= measured["relu1"]["dead"] < 1
    assert 0 <= measured["relu1"]["inside"] <= 1


def test_preprocessing_options_are_those_of_export(run: Run, network: Path, picture: Path) -> None:
    options = ("--picture", picture, "-c", "Car", "--json")
    plain = json.loads(run("layers", network, *options).stdout)
    brighter = json.loads(run("layers", network, *options, "--rescale", "1/60").stdout)
    assert plain[0]["concentration"] != brighter[0]["concentration"]
    named = run("layers", network, *options, "--picture-input", "photo")
    assert named.exit_code == 1
    assert "the network has no input 'photo'" in named.stderr


def test_an_artifact_has_its_own_layers(run: Run, artifact: Path, picture: Path) -> None:
    result = run("layers", artifact, "--picture", picture, "--json")
    assert result.exit_code == 0, result.output
    names = [c["name"] for c in json.loads(result.stdout) if c["kind"] == "feature"]
    assert names == ["relu2", "relu1"]
    refused = run("layers", artifact, "--picture", picture, "--mean", "0.5")
    assert refused.exit_code == 1
    assert "an artifact contains the description of its network; leave out --mean" in refused.stderr


@pytest.mark.parametrize(
    "options", [["--figure", "x.png"], ["-c", "Car"], ["--mean", "0.5"], ["--provider", "cpu"]]
)
def test_options_that_need_a_picture(run: Run, network: Path, options: list[str]) -> None:
    result = run("layers", network, *options)
    assert result.exit_code == 2
    assert "needs a picture: add --picture FILE." in result.stderr


def test_a_choice_that_stops_lists_the_candidate_scores(run: Run, tmp_path: Path) -> None:
    model = networks.anchors()
    onnx.helper.set_model_props(model, {"ortcam": json.dumps({"format": 1, "classes": ["a", "b"]})})
    onnx.save(model, tmp_path / "network.onnx")
    result = run("layers", tmp_path / "network.onnx")
    assert result.exit_code == 1
    assert "none of its parts has as many rows" in result.stderr
    assert "class_probabilities" in result.stderr
    head, first, second = result.stdout.splitlines()[:3]
    assert head.split()[:2] == ["reduction", "layer"]
    assert (first.split()[0], second.split()[0]) == ("output0", "output1")
    assert "a list" in first
    assert "prototypes" in second
    listed = json.loads(run("layers", tmp_path / "network.onnx", "--json").stdout)
    assert [c["name"] for c in listed] == ["output0", "output1"]


def test_an_unwritable_figure_fails_before_the_work(
    run: Run, network: Path, picture: Path, tmp_path: Path
) -> None:
    for name, message in (("none/x.png", "does not exist"), ("x.bmp", "name a .png, .jpg")):
        result = run("layers", network, "--picture", picture, "--figure", tmp_path / name)
        assert result.exit_code == 1
        assert message in result.stderr
