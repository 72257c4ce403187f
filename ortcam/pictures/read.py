"""Reading pictures of any format as 8-bit RGB pixels.

Files are not trusted: what is no picture, is truncated, or is larger than
``PIL.Image.MAX_IMAGE_PIXELS`` is rejected with one sentence, before its pixels take memory.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ortcam.errors import PictureError
from ortcam.messages import Option

__all__ = ["Picture", "is_array", "pixels", "read"]

Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8]"
"""A path, a PIL image, or an array [H, W, 3] uint8 in RGB order."""

_Conversion: TypeAlias = "Callable[[Image.Image, str], Image.Image]"
"""From a decoded image and its name to the image whose pixels are returned."""

_one_at_a_time = threading.Lock()  # warnings.catch_warnings is not safe between threads


def read(picture: Picture) -> NDArray[np.uint8]:
    """Read a picture.

    An EXIF orientation is applied. An animation yields its current frame, a file its first.
    Transparent pictures are laid on white. 16-bit greys are scaled to 8 bits; Pillow converts CMYK
    without colour management.

    Args:
        picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.

    Returns:
        [H, W, 3] uint8, RGB; an array is returned as it is.

    Raises:
        PictureError: it cannot be read as a picture.

    Example:
        >>> read(Image.new("L", (3, 2), 128)).shape
        (2, 3, 3)
    """
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if isinstance(picture, Image.Image):
        return _decode(picture, "the picture", _to_rgb)
    if isinstance(picture, (str, os.PathLike)):
        return _from_file(Path(picture), _to_rgb)
    raise PictureError(
        "a picture is a path, a PIL image or an array [H, W, 3] uint8, got "
        f"{type(picture).__name__}; pass a preprocessed array as ",
        Option("tensor"),
    )


def pixels(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the pixels of a label image: numbers if it is grey or has a palette, else colours.

    Returns:
        [H, W] integers or bool, or [H, W, 3] uint8.

    Raises:
        PictureError: it cannot be read as a picture.
    """
    return _from_file(Path(path), _numbers)


def _numbers(image: Image.Image, name: str) -> Image.Image:
    numbered = image.mode in ("1", "L", "P", "I") or image.mode.startswith("I;16")
    return image if numbered else _to_rgb(image, name)


def _from_array(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise PictureError(
            "a picture as an array must be [H, W, 3] uint8 in RGB order, got "
            f"{list(array.shape)} {array.dtype}; pass a preprocessed array as ",
            Option("tensor"),
        )
    return array


def _from_file(path: Path, convert: _Conversion) -> NDArray[Any]:
    try:
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path)
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is not a picture that Pillow can read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS} pixels, Pillow's limit against "
            "decompression bombs; raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from error
    except Exception as error:  # Pillow's plugins raise many kinds on a damaged header
        if isinstance(error, OSError) and error.strerror:
            raise PictureError(f"{path} cannot be read: {error.strerror}") from error
        raise PictureError(f"{path} is damaged: {error}") from error
    with image:
        return _decode(image, str(path), convert)


def _decode(image: Image.Image, name: str, convert: _Conversion) -> NDArray[Any]:
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
        pixels = np.array(convert(image, name))
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on damaged data
        raise PictureError(f"{name} is truncated or damaged: {error}") from error
    if not pixels.size:
        raise PictureError(f"{name} has no pixels")
    return pixels


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "F":
        raise PictureError(
            f"{name} has floating-point pixels of unknown range; convert it to 8 bits"
        )
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bits(image).convert("RGB")
    if image.has_transparency_data:
        # Pillow does not convert premultiplied greys to RGBA directly.
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Scales 65535 to 255; Pillow's own conversion clips values above 255."""
    values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def is_array(path: Path) -> bool:
    """True if a file's name says that it holds an array instead of a picture."""
    return path.suffix.lower() == ".npy"
