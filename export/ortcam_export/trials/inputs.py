"""Seeded values for every input of a network, to try it on.

The picture is smooth noise with a few discs and boxes on it, preprocessed as a user's would be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ortcam.artifact import Preprocessing
from ortcam.errors import ModelError
from ortcam.messages import Option
from ortcam.pictures.preprocess import to_array

__all__ = ["Feeds", "trial_feeds"]

Feeds = dict[str, NDArray[Any]]

#: The largest picture, where the network leaves a choice.
PIXELS = 192 * 192

#: The divisor of its sides, so that an encoder can halve them five times.
GRID = 32

#: An open extent of an input that is no picture with two sides, such as a volume.
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
    """Seeded values for every input of a network.

    A further input of a float type gets numbers from 0 to 1, another one zeros; its open extents
    are those of the picture where they bear the same name, else 1.

    Args:
        model: a prepared network.
        picture: the name of the input that takes the picture.
        preprocess: how a picture becomes that input, or None where it takes no picture; then it
            gets normal noise.
        batch: how many pictures, where the network leaves a choice.
        seed: of the values.
        size: the picture's (width, height), where the network leaves a choice.

    Raises:
        ModelError: an input is of a type that no value is known for.
    """
    random = np.random.default_rng(seed)
    inputs = {value.name or "": value for value in model.graph.inputs}
    taken = _picture(inputs[picture], preprocess, batch, random, size)
    extents = dict(zip(_extents(inputs[picture]), taken.shape, strict=True))
    feeds = {picture: taken}
    for name, value in inputs.items():
        if name != picture:
            shape = [e if isinstance(e, int) else extents.get(e, 1) for e in _extents(value)]
            feeds[name] = _further(value, shape, random)
    return feeds


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


def _extents(value: ir.Value) -> list[int | str]:
    """An input's extents; an open one by its name."""
    dims = () if value.shape is None else value.shape.dims
    return [dim if isinstance(dim, int) else str(dim.value) for dim in dims]


def _picture(
    value: ir.Value,
    preprocess: Preprocessing | None,
    batch: int,
    random: np.random.Generator,
    wanted: tuple[int, int] | None,
) -> NDArray[Any]:
    dtype = np.dtype(np.float32 if value.dtype is None else value.dtype.numpy()).type
    first, *extents = (e if isinstance(e, int) else 0 for e in _extents(value))
    batch = first or batch
    if preprocess is None:
        noise = random.standard_normal((batch, *(e or OPEN_EXTENT for e in extents)))
        return noise.astype(dtype)
    own = extents[:2] if preprocess.layout == "NHWC" else extents[1:]
    chosen = wanted or _size(preprocess)
    size = own[1] or chosen[0], own[0] or chosen[1]
    scenes = [scene(size, random) for _ in range(batch)]
    return np.concatenate([to_array(s, preprocess, size, dtype) for s in scenes])


def _size(preprocess: Preprocessing) -> tuple[int, int]:
    """A (width, height) within the bounds."""
    wanted = preprocess.size or (256, 256)
    shrink = min(1.0, (PIXELS / (wanted[0] * wanted[1])) ** 0.5)
    grid = int(np.lcm(GRID, preprocess.divisor))
    width, height = (max(grid, int(extent * shrink) // grid * grid) for extent in wanted)
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
