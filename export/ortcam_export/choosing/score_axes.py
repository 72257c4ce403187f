"""The axes of a score: which holds the classes, which the batch, and what the others are."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.errors import InputError
from ortcam.messages import Option
from ortcam_export.choosing.candidates import quoted
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.graph.values import rank

__all__ = ["batch_axis", "check_class_axis", "class_axis", "kinds_of_axes", "largest_input"]


def largest_input(model: ir.Model) -> ir.Value | None:
    """The input of the highest rank, which is the picture's if none is named."""
    return max(model.graph.inputs, key=rank, default=None)


def check_class_axis(value: ir.Value, axis: int) -> int:
    """Return the axis that the user states, counted from the front.

    Raises:
        InputError: the tensor has no such axis, or it is that of the batch.
    """
    of = rank(value)
    if not -of <= axis < of:
        raise InputError(
            f"{quoted(value)} has no axis {axis}; choose one of 1 to {of - 1} by ",
            Option("class_axis"),
        )
    if axis % of == 0:
        raise InputError(
            f"axis 0 of {quoted(value)} is that of the batch, which holds no classes; choose "
            "another by ",
            Option("class_axis"),
        )
    return axis % of


def class_axis(network: PreparedNetwork, value: ir.Value, picture: ir.Value | None) -> int | None:
    """Return the axis of a tensor's channels, as far as it is known; never that of the batch.

    Of two axes the one that is not the batch's is known, whatever operators gave them.
    """
    axis = network.axes.get(value.name or "")
    batch = batch_axis(value, axis, picture)
    if axis and axis != batch:
        return axis
    return 1 - batch if rank(value) == 2 and batch is not None else None


def batch_axis(value: ir.Value, axis: int | None, picture: ir.Value | None) -> int | None:
    """Return the axis with one row for each picture, or None where the first has several.

    Such a first axis holds the frames or tiles of each picture, one picture's after the other's.

    Args:
        value: a tensor.
        axis: its class axis, or None.
        picture: the input that takes the picture.
    """
    if value.shape is None or picture is None or picture.shape is None:
        return 0
    batch, extents = picture.shape[0], list(value.shape.dims)
    if not extents or extents[0] == batch:
        return 0
    if isinstance(batch, int) and not isinstance(extents[0], int):
        return 0
    rows = [a for a, extent in enumerate(extents) if extent == batch and a != axis]
    if rows:
        return rows[0]
    if rank(picture) == 5 and isinstance(batch, int) and isinstance(extents[0], int):
        return None if extents[0] == batch * _frames(picture) else 0
    return 0


def _frames(picture: ir.Value) -> int:
    extent = None if picture.shape is None else picture.shape[1]
    return extent if isinstance(extent, int) else 0


def kinds_of_axes(
    value_rank: int, axis: int, picture: ir.Value | None, *, folded: bool = False
) -> tuple[str, ...]:
    """Return the kind of each axis of a score whose first axis is the batch.

    Args:
        value_rank: the number of its axes.
        axis: that of the classes.
        picture: the input that takes the picture; its axes behind the channels are space.
        folded: True if axis 1 holds the frames of each picture.
    """
    space = 2 if picture is None or rank(picture) < 3 else rank(picture) - 2
    others = [a for a in range(1, value_rank) if a not in (axis, 1 if folded else 0)]
    if len(others) in (space, 2):
        kinds = ["space"] * len(others)
    elif len(others) > 2:
        kinds = ["list"] * (len(others) - min(space, 2)) + ["space"] * min(space, 2)
    else:
        kinds = ["list"] * len(others)
    by_axis = dict(zip(others, kinds, strict=True)) | {0: "batch", axis: "class"}
    if folded:
        by_axis[1] = "time"
    return tuple(by_axis[a] for a in range(value_rank))
