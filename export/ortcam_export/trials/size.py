"""A network with the shapes that it has for one picture of a fixed size."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.errors import ModelError
from ortcam_export.prepare.shape_inference import infer
from ortcam_export.trials.extents import fill, fills_of, names_of, open_shape

__all__ = ["EXTENT", "at_trial_size"]

#: The side of the square picture at which a network's shapes are inferred, where it is open.
EXTENT = 512


def at_trial_size(model: ir.Model, picture: ir.Value) -> ir.Model | None:
    """A copy of a network with the shapes for one square picture, as far as they can be inferred.

    Args:
        model: a prepared network; it is not changed.
        picture: its input that takes the picture.

    Returns:
        None where the network takes no picture of that size.
    """
    sized = model.clone()
    if all(value.shape is not None and value.shape.is_static() for value in sized.graph.inputs):
        return sized
    pictures = [value for value in sized.graph.inputs if value.name == picture.name]
    first = fills_of(model, picture, 1, EXTENT)
    symbols: dict[str, int] = {}
    for value in (*pictures, *(v for v in sized.graph.inputs if v not in pictures)):
        shape = open_shape(value)
        fills = first if len(shape) == len(first) else [1] * len(shape)
        filled = fill(shape, symbols, fills)
        symbols |= names_of(shape, filled)
        value.shape = ir.Shape(filled)
    try:
        infer(sized)
    except ModelError:
        return None
    return sized
