"""The receptive field: which pixels of the picture a layer's central cell depends on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from ortcam_export.graph.traversal import reads
from ortcam_export.graph.values import rank
from ortcam_export.layers.cells_read import Spans, hull, joined, spans_read

__all__ = ["GLOBAL", "Field", "receptive_field"]

GLOBAL = "global"
"""A field without bounds, as behind attention or a global pooling."""

Field = tuple[int, ...] | str
"""Extents in pixels, in the order of the picture's axes, or :data:`GLOBAL`."""

#: Operators whose outputs depend on the shapes of what they read alone.
_OF_SHAPES = frozenset({"ConstantOfShape", "EyeLike", "RandomNormalLike", "Shape", "Size"})


def receptive_field(
    model: ir.Model, layer: ir.Value, cell: Sequence[int | None], picture: ir.Value, layout: str
) -> Field | None:
    """The extents of the smallest box of pixels that one cell of a layer depends on.

    From the cell back to the picture, by :mod:`ortcam_export.layers.cells_read`; boxes by several
    ways are joined. What is counted reaches past the picture's edges where the field is larger
    than the picture. It is an upper bound: weights of 0, and what a MaxPool or a ReLU leaves out
    at one picture, are not looked at.

    Args:
        model: a prepared network with the shapes of one picture.
        layer: one of its tensors.
        cell: its index along each axis; None for all of the axis, as of channels.
        picture: the input.
        layout: ``"NCHW"`` or ``"NHWC"``.

    Returns:
        None where the layer does not depend on the picture.
    """
    wanted: dict[ir.Value, Spans] = {layer: [None if u is None else (u, u) for u in cell]}
    seeing = _dependent(model, picture)
    if layer not in seeing:
        return None
    for node in reversed(model.graph):
        for output in node.outputs:
            spans = wanted.pop(output, None)
            if spans is None:
                continue
            found = spans_read(node, output, spans)
            for i, value in enumerate(_inputs(node)):
                if value is not None and value in seeing:
                    own = found.get(i, [None] * rank(value))
                    if frozenset() not in own:
                        wanted[value] = joined(wanted.get(value), own)
    spans = wanted.get(picture)
    if spans is None:
        return None
    ends = [hull(span) for span in (spans[1:-1] if layout == "NHWC" else spans[2:])]
    bounded = [last - first + 1 for first, last in _known(ends)]
    return tuple(bounded) if len(bounded) == len(ends) else GLOBAL


def _inputs(node: ir.Node) -> list[ir.Value | None]:
    """What a node reads, by the index of its inputs; behind these what its graphs take."""
    return [*node.inputs, *(value for value in reads(node) if value not in node.inputs)]


def _known(ends: Iterable[tuple[int, int] | None]) -> Iterable[tuple[int, int]]:
    return (end for end in ends if end is not None)


def _dependent(model: ir.Model, picture: ir.Value) -> set[ir.Value]:
    """The tensors whose numbers depend on the picture's."""
    found = {picture}
    for node in model.graph:
        if node.op_type not in _OF_SHAPES and any(value in found for value in reads(node)):
            found.update(node.outputs)
    return found
