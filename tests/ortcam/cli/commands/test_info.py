"""``ortcam info``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


def test_the_table_tells_what_the_artifact_holds(run: Run, artifact: Path) -> None:
    result = run("info", artifact)
    assert result.exit_code == 0, result.output
    rows = [line.split("  ", 1) for line in result.stdout.splitlines()]
    told = {name.strip(): value.strip() for name, value in rows}
    assert told["feature layers"] == "relu1, relu2"
    assert told["reduction layer"] == "score (softmax)"
    assert told["classes"] == "0 Sky, 1 Road, 2 Car"
    assert told["working size"] == "24x16"
    assert told["values"] == "(pixel / 255 - mean) / std"
    assert told["layout"] == "NCHW, RGB"
    assert told["verification"].startswith("largest relative error ")
    assert len(told["network's SHA-256"]) == 64


def test_json_is_the_metadata(run: Run, artifact: Path) -> None:
    result = run("info", artifact, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [layer["name"] for layer in told["layers"]] == ["relu1", "relu2"]
    assert told["classes"] == ["Sky", "Road", "Car"]
    assert told["preprocess"]["size"] == [24, 16]


@pytest.mark.parametrize(
    ("scale", "said"), [("1", "pixel"), ("1/127.5", "pixel * 0.00784314"), ("2", "pixel * 2")]
)
def test_the_scale_is_told_as_people_write_it(
    run: Run, network: Path, tmp_path: Path, scale: str, said: str
) -> None:
    out = tmp_path / "a.onnx"
    assert run("export", network, "-o", out, "--rescale", scale, "--no-verify").exit_code == 0
    assert f"({said} - mean) / std\n" in run("info", out).stdout
