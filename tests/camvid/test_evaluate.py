"""The metrics of the model card."""

import math
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from camvid.classes import CLASSES, IGNORE
from camvid.evaluate import Score, markdown, measure


class Constant:
    """A session that predicts the same class everywhere."""

    def __init__(self, index: int) -> None:
        self.index = index

    def run(self, _names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        scores = np.zeros((1, len(CLASSES), *feeds["input"].shape[2:]), np.float32)
        scores[:, self.index] = 1
        return [scores]


def score() -> Score:
    labels = np.array([[3, 3, 3, 0], [3, 8, IGNORE, IGNORE]], np.uint8)
    rgb = np.zeros((2, 4, 3), np.uint8)
    session = cast("onnxruntime.InferenceSession", Constant(3))
    return measure(session, [(rgb, labels)])


def test_iou_and_accuracy_leave_out_unlabelled_pixels() -> None:
    result = score()
    assert result.confusion.sum() == 6
    assert result.accuracy == 4 / 6
    assert result.iou[3] == 4 / 6
    assert result.iou[0] == result.iou[8] == 0
    assert math.isnan(result.iou[1])
    assert math.isclose(result.mean_iou, 4 / 18)


def test_tables_name_every_class() -> None:
    table = markdown({"a": score()})
    assert all(name in table for name in CLASSES)
    assert "| Road | 0.667 |" in table
    assert score().as_dict()["pictures"] == 1
