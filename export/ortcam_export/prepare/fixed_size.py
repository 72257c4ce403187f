"""A network of one size, so that all shapes but the number of questions are known beforehand.

CUDA graphs need that (:mod:`ortcam.inference.cuda_graphs`): sizes that are known only in the run
are computed on the CPU, and what is copied from there to the GPU in the midst of a run cannot be
recorded.
"""

from __future__ import annotations

import onnx_ir as ir

from ortcam.artifact import Preprocessing
from ortcam.errors import InputError
from ortcam.messages import Option
from ortcam_export.prepare.prepare import settle

__all__ = ["make_static"]


def make_static(model: ir.Model, picture: ir.Value, how: Preprocessing | None) -> None:
    """Fixes the input at one picture of the working size, and what follows from that.

    Args:
        model: a prepared network, changed in place.
        picture: its input that takes the picture.
        how: what is known of pictures.

    Raises:
        InputError: nobody said the size, or the input takes another number of pictures.
        ModelError: the network's shapes do not fit together at this size.
    """
    if how is None or how.size is None or picture.shape is None:
        raise InputError(
            Option("static", True),
            " fixes the input at the size of a picture, which nobody said; say it by ",
            Option("size"),
            "(width, height)",
        )
    (width, height), channels = how.size, len(how.color_order)
    nchw = how.layout == "NCHW"
    wanted = (1, channels, height, width) if nchw else (1, height, width, channels)
    named: dict[str, int] = {}
    for extent, own in zip(wanted, picture.shape, strict=True):
        if isinstance(own, int) and own != extent:
            raise InputError(
                Option("static", True),
                f" fixes the input at {list(wanted)}, one picture of {width}x{height}, "
                f"and the network takes {picture.name} {picture.shape}",
            )
        if isinstance(own, ir.SymbolicDim) and own.value:
            named[own.value] = extent
    picture.shape = ir.Shape(wanted)
    for value in model.graph.inputs:
        if value.shape is not None:
            value.shape = ir.Shape(_fixed(extent, named) for extent in value.shape)
    settle(model)


def _fixed(extent: int | ir.SymbolicDim, named: dict[str, int]) -> int | ir.SymbolicDim:
    """An extent that has the name of one of the picture's is as long as that."""
    if isinstance(extent, int) or extent.value is None:
        return extent
    return named.get(extent.value, extent)
