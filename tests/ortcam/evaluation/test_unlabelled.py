"""Networks whose pixels have no class: classifiers and values are evaluated without labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import ortcam

Small = Callable[..., Any]


@pytest.fixture
def pictures(rgb: NDArray[np.uint8], tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(np.roll(rgb, 5 * i, axis=1)).save(folder / f"{i}.png")
    return folder


def test_a_classifier(small: Small, pictures: Path, tmp_path: Path) -> None:
    cam = small(classifier=True, factor=4.0).load()
    evaluation = ortcam.evaluate(cam, pictures, tmp_path / "out", steps=3)
    assert evaluation.notes == (
        "pointing, energy, overlap and context need the class of each pixel, and the score "
        "'score' gives none, so they are left out",
    )
    assert {line.metric for line in evaluation.summary.lines} == {
        "concentration",
        "deletion-score",
        "insertion-score",
        "road-score",
        "layers-spearman",
        "layers-top-iou",
    }
    assert evaluation.summary.done == 2
    assert evaluation.summary.left_out == []
    assert {curve.curve for curve in evaluation.summary.curves} == {
        "deletion-score",
        "insertion-score",
        "road-most-score",
        "road-least-score",
    }
    page = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert "so they are left out" in page


def test_deletion_of_a_classifier(small: Small, pictures: Path, tmp_path: Path) -> None:
    """The first point of the curve is the score of the intact picture, and the class the seen."""
    cam = small(classifier=True, factor=4.0).load()
    summary = ortcam.evaluate(
        cam, pictures / "0.png", tmp_path / "out", metrics="deletion", layers="late", steps=2
    ).summary
    explanation = cam.explain(pictures / "0.png", layers="late")
    (index,) = explanation.indices
    assert index is not None
    (curve,) = summary.curves
    assert curve.values[0] == pytest.approx(explanation.score[index], rel=1e-4)
    assert {line.cls for line in summary.lines} == {"", cam.classes[index]}


def test_values_that_are_no_class_scores(small: Small, pictures: Path, tmp_path: Path) -> None:
    """The channel with the largest value; its scores leave the range from 0 to 1."""
    made = small(kind="logits", classifier=True, factor=30.0)
    score = {"name": "score", "class_axis": 1, "kind": "linear", "axes": ["batch", "class"]}
    cam = ortcam.load(made.changed(score=score, classes=None, colors=None), "cpu")
    evaluation = ortcam.evaluate(cam, pictures, tmp_path / "out", metrics="deletion")
    assert evaluation.summary.done == 2
    best = {int(cam.explain(path).score.argmax()) for path in sorted(pictures.iterdir())}
    classes = {line.cls for line in evaluation.summary.lines if line.cls}
    assert classes == {f"channel {i}" for i in best}
    data = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert data["pictures"] == 2


def test_two_classifiers_are_compared(small: Small, pictures: Path, tmp_path: Path) -> None:
    cam, other = (small(classifier=True, seed=seed).load() for seed in (0, 1))
    evaluation = ortcam.evaluate(cam, pictures, tmp_path / "out", against=other)
    metrics = {line.metric for line in evaluation.summary.lines}
    assert "against-spearman" in metrics
    assert "against-prediction" not in metrics
    assert "against-prediction needs the class of each pixel" in evaluation.notes[0]
