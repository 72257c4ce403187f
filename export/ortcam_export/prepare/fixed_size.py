"""A network of one size, in which all shapes but the number of questions are known.

CUDA graphs need that (:mod:`ortcam.inference.cuda_graphs`): sizes known only in the run are
computed on the CPU, and copies from there to the GPU during a run cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ortcam.artifact import Preprocessing
from ortcam.errors import InputError
from ortcam.messages import Option
from ortcam_export.prepare.prepare import settle

__all__ = ["make_static"]


def make_static(model: ir.Model, picture: ir.Value, preprocess: Preprocessing | None) -> None:
    """Fix the input at one picture of the working size, or one array, and infer all shapes from it.

    A function, not a pass: it needs one of the model's inputs.

    Args:
        model: a prepared network, changed in place.
        picture: the input that takes the picture.
        preprocess: the expected preprocessing of pictures, or None if the input takes arrays.

    Raises:
        InputError: the size is unknown, or the input takes another number of pictures.
        ModelError: the network's shapes do not fit together at this size.
    """
    dims = () if picture.shape is None else picture.shape.dims
    if preprocess is None:
        shape, noun = _one_array(picture, dims), "one array"
    else:
        shape, noun = _one_picture(preprocess)
    symbols: dict[str, int] = {}
    for extent, dim in zip(shape, dims, strict=True):
        if isinstance(dim, int) and dim > 0 and dim != extent:
            raise InputError(
                Option("static", True),
                f" fixes the input at {list(shape)}, {noun}, but the network takes "
                f"{picture.name} {picture.shape}",
            )
        if isinstance(dim, ir.SymbolicDim) and dim.value:
            symbols[dim.value] = extent
    picture.shape = ir.Shape(shape)
    for value in model.graph.inputs:
        if value.shape is not None:
            value.shape = ir.Shape(_fixed(dim, symbols) for dim in value.shape)
    settle(model)


def _one_picture(preprocess: Preprocessing) -> tuple[tuple[int, ...], str]:
    """The shape of an input with one picture of the working size, and a noun for it."""
    if preprocess.size is None:
        raise InputError(
            Option("static", True),
            " fixes the input at the size of a picture, which is unknown; pass ",
            Option("size"),
            "(width, height)",
        )
    (width, height), channels = preprocess.size, len(preprocess.color_order)
    is_last = preprocess.layout == "NHWC"
    shape = (1, height, width, channels) if is_last else (1, channels, height, width)
    return shape, f"one picture of {width}x{height}"


def _one_array(picture: ir.Value, dims: Sequence[int | ir.SymbolicDim]) -> tuple[int, ...]:
    """The shape of an input with one array, all of whose other extents are fixed."""
    fixed = tuple(dim for dim in dims[1:] if isinstance(dim, int) and dim > 0)
    if len(fixed) != len(dims[1:]):
        raise InputError(
            Option("static", True),
            f" needs fixed extents, and the input {picture.name} {picture.shape} takes arrays of "
            "any; export the network with fixed ones",
        )
    return 1, *fixed


def _fixed(dim: int | ir.SymbolicDim, symbols: dict[str, int]) -> int | ir.SymbolicDim:
    """An extent; of a symbol of the picture's, the number."""
    if isinstance(dim, int) or dim.value is None:
        return dim
    return symbols.get(dim.value, dim)
