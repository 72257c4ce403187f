"""``ortcam evaluate``."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

Run = Callable[..., Result]
CHEAP = ("--metric", "energy", "--metric", "pointing")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures in a folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_it_prints_a_table_and_writes_its_files(
    run: Run, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run("evaluate", artifact, pictures, "-o", out, *CHEAP, "-l", "relu1")
    assert result.exit_code == 0, result.output
    header, *lines = result.stdout.splitlines()
    assert header.split()[:4] == ["metric", "layer", "method", "pictures"]
    assert [line.split()[0] for line in lines[:-1]] == ["pointing", "energy"]
    assert lines[-1] == f"3 pictures; files in {out}"
    assert {file.name for file in out.iterdir()} >= {"metrics.csv", "summary.json", "journal.jsonl"}
    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["layer"] for row in rows} == {"relu1"}
    energy = [float(row["value"]) for row in rows if row["metric"] == "energy" and row["value"]]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["options"]["layers"] == ["relu1"]
    each = {line["class"] if "class" in line else line["cls"] for line in summary["metrics"]}
    assert len(each) > 1
    mean = next(m["mean"] for m in summary["metrics"] if m["metric"] == "energy" and not m["cls"])
    assert min(energy) <= mean <= max(energy)


def test_it_resumes_or_says_why_not(
    run: Run, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("evaluate", artifact, pictures, "-o", tmp_path / "out", *CHEAP)
    assert run(*arguments, "--limit", 1, "-q").exit_code == 0
    result = run(*arguments, "-q")
    assert result.exit_code == 0, result.output
    assert result.output == ""
    assert len((tmp_path / "out" / "journal.jsonl").read_text().splitlines()) == 4
    result = run(*arguments, "--seed", 5)
    assert result.exit_code == 1
    assert re.search(
        r"Error: .*a different run \(options: .*start over with --restart", result.stderr
    )
    assert run(*arguments, "--seed", 5, "--restart").exit_code == 0


def test_against_an_artifact_of_other_layers(
    run: Run, network: Path, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    one = tmp_path / "one.cam.onnx"
    assert run("export", network, "-o", one, "-l", "relu2").exit_code == 0
    arguments = ("evaluate", artifact, pictures, "-o", tmp_path / "out", "--against", one)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "against-spearman (high is better)" in result.stdout
    assert "relu1" not in result.stdout
    matched = json.loads((tmp_path / "out" / "summary.json").read_text())["matched"]
    assert matched == ["the other artifact has no layer relu1"]


def test_the_labels_are_the_truth(run: Run, artifact: Path, pictures: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for i in range(2):
        plane = np.zeros((20, 30), np.uint8)
        plane[:, 10 + i :] = 2
        Image.fromarray(plane).save(labels / f"{i}.png")
    arguments = ("-o", tmp_path / "out", "--truth", labels, *CHEAP, "-c", "Car", "-c", "0")
    result = run("evaluate", artifact, pictures, *arguments)
    assert result.exit_code == 0, result.output
    assert "2 pictures; files in" in result.stdout
    assert f"left out: 2.png: {pictures / '2.png'} has no label image" in result.stdout
    with (tmp_path / "out" / "metrics.csv").open(newline="") as file:
        assert {row["class"] for row in csv.DictReader(file)} == {"Car", "Sky"}


def test_all_metrics_on_an_exported_artifact(
    run: Run, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("--metric", "all", "--steps", 2, "--checks", 1, "--stages", 2, "--limit", 1)
    result = run("evaluate", artifact, pictures, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    metrics = {m["metric"]: m for m in summary["metrics"] if not m["cls"]}
    assert set(metrics) == set(summary["figures"])
    assert 0 <= metrics["gradient-error"]["mean"] < 1e-2
    steps = {m["other"] for m in summary["metrics"] if m["metric"] == "randomised-spearman"}
    assert steps == {"2 of 3, down to conv2", "3 of 3, down to conv1"}


def test_bad_input_is_a_sentence(
    run: Run, artifact: Path, network: Path, pictures: Path, tmp_path: Path
) -> None:
    out = ("-o", tmp_path / "out")
    for arguments, message in (
        ((artifact, pictures, "--metric", "enrgy"), "no metric 'enrgy'; the nearest is 'energy'"),
        ((artifact, pictures, "--method", "hires-cam"), "--methods hires-cam"),
        ((artifact, pictures, "-c", "Raod"), "no class 'Raod'"),
        ((artifact, tmp_path), "pictures"),
        ((network, pictures, "--metric", "gradient"), "opened from memory; export it to a file"),
    ):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        result = run("evaluate", *arguments, *out)
        if arguments[1] == tmp_path:  # pictures in a folder's folders are found
            assert result.exit_code == 0
            continue
        assert result.exit_code == 1, result.output
        assert message in result.stderr.splitlines()[-1]
        assert "unexpected" not in result.stderr
    assert run("evaluate", artifact, tmp_path / "nothing", *out).exit_code == 2
