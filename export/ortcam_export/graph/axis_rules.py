"""The axes of each tensor of a graph, followed from its inputs in one pass.

A convolution gives (batch, class, space, ...), by ONNX's definition; its class axis holds the
channels. Other operators carry the axes of what they read along: a Transpose permutes them, a
Reshape merges and splits them, a MatMul contracts them, an If takes them from its branches. Where
that leaves more than one reading, an axis is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from ortcam_export.graph.axis_factors import (
    PLACES,
    UNKNOWN,
    Axis,
    Factor,
    joined,
    kind,
    of_extent,
    reshaped,
    sizes,
)
from ortcam_export.graph.traversal import subgraphs
from ortcam_export.graph.values import constant_ints, rank

__all__ = ["FollowedAxes", "follow_axes"]

FollowedAxes = dict[str, list[Axis]]
"""A tensor's name to its axes."""

_ONE = (1, ())
_CHANNELS: Axis = (Factor("class"),)
_PLACE: Axis = (Factor("space"),)


def follow_axes(graph: ir.Graph, inputs: Mapping[str, Sequence[Axis]]) -> FollowedAxes:
    """Return the axes of every tensor that an input leads to.

    Args:
        graph: of a prepared network, with shapes.
        inputs: the axes of its inputs.
    """
    followed = {name: list(axes) for name, axes in inputs.items()}
    _walk(graph, followed)
    return followed


def _walk(graph: ir.Graph, followed: FollowedAxes) -> None:
    for node in graph:
        if node.op_type == "If" and not node.domain:
            _through_if(node, followed)
            continue
        if not any(value is not None and value.name in followed for value in node.inputs):
            continue
        rule = _RULES.get(node.op_type, _same_extents) if not node.domain else _same_extents
        for value in node.outputs:
            if value.name and rank(value) >= 1:
                axes = rule(node, value, followed)
                followed[value.name] = axes if len(axes) == rank(value) else _unknown(value)


def _through_if(node: ir.Node, followed: FollowedAxes) -> None:
    """The outputs of an If have the axes on which all of its branches agree."""
    results: dict[str, list[list[Axis]]] = {}
    for branch in subgraphs(node):
        inner = dict(followed)  # the branches may have tensors of the same names
        _walk(branch, inner)
        for value, output in zip(node.outputs, branch.outputs, strict=True):
            if value.name and output.name in inner:
                results.setdefault(value.name, []).append(inner[output.name])
    for name, several in results.items():
        same_rank = len({len(axes) for axes in several}) == 1
        followed[name] = (
            [_agreed(axes) for axes in zip(*several, strict=True)]
            if same_rank
            else [UNKNOWN] * max(map(len, several))
        )


def _agreed(axes: Sequence[Axis]) -> Axis:
    return axes[0] if len({kind(axis) for axis in axes}) == 1 else UNKNOWN


# ---- Elements by themselves -----------------------------------------------------------------


def _elementwise(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """Shapes broadcast from the right; an axis that is repeated has none to say there."""
    operands = [
        (followed[v.name], sizes(v))
        for v in node.inputs
        if v is not None and v.name is not None and v.name in followed
    ]
    return _broadcast(operands, sizes(value))


def _broadcast(
    operands: Sequence[tuple[Sequence[Axis], Sequence[object]]], after: Sequence[object]
) -> list[Axis]:
    result: list[Axis] = []
    for behind, size in enumerate(reversed(after), start=1):
        here = [
            (axes[-behind], extents[-behind])
            for axes, extents in operands
            if 0 < behind <= len(axes)
        ]
        full = [axis for axis, extents in here if extents != _ONE or size == _ONE]
        result.insert(0, joined(full or [axis for axis, _ in here]))
    return result


def _same_extents(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """Elementwise, as far as the extents are still the same."""
    axes, after = _elementwise(node, value, followed), sizes(value)
    reads = [v for v in node.inputs if v is not None and v.name in followed]
    for behind, size in enumerate(reversed(after), start=1):
        extents = [sizes(v)[-behind] for v in reads if rank(v) >= behind]
        if size is not None and None not in extents and size not in extents:
            axes[-behind] = UNKNOWN
    return axes


def _first(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """Those of the first operand, with other extents perhaps: Pad, Resize, Slice, Split..."""
    before, after = sizes(_input(node, 0)), sizes(value)
    axes = _axes(node, 0, followed)
    if len(axes) != len(after):
        return _unknown(value)
    return [
        axis if extent is not None and extent == size else of_extent(axis, size)
        for axis, extent, size in zip(axes, before, after, strict=True)
    ]


def _concat(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    axes, along = _elementwise(node, value, followed), _attribute(node, "axis", 0)
    axes[along] = of_extent(axes[along], sizes(value)[along])
    return axes


# ---- Convolutions ---------------------------------------------------------------------------


def _convolution(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """A pointwise one leaves the other axes what they are."""
    axes = _axes(node, 0, followed)
    weights = sizes(_input(node, 1))
    strides = node.attributes.get_ints("strides") or (1,)
    if (
        node.op_type == "Conv"
        and len(axes) == len(weights) == rank(value)
        and all(size == _ONE for size in weights[2:])
        and set(strides) == {1}
    ):
        return [_rows(axes), _CHANNELS, *axes[2:]]
    return _channels_first(node, value, followed)


def _channels_first(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    axes = _axes(node, 0, followed)
    return [_rows(axes), _CHANNELS, *[_PLACE] * (rank(value) - 2)]


def _grid_sample(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """The places are those of the grid, which may be a list of queries and their points."""
    grid = _axes(node, 1, followed)
    axes = _channels_first(node, value, followed)
    if len(grid) != len(axes):
        return axes
    places = [axis if kind(axis) in PLACES else _PLACE for axis in grid[1:-1]]
    return [*axes[:2], *places]


def _rows(axes: Sequence[Axis]) -> Axis:
    """The first axis: the batch, unless it is known to be another."""
    is_tracked = any(factor.kind for factor in axes[0]) if axes else False
    return axes[0] if is_tracked else (Factor("batch"),)


def _normalization(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """Channels in axis 1; but groups of channels, as of a group normalisation, stay such."""
    axes = _axes(node, 0, followed)
    if len(axes) != rank(value) or len(axes) < 2:
        return axes
    here = axes[1] if any(factor.kind for factor in axes[1]) else _CHANNELS
    rest = [axis if any(f.kind for f in axis) else _PLACE for axis in axes[2:]]
    return [_rows(axes), here, *rest]


def _regions(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    return [(Factor("list"),), *_channels_first(node, value, followed)[1:]]


# ---- Axes moved about -----------------------------------------------------------------------


def _transpose(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    axes = _axes(node, 0, followed)
    perm = node.attributes.get_ints("perm") or tuple(reversed(range(len(axes))))
    return [axes[axis] for axis in perm]


def _reshape(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    axes, before = _axes(node, 0, followed), sizes(_input(node, 0))
    if not axes:
        return _unknown(value)
    return reshaped(axes, before, sizes(value), node.name or "")


def _flatten(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    axes, before = _axes(node, 0, followed), sizes(_input(node, 0))
    at = node.attributes.get_int("axis", 1) or 0
    at += len(axes) if at < 0 else 0
    factors = [
        of_extent(axis, size) if len(axis) == 1 else axis
        for axis, size in zip(axes, before, strict=True)
    ]
    halves = [sum(part, ()) for part in (factors[:at], factors[at:])]
    return [half or (Factor(size=_ONE),) for half in halves]


def _squeeze(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    removed = constant_ints(_input(node, 1))
    if removed is None:
        removed = [i for i, size in enumerate(sizes(_input(node, 0))) if size == _ONE]
    return _without(_axes(node, 0, followed), removed)


def _unsqueeze(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """A map without channels, [N, H, W], gets an axis of one channel."""
    axes = iter(_axes(node, 0, followed))
    new = {axis % rank(value) for axis in constant_ints(_input(node, 1)) or ()}
    result = [
        (Factor(size=_ONE),) if axis in new else next(axes, UNKNOWN) for axis in range(rank(value))
    ]
    others = [kind(axis) for i, axis in enumerate(result) if i not in new]
    if new in ({1}, {rank(value) - 1}) and others[0] == "batch" and set(others[1:]) == {"space"}:
        result[new.pop()] = (Factor("class", _ONE),)
    return result


def _reduce(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    axes = _axes(node, 0, followed)
    axes_reduced = constant_ints(_input(node, 1))
    if axes_reduced is None:
        axes_reduced = list(node.attributes.get_ints("axes") or range(len(axes)))
    return _reduced(axes, axes_reduced, value)


def _choice(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    return _reduced(_axes(node, 0, followed), [_attribute(node, "axis", 0)], value)


def _reduced(axes: Sequence[Axis], indices: Sequence[int], value: ir.Value) -> list[Axis]:
    if rank(value) < len(axes):
        return _without(axes, indices)
    reduced = {axis % max(len(axes), 1) for axis in indices}
    return [of_extent(axis, _ONE) if i in reduced else axis for i, axis in enumerate(axes)]


def _without(axes: Sequence[Axis], indices: Sequence[int]) -> list[Axis]:
    """What is left without some axes; of rows and columns the one that is left is a list."""
    removed = {axis % max(len(axes), 1) for axis in indices}
    left = [axis for i, axis in enumerate(axes) if i not in removed]
    if any(kind(axes[i]) == "space" for i in removed):
        return [(Factor("list"),) if kind(axis) == "space" else axis for axis in left]
    return left


def _gather(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    data, indices = _input(node, 0), _input(node, 1)
    assert data is not None  # by ONNX's definition
    assert indices is not None
    axes = _axes(node, 0, followed) or [*[UNKNOWN] * (rank(data) - 1), _CHANNELS]
    along = _attribute(node, "axis", 0) % max(rank(data), 1)
    places = _axes(node, 1, followed)
    if not places and rank(indices) == 0:
        return _without(axes, [along])
    if not places and rank(indices) == 1:
        places = [of_extent(axes[along], sizes(indices)[0])]
    return [*axes[:along], *(places or [UNKNOWN] * rank(indices)), *axes[along + 1 :]]


def _gather_nd(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """The rows of the indices, then what they leave of the data's axes."""
    data, indices = _axes(node, 0, followed), _axes(node, 1, followed)
    depth = sizes(_input(node, 1))[-1:]
    if not data or not indices or not depth or depth[0] is None or depth[0][1]:
        return _unknown(value)
    shared = node.attributes.get_int("batch_dims", 0) or 0
    return [*indices[:-1], *data[shared + depth[0][0] :]]


# ---- Products and sums over axes ------------------------------------------------------------


def _matmul(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """y[..., i, j] = sum over k of a[..., i, k] b[..., k, j]."""
    a, b = _axes(node, 0, followed), _axes(node, 1, followed)
    ranks = [rank(v) for v in node.inputs if v is not None]
    if len(ranks) == 2 and ranks[1] == 1 and a:
        return a[:-1]
    if len(ranks) != 2 or min(ranks) < 2:
        return _unknown(value)
    rows = _kept_batch(a, a[-2], a[-1]) if a else _constant_rows(ranks[0])
    columns = b[-1] if b else _CHANNELS
    outer = [
        (axes[:-2], sizes(v)[:-2])
        for axes, v in zip((a, b), node.inputs, strict=True)
        if axes and v is not None
    ]
    if a and b and rank(value) > 2 and kind(rows) is None and rows[0].kind is None:
        rows = (Factor("list"),)  # each row is multiplied by itself: a query, or a token
    rows, columns = _among_rows(rows, columns)
    axes = [*_broadcast(outer, sizes(value)[:-2]), rows, columns]
    return _remaining(axes, [*a[-1:], *b[-2:-1]], [len(axes) - 2, len(axes) - 1])


def _kept_batch(axes: Sequence[Axis], rows: Axis, summed: Axis) -> Axis:
    """The rows, with the batch of one that stood among the columns that are summed over.

    As in [tokens, 1 * heads, width] -> [tokens, heads * width], where an attention of torch puts
    tokens first.
    """
    if any(factor.kind == "batch" for axis in axes if axis is not summed for factor in axis):
        return rows
    batch = [factor for factor in summed if factor.kind == "batch" and factor.size == _ONE]
    return (*rows, *batch) if len(summed) > len(batch) else rows


def _remaining(axes: list[Axis], summed: Sequence[Axis], single: Sequence[int]) -> list[Axis]:
    """Of channels that were split in two, the part that is left where the other is summed over.

    As of queries and their classes, [N, queries * classes] -> [N, queries, classes], in the sum
    over queries of class times mask. Heads, which both operands have, are no such part: ``single``
    are the axes that one operand alone has.
    """
    kinds = [kind(axis) for axis in axes]
    if kinds.count("part") != 1 or "class" in kinds:
        return axes
    at = kinds.index("part")
    if at in single and any(
        kind(axis) == "part" and axis[0].origin == axes[at][0].origin for axis in summed
    ):
        axes[at] = tuple(replace(factor, kind="class") for factor in axes[at])
    return axes


def _constant_rows(depth: int) -> Axis:
    """A matrix's rows are new channels; those of a stack of learned vectors are a list."""
    return _CHANNELS if depth == 2 else (Factor("list"),)


def _among_rows(rows: Axis, columns: Axis) -> tuple[Axis, Axis]:
    """Of a table of pictures and texts, pictures are the batch, and texts what is scored."""
    if kind(rows) == kind(columns) == "batch":
        origins = [axis[0].origin for axis in (rows, columns)]
        if None not in origins and origins[0] != origins[1]:
            depth = [0 if origin is None else origin[1] for origin in origins]
            return (rows, _CHANNELS) if depth[0] >= depth[1] else (_CHANNELS, columns)
    return rows, columns


def _gemm(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    a, b = _axes(node, 0, followed), _axes(node, 1, followed)
    row = 1 if node.attributes.get_int("transA", 0) else 0
    rows = _kept_batch(a, a[row], a[1 - row]) if a else _CHANNELS
    columns = b[0 if node.attributes.get_int("transB", 0) else 1] if b else _CHANNELS
    return list(_among_rows(rows, columns))


def _einsum(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    equation = node.attributes.get_string("equation", "") or ""
    terms, arrow, result = equation.replace(" ", "").partition("->")
    letters = terms.split(",")
    if "." in equation or not arrow or len(letters) != len(node.inputs):
        return _unknown(value)
    axes_of: dict[str, list[Axis]] = {}
    for index, term in enumerate(letters):
        for letter, axis in zip(term, _axes(node, index, followed), strict=False):
            axes_of.setdefault(letter, []).append(axis)
    axes = [joined(axes_of[letter]) if letter in axes_of else _CHANNELS for letter in result]
    summed = [axis for letter in axes_of if letter not in result for axis in axes_of[letter]]
    single = [i for i, letter in enumerate(result) if terms.count(letter) == 1]
    return _remaining(axes, summed, single)


def _recurrence(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    """Y [steps, directions, N, C] and the last states [directions, N, C] of X [steps, N, ...]."""
    x = _axes(node, 0, followed)
    if len(x) != 3:
        return _unknown(value)
    batch_first = bool(node.attributes.get_int("layout", 0))
    steps, rows = (x[1], x[0]) if batch_first else (x[0], x[1])
    steps = steps if kind(steps) in PLACES else (Factor("time"),)
    rows = rows if any(factor.kind for factor in rows) else (Factor("batch"),)
    directions: Axis = (Factor("part"),)
    if rank(value) == 4:
        return (
            [rows, steps, directions, _CHANNELS]
            if batch_first
            else [steps, directions, rows, _CHANNELS]
        )
    return [rows, directions, _CHANNELS] if batch_first else [directions, rows, _CHANNELS]


def _shapeless(node: ir.Node, value: ir.Value, followed: FollowedAxes) -> list[Axis]:
    return _unknown(value)


# ---- The nodes ------------------------------------------------------------------------------


def _unknown(value: ir.Value) -> list[Axis]:
    return [UNKNOWN] * rank(value)


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _axes(node: ir.Node, index: int, followed: FollowedAxes) -> list[Axis]:
    """The axes of an operand; none of a constant."""
    value = _input(node, index)
    return [] if value is None else followed.get(value.name or "", [])


def _attribute(node: ir.Node, name: str, default: int) -> int:
    return node.attributes.get_int(name, default) or 0


Rule = Callable[[ir.Node, ir.Value, FollowedAxes], list[Axis]]

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

_RULES: dict[str, Rule] = {
    **dict.fromkeys(("ArgMax", "ArgMin"), _choice),
    **dict.fromkeys(
        (
            *("AveragePool", "ConvTranspose", "DeformConv", "DepthToSpace", "GlobalAveragePool"),
            *("GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool", "MaxUnpool"),
            "SpaceToDepth",
        ),
        _channels_first,
    ),
    **dict.fromkeys(
        ("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LRN"),
        _normalization,
    ),
    "Concat": _concat,
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _convolution),
    "Einsum": _einsum,
    "Expand": _elementwise,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gemm": _gemm,
    "GridSample": _grid_sample,
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrence),
    "MatMul": _matmul,
    **dict.fromkeys(("MaxRoiPool", "RoiAlign"), _regions),
    **dict.fromkeys(("Pad", "Resize", "Slice", "Split", "Tile", "TopK", "Upsample"), _first),
    "Reshape": _reshape,
    **dict.fromkeys(
        ("ConstantOfShape", "NonMaxSuppression", "NonZero", "Shape", "Size"), _shapeless
    ),
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    **{f"Reduce{name}": _reduce for name in _REDUCTIONS},
}
