"""Trial values of every input of a network."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from ortcam.artifact import Preprocessing
from ortcam_export.reading.model_file import load
from ortcam_export.trials.inputs import trial_feeds
from ortcam_export.trials.size import at_trial_size

SHAPE = tuple[int, ...]


def shapes(inputs: str, *, batch: int = 2, pictures: bool = True) -> dict[str, SHAPE]:
    proto = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 18]> g ({inputs}) => (float y) {{ y = Flatten(x) }}'
    )
    model = load(proto)
    layout = "NHWC" if "H, W, 3" in inputs else "NCHW"
    preprocess = Preprocessing(layout=layout, size=(64, 32)) if pictures else None
    return {k: v.shape for k, v in trial_feeds(model, "x", preprocess, batch=batch).items()}


@pytest.mark.parametrize(
    ("inputs", "x", "z"),
    [
        ("float[N, 3, H, W] x, float[N, 3, H, W] z", (2, 3, 32, 64), (2, 3, 32, 64)),
        ("float[N, 3, H, W] x, float[M, 3, H2, W2] z", (2, 3, 32, 64), (2, 3, 32, 64)),
        ("float[N, 3, H, W] x, float[N, 1, H, W] z", (2, 3, 32, 64), (2, 1, 32, 64)),
        ("float[N, H, W, 3] x, float[N, H, W, 1] z", (2, 32, 64, 3), (2, 32, 64, 1)),
        ("float[-1, 3, -1, -1] x, float[-1, 5] z", (2, 3, 32, 64), (2, 5)),
        ("float[0, 3, 0, 0] x, float[0, 3, 0, 0] z", (2, 3, 32, 64), (2, 3, 32, 64)),
        ("float[?, 3, ?, ?] x, float[?, 5] z", (2, 3, 32, 64), (2, 5)),
        ("float[N, 3, H, W] x, float[6, 1, 1] z", (2, 3, 32, 64), (6, 1, 1)),
        ("float[N, 3, H, W] x, int64[texts, 7] z", (2, 3, 32, 64), (1, 7)),
        ("float[1, 3, 40, 48] x, uint8[1, 3, 40, 48] z", (1, 3, 40, 48), (1, 3, 40, 48)),
    ],
)
def test_shapes_of_pictures_and_further_inputs(inputs: str, x: SHAPE, z: SHAPE) -> None:
    assert shapes(inputs) == {"x": x, "z": z}


@pytest.mark.parametrize(
    ("inputs", "x"),
    [
        ("float[N, H, W, 13] x", (2, 32, 32, 13)),
        ("float[N, T, 3, H, W] x", (2, 32, 3, 32, 32)),
        ("float[1, 16, 64, 80, 3] x", (1, 16, 64, 80, 3)),
        ("float[N, 12, L] x", (2, 12, 32)),
        ("float[-1, 4, 0, 9] x", (2, 4, 32, 9)),
    ],
)
def test_shapes_of_arrays(inputs: str, x: SHAPE) -> None:
    assert shapes(inputs, pictures=False) == {"x": x}


def test_a_second_picture_is_preprocessed_like_the_first() -> None:
    model = load(
        parser.parse_model(
            '<ir_version: 10, opset_import: ["": 18]> '
            "g (float[N, 3, H, W] x, float[N, 3, H, W] z) => (float y) { y = Flatten(x) }"
        )
    )
    feeds = trial_feeds(model, "x", Preprocessing(mean=(5.0,) * 3, size=(64, 64)))
    assert feeds["z"].max() < -3.9
    assert np.abs(feeds["x"] - feeds["z"]).max() > 0.1


def test_whole_numbers_are_bytes() -> None:
    model = load(
        parser.parse_model(
            '<ir_version: 10, opset_import: ["": 18]> '
            "g (uint8[N, 13, H, W] x) => (uint8[a, b] y) { y = Flatten(x) }"
        )
    )
    values = trial_feeds(model, "x", None)["x"]
    assert values.dtype == np.uint8
    assert len(np.unique(values)) > 200


@pytest.mark.parametrize("dims", ["N, 3, H, W", "?, 3, ?, ?", "-1, 3, 0, 0"])
def test_the_trial_size_of_open_extents(dims: str) -> None:
    model = load(
        parser.parse_model(
            '<ir_version: 10, opset_import: ["": 18]> '
            f"g (float[{dims}] x, float[?, 7] z) => (float y) {{ y = Relu(x) }}"
        )
    )
    sized = at_trial_size(model, model.graph.inputs[0])
    assert sized is not None
    assert [list(value.shape or ()) for value in sized.graph.inputs] == [[1, 3, 512, 512], [1, 7]]
    assert list(sized.graph.outputs[0].shape or ()) == [1, 3, 512, 512]
