"""Seeded values for every input of a network, for a trial run.

The picture is smooth noise with a few discs and boxes on it, preprocessed as a user's is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ortcam.artifact import Preprocessing
from ortcam.errors import ModelError
from ortcam.messages import Option
from ortcam.pictures.preprocess import to_array
from ortcam_export.trials.extents import fill, fills_of, names_of, open_shape

__all__ = ["Feeds", "trial_feeds"]

Feeds = dict[str, NDArray[Any]]

#: The most pixels of a picture whose size is open.
PIXELS = 192 * 192

#: Divides its sides, so that an encoder can halve them five times.
GRID = 32

#: An open extent of an input that takes arrays, such as a volume.
OPEN_EXTENT = 32

SEED = 20240


def trial_feeds(
    model: ir.Model,
    picture: str,
    preprocess: Preprocessing | None,
    *,
    batch: int = 2,
    seed: int = SEED,
    size: tuple[int, int] | None = None,
) -> Feeds:
    """Return seeded values for every input of a network.

    A further input of a float type gets numbers from 0 to 1, another one zeros; one of the
    picture's shape gets a picture. Its open extents are those of the picture of the same name, or
    in the same axis if it is of the picture's rank; else 1.

    Args:
        model: a prepared network.
        picture: the name of the input that takes the picture.
        preprocess: the preprocessing of pictures, or None if the input takes arrays, which are
            then normal noise.
        batch: the number of pictures, where the network leaves it open.
        seed: of the values.
        size: the picture's (width, height), where the network leaves it open.

    Raises:
        ModelError: an input takes no numbers.
    """
    random = np.random.default_rng(seed)
    inputs = {value.name or "": value for value in model.graph.inputs}
    first = open_shape(inputs[picture])
    fills = fills_of(model, inputs[picture], batch, OPEN_EXTENT)
    if preprocess is None:
        feeds = {picture: _noise(inputs[picture], fill(first, {}, fills), random)}
    else:
        feeds = {picture: _scenes(inputs[picture], preprocess, batch, random, size)}
    shape = feeds[picture].shape
    symbols = names_of(first, shape)
    for name, value in inputs.items():
        if name == picture:
            continue
        further = fill(open_shape(value), symbols, _fills(value, shape))
        if preprocess is not None and tuple(further) == shape:
            width, height = _space(shape, preprocess)
            feeds[name] = _scenes(value, preprocess, shape[0], random, (width, height))
        else:
            feeds[name] = _further(value, further, random)
    return feeds


def _fills(value: ir.Value, first: tuple[int, ...]) -> Sequence[int]:
    """The numbers for a further input's open extents without a name of the picture's.

    A first axis without any name is taken for the batch.
    """
    shape = open_shape(value)
    if len(shape) == len(first):
        return first
    batch = [first[0] if extent is None else 1 for extent in shape[:1]]
    return [*batch, *[1] * (len(shape) - 1)]


def _further(value: ir.Value, shape: list[int], random: np.random.Generator) -> NDArray[Any]:
    dtype = value.dtype
    if dtype is None or dtype is ir.DataType.STRING:
        raise ModelError(
            f"the further input {value.name!r} takes no numbers, so the network cannot be tried; "
            "export with ",
            Option("verify", False),
        )
    values = random.random(shape) if dtype.is_floating_point() else np.zeros(shape)
    return values.astype(dtype.numpy())


def _dtype(value: ir.Value) -> type[np.generic]:
    return np.dtype(np.float32 if value.dtype is None else value.dtype.numpy()).type


def _noise(value: ir.Value, shape: list[int], random: np.random.Generator) -> NDArray[Any]:
    """An array of normal noise; of bytes for an input of whole numbers."""
    dtype = _dtype(value)
    if np.issubdtype(dtype, np.integer):
        return random.integers(0, min(256, np.iinfo(dtype).max), shape).astype(dtype)  # type: ignore[type-var]
    return random.standard_normal(shape).astype(dtype)


def _scenes(
    value: ir.Value,
    preprocess: Preprocessing,
    batch: int,
    random: np.random.Generator,
    size: tuple[int, int] | None,
) -> NDArray[Any]:
    """Pictures as they enter, of the input's own extents where it has them."""
    batch_extent, *extents = (e if isinstance(e, int) else 0 for e in open_shape(value))
    height, width = extents[:2] if preprocess.layout == "NHWC" else extents[1:]
    other = size or _size(preprocess)
    size = width or other[0], height or other[1]
    scenes = [scene(size, random) for _ in range(batch_extent or batch)]
    return np.concatenate([to_array(s, preprocess, size, _dtype(value)) for s in scenes])


def _space(shape: tuple[int, ...], preprocess: Preprocessing) -> tuple[int, int]:
    """The (width, height) of an input of pictures."""
    height, width = shape[1:3] if preprocess.layout == "NHWC" else shape[2:4]
    return width, height


def _size(preprocess: Preprocessing) -> tuple[int, int]:
    """A (width, height) of at most :data:`PIXELS`, a multiple of :data:`GRID` and the divisor."""
    size = preprocess.size or (256, 256)
    shrink = min(1.0, (PIXELS / (size[0] * size[1])) ** 0.5)
    grid = int(np.lcm(GRID, preprocess.divisor))
    width, height = (max(grid, int(extent * shrink) // grid * grid) for extent in size)
    return width, height


def scene(size: tuple[int, int], random: np.random.Generator) -> NDArray[np.uint8]:
    """A picture [height, width, 3]: waves of random colours, with discs and boxes on them."""
    width, height = size
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    image = np.full((height, width, 3), 128.0)
    for _ in range(8):
        along, down, phase = random.uniform((-12, -12, 0), (12, 12, 6.3))
        image += np.sin(along * x + down * y + phase)[..., None] * random.uniform(-30, 30, 3)
    for index in range(8):
        cx, cy, r = random.uniform((0, 0, 0.05), (1, 1, 0.25))
        disc = (x - cx) ** 2 + (y - cy) ** 2 < r * r
        box = (abs(x - cx) < r) & (abs(y - cy) < r / 2)
        image[disc if index % 2 else box] = random.uniform(0, 255, 3)
    noisy = image + random.normal(0, 4, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
