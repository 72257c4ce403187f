"""Classes and layers as a user names them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ortcam.artifact import Layer
from ortcam.errors import ClassError, LayerError
from ortcam.questions.names import class_indices, named_layers

CLASSES = ("Sky", "Road", "Car", "Road")
LAYERS = tuple(Layer(name=name, weights=f"{name}.weights") for name in ("res5b_relu", "dec_relu4"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("Car", (2,)),
        (0, (0,)),
        (np.int64(3), (3,)),
        (["Car", 1], (2, 1)),
        (("Sky", "Sky"), (0, 0)),
        (np.array([2, 0]), (2, 0)),
        (iter(["Sky"]), (0,)),
    ],
)
def test_classes_by_name_or_index(asked: Any, expected: Any) -> None:
    assert class_indices(asked, CLASSES) == expected


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("car", "there is no class 'car'; the nearest is 'Car'"),
        (["Sky", "Roads"], "there is no class 'Roads'; the nearest is 'Road'"),
        ("Road", "2 classes are named 'Road'; give one of the 0-based indices 1, 3"),
        (4, "there is no class 4; there are 4, counted from 0"),
        (-1, "there is no class -1"),
        ([1.0], "by name or 0-based index, not 1.0"),
        ([], "the list of classes is empty"),
    ],
)
def test_no_such_class(asked: Any, said: str) -> None:
    with pytest.raises(ClassError, match=said):
        class_indices(asked, CLASSES)


def test_layers_by_name() -> None:
    assert named_layers(None, LAYERS) == LAYERS
    assert named_layers("dec_relu4", LAYERS) == LAYERS[1:]
    assert named_layers(["dec_relu4", "res5b_relu"], LAYERS) == LAYERS[::-1]


def test_no_such_layer() -> None:
    with pytest.raises(
        LayerError, match=r"no layer 'dec_relu1'; the nearest (is|are) 'dec_relu4'.*export"
    ):
        named_layers(["dec_relu1"], LAYERS)
    with pytest.raises(LayerError, match="the list of layers is empty"):
        named_layers([], LAYERS)
