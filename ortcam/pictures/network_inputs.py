"""The network's inputs in one run: a picture or a tensor, and the further inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam.artifact import Artifact
from ortcam.errors import InputError, PictureError
from ortcam.messages import Option
from ortcam.pictures import layout
from ortcam.pictures.further_inputs import (
    FurtherInputs,
    check_fits,
    extents,
    fitting,
    further_inputs,
    inputs_of_each,
)
from ortcam.pictures.preprocess import Size, to_array, working_size
from ortcam.pictures.read import Picture, read
from ortcam.tensor_spec import TensorSpec

__all__ = ["Feeds", "entering", "feeds", "feeds_of_each", "joined", "varied"]


@dataclass(frozen=True)
class Feeds:
    """The network's inputs in one run, and the picture that its results lie on.

    Attributes:
        arrays: the network's inputs, by name.
        rgb: the picture [H, W, 3] uint8, or the first channel of a volume or clip as greys
            [D, H, W, 3]; or None.
        grid: the (height, width) of the picture, or the tensor's extents in space and time, such
            as (depth, height, width).
        extents: the values of the named extents in the inputs' shapes.
        of_pictures: the further inputs that have a row for each picture in their first axis.
        notes: what was assumed of the inputs.
    """

    arrays: dict[str, NDArray[Any]]
    rgb: NDArray[np.uint8] | None
    grid: tuple[int, ...]
    extents: dict[str, int]
    of_pictures: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of all inputs; they determine the sizes of all tensors in a run."""
        return tuple(array.shape for array in self.arrays.values())

    def group(self, picture: str) -> tuple[object, ...]:
        """What pictures that may enter together have in common: shapes, and what they share."""
        shared = {
            name: array.tobytes()
            for name, array in self.arrays.items()
            if name != picture and name not in self.of_pictures
        }
        return self.shapes, tuple(shared.items())


def feeds(
    artifact: Artifact,
    specs: Mapping[str, TensorSpec],
    picture: Picture | None,
    tensor: ArrayLike | None,
    further: FurtherInputs | None,
    size: Size,
) -> Feeds:
    """Return the network's inputs; see :meth:`ortcam.Cam.segment`.

    Raises:
        InputError: an input is missing or unknown, or does not fit.
        PictureError: a picture cannot be read, or neither picture nor tensor is given.
    """
    (inputs,) = inputs_of_each(artifact, specs, further or {}, 1)
    if picture is None and tensor is None:
        raise PictureError("no input: pass ", Option("picture"), " or ", Option("tensor"))
    rgb = None if picture is None else read(picture)
    if tensor is None:
        assert rgb is not None  # picture or tensor is given
        x = entering(artifact, specs, rgb, size)
    elif size is None:
        x = _one(fitting(tensor, specs[artifact.picture], "the tensor"))
    else:
        raise InputError(
            Option("size"), " resizes pictures only, and a tensor is used as it is; leave one out"
        )
    others, notes = further_inputs(artifact, specs, inputs, x)
    arrays = {artifact.picture: x, **others}
    if x.ndim == 5:
        if rgb is not None:
            raise InputError(
                "the tensor is a volume or a clip, on which a picture cannot be drawn; leave the "
                "picture out"
            )
        rgb = layout.greys(artifact, x)
    grid = layout.grid(artifact, x) if rgb is None else rgb.shape[:-1]
    of_pictures = _of_pictures(others, specs, artifact.picture)
    return Feeds(arrays, rgb, grid, extents(arrays, specs), of_pictures, tuple(notes))


def feeds_of_each(
    artifact: Artifact,
    specs: Mapping[str, TensorSpec],
    pictures: Sequence[Picture],
    further: FurtherInputs | Sequence[FurtherInputs] | None,
    size: Size,
) -> list[Feeds]:
    """Return the inputs for each of several pictures; see :meth:`ortcam.Cam.explain_batch`.

    Raises:
        InputError: an input is missing or unknown, or does not fit, or there are more or fewer
            inputs than pictures.
        PictureError: a picture cannot be read.
    """
    if further is None or isinstance(further, Mapping):
        each: Sequence[FurtherInputs] = inputs_of_each(
            artifact, specs, further or {}, len(pictures)
        )
    elif len(further) == len(pictures):
        each = further
    else:
        raise InputError(
            f"there are {len(pictures)} pictures and further inputs for {len(further)}; give them "
            "for each picture, or for all alike"
        )
    return [
        feeds(artifact, specs, picture, None, inputs, size)
        for picture, inputs in zip(pictures, each, strict=True)
    ]


def joined(each: Sequence[Feeds], specs: Mapping[str, TensorSpec], picture: str) -> Feeds:
    """Join the inputs of pictures for a common run; further inputs are repeated for each."""
    if len(each) == 1:
        return each[0]
    first = each[0]
    arrays = dict(first.arrays)
    for name in (picture, *first.of_pictures):
        arrays[name] = np.concatenate([one.arrays[name] for one in each])
    for name, axis in _batch_axes(first, specs, picture):
        if (axis or name not in first.of_pictures) and arrays[name].shape[axis] == 1:
            arrays[name] = np.repeat(arrays[name], len(each), axis)
    return Feeds(arrays, None, first.grid, extents(arrays, specs), first.of_pictures)


def varied(
    feeds: Feeds, n: int, inputs: NDArray[Any], specs: Mapping[str, TensorSpec], picture: str
) -> Feeds:
    """Put inputs [B, ...] in the place of picture n, each with the further inputs of picture n."""
    arrays = {**feeds.arrays, picture: inputs.astype(feeds.arrays[picture].dtype, copy=False)}
    if not isinstance(specs[picture].shape[0], int):
        axes = {*_batch_axes(feeds, specs, picture), *((name, 0) for name in feeds.of_pictures)}
        for name, axis in axes:
            of_picture = arrays[name].take([n % arrays[name].shape[axis]], axis)
            arrays[name] = np.repeat(of_picture, len(inputs), axis)
    return Feeds(arrays, None, feeds.grid, extents(arrays, specs), feeds.of_pictures)


def _of_pictures(
    others: Mapping[str, NDArray[Any]], specs: Mapping[str, TensorSpec], picture: str
) -> frozenset[str]:
    """The further inputs with an open first axis of the batch's name, or that are like a picture.

    An open axis of another name counts in an input of the picture's rank only: it may be a list,
    such as of texts.
    """
    batch, rank = specs[picture].shape[0], len(specs[picture].shape)
    return frozenset(
        name
        for name, array in others.items()
        if array.ndim
        and len(array) == 1
        and not isinstance(extent := specs[name].shape[0], int)
        and ((extent is not None and extent == batch) or array.ndim == rank)
    )


def _batch_axes(
    feeds: Feeds, specs: Mapping[str, TensorSpec], picture: str
) -> list[tuple[str, int]]:
    """The axes of further inputs that bear the name of the picture's batch."""
    batch = specs[picture].shape[0]
    return [
        (name, axis)
        for name in feeds.arrays
        for axis, extent in enumerate(specs[name].shape)
        if name != picture and isinstance(batch, str) and extent == batch
    ]


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
    how = artifact.expects.preprocess
    if how is None:
        raise _unknown_preprocessing(artifact, spec)
    check_fits(how, spec)
    rows, columns = spec.shape[1:3] if how.layout == "NHWC" else spec.shape[2:4]
    fixed = (columns if isinstance(columns, int) else None, rows if isinstance(rows, int) else None)
    working = working_size((rgb.shape[1], rgb.shape[0]), how, size, fixed)
    return to_array(rgb, how, working, spec.dtype or np.float32)


def _unknown_preprocessing(artifact: Artifact, spec: TensorSpec) -> InputError:
    """The error of a picture for an input that takes arrays, or of unknown preprocessing."""
    if artifact.expects.layout is not None or len(spec.shape) != 4:
        return InputError(
            f"the preprocessing of the input {spec} is unknown, as it takes no grey or colour "
            "picture; pass a preprocessed ",
            Option("tensor"),
        )
    return InputError(
        f"the preprocessing of the input {spec} is unknown; export the network again with its ",
        Option("mean"),
        ", ",
        Option("std"),
        " and ",
        Option("rescale"),
        ", or pass a preprocessed ",
        Option("tensor"),
    )


def _one(x: NDArray[Any]) -> NDArray[Any]:
    if x.ndim < 2:
        raise InputError(
            f"the tensor is {list(x.shape)}; its first axis is the batch, which must be 1"
        )
    if len(x) != 1:
        raise InputError(
            f"the tensor is {list(x.shape)}; its first axis is the batch and must be 1: pass "
            "tensor[n:n+1] for the picture n, one after the other"
        )
    return x
