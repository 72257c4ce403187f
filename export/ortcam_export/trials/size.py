"""A network with the shapes that it has for one picture of a fixed size."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.errors import ModelError
from ortcam_export.prepare.shape_inference import infer

__all__ = ["EXTENT", "at_trial_size"]

#: The side of the square picture that a network is looked at with, where it leaves a choice.
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
    fixed: dict[str, int] = {}
    for value in sorted(sized.graph.inputs, key=lambda value: value.name != picture.name):
        dims = () if value.shape is None else value.shape.dims
        fill = EXTENT if value.name == picture.name else 1
        value.shape = ir.Shape(
            dim if isinstance(dim, int) else fixed.setdefault(str(dim.value), fill if axis else 1)
            for axis, dim in enumerate(dims)
        )
    try:
        infer(sized)
    except ModelError:
        return None
    return sized
