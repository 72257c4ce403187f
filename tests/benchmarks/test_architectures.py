"""Judging what a network's output is taken for, on small networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import networks
import onnx
import pytest
from onnx import parser

from benchmarks.architectures.judge import Truth, judge
from benchmarks.architectures.table import table

SOFTMAX = Truth(("softmax",), 4, ("batch", "class", "space", "space"), (32, 32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A U-Net of 32x32 pixels with a softmax of 4 classes."""
    model = networks.unet()
    for extent, value in zip(
        model.graph.input[0].type.tensor_type.shape.dim, (1, 3, 32, 32), strict=True
    ):
        extent.dim_value = value
    onnx.save(model, tmp_path / "network.onnx")
    return tmp_path / "network.onnx"


def test_a_right_reading(path: Path) -> None:
    row = judge(path, (SOFTMAX,))
    assert row["verdict"] == "right"
    assert (row["score"], row["kind"], row["classes"]) == ("probabilities", "softmax", 4)
    assert (row["layer"], row["grid"]) == ("dec1_relu", [32, 32])
    assert row["outputs"] == ["probabilities ['N', 4, 'H', 'W']"]


@pytest.mark.parametrize(
    "change",
    [
        {"kinds": ("linear",)},
        {"classes": 5},
        {"axes": ("batch", "space", "space", "class")},
        {"grid": (16, 32)},
    ],
)
def test_a_wrong_one(path: Path, change: dict[str, Any]) -> None:
    """Whatever of it is wrong."""
    assert judge(path, (dataclasses.replace(SOFTMAX, **change),))["verdict"] == "wrong"


def test_a_refusal(tmp_path: Path) -> None:
    """A network without a layer."""
    model = parser.parse_model("""<ir_version: 8, opset_import: ["": 18]>
        network (float[1, 3, 32, 32] input) => (int64[1, 32, 32] labels) {
            labels = Cast <to = 7> (input)
        }""")
    onnx.save(model, tmp_path / "network.onnx")
    row = judge(tmp_path / "network.onnx", (SOFTMAX,))
    assert row["verdict"] == "refused"
    assert row["sentence"].startswith("the output 'labels'")


def test_the_page(path: Path) -> None:
    base = {"network": "a", "output": "a softmax", "versions": {"onnx": "1"}}
    good = {**base, **judge(path, (SOFTMAX,))}
    bad = {**base, "network": "b", "verdict": "refused", "sentence": "it has\nno score"}
    page = table([good, bad])
    assert "Of 2 networks: 1 right, 1 refused." in page
    assert (
        "| a | a softmax | `probabilities`: softmax, 4 classes [batch, class, space, space] "
        "| `dec1_relu` | right |" in page
    )
    assert "## Refusals\n\n- b: it has no score\n" in page
    assert "make no map" not in page
