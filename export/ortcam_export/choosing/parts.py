"""The parts of a detector's list: boxes, objectness, classes and more, side by side in one axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from ortcam_export.choosing.candidates import PASSING
from ortcam_export.graph.values import rank

__all__ = ["BOX", "Part", "Parts", "parts_of_list", "sigmoid_of"]

#: The rows of a box: its centre and size, or two corners.
BOX = 4


@dataclass(frozen=True)
class Part:
    """Some rows of a list.

    Attributes:
        value: their tensor.
        start, stop: the rows.
        sigmoid: the output of the sigmoid that they come from, or None.
        of_all_rows: True if that sigmoid has more rows than these, those of the boxes too.
    """

    value: ir.Value
    start: int
    stop: int
    sigmoid: ir.Value | None
    of_all_rows: bool = False

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start


@dataclass(frozen=True)
class Parts:
    """A list's rows.

    Attributes:
        axis: the axis of the rows in the list's tensor.
        parts: the rows, those of the box first.
        own_axis: the axis of the rows in the parts.
        whole: True if each part has the rows of all anchors, not of one scale alone.
    """

    axis: int
    parts: list[Part]
    own_axis: int
    whole: bool


def parts_of_list(end: ir.Value) -> Parts | None:
    """Return the rows of a list, or None if a tensor is no such list.

    A list is a Concat of boxes, four rows that no sigmoid gives as a whole, and of rows behind a
    sigmoid; for each scale on its own, or for all.
    """
    if rank(end) != 3:
        return None
    value: ir.Value | None = end
    whole = True
    while value is not None and (node := value.producer()) is not None and not node.domain:
        if node.op_type == "Concat":
            parts = _parts(node)
            if parts is not None:
                axis, own_axis = _axis_of_rows(end, value, parts), _axis(node)
                return None if axis is None else Parts(axis, parts, own_axis, whole)
            whole = False
        elif node.op_type not in PASSING:
            return None
        value = node.inputs[0] if node.inputs else None
    return None


def _axis_of_rows(end: ir.Value, concatenated: ir.Value, parts: list[Part]) -> int | None:
    """The axis of an output that has all rows."""
    node = concatenated.producer()
    assert node is not None
    assert end.shape is not None
    total = parts[-1].stop
    if end is concatenated:
        return _axis(node) or None
    axes = [a for a in (1, 2) if end.shape[a] == total]
    return axes[0] if len(axes) == 1 else None


def _axis(node: ir.Node) -> int:
    """The axis along which a Concat joins."""
    return (node.attributes.get_int("axis", 0) or 0) % max(rank(node.outputs[0]), 1)


def _parts(node: ir.Node) -> list[Part] | None:
    """The parts that a Concat joins, if they are a box's four rows and rows behind a sigmoid."""
    value, axis = node.outputs[0], _axis(node)
    parts: list[Part] = []
    start = 0
    total = None if value.shape is None else value.shape[axis]
    for member in _members(node, axis):
        rows = None if member.shape is None else member.shape[axis]
        if not isinstance(rows, int):
            return None
        sigmoid = sigmoid_of(member)
        wide = _sigmoid_rows(sigmoid, total)
        parts.append(Part(member, start, start + rows, sigmoid, wide))
        start += rows
    if not any(part.start == BOX for part in parts) or len(parts) < 2:
        return None
    box = [part for part in parts if part.stop <= BOX]
    scored = [part for part in parts if part.start >= BOX and part.sigmoid is not None]
    if not scored or scored[0].start != BOX or any(p.sigmoid is p.value for p in box):
        return None
    boxes = [Part(p.value, p.start, p.stop, None) for p in box]
    return [*boxes, *(part for part in parts if part.start >= BOX)]


def _sigmoid_rows(sigmoid: ir.Value | None, total: object) -> bool:
    """True if a sigmoid's output has all of the list's rows."""
    return sigmoid is not None and sigmoid.shape is not None and total in list(sigmoid.shape)


def _members(node: ir.Node, axis: int) -> Iterator[ir.Value]:
    """What a Concat joins, and what the Concats among it join along the same axis."""
    for value in node.inputs:
        inner = None if value is None else value.producer()
        joins = inner is not None and inner.op_type == "Concat" and not inner.domain
        if joins and inner is not None and _axis(inner) == axis:
            yield from _members(inner, axis)
        elif value is not None:
            yield value


def sigmoid_of(value: ir.Value) -> ir.Value | None:
    """The output of the sigmoid that a tensor's numbers come from, moved about alone, or None."""
    walk: ir.Value | None = value
    while walk is not None and (node := walk.producer()) is not None:
        if node.op_type in ("Sigmoid", "HardSigmoid"):
            return walk
        if node.op_type not in PASSING | {"Split"}:
            return None
        walk = node.inputs[0]
    return None
