"""``ortcam info``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


def test_the_table_describes_the_artifact(run: Run, artifact: Path) -> None:
    result = run("info", artifact)
    assert result.exit_code == 0, result.output
    rows = [line.split("  ", 1) for line in result.stdout.splitlines()]
    fields = {name.strip(): value.strip() for name, value in rows}
    assert fields["feature layers"] == "relu1, relu2"
    assert fields["reduction layer"] == "score (softmax)"
    assert fields["classes"] == "0 Sky, 1 Road, 2 Car"
    assert fields["working size"] == "24x16"
    assert fields["values"] == "(pixel / 255 - mean) / std"
    assert fields["layout"] == "NCHW, RGB"
    assert fields["verification"].startswith("relative error below ")
    assert len(fields["network's SHA-256"]) == 64


def test_json_is_the_metadata(run: Run, artifact: Path) -> None:
    result = run("info", artifact, "--json")
    assert result.exit_code == 0, result.output
    fields = json.loads(result.stdout)
    assert [layer["name"] for layer in fields["layers"]] == ["relu1", "relu2"]
    assert fields["classes"] == ["Sky", "Road", "Car"]
    assert fields["preprocess"]["size"] == [24, 16]


@pytest.mark.parametrize(
    ("scale", "message"), [("1", "pixel"), ("1/127.5", "pixel * 0.00784314"), ("2", "pixel * 2")]
)
def test_the_pixel_factor_is_printed_as_people_write_it(
    run: Run, network: Path, tmp_path: Path, scale: str, message: str
) -> None:
    out = tmp_path / "a.onnx"
    assert run("export", network, "-o", out, "--rescale", scale, "--no-verify").exit_code == 0
    assert f"({message} - mean) / std\n" in run("info", out).stdout
