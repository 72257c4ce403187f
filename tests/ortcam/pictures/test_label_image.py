"""Label images: indices of every integer type, colours, and pixels without a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ortcam import Mistaken
from ortcam.errors import RegionError
from ortcam.grids.labels import NONE
from ortcam.pictures.label_image import read
from ortcam.questions.regions import Scene

COLORS = ((10, 20, 30), (40, 50, 60), (70, 80, 90))
EXPECTED = [[0, 2, NONE], [1, NONE, NONE]]


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i2", "i4", "i8"])
def test_void_is_no_class_in_any_integer_type(dtype: str) -> None:
    labels = read(np.array([[0, 2, 3], [1, 127, 100]], dtype), (2, 3), COLORS)
    assert labels.dtype == np.int32
    assert labels.tolist() == EXPECTED


def test_void_in_a_grey_picture(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 2, 255], [1, 254, 11]], np.uint8)).save(tmp_path / "truth.png")
    assert read(tmp_path / "truth.png", (2, 3), COLORS).tolist() == EXPECTED
    # Void is not mistaken, whatever is predicted there.
    scene = Scene((2, 3), ("Sky", "Road", "Car"), COLORS, lambda: np.zeros((2, 3), np.int32))
    mistaken = Mistaken(tmp_path / "truth.png").weights(scene, 0)
    assert mistaken.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_void_among_colours() -> None:
    rgb = np.array([[COLORS[0], COLORS[2], (0, 0, 0)], [COLORS[1], (9, 9, 9), (1, 1, 1)]], np.uint8)
    assert read(rgb, (2, 3), COLORS).tolist() == EXPECTED


def test_an_image_without_a_class_is_refused() -> None:
    with pytest.raises(RegionError, match="the label image has no class"):
        read(np.full((2, 3), 255, np.uint8), (2, 3), COLORS)
