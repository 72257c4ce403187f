"""The network's inputs: a picture or a tensor, and the further inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam.artifact import Artifact, Preprocessing
from ortcam.errors import InputError, PictureError, nearest
from ortcam.messages import Option
from ortcam.pictures.preprocess import Size, to_array, working_size
from ortcam.pictures.read import Picture, read
from ortcam.tensor_spec import TensorSpec

__all__ = ["Feeds", "channel_axis", "entering", "feeds", "joined", "varied"]


@dataclass(frozen=True)
class Feeds:
    """The network's inputs in one run, and the picture that its results lie on.

    Attributes:
        arrays: the network's inputs, by name.
        rgb: the picture [H, W, 3] uint8, or the first channel of a volume as greys
            [D, H, W, 3]; or None.
        grid: the (height, width) of the picture, or of the tensor without one; the
            (depth, height, width) of a volume.
        extents: the values of the named extents in the inputs' shapes.
    """

    arrays: dict[str, NDArray[Any]]
    rgb: NDArray[np.uint8] | None
    grid: tuple[int, ...]
    extents: dict[str, int]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of all inputs; they determine the sizes of all tensors in a run."""
        return tuple(array.shape for array in self.arrays.values())


def feeds(
    artifact: Artifact,
    specs: Mapping[str, TensorSpec],
    picture: Picture | None,
    tensor: ArrayLike | None,
    further: Mapping[str, ArrayLike] | None,
    size: Size,
) -> Feeds:
    """Return the network's inputs; see :meth:`ortcam.Cam.segment`.

    Raises:
        InputError: an input is missing or unknown, or does not fit.
        PictureError: the picture cannot be read, or neither picture nor tensor is given.
    """
    if picture is None and tensor is None:
        raise PictureError("no input: pass ", Option("picture"), " or ", Option("tensor"))
    known = {*artifact.question, artifact.picture}
    others = {name: spec for name, spec in specs.items() if name not in known}
    arrays = _further(further or {}, others)
    rgb = None if picture is None else read(picture)
    if tensor is None:
        assert rgb is not None  # picture or tensor is given
        x = entering(artifact, specs, rgb, size)
    elif size is None:
        x = _one(_fitting(tensor, specs[artifact.picture], "the tensor"))
    else:
        raise InputError(
            Option("size"), " resizes pictures only, and a tensor is used as it is; leave one out"
        )
    arrays = {artifact.picture: x, **arrays}
    if x.ndim == 5:
        if rgb is not None:
            raise InputError(
                "the tensor is a volume, on which a picture cannot be drawn; leave the picture out"
            )
        rgb = _greys(artifact, x)
    grid = _space(artifact, x) if rgb is None else rgb.shape[:-1]
    return Feeds(arrays, rgb, grid, _extents(arrays, specs))


def joined(each: Sequence[Feeds], specs: Mapping[str, TensorSpec], picture: str) -> Feeds:
    """Join the inputs of pictures for a common run; further inputs are repeated for each."""
    if len(each) == 1:
        return each[0]
    arrays = dict(each[0].arrays)
    arrays[picture] = np.concatenate([one.arrays[picture] for one in each])
    batch = specs[picture].shape[0]
    for name, spec in specs.items():
        if name in arrays and name != picture and isinstance(batch, str):
            for axis, extent in enumerate(spec.shape):
                if extent == batch and arrays[name].shape[axis] == 1:
                    arrays[name] = np.repeat(arrays[name], len(each), axis)
    extents = each[0].extents | ({batch: len(each)} if isinstance(batch, str) else {})
    return Feeds(arrays, None, each[0].grid, extents)


def varied(
    feeds: Feeds, n: int, inputs: NDArray[Any], specs: Mapping[str, TensorSpec], picture: str
) -> Feeds:
    """Put inputs [B, ...] in the place of picture n, each with the further inputs of picture n."""
    arrays = {**feeds.arrays, picture: inputs.astype(feeds.arrays[picture].dtype, copy=False)}
    batch = specs[picture].shape[0]
    if not isinstance(batch, str):
        return Feeds(arrays, None, feeds.grid, feeds.extents)
    for name, array in feeds.arrays.items():
        for axis, extent in enumerate(specs[name].shape):
            if extent == batch and name != picture:
                of_picture = array.take([n % array.shape[axis]], axis)
                arrays[name] = np.repeat(of_picture, len(inputs), axis)
    return Feeds(arrays, None, feeds.grid, feeds.extents | {batch: len(inputs)})


def channel_axis(artifact: Artifact, rank: int) -> int:
    """The channel axis of one picture or volume of this rank, without its batch axis."""
    how = artifact.expects.preprocess
    last = how is not None and how.layout == "NHWC"
    if rank == 4:  # a volume: its channels are where the score has its classes
        last = artifact.score.class_axis == rank
    return rank - 1 if last else 0


def entering(
    artifact: Artifact,
    specs: Mapping[str, TensorSpec],
    rgb: NDArray[np.uint8],
    size: Size,
) -> NDArray[Any]:
    """Return the network's input for a picture [H, W, 3]; see :meth:`ortcam.Cam.preprocess`.

    Raises:
        InputError: the preprocessing is unknown, or the input takes no picture of this size.
    """
    spec = specs[artifact.picture]
    how = _checked(artifact.expects.preprocess, spec)
    rows, columns = spec.shape[1:3] if how.layout == "NHWC" else spec.shape[2:4]
    fixed = (columns if isinstance(columns, int) else None, rows if isinstance(rows, int) else None)
    working = working_size((rgb.shape[1], rgb.shape[0]), how, size, fixed)
    return to_array(rgb, how, working, spec.dtype or np.float32)


def _checked(how: Preprocessing | None, spec: TensorSpec) -> Preprocessing:
    """The preprocessing, if it is known and fits the input."""
    if how is None:
        raise InputError(
            f"the preprocessing of the input {spec} is unknown; export the network again with its ",
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
    extent, other = (spec.shape[axis], spec.shape[4 - axis]) if len(spec.shape) == 4 else (0, 0)
    # A dynamic extent says nothing, but that of the other layout's channel axis may.
    if (extent != channels) if isinstance(extent, int) else (other == channels):
        raise InputError(
            f"the input {spec} is no picture of {channels} channels ({how.color_order}, "
            f"{how.layout}); export the network again with its colour order and layout, or pass a "
            "preprocessed ",
            Option("tensor"),
        )
    if isinstance(spec.shape[0], int) and spec.shape[0] != 1:
        raise InputError(
            f"the input {spec} has a fixed batch size of {spec.shape[0]}; re-export the network "
            "with batch 1 or a dynamic batch"
        )
    return how


def _one(x: NDArray[Any]) -> NDArray[Any]:
    if x.ndim < 2 or len(x) != 1:
        raise InputError(
            f"the tensor is {list(x.shape)}; its first axis is the batch and must be 1"
        )
    return x


def _space(artifact: Artifact, x: NDArray[Any]) -> tuple[int, ...]:
    if x.ndim != 4:
        raise InputError(
            f"a tensor of {list(x.shape)} has no rows and columns for the maps; pass the "
            "picture too"
        )
    axis = channel_axis(artifact, 3)
    return tuple(extent for i, extent in enumerate(x.shape[1:]) if i != axis)


def _greys(artifact: Artifact, x: NDArray[Any]) -> NDArray[np.uint8]:
    """The first channel of a volume, its minimum black and its maximum white, [D, H, W, 3]."""
    values = x[0].take(0, channel_axis(artifact, 4))
    finite = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low = finite.min(initial=np.inf)
    span = finite.max(initial=-np.inf) - low
    grey = np.rint((finite - low) * (255 / span if span > 0 else 0)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _extents(arrays: Mapping[str, NDArray[Any]], specs: Mapping[str, TensorSpec]) -> dict[str, int]:
    return {
        extent: array.shape[axis]
        for name, array in arrays.items()
        for axis, extent in enumerate(specs[name].shape)
        if isinstance(extent, str)
    }


def _further(
    inputs: Mapping[str, ArrayLike], specs: Mapping[str, TensorSpec]
) -> dict[str, NDArray[Any]]:
    for name in inputs:
        if name not in specs:
            others = nearest(name, specs) or "; it has no further inputs"
            raise InputError(f"the network has no further input {name!r}{others}")
    missing = [str(spec) for name, spec in specs.items() if name not in inputs]
    if missing:
        raise InputError(
            f"the network has further inputs: {'; '.join(missing)}; pass their values as ",
            Option("inputs", "{name: array}"),
        )
    return {name: _fitting(v, specs[name], f"the input {name!r}") for name, v in inputs.items()}


def _fitting(value: ArrayLike, spec: TensorSpec, what: str) -> NDArray[Any]:
    """A value as an array of the input's type.

    Raises:
        InputError: its shape or its type does not fit.
    """
    array = np.asarray(value)
    alike = len(array.shape) == len(spec.shape) and all(
        not isinstance(extent, int) or extent == actual
        for extent, actual in zip(spec.shape, array.shape, strict=True)
    )
    if not alike:
        raise InputError(f"{what} is {list(array.shape)}, and the network takes {spec}")
    if spec.dtype in (None, np.str_):
        return array
    if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise InputError(f"{what} is {array.dtype}, and the network takes {spec}")
    return np.ascontiguousarray(array, spec.dtype).reshape(array.shape)
