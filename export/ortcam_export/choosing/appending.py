"""Appending a score to a network: rows of a list, a batch first, a class axis, a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from ortcam.errors import LayerError
from ortcam_export.choosing.candidates import Rows, quoted
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.score_axes import batch_axis, kinds_of_axes
from ortcam_export.graph.names import unused
from ortcam_export.graph.values import rank

__all__ = ["Arranged", "activated", "arranged", "class_rows"]


@dataclass(frozen=True)
class Arranged:
    """A tensor whose first axis is the batch, and that has a class axis.

    Attributes:
        value: the tensor.
        axis: its class axis.
        kinds: the kind of each of its axes, of :data:`ortcam.artifact.AXES`.
        note: what was appended, in words, or "".
    """

    value: ir.Value
    axis: int
    kinds: tuple[str, ...]
    note: str = ""


def class_rows(model: ir.Model, value: ir.Value, axis: int, rows: Rows) -> ir.Value:
    """Append the class rows of a detector's list, times their objectness where it has one."""
    name = f"{value.name}.classes"
    classes = _rows_of(model, value, axis, rows.start, rows.stop, name)
    if rows.objectness is None:
        return classes
    row = rows.objectness
    sure = _rows_of(model, value, axis, row, row + 1, f"{value.name}.objectness")
    return _add(model, "Mul", [classes, sure], {}, f"{name}.scores", _dims(classes))


def _rows_of(
    model: ir.Model, value: ir.Value, axis: int, start: int, stop: int, name: str
) -> ir.Value:
    bounds = [_constant(model, f"{name}.{part}", [n]) for part, n in _bounds(start, stop, axis)]
    dims = [stop - start if i == axis else dim for i, dim in enumerate(_dims(value))]
    return _add(model, "Slice", [value, *bounds], {}, name, dims)


def _bounds(start: int, stop: int, axis: int) -> list[tuple[str, int]]:
    return [("start", start), ("stop", stop), ("axis", axis)]


def arranged(
    network: PreparedNetwork, value: ir.Value, axis: int | None, picture: ir.Value | None
) -> Arranged:
    """Append what gives a tensor one row for each picture first, and a class axis.

    Args:
        network: the network, to which nodes are appended.
        value: the tensor.
        axis: its class axis, or None where it has one number for each cell and no class axis.
        picture: the input that takes the picture.

    Raises:
        LayerError: the classes' axis is that of the batch, or no axis has a row for each picture.
    """
    model = network.model
    batch = batch_axis(network, value, axis, picture)
    if axis is not None and axis == (batch or 0):
        raise LayerError(
            f"axis {axis} of {quoted(value)} is that of the batch, so it holds no classes; name "
            "another reduction layer"
        )
    name, note = value.name, ""
    kinds = kinds_of_axes(network, value, axis, picture)
    if batch is None:
        assert picture is not None
        value = _unfolded(model, value, picture)
        axis = None if axis is None else axis + 1
        kinds.insert(1, "time")
        note = f"{name!r} has a row for each frame, so a Reshape to rows for each picture is"
    elif batch:
        order = [batch, *(a for a in range(rank(value)) if a != batch)]
        dims = [_dims(value)[a] for a in order]
        perm = {"perm": order}
        value = _add(model, "Transpose", [value], perm, f"{name}.batch_first", dims)
        axis = None if axis is None else order.index(axis)
        kinds = [kinds[a] for a in order]
        note = f"{name!r} has its batch in axis {batch}, so a Transpose is"
    if axis is None:
        value, axis = _with_class_axis(model, value, 1), 1
        kinds.insert(1, "class")
        note = note or f"{name!r} has no axis of classes, so one of extent 1 is"
    return Arranged(value, axis, tuple(kinds), note and f"{note} appended")


def _unfolded(model: ir.Model, value: ir.Value, picture: ir.Value) -> ir.Value:
    """Give each picture's frames an axis of their own: [N * T, C] becomes [N, T, C]."""
    name = value.name
    batch = _add(model, "Shape", [picture], {"start": 0, "end": 1}, f"{name}.batch", [1], _INT)
    rest = _dims(value)[1:]
    parts = [batch, _constant(model, f"{name}.frames", [-1])]
    if rest:
        parts.append(_add(model, "Shape", [value], {"start": 1}, f"{name}.rest", [len(rest)], _INT))
    shape = _add(model, "Concat", parts, {"axis": 0}, f"{name}.shape", [len(rest) + 2], _INT)
    dims = [_dims(picture)[0], None, *rest]
    return _add(model, "Reshape", [value, shape], {}, f"{name}.by_picture", dims)


def _with_class_axis(model: ir.Model, value: ir.Value, axis: int) -> ir.Value:
    name = f"{value.name}.as_class"
    where = _constant(model, f"{name}.axis", [axis])
    dims = _dims(value)
    return _add(model, "Unsqueeze", [value, where], {}, name, [*dims[:axis], 1, *dims[axis:]])


def activated(model: ir.Model, score: Arranged, kind: str) -> Arranged:
    """Append a softmax or sigmoid, in float32 where the network runs in half precision."""
    value = score.value
    name = f"{value.name}.{kind}"
    if value.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16):
        to = {"to": ir.DataType.FLOAT.value}
        wide = f"{value.name}.float32"
        value = _add(model, "Cast", [value], to, wide, _dims(value), ir.DataType.FLOAT)
    attributes = {"axis": score.axis} if kind == "softmax" else {}
    value = _add(model, kind.capitalize(), [value], attributes, name, _dims(value))
    return replace(score, value=value)


_INT = ir.DataType.INT64


def _dims(value: ir.Value) -> list[Any]:
    return [] if value.shape is None else list(value.shape.dims)


def _add(
    model: ir.Model,
    op_type: str,
    reads: Sequence[ir.Value],
    attributes: dict[str, Any],
    name: str,
    dims: Sequence[Any],
    dtype: ir.DataType | None = None,
) -> ir.Value:
    """Append a node, and return its output."""
    name = unused(model, name)
    node = ir.node(op_type, reads, attributes, name=name)
    value = node.outputs[0]
    value.name, value.shape = name, ir.Shape(dims)
    element = reads[0].dtype if dtype is None else dtype
    value.type = None if element is None else ir.TensorType(element)
    model.graph.append(node)
    return value


def _constant(model: ir.Model, name: str, numbers: Sequence[int]) -> ir.Value:
    tensor = ir.tensor(np.array(numbers, np.int64), name=unused(model, name))
    value = ir.Value(
        name=tensor.name,
        const_value=tensor,
        type=ir.TensorType(_INT),
        shape=ir.Shape([len(numbers)]),
    )
    model.graph.register_initializer(value)
    return value
