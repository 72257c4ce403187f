"""Expressions over ONNX: arithmetic on tensors that records nodes in a graph.

A rule of calculus is written with these tensors as with NumPy's. Three things are handled here, so
that no rule has to:

* The leading axis. A cotangent has one extra leading axis, K, the questions asked at once. Its
  tensor has ``lead == 1``; the axes and shapes that a rule names do not count it, and tensors with
  and without it combine as broadcasting demands.
* Constants. An operation on constants is carried out at once and yields a constant. So static
  shapes leave no shape arithmetic in the graph, and frozen weights are rearranged once.
* Repetition. The same operation on the same tensors is recorded once, and operations that change
  nothing (a product with one, a transposition into the same order) are not recorded.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = [
    "Array",
    "Dim",
    "Recorder",
    "Tensor",
    "at_least",
    "at_most",
    "content",
    "maximum",
    "minimum",
    "product",
]

Array: TypeAlias = npt.NDArray[Any]

_FEW = 1024
"""Up to so many elements are summed in one step."""


class Recorder(Protocol):
    """The part of a tape that tensors need to record their operations.

    :class:`ortcam_export.gradient.tape.Tape` is the one there is.
    """

    @property
    def graph(self) -> ir.Graph:
        """The graph that grows."""

    @property
    def questions(self) -> Dim:
        """K, the extent of the questions' axis."""

    @property
    def gate(self) -> Tensor | None:
        """int64 [1], 0 where the operations recorded now are not needed; None: always needed."""

    def op(self, op_type: str, *inputs: Tensor | None, lead: int = 0, **attributes: Any) -> Tensor:
        """Record a standard operator and return its first output."""

    def ops(
        self,
        op_type: str,
        *inputs: Tensor | None,
        lead: int = 0,
        outputs: int = 1,
        **attributes: Any,
    ) -> list[Tensor]:
        """Record a standard operator and return all its outputs."""

    def constant(self, value: npt.ArrayLike, dtype: ir.DataType | None = None) -> Tensor:
        """Return a constant."""

    def initializer(self, array: Array) -> ir.Value:
        """Return an initializer with this value."""

    def again(self, value: ir.Value) -> ir.Value:
        """Return a copy of a value, so that it can bear another name."""

    def shape(self, dims: Sequence[Dim]) -> Tensor:
        """Return extents as one int64 tensor."""

    def zeros(self, dims: Sequence[Dim], dtype: ir.DataType, *, lead: int = 0) -> Tensor:
        """Return zeros of these extents."""

    def arange(self, stop: Dim) -> Tensor:
        """Return 0, 1, ... below ``stop``, int64."""

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        """Join tensors along an axis."""


class Tensor:
    """A tensor in an expression.

    Attributes:
        tape: records the operations on it.
        shape: its extents, with the leading axis: integers where known, else None or a symbol.
        dtype: its element type.
        const: its value, if it is a constant.
        lead: 1 where axis 0 is the questions' axis K, which ``rank`` and axes do not count.
        symbol: of a tensor that is an extent, the network's name for it.
    """

    def __init__(
        self,
        tape: Recorder,
        *,
        shape: Sequence[int | str | None],
        dtype: ir.DataType,
        value: ir.Value | None = None,
        const: Array | None = None,
        lead: int = 0,
    ) -> None:
        self.tape = tape
        self.shape = tuple(shape)
        self.dtype = dtype
        self.const = const
        self.lead = lead
        self.symbol: str | None = None
        self._value = value
        self._is_of_graph = value is not None

    def __repr__(self) -> str:
        return f"Tensor({self.dtype.name}, {list(self.shape)}, lead={self.lead})"

    @property
    def value(self) -> ir.Value:
        """The graph's value; a constant becomes an initializer on first use."""
        if self._value is None:
            assert self.const is not None
            self._value = self.tape.initializer(self.const)
        return self._value

    @cached_property
    def identity(self) -> object:
        """A key, equal for equal tensors: the value, or the content of a recorded constant."""
        if self.const is None or self._is_of_graph:  # weights are large, and rarely equal
            return id(self.value), self.lead
        return *content(self.const), self.lead

    @property
    def rank(self) -> int:
        """The number of axes, without the questions' axis."""
        return len(self.shape) - self.lead

    def extent(self, axis: int) -> int | str | None:
        """The extent of an axis as far as it is known: a number, a symbol or None."""
        return self.shape[axis % self.rank + self.lead]

    def dim(self, axis: int) -> Dim:
        """The extent of an axis: a number where it is known, else an int64 tensor [1]."""
        axis = axis % self.rank + self.lead
        extent = self.shape[axis]
        if isinstance(extent, int):
            return extent
        dim = self.tape.op("Shape", self.revealed(), start=axis, end=axis + 1)
        dim.symbol = extent
        return dim

    @property
    def dims(self) -> list[Dim]:
        """The extents of all axes."""
        return [self.dim(axis) for axis in range(self.rank)]

    @property
    def item(self) -> Any:
        """The Python number in a constant of one element."""
        assert self.const is not None
        return self.const.reshape(()).item()

    # Arithmetic, broadcast as NumPy does.

    def __add__(self, other: Operand) -> Tensor:
        return self if _is(other, 0) else _elementwise("Add", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return self + other

    def __sub__(self, other: Operand) -> Tensor:
        return self if _is(other, 0) else _elementwise("Sub", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return -self if _is(other, 0) else _elementwise("Sub", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return self if _is(other, 1) else _elementwise("Mul", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return self * other

    def __truediv__(self, other: Operand) -> Tensor:
        return self if _is(other, 1) else _elementwise("Div", self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return _elementwise("Div", other, self)

    def __floordiv__(self, other: Operand) -> Tensor:
        """The quotient of integers that are not negative (where ONNX's truncation is floor)."""
        assert self.dtype.is_integer()
        return self / other

    def modulo(self, other: Operand) -> Tensor:
        """The remainder of integers, with the divisor's sign."""
        return _elementwise("Mod", self, other)

    def __pow__(self, other: Operand) -> Tensor:
        return self if _is(other, 1) else _elementwise("Pow", self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return _elementwise("Pow", other, self)

    def __neg__(self) -> Tensor:
        return self.apply("Neg")

    # Comparisons give masks; ``where`` and ``masked`` use them.

    def __lt__(self, other: Operand) -> Tensor:
        return _elementwise("Less", self, other)

    def __le__(self, other: Operand) -> Tensor:
        return _elementwise("LessOrEqual", self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return _elementwise("Greater", self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return _elementwise("GreaterOrEqual", self, other)

    def equals(self, other: Operand) -> Tensor:
        """The mask of the places where both are equal."""
        return _elementwise("Equal", self, other)

    def __and__(self, other: Tensor) -> Tensor:
        return _elementwise("And", self, other)

    def __or__(self, other: Tensor) -> Tensor:
        return _elementwise("Or", self, other)

    def __invert__(self) -> Tensor:
        return self.apply("Not")

    def where(self, yes: Operand, no: Operand) -> Tensor:
        """``yes`` where this mask holds, ``no`` elsewhere."""
        return _elementwise("Where", self, yes, no)

    def masked(self, mask: Tensor) -> Tensor:
        """This tensor where the mask holds, 0 elsewhere."""
        return mask.where(self, 0)

    def passed(self, mask: Tensor) -> Tensor:
        """The same as :meth:`masked`, for finite numbers: a product, far cheaper on the CPU."""
        return self * mask.cast(self.dtype)

    # Functions of each element.

    def apply(self, op_type: str, **attributes: Any) -> Tensor:
        """A standard operator of one operand that keeps the shape."""
        return self.tape.op(op_type, self, lead=self.lead, **attributes)

    def exp(self) -> Tensor:
        """The exponential of each element."""
        return self.apply("Exp")

    def log(self) -> Tensor:
        """The natural logarithm of each element."""
        return self.apply("Log")

    def sqrt(self) -> Tensor:
        """The square root of each element."""
        return self.apply("Sqrt")

    def sign(self) -> Tensor:
        """The sign of each element."""
        return self.apply("Sign")

    def sigmoid(self) -> Tensor:
        """The logistic function of each element."""
        return self.apply("Sigmoid")

    def floor(self) -> Tensor:
        """The largest integer not above each element."""
        return self.apply("Floor")

    def clip(self, low: Operand, high: Operand) -> Tensor:
        """Each element, no less than ``low`` and no more than ``high``."""
        return minimum(maximum(self, low), high)

    def cast(self, dtype: ir.DataType) -> Tensor:
        """This tensor in another element type."""
        return self if dtype == self.dtype else self.apply("Cast", to=int(dtype))

    # Reductions.

    def _reduce(self, op_type: str, axes: Sequence[int], keepdims: bool) -> Tensor:
        axes = sorted(axis % self.rank for axis in axes)
        if not axes:
            return self
        physical = self.tape.constant([axis + self.lead for axis in axes])
        return self.tape.op(op_type, self, physical, lead=self.lead, keepdims=int(keepdims))

    def sum(self, axes: Sequence[int], *, keepdims: bool = False) -> Tensor:
        """The sum over axes; over none, the tensor itself."""
        if all(self.extent(axis) == 1 for axis in axes):
            return self if keepdims else self.squeeze(axes)
        return self._reduce_in_steps("ReduceSum", axes, keepdims)

    def mean(self, axes: Sequence[int], *, keepdims: bool = False) -> Tensor:
        """The mean over axes."""
        return self._reduce_in_steps("ReduceMean", axes, keepdims)

    def _reduce_in_steps(self, op_type: str, axes: Sequence[int], keepdims: bool) -> Tensor:
        """A sum or mean along one axis after the other, from the last.

        onnxruntime adds the elements up one by one, with an error that grows with their number:
        the sums of rows, then of columns, cancel to an error a hundred times as small at 256x256.
        """
        long = [axis % self.rank for axis in axes if self.extent(axis) != 1]
        extents = [extent for axis in long if isinstance(extent := self.extent(axis), int)]
        if len(extents) == len(long) and math.prod(extents) <= _FEW:
            return self._reduce(op_type, axes, keepdims)
        reduced = self
        for axis in sorted(long, reverse=True)[:-1]:
            reduced = reduced._reduce(op_type, [axis], True)
        return reduced._reduce(op_type, axes, keepdims)

    def prod(self, axes: Sequence[int], *, keepdims: bool = False) -> Tensor:
        """The product over axes."""
        return self._reduce("ReduceProd", axes, keepdims)

    def max(self, axes: Sequence[int], *, keepdims: bool = False) -> Tensor:
        """The largest element over axes."""
        return self._reduce("ReduceMax", axes, keepdims)

    # Shapes.

    def reshape(self, dims: Sequence[Dim]) -> Tensor:
        """The same elements in another shape."""
        leading: list[Dim] = [self.tape.questions] if self.lead else []
        physical = [*leading, *dims]
        if tuple(physical) == self.shape:  # all static and the same
            return self
        target = list(physical)
        unknown = [i for i, dim in enumerate(physical) if not isinstance(dim, int)]
        if len(unknown) == 1 and 0 not in physical:
            target[unknown[0]] = -1
        # allowzero: an extent of 0 (no question asked) is an extent of 0, not a copied one
        allowzero = int(-1 not in target)
        shape = self.tape.shape(target)
        shaped = self.tape.op("Reshape", self, shape, lead=self.lead, allowzero=allowzero)
        return shaped.ranked(len(dims)).stamped(physical)

    def stamped(self, physical: Sequence[Dim | str | None]) -> Tensor:
        """This tensor, with the extents (questions' axis included) that inference lost."""
        extents = [dim.symbol if isinstance(dim, Tensor) else dim for dim in physical]
        self.shape = tuple(
            inferred if extent in (None, -1) else extent
            for extent, inferred in zip(extents, self.shape, strict=True)
        )
        if self.const is None:
            self.value.shape = ir.Shape(self.shape)
        return self

    def ranked(self, rank: int) -> Tensor:
        """This tensor, with the rank that inference lost."""
        if self.rank != rank:
            self.shape = (None,) * (rank + self.lead)
            self.value.shape = ir.Shape(self.shape)
        return self

    def transpose(self, order: Sequence[int]) -> Tensor:
        """The axes in another order."""
        if list(order) == list(range(self.rank)):
            return self
        physical = [*range(self.lead), *(axis + self.lead for axis in order)]
        return self.tape.op("Transpose", self, lead=self.lead, perm=physical)

    def moved(self, source: int, target: int) -> Tensor:
        """One axis in another place."""
        order = list(range(self.rank))
        order.insert(target % self.rank, order.pop(source % self.rank))
        return self.transpose(order)

    def unsqueeze(self, axes: Sequence[int]) -> Tensor:
        """Axes of extent 1 inserted; counted in the result."""
        if not axes:
            return self
        rank = self.rank + len(axes)
        physical = self.tape.constant(sorted(axis % rank + self.lead for axis in axes))
        return self.tape.op("Unsqueeze", self, physical, lead=self.lead)

    def squeeze(self, axes: Sequence[int]) -> Tensor:
        """Axes of extent 1 removed."""
        if not axes:
            return self
        physical = self.tape.constant(sorted(axis % self.rank + self.lead for axis in axes))
        return self.tape.op("Squeeze", self, physical, lead=self.lead)

    def expand(self, dims: Sequence[Dim]) -> Tensor:
        """Axes of extent 1 repeated up to these extents."""
        if tuple(dims) == self.shape[self.lead :]:
            return self
        if 0 in dims:  # ONNX Runtime's optimizer removes such an Expand
            return self.tape.zeros(dims, self.dtype, lead=self.lead)
        leading: list[Dim] = [self.tape.questions] if self.lead else []
        physical = [*leading, *dims]
        repeated = self.tape.op("Expand", self, self.tape.shape(physical), lead=self.lead)
        return repeated.ranked(len(dims)).stamped(physical)

    def asked(self, questions: Dim | None = None) -> Tensor:
        """This tensor repeated along the questions' axis, for all questions or this many."""
        if self.lead:
            return self
        physical = [self.tape.questions if questions is None else questions, *self.dims]
        return self.tape.op("Expand", self, self.tape.shape(physical), lead=1).stamped(physical)

    def slice(self, axis: int, start: Dim, stop: Dim, step: int = 1) -> Tensor:
        """The elements ``start``, ``start + step``, ... before ``stop`` along an axis.

        ONNX clamps the bounds, and counts negative ones from the end.
        """
        if start == 0 and step == 1 and isinstance(stop, int) and stop == self.extent(axis):
            return self
        bounds = [self.tape.shape([dim]) for dim in (start, stop)]
        along = self.tape.constant([axis % self.rank + self.lead])
        step_ = self.tape.constant([step])
        cut = self.tape.op("Slice", self, *bounds, along, step_, lead=self.lead)
        return cut._alike(self, axis)

    def flip(self, axis: int) -> Tensor:
        """The elements along an axis in reverse order."""
        return self if self.extent(axis) == 1 else self.slice(axis, -1, -(2**62), -1)

    def pad(self, axis: int, before: Dim, after: Dim) -> Tensor:
        """This tensor padded with zeros along an axis; negative amounts crop."""
        if before == 0 and after == 0:
            return self
        if isinstance(before, int) and isinstance(after, int) and min(before, after) < 0:
            cropped = self.slice(axis, max(-before, 0), after if after < 0 else 2**62)
            return cropped.pad(axis, max(before, 0), max(after, 0))
        # Amounts for all axes: ONNX Runtime's transpose optimizer misreads a Pad that names axes.
        along, rank = axis % self.rank + self.lead, self.rank + self.lead
        amounts: list[Dim] = [0] * (2 * rank)
        amounts[along], amounts[rank + along] = before, after
        zero = self.tape.constant(np.zeros((), self.dtype.numpy()))
        padded = self.tape.op("Pad", self, self.tape.shape(amounts), zero, lead=self.lead)
        return padded._alike(self, axis)

    def _alike(self, other: Tensor, but: int) -> Tensor:
        """This tensor, with the extents of another along every axis but one."""
        changed = but % other.rank + other.lead
        shape = (*other.shape[:changed], self.shape[changed], *other.shape[changed + 1 :])
        return self.stamped(shape)

    # Linear algebra.

    def __matmul__(self, other: Tensor) -> Tensor:
        """The matrix product over the last two axes, the others broadcast.

        ONNX Runtime before 1.32 does not broadcast an extent of 1 to 0, which the questions' can
        be, unless the right-hand side is one matrix: both sides get that axis then.
        """
        a, b = _aligned([self, other])
        questions = (a if a.lead else b).revealed().dim(0)
        if a.lead != b.lead and isinstance(questions, Tensor) and not _is_one_matrix(b):
            rank = max(a.rank, b.rank)
            a, b = (t.unsqueeze(range(rank - t.rank)).asked(questions) for t in (a, b))
        return self.tape.op("MatMul", a, b, lead=max(a.lead, b.lead))

    @property
    def mT(self) -> Tensor:  # noqa: N802 - as NumPy names it
        """The last two axes swapped."""
        return self.moved(-1, -2)

    def along(self, axis: int, matrix: Tensor) -> Tensor:
        """A matrix [rows, extent] applied along an axis: its extent becomes ``rows``."""
        if self.rank == 1:
            return self.unsqueeze([0]).along(1, matrix).squeeze([0])
        if axis % self.rank == self.rank - 1:
            return self @ matrix.mT
        if axis % self.rank == self.rank - 2:
            if self.tape.gate is not None and not self.lead:  # perhaps of no picture: as for @
                return (self.mT @ matrix.mT).mT
            return matrix @ self
        return (self.moved(axis, -1) @ matrix.mT).moved(-1, axis)

    def folded(self) -> Tensor:
        """The questions' axis merged into the first axis, for operators with one batch axis.

        :meth:`unfolded` is the inverse.
        """
        if not self.lead:
            return self
        first = self.dim(0)
        questions = self.tape.questions
        batch = first * questions if isinstance(first, Tensor) else questions * first
        physical = [batch, *self.dims[1:]]
        return self.revealed().reshape(physical)

    def unfolded(self, first: Dim) -> Tensor:
        """The first axis split into the questions' axis and one of extent ``first``."""
        physical = [self.tape.questions, first, *self.dims[1:]]
        return self.revealed().reshape(physical).leading()

    def leading(self) -> Tensor:
        """This tensor with axis 0 as the questions' axis."""
        return _relabelled(self, 1)

    def revealed(self) -> Tensor:
        """This tensor with the questions' axis, if any, counted as any other."""
        return _relabelled(self, 0)


#: An extent: a number where it is known now, else an int64 tensor [1].
Dim: TypeAlias = int | Tensor
Operand: TypeAlias = Tensor | float | int


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of two, element by element."""
    return _elementwise("Max", a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of two, element by element."""
    return _elementwise("Min", a, b)


def at_least(dim: Dim, low: int) -> Dim:
    """An extent, but at least ``low``."""
    return maximum(dim, low) if isinstance(dim, Tensor) else max(dim, low)


def at_most(dim: Dim, high: Dim) -> Dim:
    """An extent, but at most ``high``."""
    if isinstance(dim, int) and isinstance(high, int):
        return min(dim, high)
    return minimum(dim, high)


def product(dims: Iterable[Dim]) -> Dim:
    """The product of extents."""
    result: Dim = 1
    for dim in dims:
        result = dim * result
    return result


def _is(operand: Operand, number: int) -> bool:
    return not isinstance(operand, Tensor) and operand == number


def _relabelled(tensor: Tensor, lead: int) -> Tensor:
    if tensor.lead == lead:
        return tensor
    value = tensor.value if tensor.const is None else None
    return Tensor(
        tensor.tape,
        shape=tensor.shape,
        dtype=tensor.dtype,
        value=value,
        const=tensor.const,
        lead=lead,
    )


def _aligned(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors, all those with the questions' axis of the same rank.

    Shapes are aligned from the right, which would pair the questions' axis of a tensor of lower
    rank with another axis.
    """
    rank = max(t.rank for t in tensors)
    return [t.unsqueeze(range(rank - t.rank)) if t.lead else t for t in tensors]


def _is_one_matrix(tensor: Tensor) -> bool:
    return not tensor.lead and all(extent == 1 for extent in tensor.shape[:-2])


def _elementwise(op_type: str, *operands: Operand) -> Tensor:
    typed = [t for t in operands if isinstance(t, Tensor)]
    tape = typed[0].tape
    dtype = typed[-1].dtype
    tensors = _aligned([t if isinstance(t, Tensor) else tape.constant(t, dtype) for t in operands])
    return tape.op(op_type, *tensors, lead=max(t.lead for t in tensors))


def content(array: Array) -> tuple[object, ...]:
    """A key that is equal for equal arrays."""
    return array.dtype.str, array.shape, hashlib.blake2b(array.tobytes()).digest()
