"""The cells that a node reads: the part of each input that a part of its output depends on.

A part is a box, a :data:`Span` for each axis. Each rule is the backward step of A. Araujo,
W. Norris and J. Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019,
for one kind of operator: of a convolution of kernel k, stride s, dilation d and padding p, cells u
to v depend on cells s u - p to s v - p + d (k - 1). Numbers below 0 or past the end are cells of
the padding, and are kept, so that the edge of the picture does not cut a field off.

Shapes are static, those of one picture. Where a rule finds no bound, or an operator has no rule,
the part is all of the axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, TypeAlias

import onnx_ir as ir

from ortcam_export.graph.values import constant_ints, rank

__all__ = ["Span", "Spans", "hull", "joined", "spans_read"]

Span: TypeAlias = "tuple[int, int] | frozenset[int] | None"
"""The first and last cell along an axis; the set of cells if they have gaps; None for all."""

Spans: TypeAlias = list[Span]
"""A box: a span for each axis of a tensor."""

Boxes: TypeAlias = dict[int, Spans]
"""The boxes of a node's inputs, by index; an input that is missing is read as a whole."""

#: The largest set of cells with gaps that is enumerated.
_MOST_LISTED = 1 << 16


def spans_read(node: ir.Node, output: ir.Value, spans: Spans) -> Boxes:
    """Return the parts of the inputs that a box of one output depends on.

    Args:
        node: the node; tensors around it without a static shape count as unbounded.
        output: one of its outputs.
        spans: the box.
    """
    rule = None if node.domain else _RULES.get(node.op_type)
    shapes = [node.inputs[0] if node.inputs else None, output]
    if rule is None or not all(v is not None and _is_static(v) for v in shapes):
        return {}
    return rule(node, output, spans)


def joined(one: Spans | None, other: Spans) -> Spans:
    """Return the smallest box that holds both."""
    if one is None:
        return other
    return [a if a == b else _hull_of(a, b) for a, b in zip(one, other, strict=True)]


def hull(span: Span) -> tuple[int, int] | None:
    """Return a span's first and last cell."""
    return (min(span), max(span)) if isinstance(span, frozenset) else span


def _hull_of(one: Span, other: Span) -> Span:
    a, b = hull(one), hull(other)
    return None if a is None or b is None else (min(a[0], b[0]), max(a[1], b[1]))


# ---- Element by element ---------------------------------------------------------------------


def _elementwise(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    """Each operand at the same place, or at its only place where it is broadcast."""
    boxes: Boxes = {}
    for i, value in enumerate(node.inputs):
        if value is not None and _is_static(value):
            aligned = spans[len(spans) - rank(value) :]
            extents = zip(_extents(y)[len(spans) - rank(value) :], _extents(value), strict=True)
            boxes[i] = [
                (0, 0) if extent == 1 and full != 1 else span
                for span, (full, extent) in zip(aligned, extents, strict=True)
            ]
    return boxes


def _along(*, axis: int | None = None, attribute: str = "axis", after: bool = False) -> Rule:
    """Operators that mix all of an axis, such as a softmax; with ``after``, later axes too."""

    def rule(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
        axes = _attribute(node, attribute, axis)
        mixed = {a % len(spans) for a in (axes if isinstance(axes, Sequence) else [axes])}
        if after:
            mixed |= set(range(min(mixed), len(spans)))
        return {0: [None if a in mixed else span for a, span in enumerate(spans)]}

    return rule


def _accumulated(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    axis = constant_ints(_input(node, 1))
    if axis is None:
        return {}
    return {0: [None if a == axis[0] % len(spans) else span for a, span in enumerate(spans)]}


def _pooled_normalization(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    return {0: [spans[0], *[None] * (len(spans) - 1)]}


def _batch_normalization(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    return {} if _attribute(node, "training_mode", 0) else {0: spans}


# ---- Windows --------------------------------------------------------------------------------


def _convolution(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    weights = node.inputs[1]
    if weights is None or not _is_static(weights):
        return {}
    return {0: [spans[0], None, *_windows(node, y, spans, _extents(weights)[2:])]}


def _deformable(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    """The offsets at the output's cell; the positions are computed and may lie anywhere."""
    offsets: Spans = [spans[0], None, *spans[2:]]
    return {0: [spans[0], *[None] * (len(spans) - 1)], 2: offsets, 4: offsets}


def _pool(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    kernel = _attribute(node, "kernel_shape", [])
    return {0: [*spans[:2], *_windows(node, y, spans, kernel)]}


def _global_pool(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    return {0: [*spans[:2], *[None] * (len(spans) - 2)]}


def _windows(node: ir.Node, y: ir.Value, spans: Spans, kernel: Sequence[int]) -> Spans:
    """Along each axis of space: s u - p to s v - p + d (k - 1)."""
    strides, dilations, pads = _geometry(node, len(kernel))
    x, box = node.inputs[0], Spans()
    assert x is not None
    for i, (k, s, d) in enumerate(zip(kernel, strides, dilations, strict=True)):
        span, before = hull(spans[2 + i]), pads[i]
        mode = _attribute(node, "auto_pad", "NOTSET")
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            total = max((_extents(y)[2 + i] - 1) * s + d * (k - 1) + 1 - _extents(x)[2 + i], 0)
            before = total // 2 if mode == "SAME_UPPER" else (total + 1) // 2
        box.append(span and (s * span[0] - before, s * span[1] - before + d * (k - 1)))
    return box


def _transposed(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    """The cells i of a transposed convolution or MaxUnpool whose windows s i - p + d j hold u."""
    x, weights = node.inputs[:2]
    if x is None or weights is None or not _is_static(weights):
        return {}
    is_pool = node.op_type == "MaxUnpool"
    kernel = _attribute(node, "kernel_shape", []) if is_pool else _extents(weights)[2:]
    strides, dilations, pads = _geometry(node, len(kernel))
    extra = _attribute(node, "output_padding", [0] * len(kernel))
    mode = _attribute(node, "auto_pad", "NOTSET")
    space: Spans = []
    for i, (k, s, d) in enumerate(zip(kernel, strides, dilations, strict=True)):
        before, span, reach = pads[i], hull(spans[2 + i]), d * (k - 1)
        if mode != "NOTSET" or "output_shape" in node.attributes:
            total = (_extents(x)[2 + i] - 1) * s + extra[i] + reach + 1 - _extents(y)[2 + i]
            before = 0 if mode == "VALID" else total // 2
            before = total - before if mode in ("SAME_LOWER", "NOTSET") else before
        if span is None:
            space.append(None)
            continue
        first, last = -((reach - span[0] - before) // s), (span[1] + before) // s
        space.append((first, last) if first <= last else frozenset())
    cells = [spans[0], spans[1] if is_pool else None, *space]
    return {0: cells, 1: cells} if is_pool else {0: cells}


def _geometry(node: ir.Node, space: int) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations, and the padding before and after each axis of space."""
    ones = [1] * space
    padded = _attribute(node, "auto_pad", "NOTSET") == "NOTSET"
    pads = _attribute(node, "pads", [0] * 2 * space) if padded else [0] * 2 * space
    strides, dilations = _attribute(node, "strides", ones), _attribute(node, "dilations", ones)
    return list(strides), list(dilations), list(pads)


# ---- Resizing -------------------------------------------------------------------------------

#: The number of cells on each side of a position that a filter reads.
_RADIUS = {"linear": 1, "cubic": 2}


def _resize(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    x = node.inputs[0]
    assert x is not None
    before, after = _extents(x), _extents(y)
    axes = [a % len(spans) for a in _attribute(node, "axes", range(len(spans)))]
    scales = _floats(_input(node, 2)) or [after[a] / before[a] for a in axes]
    by_axis = dict(zip(axes, scales, strict=True))
    box: Spans = []
    for axis, span in enumerate(spans):
        scale = by_axis.get(axis, 1.0)
        box.append(
            span
            if span is None or (scale == 1 and before[axis] == after[axis])
            else (0, 0)
            if before[axis] == 1
            else _resized(node, span, scale, before[axis], after[axis])
        )
    return {0: box}


def _resized(node: ir.Node, span: Span, scale: float, before: int, after: int) -> Span:
    ends = hull(span)
    mode = _attribute(node, "coordinate_transformation_mode", "half_pixel")
    if ends is None or mode == "tf_crop_and_resize":
        return None
    cells = [_sources(node, _source(mode, u, scale, before, after), scale) for u in ends]
    return cells[0][0], cells[1][1]


def _source(mode: str, place: int, scale: float, before: int, after: int) -> float:
    """Return an output cell's coordinate in the input, by ONNX's definition of Resize."""
    if mode == "align_corners":
        return place * (before - 1) / (after - 1) if after > 1 else 0.0
    if mode == "asymmetric":
        return place / scale
    if mode == "pytorch_half_pixel" and after == 1:
        return 0.0
    shift = 0.0
    if mode == "half_pixel_symmetric":
        shift = before / 2 * (1 - after / (before * scale))
    return shift + (place + 0.5) / scale - 0.5


def _sources(node: ir.Node, source: float, scale: float) -> tuple[int, int]:
    """Return the first and the last cell that a filter reads around a coordinate."""
    source = round(source, 9)  # a cell's own centre must not move by rounding
    filter_ = _attribute(node, "mode", "nearest")
    if filter_ == "nearest":
        rounding = _attribute(node, "nearest_mode", "round_prefer_floor")
        nearest = {
            "round_prefer_floor": math.ceil(source - 0.5),
            "round_prefer_ceil": math.floor(source + 0.5),
            "floor": math.floor(source),
            "ceil": math.ceil(source),
        }[rounding]
        return nearest, nearest
    radius = _RADIUS.get(filter_, 2)
    if _attribute(node, "antialias", 0) and scale < 1:
        wide = radius / scale
        return math.ceil(source - wide), math.floor(source + wide)
    low = math.floor(source)
    if low == source:
        return low, low
    return low - radius + 1, low + radius


# ---- Rearranging ----------------------------------------------------------------------------


def _transpose(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    perm = list(_attribute(node, "perm", range(len(spans) - 1, -1, -1)))
    return {0: [spans[perm.index(axis)] for axis in range(len(spans))]}


def _concat(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    axis, start, boxes = _attribute(node, "axis", 0) % len(spans), 0, Boxes()
    for i, value in enumerate(node.inputs):
        if value is None or not _is_static(value):
            return {}
        extent = _extents(value)[axis]
        boxes[i] = [*spans[:axis], _cut(spans[axis], start, extent), *spans[axis + 1 :]]
        start += extent
    return boxes


def _split(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    axis, start = _attribute(node, "axis", 0) % len(spans), 0
    for value in node.outputs:
        if value is y:
            break
        if not _is_static(value):
            return {}
        start += _extents(value)[axis]
    return {0: [*spans[:axis], _moved(spans[axis], start), *spans[axis + 1 :]]}


def _slice(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    x, starts = node.inputs[0], constant_ints(_input(node, 1))
    assert x is not None
    axes = constant_ints(_input(node, 3))
    if axes is None:
        axes = list(range(len(starts or spans)))
    steps = constant_ints(_input(node, 4)) or [1] * len(axes)
    box = list(spans)
    for i, axis in enumerate(a % len(spans) for a in axes):
        extent = _extents(x)[axis]
        if starts is None:
            box[axis] = None
            continue
        start = starts[i] + extent if starts[i] < 0 else starts[i]
        start = min(max(start, 0), extent if steps[i] > 0 else extent - 1)
        ends = hull(spans[axis])
        if ends is not None:
            first, last = sorted(start + steps[i] * u for u in ends)
            box[axis] = first, last
    return {0: box}


def _pad(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    pads, axes = constant_ints(_input(node, 1)), constant_ints(_input(node, 3))
    if pads is None:
        return {}
    axes = list(range(len(spans))) if axes is None else [a % len(spans) for a in axes]
    box = list(spans)
    for before, axis in zip(pads, axes, strict=False):
        box[axis] = _moved(spans[axis], -before)
    return {0: box}


def _gather(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    x, indices = node.inputs[0], _input(node, 1)
    assert x is not None
    if indices is None or not _is_static(indices):
        return {}
    axis, depth = _attribute(node, "axis", 0) % rank(x), rank(indices)
    numbers, span = constant_ints(indices), None
    if numbers is not None and len(numbers) <= _MOST_LISTED:
        extent = _extents(x)[axis]
        ends = hull(spans[axis]) if depth == 1 else None
        selection = numbers if ends is None else numbers[max(ends[0], 0) : ends[1] + 1]
        span = _compact({n % extent for n in selection})
    return {0: [*spans[:axis], span, *spans[axis + depth :]], 1: spans[axis : axis + depth]}


def _reshape(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    x = node.inputs[0]
    assert x is not None
    return {0: _regrouped(spans, _extents(y), _extents(x))}


def _depth_to_space(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    block = _attribute(node, "blocksize", 1)
    ends = [hull(span) for span in spans[2:]]
    return {0: [spans[0], None, *(e and (e[0] // block, e[1] // block) for e in ends)]}


def _space_to_depth(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    block = _attribute(node, "blocksize", 1)
    ends = [hull(span) for span in spans[2:]]
    return {0: [spans[0], None, *(e and (e[0] * block, (e[1] + 1) * block - 1) for e in ends)]}


def _tile(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    x = node.inputs[0]
    assert x is not None
    extents = zip(_extents(x), _extents(y), strict=True)
    return {0: [s if a == b else None for s, (a, b) in zip(spans, extents, strict=True)]}


def _cut(span: Span, start: int, extent: int) -> Span:
    """Return the part of a span inside a section of the axis, counted from the section's start."""
    if span is None:
        return None
    if isinstance(span, frozenset):
        return _compact({u - start for u in span if start <= u < start + extent})
    first, last = max(span[0] - start, 0), min(span[1] - start, extent - 1)
    return (first, last) if first <= last else frozenset()


def _moved(span: Span, by: int) -> Span:
    if isinstance(span, frozenset):
        return frozenset(u + by for u in span)
    return span and (span[0] + by, span[1] + by)


def _regrouped(spans: Spans, after: Sequence[int], before: Sequence[int]) -> Spans:
    """Return a box of a reshaped tensor in the tensor before.

    Groups of axes whose extents have the same product belong together. A group of one axis on each
    side keeps its span; in a larger group, cells are numbered in order.
    """
    box: Spans = [(0, 0)] * len(before)
    axes_before = [axis for axis, extent in enumerate(before) if extent != 1]
    axes_after = [axis for axis, extent in enumerate(after) if extent != 1]
    while axes_before and axes_after:
        ours, theirs = [axes_before.pop(0)], [axes_after.pop(0)]
        while (cells := _size(before, ours)) != (others := _size(after, theirs)):
            rest, group = (axes_before, ours) if cells < others else (axes_after, theirs)
            if not rest:  # of an empty tensor
                return [None] * len(before)
            group.append(rest.pop(0))
        if len(ours) == len(theirs) == 1:
            box[ours[0]] = spans[theirs[0]]
            continue
        flat = _flattened([spans[a] for a in theirs], [after[a] for a in theirs])
        for axis, span in zip(ours, _unflattened(flat, [before[a] for a in ours]), strict=True):
            box[axis] = span
    return box


def _size(extents: Sequence[int], axes: Iterable[int]) -> int:
    return math.prod(extents[axis] for axis in axes)


def _flattened(spans: Spans, extents: Sequence[int]) -> Span:
    """Return the cells of a box, numbered in order."""
    if all(span is None for span in spans):
        return None
    axes = [_cells(span, extent) for span, extent in zip(spans, extents, strict=True)]
    if math.prod(map(len, axes)) > _MOST_LISTED:
        ends = [(min(cells, default=0), max(cells, default=0)) for cells in axes]
        first, last = (_number([end[i] for end in ends], extents) for i in (0, 1))
        return first, last
    return _compact({_number(cell, extents) for cell in product(*axes)})


def _number(cell: Sequence[int], extents: Sequence[int]) -> int:
    number = 0
    for digit, extent in zip(cell, extents, strict=True):
        number = number * extent + digit
    return number


def _unflattened(span: Span, extents: Sequence[int]) -> Spans:
    """Return the smallest box that holds some numbered cells."""
    if span is None:
        return [None] * len(extents)
    ends = hull(span) if span else None
    if ends is None:
        return [frozenset()] * len(extents)
    if not isinstance(span, frozenset) and ends[1] - ends[0] >= _MOST_LISTED:
        return [None] * len(extents)
    box: Spans = []
    cells = set(_cells(span, math.prod(extents)))
    for extent in reversed(extents):
        digits = {u % extent for u in cells}
        box.insert(0, None if len(digits) == extent else _compact(digits))
        cells = {u // extent for u in cells}
    return box


def _cells(span: Span, extent: int) -> Sequence[int]:
    """Return the cells of a span inside the axis."""
    if span is None:
        return range(extent)
    if isinstance(span, frozenset):
        return sorted(u for u in span if 0 <= u < extent)
    return range(max(span[0], 0), min(span[1], extent - 1) + 1)


def _compact(cells: set[int]) -> Span:
    """Return cells as the first and last if they have no gaps."""
    if cells and max(cells) - min(cells) + 1 == len(cells):
        return min(cells), max(cells)
    return frozenset(cells)


# ---- Products and sums over axes ------------------------------------------------------------


def _matmul(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    """y[..., i, j] = sum over k of a[..., i, k] b[..., k, j]."""
    a, b = node.inputs
    if a is None or b is None or not _is_static(b):
        return {}
    inner = list(spans)
    j: Span = inner.pop() if rank(b) > 1 else (0, 0)
    i: Span = inner.pop() if rank(a) > 1 else (0, 0)
    extents = _extents(y)[: len(inner)]
    first = [*_broadcast(inner, extents, _extents(a)[:-2]), i, None][-rank(a) :]
    second = [*_broadcast(inner, extents, _extents(b)[:-2]), None, j]
    return {0: first, 1: second if rank(b) > 1 else [None]}


def _broadcast(spans: Spans, full: Sequence[int], extents: Sequence[int]) -> Spans:
    """Return the spans of an operand whose axes are the last of these, broadcast from extent 1."""
    offset = len(spans) - len(extents)
    return [
        (0, 0) if extent == 1 and full[offset + axis] != 1 else spans[offset + axis]
        for axis, extent in enumerate(extents)
    ]


def _gemm(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    a, b = [spans[0], None], [None, spans[1]]
    if _attribute(node, "transA", 0):
        a.reverse()
    if _attribute(node, "transB", 0):
        b.reverse()
    return {0: a, 1: b}


def _einsum(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    equation = str(_attribute(node, "equation", "")).replace(" ", "")
    terms, arrow, result = equation.partition("->")
    letters = terms.split(",")
    if "." in equation or not arrow or len(letters) != len(node.inputs):
        return {}
    span_of = dict(zip(result, spans, strict=True))
    return {i: [span_of.get(letter) for letter in term] for i, term in enumerate(letters)}


def _reduction(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    x, axes = node.inputs[0], constant_ints(_input(node, 1))
    assert x is not None
    if axes is None:
        axes = list(_attribute(node, "axes", []))
    if not axes:
        if _attribute(node, "noop_with_empty_axes", 0):
            return {0: spans}
        axes = list(range(rank(x)))
    reduced = {axis % rank(x) for axis in axes}
    return {0: _inserted(spans, reduced, rank(x), keepdims=bool(_attribute(node, "keepdims", 1)))}


def _choice(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    x = node.inputs[0]
    assert x is not None
    axis = _attribute(node, "axis", 0) % rank(x)
    return {0: _inserted(spans, {axis}, rank(x), keepdims=bool(_attribute(node, "keepdims", 1)))}


def _inserted(spans: Spans, reduced: set[int], before: int, *, keepdims: bool) -> Spans:
    """Return a box in the tensor before a reduction, which reads all of the reduced axes."""
    remaining = iter(spans)
    box: Spans = []
    for axis in range(before):
        span = next(remaining) if keepdims or axis not in reduced else None
        box.append(None if axis in reduced else span)
    return box


def _grid_sample(node: ir.Node, y: ir.Value, spans: Spans) -> Boxes:
    """The positions are computed and may lie anywhere."""
    return {0: [*spans[:2], *[None] * (len(spans) - 2)], 1: [spans[0], *spans[2:], None]}


# ---- A node's inputs and attributes ---------------------------------------------------------


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _attribute(node: ir.Node, name: str, default: Any) -> Any:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.value


def _floats(value: ir.Value | None) -> list[float] | None:
    if value is None or value.const_value is None:
        return None
    return [float(v) for v in value.const_value.numpy().reshape(-1)]


def _is_static(value: ir.Value) -> bool:
    return value.shape is not None and value.shape.is_static()


def _extents(value: ir.Value) -> list[int]:
    """A static shape."""
    assert value.shape is not None
    return list(value.shape.numpy())


Rule: TypeAlias = Callable[[ir.Node, ir.Value, Spans], Boxes]

_ELEMENTWISE = (
    *("Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitCast"),
    *("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike"),
    *("Ceil", "Celu", "Clip", "Cos", "Cosh", "DequantizeLinear", "Div", "Dropout", "Elu", "Equal"),
    *("Erf", "Exp", "Expand", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid"),
    *("HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max"),
    *("Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "QuantizeLinear"),
    *("Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus"),
    *("Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Trilu"),
    *("Where", "Xor"),
)
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

_RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(("ArgMax", "ArgMin"), _choice),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _pool),
    "BatchNormalization": _batch_normalization,
    "Concat": _concat,
    "Conv": _convolution,
    **dict.fromkeys(("ConvTranspose", "MaxUnpool"), _transposed),
    **dict.fromkeys(("CumProd", "CumSum"), _accumulated),
    "DeformConv": _deformable,
    "DepthToSpace": _depth_to_space,
    "Einsum": _einsum,
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    "Gather": _gather,
    "Gemm": _gemm,
    **{f"Global{name}Pool": _global_pool for name in ("Average", "Lp", "Max")},
    "GridSample": _grid_sample,
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization"), _pooled_normalization),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _along(axis=-1, after=True)),
    "LRN": _along(axis=1, attribute=""),
    "LpNormalization": _along(axis=-1),
    "MatMul": _matmul,
    "MeanVarianceNormalization": lambda node, y, spans: (
        _along(attribute="axes")(node, y, spans) if "axes" in node.attributes else {}
    ),
    "Pad": _pad,
    **{f"Reduce{name}": _reduction for name in _REDUCTIONS},
    "Resize": _resize,
    "Slice": _slice,
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax", "TopK"), _along(axis=-1)),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Tile": _tile,
    "Transpose": _transpose,
}
