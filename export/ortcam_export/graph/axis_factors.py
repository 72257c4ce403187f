"""Axes as products of factors, and what a Reshape makes of them.

An axis is a tuple of factors, from the outer to the inner one, each with its kind and extent: of
[N, T, C, H, W] reshaped to [N * T, C, H * W], the first axis is (batch, time) and the last one
(space, space). So a later Reshape that separates them again finds the same axes.

Beside the kinds of :data:`ortcam.artifact.AXES` a factor may be a ``"part"``: one of the factors
into which a Reshape has split channels, such as the heads of an attention, or anchors and classes.
Which of these is which the graph does not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

__all__ = [
    "PLACES",
    "UNKNOWN",
    "Axis",
    "Factor",
    "has_frames",
    "joined",
    "kind",
    "kind_of_all",
    "of_extent",
    "reshaped",
    "sizes",
]

#: The kinds of axes whose elements are one beside the other.
PLACES = frozenset({"space", "list", "time"})

Size = tuple[int, tuple[str, ...]] | None
"""An extent as a product of a number and names; None if it is unknown."""

_ONE: Size = (1, ())


@dataclass(frozen=True)
class Factor:
    """A factor of an axis.

    Attributes:
        kind: one of :data:`ortcam.artifact.AXES`, ``"part"``, or None if it is unknown.
        size: its extent.
        origin: the input and its axis that it stems from, or the Reshape that split it off.
    """

    kind: str | None = None
    size: Size = None
    origin: tuple[str, int] | None = None


Axis = tuple[Factor, ...]

UNKNOWN: Axis = (Factor(),)


def sizes(value: ir.Value | None) -> list[Size]:
    """The extents of a tensor; those of 0 or less are unknown ones."""
    shape = None if value is None else value.shape
    return [] if shape is None else [_size(extent) for extent in shape]


def _size(extent: int | ir.SymbolicDim) -> Size:
    if isinstance(extent, int):
        return (extent, ()) if extent > 0 else None
    name = extent.value or "unk__"
    if name.startswith("unk__"):  # a name that inference makes up, and may use twice
        return None
    if "*" not in name or any(mark in name for mark in "()+-/%"):
        return 1, (name,)
    number, names = 1, list[str]()
    for term in name.replace(" ", "").split("*"):
        number, names = (
            (number * int(term), names) if term.isdecimal() else (number, [*names, term])
        )
    return number, tuple(sorted(names))


def _quotient(size: Size, by: Size) -> Size:
    """A size divided by another; None where it does not divide it."""
    if size is None or by is None or size[0] % by[0]:
        return None
    names = list(size[1])
    for name in by[1]:
        if name not in names:
            return None
        names.remove(name)
    return size[0] // by[0], tuple(names)


# ---- Kinds ----------------------------------------------------------------------------------


def kind(axis: Axis) -> str | None:
    """The kind of an axis: one of :data:`ortcam.artifact.AXES`, ``"part"``, or None.

    An extent of 1 counts where there is no other.
    """
    if len(axis) == 1:
        return axis[0].kind
    counted = [factor for factor in axis if factor.size != _ONE] or list(axis[:1])
    if any(factor.kind == "batch" for factor in axis):
        return _kind_with_batch(axis, counted)
    return _kind_of_several([factor.kind for factor in counted])


def _kind_with_batch(axis: Axis, counted: Sequence[Factor]) -> str | None:
    """The kind of an axis that merges the batch with others."""
    rest = [factor.kind for factor in counted if factor.kind != "batch"]
    outer = axis[0].kind == "batch" or all(f.size == _ONE for f in axis if f.kind == "batch")
    if not rest:
        return "batch"
    if outer and set(rest) <= {"list", "time"}:
        return "batch"
    alone = all(factor.kind != "batch" for factor in counted)
    return "class" if alone and rest == ["class"] else None


def _kind_of_several(kinds: Sequence[str | None]) -> str | None:
    several = set(kinds)
    if None in several or not several:
        return None
    if len(kinds) == 1:
        return kinds[0]
    if several <= PLACES | {"part"} and several & PLACES:
        return "list"
    return "class" if several <= {"class", "part"} else None


def has_frames(axis: Axis) -> bool:
    """True if an axis holds frames, views or tiles of each row of a batch, one row's after another.

    So does an axis whose batch is one, of the frames alone.
    """
    return len(axis) > 1 and kind(axis) == "batch" and any(f.kind != "batch" for f in _wide(axis))


def _wide(axis: Axis) -> list[Factor]:
    return [factor for factor in axis if factor.size != _ONE]


def kind_of_all(axes: Sequence[Axis]) -> tuple[str | None, ...]:
    """The kinds of a tensor's axes, those of :data:`ortcam.artifact.AXES` or None.

    Channels and places that are merged are the channels of a vector where nothing is left beside
    the batch.
    """
    kinds = [kind(axis) for axis in axes]
    if len(kinds) == 2 and kinds[0] == "batch" and kinds[1] is None:
        inside = {factor.kind for factor in _wide(axes[1])}
        kinds[1] = "class" if "class" in inside and "batch" not in inside else None
    return tuple(None if nature == "part" else nature for nature in kinds)


def joined(axes: Iterable[Axis]) -> Axis:
    """The axis of a result whose operands have these there; unknown if they disagree."""
    axes = list(axes)
    possible = [axis for axis in axes if any(factor.kind for factor in axis)]
    if not possible:  # the origin is known at times where the kind is not
        return next((axis for axis in axes if any(factor.origin for factor in axis)), UNKNOWN)
    kinds = {kind(axis) for axis in possible} - {None}
    if not kinds:
        return possible[0]
    preferred = "space" if kinds <= PLACES else "class" if kinds <= {"class", "part"} else None
    if len(kinds) > 1 and preferred not in kinds:
        return UNKNOWN if preferred is None else next(a for a in possible if kind(a) in PLACES)
    nature = preferred if len(kinds) > 1 else next(iter(kinds))
    return max((axis for axis in possible if kind(axis) == nature), key=len)


def of_extent(axis: Axis, size: Size) -> Axis:
    """The same axis with another number of elements, as after a Slice, Pad or Resize."""
    wide = axis if len(axis) == 1 else _wide(axis)
    return (replace(wide[0], size=size) if len(wide) == 1 else Factor(kind(axis), size),)


# ---- Reshape --------------------------------------------------------------------------------


def reshaped(
    axes: Sequence[Axis], before: Sequence[Size], after: Sequence[Size], name: str
) -> list[Axis]:
    """The axes of a tensor after a Reshape.

    Factors are counted off from the left, and from the right as well where extents are not known;
    what lies between is told by the number of factors and of axes.

    Args:
        axes: those of the tensor before.
        before: the extents then.
        after: the extents now.
        name: the Reshape's, the origin of what it splits.
    """
    factors = [
        factor
        for axis, size in zip(axes, before, strict=True)
        for factor in ((replace(axis[0], size=size),) if len(axis) == 1 else axis)
        if factor.kind is not None or factor.size != _ONE
    ]
    rows = len([f for f in axes[0] if f.kind is not None or f.size != _ONE]) if axes else 1
    return _resolved(_counted(factors, after, name, max(rows, 1)), name)


def _counted(factors: list[Factor], after: Sequence[Size], name: str, rows: int = 1) -> list[Axis]:
    """The axes of these extents into which factors are merged and split.

    ``rows`` of the factors are the first axis so far, which stays where nothing tells otherwise.
    """
    left: list[Axis] = []
    while len(left) < len(after) and (step := _take(factors, after[len(left)], name, 0)):
        left.append(step[0])
        factors = step[1]
    right: list[Axis] = []
    while len(left) + len(right) < len(after) and (
        step := _take(factors, after[-1 - len(right)], name, -1)
    ):
        right.insert(0, step[0])
        factors = step[1]
    rest = after[len(left) : len(after) - len(right)]
    middle = _between(factors, rest, name, 1 if left else rows)
    if not rest and factors and all(factor.size == _ONE for factor in factors) and left:
        left[-1] = (*left[-1], *factors)
    return [*left, *middle, *right]


def _take(
    factors: Sequence[Factor], size: Size, name: str, end: int
) -> tuple[Axis, list[Factor]] | None:
    """Count an axis off from one end (0 or -1): the axis, and the factors that are left.

    Returns None where that cannot be done exactly.
    """
    if size is None:
        return None
    rest, counted = list(factors), list[Factor]()
    if size == _ONE:
        if rest and rest[end].size == _ONE:
            return (rest.pop(end),), rest
        return (Factor(size=_ONE),), rest
    while size != _ONE:
        if not rest or rest[end].size is None:
            return None
        factor = rest.pop(end)
        more = _quotient(size, factor.size)
        if more is None:
            left_over = _quotient(factor.size, size)
            if left_over is None:
                return None
            outer, inner = (size, left_over) if end == 0 else (left_over, size)
            pieces = _split(factor, [outer, inner], name)
            rest.insert(0 if end == 0 else len(rest), pieces[1 + end])
            factor, more = pieces[-end], _ONE
        counted.insert(len(counted) if end == 0 else 0, factor)
        size = more
    return tuple(counted), rest


def _split(factor: Factor, pieces: Sequence[Size], name: str) -> list[Factor]:
    """The factors that one is split into, outer ones first."""
    if factor.kind in ("class", "part"):
        return [Factor("part", size, (name, 0)) for size in pieces]
    inner = "list" if factor.kind == "batch" else factor.kind
    kinds = [factor.kind, *[inner] * (len(pieces) - 1)]
    return [Factor(nature, size, factor.origin) for nature, size in zip(kinds, pieces, strict=True)]


def _kept(factors: Sequence[Factor], after: Sequence[Size]) -> tuple[int, int] | None:
    """The one factor with the extent of one new axis, between others on both sides.

    Such are the channels of [N, T, 3, H, W] -> [?, 3, ?, ?].
    """
    extents = [factor.size for factor in factors]
    for j, size in enumerate(after[1:-1], start=1):
        if size not in (None, _ONE) and extents.count(size) == 1 == list(after).count(size):
            i = extents.index(size)
            if 0 < i < len(extents) - 1:
                return i, j
    return None


def _between(factors: Sequence[Factor], after: Sequence[Size], name: str, rows: int) -> list[Axis]:
    """The axes of a part of a Reshape whose extents are not all known."""
    new: Axis = (Factor(size=_ONE),)
    if not factors or not after:
        return [new] * len(after)
    if len(after) == 1:
        return [tuple(factors)]
    wide = [index for index, size in enumerate(after) if size != _ONE]
    if len(factors) == 1 and wide:
        pieces = _split(factors[0], [after[i] for i in wide], name)
        pieces = [replace(factors[0], size=after[wide[0]])] if len(wide) == 1 else pieces
        split = dict(zip(wide, pieces, strict=True))
        return [(split[i],) if i in split else new for i in range(len(after))]
    if len(factors) == len(after) and all(
        None in (factor.size, size) or factor.size == size
        for factor, size in zip(factors, after, strict=True)
    ):
        return [(factor,) for factor in factors]
    if (span := _kept(factors, after)) is not None:
        i, j = span
        before = _counted(list(factors[:i]), after[:j], name, rows)
        return [*before, (factors[i],), *_counted(list(factors[i + 1 :]), after[j + 1 :], name)]
    if rows > 1 and factors[0].kind == "batch" and after[0] is None and len(factors) > rows:
        return [tuple(factors[:rows]), *_counted(list(factors[rows:]), after[1:], name)]
    if factors[0].kind == "batch" and after[0] in (None, factors[0].size):
        return [(factors[0],), *_counted(list(factors[1:]), after[1:], name)]
    kinds = {factor.kind for factor in factors}
    if len(kinds) == 1 and kinds <= PLACES:
        return [(Factor(factors[0].kind, size),) for size in after]
    return [(Factor(size=size),) for size in after]


def _resolved(axes: Sequence[Axis], name: str) -> list[Axis]:
    """Channels of which one part is now in a list: what alone is left of them are the channels.

    As in [N, anchors, classes, H, W] -> [N, H * W * anchors, classes], where an earlier Reshape
    split them. One that splits and merges at once, as into groups to normalise, tells nothing.
    """
    is_list = any(
        kind(axis) == "list"
        and any(factor.kind == "part" and factor.origin != (name, 0) for factor in axis)
        for axis in axes
    )
    parts = [i for i, axis in enumerate(axes) if kind(axis) == "part"]
    result = list(axes)
    if is_list and len(parts) == 1 and not any(kind(axis) == "class" for axis in axes):
        (at,) = parts
        result[at] = tuple(replace(factor, kind="class") for factor in axes[at])
    return result
