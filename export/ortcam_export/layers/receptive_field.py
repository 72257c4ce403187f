"""The receptive field: which pixels of the picture a layer's central cell depends on."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import onnx_ir as ir

from ortcam_export.graph.traversal import reads
from ortcam_export.graph.values import rank
from ortcam_export.layers.cells_read import Span, Spans, hull, joined, spans_read
from ortcam_export.layers.strides import place_axes

__all__ = ["GLOBAL", "Field", "ReceptiveFields"]

GLOBAL = "global"
"""A field without bounds, as behind attention or a global pooling."""

Field = tuple[int, ...] | str
"""Extents in pixels, in the order of the picture's axes, or :data:`GLOBAL`."""

#: Operators whose outputs depend on the shapes of what they read alone.
_OF_SHAPES = frozenset({"ConstantOfShape", "EyeLike", "RandomNormalLike", "Shape", "Size"})


class ReceptiveFields:
    """The receptive fields of the layers of one network.

    A box of cells is followed from a layer back to the picture, by
    :mod:`ortcam_export.layers.cells_read`; boxes by several ways are joined. What is counted
    reaches past the picture's edges where the field is larger than the picture. It is an upper
    bound: weights of 0, and what a MaxPool or a ReLU leaves out at one picture, are not looked at.
    """

    def __init__(self, model: ir.Model, picture: ir.Value, kinds: Sequence[str | None]) -> None:
        """Find what depends on the picture.

        Args:
            model: a prepared network with the shapes of one picture.
            picture: its input that takes the picture.
            kinds: the kind of each of its axes, one of :data:`ortcam.artifact.AXES`, or None.
        """
        self._picture, self._kinds = picture, kinds
        self._order = {node: i for i, node in enumerate(model.graph)}
        self._nodes = list(self._order)
        self._dependent = {picture}
        self._unbounded = {picture}  # what sees all of the picture, as far as is known
        self._operands: dict[ir.Node, list[tuple[int, ir.Value]]] = {}  # such as depend on it
        self._fields: dict[tuple[ir.Value, tuple[Span, ...]], Field | None] = {}
        for node in self._nodes:
            inputs = _inputs(node) if node.op_type not in _OF_SHAPES else []
            operands = [(i, v) for i, v in enumerate(inputs) if v in self._dependent]
            if not operands:
                continue
            self._operands[node] = operands
            self._dependent.update(node.outputs)
            self._unbounded.update(v for v in node.outputs if self._is_unbounded(node, v))

    def of(self, layer: ir.Value, cell: Sequence[int | None]) -> Field | None:
        """Return the extents of the smallest box of pixels that one cell of a layer depends on.

        Args:
            layer: a tensor of the network.
            cell: its index along each axis; None for all of the axis, as of channels.

        Returns:
            None if the layer does not depend on the picture, or a kind of an axis is not known.
        """
        if layer not in self._dependent:
            return None
        spans: Spans = [None if u is None else (u, u) for u in cell]
        key = layer, tuple(spans)
        if key not in self._fields:
            self._fields[key] = self._followed(layer, spans)
        return self._fields[key]

    def _followed(self, layer: ir.Value, spans: Spans) -> Field | None:
        """Follow a box back to the picture, or to one whose field is known."""
        boxes = {layer: spans}
        queue = [-self._position(layer)]  # of nodes, the last first
        while queue:
            if len(boxes) == 1:
                ((value, box),) = boxes.items()
                field = self._fields.get((value, tuple(box)))
                if field is not None:
                    return field
            node = self._nodes[-heapq.heappop(queue)]
            for value, box in self._read(node, boxes):
                box = joined(boxes.get(value), box)
                if value in self._unbounded and _is_whole(box):
                    return GLOBAL
                if value not in boxes and value is not self._picture:
                    heapq.heappush(queue, -self._position(value))
                boxes[value] = box
        return self._extents(boxes.get(self._picture))

    def _read(
        self, node: ir.Node, boxes: dict[ir.Value, Spans]
    ) -> Iterator[tuple[ir.Value, Spans]]:
        """Take the boxes of a node's outputs away, and return those of what it reads for them."""
        for output in node.outputs:
            box = boxes.pop(output, None)
            if box is not None:
                yield from self._boxes_read(node, output, box)

    def _boxes_read(
        self, node: ir.Node, output: ir.Value, box: Spans
    ) -> Iterator[tuple[ir.Value, Spans]]:
        boxes = spans_read(node, output, box)
        for i, value in self._operands[node]:
            read = boxes.get(i) or [None] * rank(value)
            if frozenset() not in read:
                yield value, read

    def _is_unbounded(self, node: ir.Node, output: ir.Value) -> bool:
        """Return whether all of an output depends on all of the picture, as far as is known."""
        box: Spans = [(0, 0), *[None] * (rank(output) - 1)]
        return any(
            value in self._unbounded and _is_whole(read)
            for value, read in self._boxes_read(node, output, box)
        )

    def _position(self, value: ir.Value) -> int:
        node = value.producer()
        assert node is not None  # the picture alone is not computed
        return self._order[node]

    def _extents(self, spans: Spans | None) -> Field | None:
        """Return the extents of a box of the picture."""
        places = place_axes(self._kinds)
        if spans is None or not places:
            return None
        ends = [hull(spans[axis]) for axis in places]
        bounded = [end[1] - end[0] + 1 for end in ends if end is not None]
        return tuple(bounded) if len(bounded) == len(ends) else GLOBAL


def _is_whole(box: Spans) -> bool:
    """Return whether a box is all of a picture's cells and channels."""
    return box[:1] in ([(0, 0)], [None]) and all(span is None for span in box[1:])


def _inputs(node: ir.Node) -> list[ir.Value | None]:
    """Return what a node reads, by the index of its inputs; behind these what its graphs take."""
    return [*node.inputs, *(value for value in reads(node) if value not in node.inputs)]
