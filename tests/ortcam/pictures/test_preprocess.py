"""From a picture to the network's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import Preprocessing
from ortcam.errors import InputError
from ortcam.pictures.preprocess import to_array, working_size

Picture = NDArray[np.uint8]

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_scale_mean_std_order_and_layout(order: str, layout: str, rgb: Picture) -> None:
    how = Preprocessing(color_order=order, layout=layout, scale=1 / 128, mean=MEAN, std=STD)
    x = to_array(rgb, how, (31, 22))
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert x.shape == ((1, 3, 22, 31) if layout == "NCHW" else (1, 22, 31, 3))
    pixel = rgb[4, 7][:: 1 if order == "RGB" else -1].astype(float)
    expected = (pixel / 128 - MEAN) / STD
    np.testing.assert_allclose(x[0, :, 4, 7] if layout == "NCHW" else x[0, 4, 7], expected, 1e-5)


def test_one_grey_channel(rgb: Picture) -> None:
    x = to_array(rgb, Preprocessing(color_order="L", mean=(0.5,), std=(2.0,)), (31, 22))
    assert x.shape == (1, 1, 22, 31)
    luma = rgb @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(x[0, 0], (luma / 255 - 0.5) / 2, atol=0.51 / 255)


def test_resizing_is_pillows_bilinear_and_averages_where_it_shrinks() -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    x = to_array(stripes, Preprocessing(scale=1.0), (2, 2))
    np.testing.assert_allclose(x, 100, atol=15)  # without averaging it would be 0 or 200
    own = Image.fromarray(stripes).resize((5, 3), Image.Resampling.BILINEAR)
    x = to_array(stripes, Preprocessing(scale=1.0), (5, 3))
    np.testing.assert_array_equal(x[0].transpose(1, 2, 0), np.asarray(own))


def test_a_network_that_takes_whole_numbers_gets_them_rounded(rgb: Picture) -> None:
    x = to_array(rgb, Preprocessing(scale=1.2), (31, 22), np.uint8)
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(x[0, 0], np.minimum(np.rint(rgb[..., 0] * 1.2), 255))
    assert to_array(rgb, Preprocessing(), (31, 22), np.float16).dtype == np.float16


@pytest.mark.parametrize(
    ("size", "own", "divisor", "fixed", "expected"),
    [
        (None, None, 1, (None, None), (960, 720)),
        (None, (480, 360), 1, (None, None), (480, 360)),
        ("native", (480, 360), 1, (None, None), (960, 720)),
        ((100, 50), (480, 360), 1, (None, None), (100, 50)),
        (None, (480, 360), 32, (None, None), (480, 352)),
        ("native", None, 64, (None, None), (960, 704)),
        ((1, 1), None, 32, (None, None), (32, 32)),
        ((16, 48), None, 32, (None, None), (32, 64)),
        (None, (480, 360), 32, (224, 225), (224, 225)),
        ("native", None, 1, (None, 33), (960, 33)),
        ((224, 50), None, 1, (224, None), (224, 50)),
    ],
)
def test_the_working_size(size: Any, own: Any, divisor: Any, fixed: Any, expected: Any) -> None:
    how = Preprocessing(size=own, divisor=divisor)
    assert working_size((960, 720), how, size, fixed) == expected


def test_a_size_that_is_not_the_networks_own_is_refused() -> None:
    with pytest.raises(InputError, match=r"size 100x50 does not fit.*fixed at 224x224"):
        working_size((9, 9), Preprocessing(), (100, 50), (224, 224))
    with pytest.raises(InputError, match="fixed at anyx224"):
        working_size((9, 9), Preprocessing(), (100, 50), (None, 224))


def test_a_size_that_would_fill_the_memory_is_refused() -> None:
    for how in (Preprocessing(size=(10**6, 10**6)), Preprocessing(divisor=10**9)):
        with pytest.raises(InputError, match="exceeds Pillow's limit of"):
            working_size((9, 9), how)


@pytest.mark.parametrize("size", ["full", (0, 5), (5, -1), (5.5, 3), (1, 2, 3), ("a", 3)])
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(InputError, match=r"size must be \(width, height\), 'native' or None, got "):
        working_size((9, 9), Preprocessing(), size)
