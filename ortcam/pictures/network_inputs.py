"""What the network is fed: a picture or a tensor, and its further inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam.artifact import Artifact, Preprocessing
from ortcam.errors import InputError, PictureError, nearest
from ortcam.messages import Option
from ortcam.pictures import preprocess
from ortcam.pictures import read as pictures
from ortcam.tensor_spec import TensorSpec

__all__ = ["Feeds", "channel_axis", "entering", "feeds", "joined", "varied"]


@dataclass(frozen=True)
class Feeds:
    """What one run is fed, and where its results lie.

    Attributes:
        arrays: the network's own inputs.
        rgb: the picture [H, W, 3] uint8, or of a volume its first channel as greys
            [D, H, W, 3]; or None.
        grid: the (height, width) of the picture, or of the tensor where there is none; of a
            volume its (depth, height, width).
        extents: what the names stand for that the inputs' shapes give to extents.
    """

    arrays: dict[str, NDArray[Any]]
    rgb: NDArray[np.uint8] | None
    grid: tuple[int, ...]
    extents: dict[str, int]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of all inputs: runs alike in these have tensors of the same sizes."""
        return tuple(array.shape for array in self.arrays.values())


def feeds(
    artifact: Artifact,
    slots: Mapping[str, TensorSpec],
    picture: pictures.Picture | None,
    tensor: ArrayLike | None,
    further: Mapping[str, ArrayLike] | None,
    size: preprocess.Size,
) -> Feeds:
    """Everything that the network's own inputs get; see :meth:`ortcam.Cam.segment`.

    Raises:
        InputError: an input is missing, has no such name, or does not fit.
        PictureError: the picture cannot be read, or there is none.
    """
    if picture is None and tensor is None:
        raise PictureError("there is nothing to look at: give a picture, or ", Option("tensor"))
    own = {*artifact.question, artifact.picture}
    others = {name: slot for name, slot in slots.items() if name not in own}
    arrays = _further(further or {}, others)
    rgb = None if picture is None else pictures.read(picture)
    if tensor is None:
        assert rgb is not None  # one of the two is there
        x = entering(artifact, slots, rgb, size)
    elif size is None:
        x = _one(_fitting(tensor, slots[artifact.picture], "the tensor"))
    else:
        raise InputError(
            Option("size"), " resizes a picture, and a tensor enters as it is; leave one out"
        )
    arrays = {artifact.picture: x, **arrays}
    if x.ndim == 5:
        if rgb is not None:
            raise InputError(
                "the tensor is a volume, on which no picture lies; leave the picture out"
            )
        rgb = _greys(artifact, x)
    grid = _space(artifact, x) if rgb is None else rgb.shape[:-1]
    return Feeds(arrays, rgb, grid, _extents(arrays, slots))


def joined(fed: Sequence[Feeds], slots: Mapping[str, TensorSpec], picture: str) -> Feeds:
    """What one run of all is fed: a further input is given once, and repeated for each picture."""
    arrays = dict(fed[0].arrays)
    arrays[picture] = np.concatenate([one.arrays[picture] for one in fed])
    batch = slots[picture].shape[0]
    for name, slot in slots.items():
        if name in arrays and name != picture and isinstance(batch, str):
            for axis, extent in enumerate(slot.shape):
                if extent == batch and arrays[name].shape[axis] == 1:
                    arrays[name] = np.repeat(arrays[name], len(fed), axis)
    extents = fed[0].extents | ({batch: len(fed)} if isinstance(batch, str) else {})
    return Feeds(arrays, None, fed[0].grid, extents)


def varied(
    fed: Feeds, n: int, inputs: NDArray[Any], slots: Mapping[str, TensorSpec], picture: str
) -> Feeds:
    """What one run is fed with other inputs [B, ...] in the place of picture n.

    What is given beside picture n is given with each of them.
    """
    arrays = {**fed.arrays, picture: inputs.astype(fed.arrays[picture].dtype, copy=False)}
    batch = slots[picture].shape[0]
    if not isinstance(batch, str):
        return Feeds(arrays, None, fed.grid, fed.extents)
    for name, array in fed.arrays.items():
        for axis, extent in enumerate(slots[name].shape):
            if extent == batch and name != picture:
                own = array.take([n % array.shape[axis]], axis)
                arrays[name] = np.repeat(own, len(inputs), axis)
    return Feeds(arrays, None, fed.grid, fed.extents | {batch: len(inputs)})


def channel_axis(artifact: Artifact, rank: int) -> int:
    """Where a picture [*space and C] of so many axes, or a volume, that enters has its channels."""
    how = artifact.expects.preprocess
    last = how is not None and how.layout == "NHWC"
    if rank == 4:  # of a volume: a network keeps all its channels there
        last = artifact.score.class_axis == rank
    return rank - 1 if last else 0


def entering(
    artifact: Artifact,
    slots: Mapping[str, TensorSpec],
    rgb: NDArray[np.uint8],
    size: preprocess.Size,
) -> NDArray[Any]:
    """The network's input for a picture [H, W, 3]; see :meth:`ortcam.Cam.preprocess`.

    Raises:
        InputError: nobody said how a picture becomes the input, it takes none, or not this size.
    """
    slot = slots[artifact.picture]
    how = _how(artifact.expects.preprocess, slot)
    rows, columns = slot.shape[1:3] if how.layout == "NHWC" else slot.shape[2:4]
    fixed = (columns if isinstance(columns, int) else None, rows if isinstance(rows, int) else None)
    working = preprocess.working_size((rgb.shape[1], rgb.shape[0]), how, size, fixed)
    return preprocess.to_array(rgb, how, working, slot.dtype or np.float32)


def _how(how: Preprocessing | None, slot: TensorSpec) -> Preprocessing:
    """How a picture becomes the input, where that is known and the input can be one."""
    if how is None:
        raise InputError(
            f"nobody said how a picture becomes the input {slot}; export the network again with "
            "its ",
            Option("mean"),
            ", ",
            Option("std"),
            " and ",
            Option("rescale"),
            ", or pass a preprocessed ",
            Option("tensor"),
        )
    channels = len(how.color_order)
    axis = 3 if how.layout == "NHWC" else 1
    own, other = (slot.shape[axis], slot.shape[4 - axis]) if len(slot.shape) == 4 else (0, 0)
    # Where the extent is not fixed, the other layout's may give it away.
    if (own != channels) if isinstance(own, int) else (other == channels):
        raise InputError(
            f"the input {slot} is no picture of {channels} channels ({how.color_order}, "
            f"{how.layout}); export the network again with what it takes, or pass a preprocessed ",
            Option("tensor"),
        )
    if isinstance(slot.shape[0], int) and slot.shape[0] != 1:
        raise InputError(
            f"the input {slot} takes {slot.shape[0]} pictures at once, and one is looked at at a "
            "time; export the network with one picture, or any number, in its batch"
        )
    return how


def _one(x: NDArray[Any]) -> NDArray[Any]:
    if x.ndim < 2 or len(x) != 1:
        raise InputError(
            f"the tensor is {list(x.shape)}; its first axis is the batch and is to be 1, since "
            "one picture is looked at at a time"
        )
    return x


def _space(artifact: Artifact, x: NDArray[Any]) -> tuple[int, ...]:
    if x.ndim != 4:
        raise InputError(
            f"a tensor of {list(x.shape)} has no rows and columns for maps to lie on; "
            "give the picture too"
        )
    axis = channel_axis(artifact, 3)
    return tuple(extent for i, extent in enumerate(x.shape[1:]) if i != axis)


def _greys(artifact: Artifact, x: NDArray[Any]) -> NDArray[np.uint8]:
    """A volume's first channel from black, its least value, to white, [D, H, W, 3]."""
    values = x[0].take(0, channel_axis(artifact, 4))
    finite = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low = finite.min(initial=np.inf)
    span = finite.max(initial=-np.inf) - low
    grey = np.rint((finite - low) * (255 / span if span > 0 else 0)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _extents(arrays: Mapping[str, NDArray[Any]], slots: Mapping[str, TensorSpec]) -> dict[str, int]:
    return {
        extent: array.shape[axis]
        for name, array in arrays.items()
        for axis, extent in enumerate(slots[name].shape)
        if isinstance(extent, str)
    }


def _further(
    given: Mapping[str, ArrayLike], slots: Mapping[str, TensorSpec]
) -> dict[str, NDArray[Any]]:
    for name in given:
        if name not in slots:
            there = nearest(name, slots) or "; it has no further inputs"
            raise InputError(f"the network has no further input {name!r}{there}")
    missing = [str(slot) for name, slot in slots.items() if name not in given]
    if missing:
        raise InputError(
            f"the network has further inputs: {'; '.join(missing)}; give their values as ",
            Option("inputs", "{name: array}"),
        )
    return {name: _fitting(v, slots[name], f"the input {name!r}") for name, v in given.items()}


def _fitting(value: ArrayLike, slot: TensorSpec, what: str) -> NDArray[Any]:
    """A value as its input takes it.

    Raises:
        InputError: its shape is another, or its type cannot become the input's.
    """
    array = np.asarray(value)
    alike = len(array.shape) == len(slot.shape) and all(
        not isinstance(extent, int) or extent == given
        for extent, given in zip(slot.shape, array.shape, strict=True)
    )
    if not alike:
        raise InputError(f"{what} is {list(array.shape)}, and the network takes {slot}")
    if slot.dtype in (None, np.str_):
        return array
    if not np.can_cast(array.dtype, slot.dtype, "same_kind"):
        raise InputError(f"{what} is {array.dtype}, and the network takes {slot}")
    return np.ascontiguousarray(array, slot.dtype).reshape(array.shape)
