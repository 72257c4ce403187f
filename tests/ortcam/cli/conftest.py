"""The command line, a small network with its artifact, and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from ortcam.artifact import METADATA_KEY
from ortcam.cli import main

CLASSES = ("Sky", "Road", "Car")
EXPECTS = {
    "format": 1,
    "classes": CLASSES,
    "colors": [[128, 128, 128], [128, 64, 128], [64, 0, 128]],
    "preprocess": {"size": [24, 16]},
}

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def run() -> Run:
    """``run("layers", path)``: run the command in this process, with stdout and stderr apart."""

    def invoke(*arguments: object, **options: Any) -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments], **options)

    return invoke


@pytest.fixture(scope="session")
def network_model() -> onnx.ModelProto:
    """conv1, relu1, conv2 (stride 2), relu2, scorer, logits (resized), score (softmax)."""
    rng = np.random.default_rng(7)

    def conv(x: str, name: str, shape: tuple[int, ...], stride: int = 1) -> onnx.NodeProto:
        parts = [f"{name}.weight", f"{name}.bias"]
        for part, extents in zip(parts, (shape, shape[:1]), strict=True):
            values = rng.normal(0, 0.6, extents).astype(np.float32)
            initializers.append(numpy_helper.from_array(values, part))
        pad = shape[-1] // 2
        return helper.make_node(
            "Conv", [x, *parts], [name], name, strides=[stride] * 2, pads=[pad] * 4
        )

    initializers = [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
    nodes = [
        conv("picture", "conv1", (6, 3, 3, 3)),
        helper.make_node("Relu", ["conv1"], ["relu1"], "relu1"),
        conv("relu1", "conv2", (8, 6, 3, 3), stride=2),
        helper.make_node("Relu", ["conv2"], ["relu2"], "relu2"),
        conv("relu2", "scorer", (len(CLASSES), 8, 1, 1)),
        helper.make_node("Resize", ["scorer", "", "scales"], ["logits"], "logits", mode="linear"),
        helper.make_node("Softmax", ["logits"], ["score"], "score", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: json.dumps(EXPECTS)})
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="session")
def network(network_model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network as a file."""
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    onnx.save(network_model, path)
    return path


@pytest.fixture(scope="session")
def artifact(network: Path, run: Run) -> Path:
    """The small network's artifact with both layers, made by the command."""
    path = network.with_name("small.cam.onnx")
    result = run("export", network, "-o", path, "-l", "relu1", "-l", "relu2")
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of 31x21 pixels: odd numbers, on purpose."""
    path = tmp_path / "scene.png"
    pixels = np.random.default_rng(3).integers(0, 256, (21, 31, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path
