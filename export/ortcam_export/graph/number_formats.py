"""The number formats that a network computes in, in words."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

__all__ = ["number_format", "representable"]


def number_format(model: ir.Model) -> str:
    """Return ``"float32"``, ``"float16 and float32"``, ``"float32, quantized to int8"`` and so on.

    The format of the most tensors comes first.
    """
    floats: Counter[str] = Counter()
    integers: Counter[str] = Counter()
    for node in model.graph:
        for value in node.outputs:
            if value.dtype is not None and value.dtype.is_floating_point():
                floats[value.dtype.name.lower()] += 1
        if node.op_type == "DequantizeLinear":
            # A bias of 32 bits has the type of a product of narrow numbers: it is no format.
            x = node.inputs[0]
            integers.update(
                [x.dtype.name.lower()] if x and x.dtype and x.dtype.itemsize <= 2 else []
            )
    for name in integers:
        floats.pop(name, None)
    text = " and ".join(_named(name) for name, _ in floats.most_common())
    if integers:
        text += f", quantized to {' and '.join(name for name, _ in integers.most_common())}"
    return text


def _named(name: str) -> str:
    return {"float": "float32", "double": "float64"}.get(name, name)


#: The greatest finite number of each floating type that tensors are quantized to.
_GREATEST = {
    ir.DataType.FLOAT8E4M3FN: 448.0,
    ir.DataType.FLOAT8E4M3FNUZ: 240.0,
    ir.DataType.FLOAT8E5M2: 57344.0,
    ir.DataType.FLOAT8E5M2FNUZ: 57344.0,
    ir.DataType.FLOAT4E2M1: 6.0,
}


def representable(dtype: ir.DataType | None) -> tuple[float, float]:
    """The least and the greatest number of an element type."""
    assert dtype is not None
    if dtype in _GREATEST:
        return -_GREATEST[dtype], _GREATEST[dtype]
    bits = int(dtype.bitwidth)
    return (
        (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if dtype.is_signed() else (0, 2.0**bits - 1)
    )
