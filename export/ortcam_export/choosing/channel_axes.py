"""The channel axis of each tensor, found in one pass over the graph from its inputs.

ONNX's convolutions, pools and normalisations have them in axis 1, by definition. A network that
was written for channels last (TensorFlow) wraps these in Transposes and keeps its activations as
[N, H, W, C]; so the axis is carried along: a Transpose permutes it, a Squeeze shifts it, an
elementwise operator takes it from its inputs, an If from its branches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from ortcam_export.graph.traversal import subgraphs
from ortcam_export.graph.values import constant_ints, is_channels_last, rank

__all__ = ["Axes", "channel_axes"]

#: A tensor's name to its channel axis, or to None where its channels have been reduced away.
Axes = dict[str, int | None]


#: Operators whose output has its channels in axis 1 by ONNX's definition.
_FIRST = frozenset(
    {
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvInteger",
        "ConvTranspose",
        "DeformConv",
        "DepthToSpace",
        "Gemm",
        "GlobalAveragePool",
        "GlobalLpPool",
        "GlobalMaxPool",
        "GridSample",
        "GroupNormalization",
        "InstanceNormalization",
        "LRN",
        "LpPool",
        "MaxPool",
        "MaxRoiPool",
        "MaxUnpool",
        "QLinearConv",
        "RoiAlign",
        "SpaceToDepth",
    }
)


def channel_axes(model: ir.Model) -> Axes:
    """The channel axis of every tensor of a prepared model that has rank 2 or more.

    Args:
        model: the model, with shapes.

    Returns:
        Names to axes; a name that is missing belongs to a constant or to a tensor that no input
        leads to.
    """
    axes: Axes = {}
    for value in model.graph.inputs:
        if value.name is not None and rank(value) >= 2:
            axes[value.name] = rank(value) - 1 if is_channels_last(value) else 1
    _walk(model.graph, axes)
    return axes


def _walk(graph: ir.Graph, axes: Axes) -> None:
    for node in graph:
        if node.op_type == "If" and not node.domain:
            _through_if(node, axes)
            continue
        rule = _RULES.get(node.op_type, _keep)
        for value in node.outputs:
            if value.name and rank(value) >= 1 and (node.op_type in _FIRST or _leads(node, axes)):
                axes[value.name] = 1 if node.op_type in _FIRST else rule(node, value, axes)


def _through_if(node: ir.Node, axes: Axes) -> None:
    """An If's outputs have their channels where all of its branches have them."""
    found: dict[str, list[int | None]] = {}
    for branch in subgraphs(node):
        inner = dict(axes)  # the branches may have tensors of the same names
        _walk(branch, inner)
        for value, output in zip(node.outputs, branch.outputs, strict=True):
            if value.name and output.name in inner:
                found.setdefault(value.name, []).append(inner[output.name])
    axes.update((name, one[0] if len(set(one)) == 1 else None) for name, one in found.items())


def _leads(node: ir.Node, axes: Axes) -> bool:
    return any(value is not None and value.name in axes for value in node.inputs)


def _keep(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    """Elementwise, Concat, Split, Slice, Pad, Resize...: as in the input of the highest rank.

    Shapes broadcast from the right, so an axis of a shorter input counts from there.
    """
    known = [v for v in node.inputs if v is not None and axes.get(v.name or "") is not None]
    if not known:
        return None
    source = max(known, key=rank)
    axis = axes[source.name or ""]
    assert axis is not None
    axis += rank(value) - rank(source)
    return axis if 0 <= axis < rank(value) else None


def _transpose(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    axis = _first(node, axes)
    perm = node.attributes.get_ints("perm") or tuple(reversed(range(rank(value))))
    return None if axis is None else list(perm).index(axis)


def _squeeze(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    gone = constant_ints(_input(node, 1))
    if gone is None:
        shape = node.inputs[0].shape if node.inputs[0] is not None else None
        gone = [i for i, extent in enumerate(shape or ()) if extent == 1]
    return _remove(_first(node, axes), gone, _first_rank(node))


def _unsqueeze(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    axis = _first(node, axes)
    new = {a % rank(value) for a in constant_ints(_input(node, 1)) or ()}
    kept = [a for a in range(rank(value)) if a not in new]
    return None if axis is None or axis >= len(kept) else kept[axis]


def _reduce(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    axis = _first(node, axes)
    if rank(value) == _first_rank(node):
        return axis
    gone = constant_ints(_input(node, 1))
    if gone is None:
        gone = list(node.attributes.get_ints("axes") or range(_first_rank(node)))
    return _remove(axis, gone, _first_rank(node))


def _argmax(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    axis = _first(node, axes)
    if rank(value) == _first_rank(node):
        return axis
    return _remove(axis, [node.attributes.get_int("axis", 0) or 0], _first_rank(node))


def _gather(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    axis = _first(node, axes)
    along = (node.attributes.get_int("axis", 0) or 0) % max(_first_rank(node), 1)
    more = rank(value) - _first_rank(node)  # -1 where a scalar index takes the axis away
    if axis is None or (axis == along and more < 0):
        return None
    return axis + more if axis > along else axis


def _reshape(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    """Last stays last and first stays first; else the one axis of as many channels; else 1."""
    axis, source = _first(node, axes), node.inputs[0]
    if axis is None or source is None or source.shape is None or value.shape is None:
        return None
    if rank(value) < 2:
        return None
    channels, extents = source.shape[axis], list(value.shape.dims)
    if not isinstance(channels, int):
        return 1
    if axis == rank(source) - 1 and extents[-1] == channels:
        return rank(value) - 1
    if extents[1] == channels:
        return 1
    same = [i for i, extent in enumerate(extents) if extent == channels]
    return same[0] if len(same) == 1 else 1


def _matmul(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    """A dense layer's outputs are the last axis, or the rows where the weights stand first."""
    weights_first = node.inputs[0] is not None and node.inputs[0].const_value is not None
    return rank(value) - (2 if weights_first and rank(value) >= 2 else 1)


def _flatten(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    return 1


def _none(node: ir.Node, value: ir.Value, axes: Axes) -> int | None:
    return None


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


_RULES: dict[str, Callable[[ir.Node, ir.Value, Axes], int | None]] = {
    "ArgMax": _argmax,
    "ArgMin": _argmax,
    "Flatten": _flatten,
    "Gather": _gather,
    "MatMul": _matmul,
    "Reshape": _reshape,
    "Shape": _none,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    **{f"Reduce{name}": _reduce for name in _REDUCTIONS},
}


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _first(node: ir.Node, axes: Axes) -> int | None:
    value = _input(node, 0)
    return axes.get(value.name or "") if value is not None else None


def _first_rank(node: ir.Node) -> int:
    value = _input(node, 0)
    return 0 if value is None else rank(value)


def _remove(axis: int | None, gone: Sequence[int], of: int) -> int | None:
    """Return the new position of ``axis``, of rank ``of``, after removing the axes ``gone``."""
    if axis is None:
        return None
    removed = {a % of for a in gone}
    return None if axis in removed else axis - sum(a < axis for a in removed)
