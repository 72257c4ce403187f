"""The network's further inputs: numbers, tables with a row for each picture, and more pictures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ortcam.artifact import Artifact, Preprocessing
from ortcam.errors import InputError, nearest
from ortcam.messages import Option
from ortcam.pictures.preprocess import to_array, working_size
from ortcam.pictures.read import read
from ortcam.tensor_spec import TensorSpec

__all__ = [
    "FurtherInputs",
    "check_fits",
    "content",
    "extents",
    "fitting",
    "further_inputs",
    "inputs_of_each",
]

_PictureValue: TypeAlias = "str | os.PathLike[str] | Image.Image"

FurtherInputs: TypeAlias = "Mapping[str, ArrayLike | _PictureValue | Sequence[_PictureValue]]"
"""The further inputs by name: arrays, and pictures as paths or PIL images, or lists of these."""

Specs = Mapping[str, TensorSpec]


def inputs_of_each(
    artifact: Artifact, specs: Specs, inputs: FurtherInputs, pictures: int
) -> list[dict[str, Any]]:
    """Return the further inputs that belong to each of several pictures.

    An array with a row for each picture gives each its row, and so does a list of pictures. All
    else is the same for each.

    Args:
        artifact: the metadata.
        specs: the inputs of its graph.
        inputs: the values by name.
        pictures: how many pictures there are.

    Raises:
        InputError: there are neither one row nor as many as pictures.
    """
    first = specs[artifact.picture]
    rows = {
        name: _rows(name, value, specs[name], first, pictures)
        if name in specs
        else [value] * pictures
        for name, value in inputs.items()
    }
    return [{name: values[n] for name, values in rows.items()} for n in range(pictures)]


def further_inputs(
    artifact: Artifact, specs: Specs, inputs: FurtherInputs, first: NDArray[Any]
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the further inputs of one picture as arrays, and notes on what was assumed of them.

    Args:
        artifact: the metadata.
        specs: the inputs of its graph.
        inputs: the values by name.
        first: the picture as it enters the network.

    Raises:
        InputError: an input is missing or unknown, or does not fit.
        PictureError: a picture cannot be read.
    """
    others = {
        name: spec
        for name, spec in specs.items()
        if name not in {*artifact.question, artifact.picture}
    }
    _check_names(inputs, others)
    sizes = extents({artifact.picture: first}, specs)
    arrays: dict[str, NDArray[Any]] = {}
    notes: list[str] = []
    for name, value in inputs.items():
        if _is_picture(value, others[name]):
            arrays[name] = _entering(artifact, others[name], value, sizes, notes)
        else:
            arrays[name] = fitting(value, others[name], f"the input {name!r}")
    return arrays, notes


def extents(arrays: Mapping[str, NDArray[Any]], specs: Specs) -> dict[str, int]:
    """Return the values of the named extents in the inputs' shapes."""
    return {
        extent: array.shape[axis]
        for name, array in arrays.items()
        for axis, extent in enumerate(specs[name].shape)
        if isinstance(extent, str)
    }


def fitting(value: Any, spec: TensorSpec, noun: str) -> NDArray[Any]:
    """Return a value as an array of the input's type.

    Args:
        value: the value.
        spec: the input.
        noun: what the value is called in an error.

    Raises:
        InputError: its shape or its type does not fit.
    """
    array = np.asarray(value)
    alike = len(array.shape) == len(spec.shape) and all(
        not isinstance(extent, int) or extent == actual
        for extent, actual in zip(spec.shape, array.shape, strict=True)
    )
    if not alike:
        raise InputError(f"{noun} is {list(array.shape)}, and the network takes {spec}")
    if spec.dtype in (None, np.str_):
        return array
    if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise InputError(f"{noun} is {array.dtype}, and the network takes {spec}")
    return np.ascontiguousarray(array, spec.dtype).reshape(array.shape)


def check_fits(how: Preprocessing, spec: TensorSpec) -> None:
    """Check that an input takes pictures of this preprocessing, one at a time.

    Raises:
        InputError: it does not.
    """
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


def content(value: Any) -> bytes:
    """Return the bytes of an array's elements, or of a picture's pixels, for a checksum.

    Raises:
        PictureError: the picture cannot be read.
    """
    pixels = read(value) if isinstance(value, (str, os.PathLike, Image.Image)) else value
    return np.ascontiguousarray(pixels).tobytes()


# ---- Rows for each picture --------------------------------------------------------------------


def _rows(name: str, value: Any, spec: TensorSpec, first: TensorSpec, count: int) -> list[Any]:
    """The value for each of several pictures."""
    are_several = isinstance(value, (list, tuple)) and len(value) and len(spec.shape) == 4
    if are_several and all(_is_picture(entry, spec) for entry in value):
        if len(value) not in (1, count):
            raise InputError(
                f"the input {name!r} has {_counted(len(value))} for {_counted(count)}; give one "
                "for all, or one for each"
            )
        return list(value) * (1 if len(value) == count else count)
    if _is_picture(value, spec):
        return [value] * count
    array = np.asarray(value)
    if array.ndim != len(spec.shape) or not array.ndim or not _may_have_rows(spec, first):
        return [value] * count
    rows = len(array)
    if rows not in (1, count) and not _is_nameless(spec):
        raise InputError(
            f"the input {name!r} has {rows} rows for {_counted(count)}; give one row for all "
            "pictures, or one for each"
        )
    return [array[n : n + 1] for n in range(count)] if rows == count else [value] * count


def _counted(pictures: int) -> str:
    return "1 picture" if pictures == 1 else f"{pictures} pictures"


def _may_have_rows(spec: TensorSpec, first: TensorSpec) -> bool:
    """True if a further input has its batch where the first one has."""
    batch, own = first.shape[0], spec.shape[0]
    return own == batch if isinstance(batch, str) or batch == 1 else _is_nameless(spec)


def _is_nameless(spec: TensorSpec) -> bool:
    """True if a further input has an open first axis of no name, which may not be the batch."""
    return spec.shape[0] is None


# ---- Pictures ---------------------------------------------------------------------------------


def _is_picture(value: Any, spec: TensorSpec) -> TypeGuard[_PictureValue]:
    """True for a path or a PIL image, unless the input takes text."""
    return isinstance(value, (str, os.PathLike, Image.Image)) and spec.dtype is not np.str_


def _entering(
    artifact: Artifact,
    spec: TensorSpec,
    picture: _PictureValue,
    sizes: Mapping[str, int],
    notes: list[str],
) -> NDArray[Any]:
    """A further picture as it enters the network."""
    how = artifact.expects.inputs.get(spec.name)
    if how is None:
        how = _as_the_first(artifact, spec)
        notes.append(
            f"nothing says how pictures enter by {spec.name!r}, so they are preprocessed as those "
            f"of {artifact.picture!r}"
        )
    check_fits(how, spec)
    rgb = read(picture)
    first_axis = 1 if how.layout == "NHWC" else 2
    height, width = (
        sizes.get(extent) if isinstance(extent, str) else extent
        for extent in spec.shape[first_axis : first_axis + 2]
    )
    size = working_size((rgb.shape[1], rgb.shape[0]), how, None, (width, height))
    return to_array(rgb, how, size, spec.dtype or np.float32)


def _as_the_first(artifact: Artifact, spec: TensorSpec) -> Preprocessing:
    """The preprocessing of the first picture, for the channels and the layout of a further one.

    Raises:
        InputError: the input takes no picture, or the first picture's preprocessing does not apply.
    """
    how, shape = artifact.expects.preprocess, spec.shape
    layouts = {"NCHW": shape[1:2], "NHWC": shape[3:4]} if len(shape) == 4 else {}
    fitting_layouts = [name for name, extent in layouts.items() if extent in ((1,), (3,))]
    if not fitting_layouts:
        raise InputError(
            f"the input {spec} takes no grey or colour picture; pass its values as an array"
        )
    is_either = how is not None and how.layout in fitting_layouts
    layout = how.layout if how is not None and is_either else fitting_layouts[0]
    (channels,) = layouts[layout]
    if how is not None and len(how.color_order) != channels and _is_uniform(how):
        order, count = ("L", 1) if channels == 1 else ("RGB", 3)
        how = dataclasses.replace(
            how, color_order=order, mean=how.mean[:1] * count, std=how.std[:1] * count
        )
    if how is None or len(how.color_order) != channels:
        raise InputError(
            f"the preprocessing of pictures for the input {spec} is unknown; describe it in the "
            "network's metadata, under 'inputs', or pass a preprocessed array"
        )
    return dataclasses.replace(how, layout=layout)


def _is_uniform(how: Preprocessing) -> bool:
    """True if every channel has the same mean and standard deviation."""
    return len({*zip(how.mean, how.std, strict=True)}) == 1


def _check_names(inputs: Mapping[str, Any], specs: Specs) -> None:
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
