"""The values of tensors that are known before a network runs.

Extents of known shapes, constants, and what follows from these: conditions, trip counts, axes,
sizes. A hostile file may ask for a Range up to 10^12, so nothing is computed whose result is large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

__all__ = ["LARGEST", "Constants", "evaluated"]

Array: TypeAlias = NDArray[Any]

#: No result of more elements is kept, unless an input was larger.
LARGEST = 1 << 22

#: Operators that pick elements of their first input (of all: Concat), whatever these are.
_PICKING = frozenset(
    {"Concat", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)  # fmt: skip

#: Operators of each element, which broadcast their inputs.
_BROADCASTING = frozenset(
    {
        "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max",
        "Min", "Mod", "Mul", "Or", "Sub", "Where", "Xor",
    }
)  # fmt: skip

#: Operators that sizes and conditions are computed with.
_ARITHMETIC = _PICKING | _BROADCASTING | frozenset(
    {
        "Abs", "Cast", "Ceil", "Constant", "ConstantOfShape", "Floor", "Neg", "Not", "Range",
        "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum",
    }
)  # fmt: skip


def evaluated(
    node: onnx.NodeProto, inputs: Mapping[str, Array], opset: int, most: int = LARGEST
) -> list[Array] | None:
    """Return the outputs of a node whose inputs are known.

    Args:
        node: a node of a standard operator.
        inputs: the values of its inputs, by name.
        opset: the version of ai.onnx.
        most: the most elements that Range and ConstantOfShape may make.

    Returns:
        The outputs, or None where the node fails or they are too large.
    """
    arrays = [inputs[name] for name in node.input if name]
    limit = max(LARGEST, *(array.size for array in arrays), 0)
    try:
        if _generated(node.op_type, arrays) > most or _broadcast(node.op_type, arrays) > limit:
            return None
        with np.errstate(all="ignore"):
            outputs = ReferenceEvaluator(node, opsets={"": opset}).run(None, dict(inputs))
    except Exception:  # of many kinds; the network itself fails there when it runs
        return None
    arrays = [np.asarray(output) for output in outputs]
    return arrays if sum(array.size for array in arrays) <= limit else None


def _generated(op_type: str, inputs: Sequence[Array]) -> float:
    """The number of elements of an output whose size is given by the inputs' values; else 0."""
    if op_type == "Range":
        start, limit, delta = (float(array.reshape(())) for array in inputs)
        count = (limit - start) / delta if delta else np.inf
        return np.inf if np.isnan(count) else count
    if op_type == "ConstantOfShape":
        extents = inputs[0].astype(float)
        return float(extents.prod()) if (extents >= 0).all() else np.inf
    return 0


def _broadcast(op_type: str, inputs: Sequence[Array]) -> int:
    """The number of elements of inputs broadcast to each other; 0 where they are not."""
    if op_type not in _BROADCASTING:
        return 0
    elements = 1
    for extent in np.broadcast_shapes(*(array.shape for array in inputs)):
        elements *= extent
    return elements


@dataclass(frozen=True)
class _Partial:
    """A tensor, and a mask of the elements that are known."""

    array: Array
    mask: NDArray[np.bool_]

    @classmethod
    def whole(cls, array: Array) -> _Partial:
        """Return a tensor whose elements are all known."""
        return cls(array, np.ones(array.shape, bool))

    @property
    def is_whole(self) -> bool:
        """True if all elements are known."""
        return bool(self.mask.all())


class Constants:
    """The tensors of a network that follow from its constants and known shapes alone.

    Args of the constructor:
        opset: the version of ai.onnx.
        most: the most elements of a tensor that another is computed from.
    """

    def __init__(self, opset: int, most: int) -> None:
        self._opset = opset
        self._most = most
        self._partials: dict[ir.Value, _Partial | None] = {}

    def __call__(self, value: ir.Value | None) -> Array | None:
        """Return a tensor's value, or None where it is known only when the network runs."""
        if value is None:
            return None
        stack = [value]  # no recursion: networks are deep
        while stack:
            last = stack[-1]
            missing = [] if last in self._partials else self._operands(last)
            if missing:
                stack += missing
                continue
            if last not in self._partials:
                self._partials[last] = self._partial(last)
            stack.pop()
        partial = self._partials[value]
        return partial.array if partial is not None and partial.is_whole else None

    def _operands(self, value: ir.Value) -> list[ir.Value]:
        """The inputs of a value's node that are still to be evaluated."""
        node = value.producer()
        if value.const_value is not None or node is None or not _is_arithmetic(node):
            return []
        return [v for v in node.inputs if v is not None and v not in self._partials]

    def _partial(self, value: ir.Value) -> _Partial | None:
        node, const = value.producer(), value.const_value
        if const is not None and not value.is_graph_input():
            return _Partial.whole(const.numpy()) if const.size <= self._most else None
        if node is None or node.domain:
            return None
        if node.op_type in ("Shape", "Size"):
            return _measured(node)
        if not _is_arithmetic(node):
            return None
        operands: dict[ir.Value, _Partial] = {}
        for operand in node.inputs:
            partial = None if operand is None else self._partials[operand]
            if operand is not None and partial is None:
                return None
            if operand is not None and partial is not None:
                operands[operand] = partial
        if any(partial.array.size > self._most for partial in operands.values()):
            return None
        return self._computed(node, operands)

    def _computed(self, node: ir.Node, operands: Mapping[ir.Value, _Partial]) -> _Partial | None:
        """The output of a node; of one that picks elements, also where only some are known."""
        result = self._run(node, {v: partial.array for v, partial in operands.items()})
        if result is None:
            return None
        if all(partial.is_whole for partial in operands.values()):
            return _Partial.whole(result)
        picked = {*node.inputs[: len(node.inputs) if node.op_type == "Concat" else 1]}
        others = [partial for v, partial in operands.items() if v not in picked]
        if node.op_type not in _PICKING or not all(partial.is_whole for partial in others):
            return None
        marks = {
            v: partial.mask.astype(np.int64) if v in picked else partial.array
            for v, partial in operands.items()
        }
        mask = self._run(node, marks)
        return None if mask is None else _Partial(result, mask.astype(bool))

    def _run(self, node: ir.Node, arrays: Mapping[ir.Value, Array]) -> Array | None:
        inputs = {value.name or "": array for value, array in arrays.items()}
        outputs = evaluated(ir.to_proto(node), inputs, self._opset, self._most)
        return None if outputs is None else outputs[0]


def _is_arithmetic(node: ir.Node) -> bool:
    return not node.domain and node.op_type in _ARITHMETIC and len(node.outputs) == 1


def _measured(node: ir.Node) -> _Partial | None:
    """The shape or the size of a tensor."""
    x = node.inputs[0]
    if x is None or x.shape is None:
        return None
    extents = np.array([dim if isinstance(dim, int) else 0 for dim in x.shape], np.int64)
    mask = np.array([isinstance(dim, int) for dim in x.shape], bool)
    if node.op_type == "Size":
        return _Partial(np.asarray(extents.prod(dtype=np.int64)), np.asarray(mask.all()))
    start = node.attributes.get_int("start", 0)
    end = node.attributes.get_int("end", len(extents))
    return _Partial(extents[start:end], mask[start:end])
