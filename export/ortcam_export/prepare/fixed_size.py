"""A network of one size, in which all shapes but the number of questions are known.

CUDA graphs need that (:mod:`ortcam.inference.cuda_graphs`): sizes known only in the run are
computed on the CPU, and copies from there to the GPU during a run cannot be recorded.
"""

from __future__ import annotations

import onnx_ir as ir

from ortcam.artifact import Preprocessing
from ortcam.errors import InputError
from ortcam.messages import Option
from ortcam_export.prepare.prepare import settle

__all__ = ["make_static"]


def make_static(model: ir.Model, picture: ir.Value, preprocess: Preprocessing | None) -> None:
    """Fix the input at one picture of the working size, and infer all shapes from it.

    A function, not a pass: it needs one of the model's inputs.

    Args:
        model: a prepared network, changed in place.
        picture: the input that takes the picture.
        preprocess: the expected preprocessing of pictures.

    Raises:
        InputError: the size is unknown, or the input takes another number of pictures.
        ModelError: the network's shapes do not fit together at this size.
    """
    if preprocess is None or preprocess.size is None or picture.shape is None:
        raise InputError(
            Option("static", True),
            " fixes the input at the size of a picture, which is unknown; pass ",
            Option("size"),
            "(width, height)",
        )
    (width, height), channels = preprocess.size, len(preprocess.color_order)
    nchw = preprocess.layout == "NCHW"
    shape = (1, channels, height, width) if nchw else (1, height, width, channels)
    symbols: dict[str, int] = {}
    for extent, dim in zip(shape, picture.shape, strict=True):
        if isinstance(dim, int) and dim != extent:
            raise InputError(
                Option("static", True),
                f" fixes the input at {list(shape)}, one picture of {width}x{height}, "
                f"but the network takes {picture.name} {picture.shape}",
            )
        if isinstance(dim, ir.SymbolicDim) and dim.value:
            symbols[dim.value] = extent
    picture.shape = ir.Shape(shape)
    for value in model.graph.inputs:
        if value.shape is not None:
            value.shape = ir.Shape(_fixed(dim, symbols) for dim in value.shape)
    settle(model)


def _fixed(dim: int | ir.SymbolicDim, symbols: dict[str, int]) -> int | ir.SymbolicDim:
    """An extent; of a symbol of the picture's, the number."""
    if isinstance(dim, int) or dim.value is None:
        return dim
    return symbols.get(dim.value, dim)
