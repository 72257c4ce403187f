"""Ranks, extents, names and constants of a graph's values."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["constant_ints", "extents", "is_channels_last", "output_names", "rank"]

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


def is_channels_last(value: ir.Value) -> bool:
    """True if an input's shape is that of a picture with channels last."""
    if value.shape is None or len(value.shape) != 4:
        return False
    return value.shape[1] not in PICTURE_CHANNELS and value.shape[3] in PICTURE_CHANNELS


def constant_ints(value: ir.Value | None) -> list[int] | None:
    """The integers in a constant tensor, or None where it is not constant."""
    if value is None or value.const_value is None:
        return None
    return [int(v) for v in value.const_value.numpy().reshape(-1)]
