"""Ranks, extents, names and constants of a graph's values."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

__all__ = ["constant_input", "constant_ints", "extents", "output_names", "rank"]

#: The numbers of channels of a picture: grey, or colour.
PICTURE_CHANNELS = (1, 3)


def rank(value: ir.Value) -> int:
    """The rank of a tensor, 0 where it is unknown."""
    return 0 if value.shape is None else len(value.shape)


def extents(value: ir.Value) -> tuple[int | str, ...]:
    """Extents for a reader, with ``"?"`` for the names that inference invents."""
    dims = () if value.shape is None else value.shape.dims
    names = (dim if isinstance(dim, int) else dim.value for dim in dims)
    return tuple("?" if n is None or str(n).startswith("unk__") else n for n in names)


def output_names(node: ir.Node) -> list[str]:
    """The names of a node's outputs that have one."""
    return [value.name for value in node.outputs if value.name]


def constant_input(node: ir.Node, index: int) -> NDArray[Any] | None:
    """The value of a node's input, or None where it is absent or not constant."""
    return _constant(node.inputs[index] if index < len(node.inputs) else None)


def constant_ints(value: ir.Value | None) -> list[int] | None:
    """The integers in a constant tensor, or None where it is not constant."""
    array = _constant(value)
    return None if array is None else [int(v) for v in array.reshape(-1)]


def _constant(value: ir.Value | None) -> NDArray[Any] | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()
