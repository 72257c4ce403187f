"""The shipped network: its names, size, metadata and accuracy."""

import json
from pathlib import Path

import onnxruntime
import pytest

from camvid.classes import CLASSES, COLORS
from camvid.data import load_camvid
from camvid.evaluate import UNSEEN, measure, open_session
from camvid.scenes import render

NETWORK = Path(__file__).parents[2] / "models" / "deeplabv3plus_resnet18_camvid.onnx"
CARD = NETWORK.with_name("README.md")
LAYERS = [
    *(f"res{stage}b_relu" for stage in (2, 3, 4, 5)),
    "catAspp",
    *(f"dec_relu{index}" for index in (1, 2, 3, 4)),
    "scorer",
    "logits",
    "softmax-out",
]


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return open_session(NETWORK)


def test_it_is_small() -> None:
    assert NETWORK.stat().st_size <= 20 * 2**20


def test_input_and_output(session: onnxruntime.InferenceSession) -> None:
    (picture,), (scores,) = session.get_inputs(), session.get_outputs()
    assert (picture.name, picture.shape) == ("input", ["N", 3, "H", "W"])
    assert (scores.name, scores.shape) == ("softmax-out", ["N", len(CLASSES), "H", "W"])


def test_metadata(session: onnxruntime.InferenceSession) -> None:
    custom = session.get_modelmeta().custom_metadata_map
    assert list(custom) == ["ortcam"]
    metadata = json.loads(custom["ortcam"])
    assert metadata["format"] == 1
    assert metadata["classes"] == list(CLASSES)
    assert metadata["colors"] == [list(color) for color in COLORS]
    assert metadata["preprocess"] == {
        "color_order": "RGB",
        "layout": "NCHW",
        "scale": 1 / 255,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "size": [480, 360],
        "divisor": 1,
    }


def test_layers() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(NETWORK)
    assert model.ir_version == 10
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    tensors = {name for node in model.graph.node for name in node.output}
    assert set(LAYERS) <= tensors


@pytest.mark.slow
def test_it_segments_unseen_scenes(session: onnxruntime.InferenceSession) -> None:
    score = measure(session, (render(seed) for seed in range(UNSEEN, UNSEEN + 6)))
    assert score.mean_iou > 0.6, score.as_dict()
    assert score.accuracy > 0.9


@pytest.mark.camvid
@pytest.mark.slow
def test_the_card_has_its_score(session: onnxruntime.InferenceSession, camvid: Path) -> None:
    score = measure(session, load_camvid(camvid, ["test"]))
    assert score.pictures == 233
    assert f"| **mean IoU** | **{score.mean_iou:.3f}** |" in CARD.read_text(encoding="utf-8")
