"""Pictures of every kind become RGB of 8 bits, or one sentence."""

from __future__ import annotations

import random
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ortcam.errors import PictureError
from ortcam.pictures.read import read

Picture = NDArray[np.uint8]


def png(width: int, height: int, depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG file from its raw rows, each after its filter byte."""

    def chunk(tag: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def sixteen() -> NDArray[Any]:
    return np.array([[0, 128, 129, 256, 32768, 65279, 65535]], np.uint16)


def test_an_array_stays_as_it_is(rgb: Picture) -> None:
    assert read(rgb) is rgb


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_a_file_gives_its_pixels(rgb: Picture, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb).save(path, lossless=True)
    for picture in (path, str(path), Image.open(path)):
        np.testing.assert_array_equal(read(picture), rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotation_in_exif_is_carried_out(rgb: Picture, orientation: int, tmp_path: Path) -> None:
    stored = {
        1: rgb, 2: rgb[:, ::-1], 3: rgb[::-1, ::-1], 4: rgb[::-1],
        5: rgb.swapaxes(0, 1), 6: np.rot90(rgb, 1), 7: rgb[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(rgb, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    np.testing.assert_array_equal(read(path), rgb)
    with Image.open(path) as image:
        np.testing.assert_array_equal(read(image), rgb)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_greys_are_scaled(sixteen: NDArray[np.uint16], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(sixteen).save(path)
    expected = np.rint(sixteen / 65535 * 255)
    assert expected.tolist() == [[0, 0, 1, 1, 128, 254, 255]]
    np.testing.assert_array_equal(read(path), np.dstack([expected] * 3))


def test_16_bit_greys_of_the_other_byte_order_are_scaled(sixteen: NDArray[np.uint16]) -> None:
    image = Image.frombytes("I;16B", (7, 1), sixteen.astype(">u2").tobytes())
    assert read(image)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 254, 255]


def test_16_bit_greys_in_32_bits_are_scaled(sixteen: NDArray[np.uint16]) -> None:
    assert read(Image.fromarray(sixteen.astype(np.int32)))[0, :, 1].tolist()[3:] == [
        1, 128, 254, 255,
    ]  # fmt: skip


def test_16_bit_colours_are_scaled() -> None:
    rows = b"\0" + np.array([0, 32768, 65535, 128 * 257, 65535, 0], ">u2").tobytes()
    assert read(Image.open(BytesIO(png(2, 1, 16, 2, rows)))).tolist() == [
        [[0, 128, 255], [128, 255, 0]]
    ]


def test_transparency_is_laid_on_white() -> None:
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    solid, clear, fifth = read(Image.fromarray(rgba))[0]
    assert solid.tolist() == [200, 100, 0]
    assert clear.tolist() == [255, 255, 255]
    assert abs(fifth - (0.2 * np.array([200, 100, 0]) + 0.8 * 255)).max() <= 1


def test_transparency_of_a_palette_and_of_greys_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=0)
    assert read(tmp_path / "a.png").tolist() == [[[255, 255, 255], [40, 50, 60]]]
    greys = Image.fromarray(np.array([[[90, 255], [90, 0]]], np.uint8), "LA")
    assert read(greys).tolist() == [[[90] * 3, [255] * 3]]


def test_cmyk_is_converted(tmp_path: Path) -> None:
    ink = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]]], np.uint8)
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.tiff")
    white, cyan, red, black = read(tmp_path / "a.tiff")[0].tolist()
    assert (white, cyan, red, black) == ([255] * 3, [0, 255, 255], [255, 0, 0], [0] * 3)


def test_a_cmyk_jpeg_as_adobe_writes_it_is_converted(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    assert abs(read(tmp_path / "a.jpg").astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("mode", ["1", "L", "LAB", "HSV", "YCbCr", "PA", "RGBa", "La", "RGBX"])
def test_every_other_mode_is_converted(mode: str) -> None:
    assert read(Image.new(mode, (3, 2))).shape == (2, 3, 3)


def test_of_an_animation_the_first_frame_is_taken(rgb: Picture, tmp_path: Path) -> None:
    frames = [Image.fromarray(rgb), Image.new("RGB", rgb.shape[1::-1])]
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read(path), rgb)


# What is refused


def test_an_array_of_another_shape_or_type_is_refused(rgb: Picture) -> None:
    for wrong in (rgb[..., 0], rgb / 255, rgb[:, :0], np.dstack([rgb, rgb[..., :1]])):
        with pytest.raises(PictureError, match=r"\[H, W, 3\] uint8.*tensor="):
            read(wrong)  # type: ignore[arg-type]


def test_another_object_is_refused() -> None:
    with pytest.raises(PictureError, match="got bytes"):
        read(b"picture")  # type: ignore[arg-type]


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for data in (b"", b"hello", b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(data)
        with pytest.raises(PictureError, match=r"a\.png is (not a picture|damaged)"):
            read(path)
    with pytest.raises(PictureError, match=r"b\.png cannot be read: No such file"):
        read(tmp_path / "b.png")
    with pytest.raises(PictureError, match="cannot be read: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "gif", "tiff"])
def test_a_truncated_file_is_refused(rgb: Picture, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.tile(rgb, (4, 4, 1))).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(PictureError, match=f"a.{suffix} is (truncated or )?damaged|not a picture"):
        read(path)


def test_a_picture_beyond_pillows_limit_is_refused_before_it_takes_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(60000, 60000, 8, 2, b""))
    with pytest.raises(PictureError, match=r"bomb\.png has more than \d+ pixels.*MAX_IMAGE_PIXELS"):
        read(path)
    # Between the limit and twice the limit Pillow itself only warns.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (15, 10)).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytest's filter would make it an error by itself
        with pytest.raises(PictureError, match="more than 100 pixels"):
            read(path)


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(PictureError, match=r"floating-point pixels.*convert it to 8 bits"):
        read(Image.new("F", (2, 2)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tiff"])
@pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged EXIF and TIFF tags
def test_a_damaged_file_gives_a_picture_or_our_error(
    suffix: str, rgb: Picture, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb).save(path, exif=exif)
    good = path.read_bytes()
    dice = random.Random(suffix)
    refused = 0
    for _ in range(150):
        bad = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            bad[dice.randrange(len(bad))] = dice.randrange(256)
        path.write_bytes(bad)
        try:
            assert read(path).shape[2] == 3
        except PictureError:
            refused += 1
    assert refused > 5
