"""Pictures and planes as text."""

from __future__ import annotations

import base64
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ortcam.report.encode import label_bytes, levels, pack, picture_url


def unpacked(text: str, width: int) -> np.ndarray:
    differences = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    sums = differences.reshape(-1, width).astype(np.int64).cumsum(axis=0).cumsum(axis=1)
    return (sums % 256).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (13, 17)])
def test_a_plane_comes_back(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    before = plane.copy()
    np.testing.assert_array_equal(unpacked(pack(plane), shape[1]), plane)
    np.testing.assert_array_equal(plane, before)


def test_what_is_smooth_takes_little() -> None:
    y, x = np.mgrid[0:200, 0:300]
    smooth = np.rint(127 + 120 * np.sin(x / 60) * np.cos(y / 50)).astype(np.uint8)
    assert len(pack(smooth)) < len(base64.b64encode(zlib.compress(smooth.tobytes(), 9))) * 0.6


def test_levels_and_codes() -> None:
    plane = np.array([[0, 1, 2, 4, 9, np.nan]], np.float32)
    assert levels(plane, 4).tolist() == [[0, 64, 128, 255, 255, 0]]
    assert not levels(plane, 0).any()
    labels = np.array([[0, 255], [256, 65535]], np.int32)
    low, high = label_bytes(labels).reshape(2, 2, 2).astype(np.int32)
    np.testing.assert_array_equal(low + 256 * high, labels)


def test_a_picture_is_what_takes_less() -> None:
    flat = np.full((40, 50, 3), (200, 30, 90), np.uint8)
    noise = np.random.default_rng(2).integers(0, 256, (40, 50, 3), np.uint8)
    for rgb, kind, off in ((flat, "png", 0), (noise, "jpeg", 60)):
        beginning, data = picture_url(rgb).split(",")
        assert beginning == f"data:image/{kind};base64"
        with Image.open(BytesIO(base64.b64decode(data))) as image:
            assert np.abs(np.asarray(image, int) - rgb).max() <= off
