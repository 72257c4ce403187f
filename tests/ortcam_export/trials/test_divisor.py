"""What sizes a network takes, found by trying them."""

from __future__ import annotations

import networks
import numpy as np
import onnx
import pytest
from onnx import TensorProto

import ortcam
from ortcam_export import export
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.expectations import Options, expectations, find_picture
from ortcam_export.reading.model_file import load, read
from ortcam_export.trials.divisor import TRIED, find_divisor


def halving(times: int, size: tuple[int | str, int | str] = ("H", "W")) -> onnx.ModelProto:
    """A U-Net without cropping: halved so often, doubled as often and added at each stage."""
    g = networks.Builder(0)
    stages = [g.block("input", 3, 4, "stem")]
    for i in range(times):
        stages.append(g.block(stages[-1], 4, 4, f"down_{i}", strides=[2, 2]))
    x = stages.pop()
    for i, stage in enumerate(reversed(stages)):
        x = g.node("Add", [g.up(x, 4, 4, f"up_{i}"), stage], f"sum_{i}")
    last = g.conv(g.block(x, 4, 4, "last"), 4, 3, "logits", k=1)
    g.node("Softmax", [last], "probabilities", axis=1)
    picture: tuple[int, networks.Shape] = (TensorProto.FLOAT, ["N", 3, *size])
    return g.model({"probabilities": (TensorProto.FLOAT, ["N", 3, "h", "w"])}, {"input": picture})


def found(model: onnx.ModelProto) -> int:
    prepared = prepare(load(model))
    picture = find_picture(prepared)
    preprocess = expectations(read(model), picture, Options()).preprocess
    assert preprocess is not None
    return find_divisor(prepared, picture, preprocess)


@pytest.mark.parametrize("times", [1, 3, 5])
def test_a_network_that_halves(times: int) -> None:
    assert found(halving(times)) == 2**times


def test_a_network_that_takes_any_size() -> None:
    assert found(networks.unet()) == 1
    assert found(networks.channels_last()) == 1
    assert found(networks.further_inputs()) == 1


def test_a_fixed_size_is_not_tried() -> None:
    assert found(halving(3, (64, 64))) == 1
    assert found(halving(3, (64, "W"))) == 1


def test_what_runs_on_nothing_that_is_tried() -> None:
    assert found(halving(len(TRIED))) == 1


def test_it_stands_in_the_metadata_and_pictures_are_rounded_to_it() -> None:
    exported = export(halving(3))
    preprocess = exported.artifact.expects.preprocess
    assert preprocess is not None
    assert preprocess.divisor == 8
    assert (
        "trial runs show that width and height must be multiples of 8; divisor= overrides this"
        in exported.notes
    )
    cam = ortcam.load(exported.model, "cpu")
    picture = np.zeros((37, 50, 3), np.uint8)
    assert cam.preprocess(picture).shape == (1, 3, 40, 48)
    assert cam.explain(picture, [0]).maps.shape == (1, 1, 37, 50)


def test_what_is_said_is_not_tried() -> None:
    exported = export(halving(3), divisor=16)
    assert exported.artifact.expects.preprocess is not None
    assert exported.artifact.expects.preprocess.divisor == 16
    assert not any("by trying" in note for note in exported.notes)
