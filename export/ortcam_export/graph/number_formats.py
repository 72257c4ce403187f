"""What a network computes in: the formats of its numbers, in words."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

__all__ = ["number_format"]


def number_format(model: ir.Model) -> str:
    """Such as ``"float32"``, ``"float16 and float32"`` or ``"float32, quantized to int8"``.

    Of several the one of the most tensors comes first.
    """
    floats: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for node in model.graph:
        for value in node.outputs:
            if value.dtype is not None and value.dtype.is_floating_point():
                floats[value.dtype.name.lower()] += 1
        if node.op_type == "DequantizeLinear":
            # A bias of 32 bits is what the product of two narrow numbers is, no format of its own.
            x = node.inputs[0]
            whole.update([x.dtype.name.lower()] if x and x.dtype and x.dtype.itemsize <= 2 else [])
    for name in whole:
        floats.pop(name, None)
    text = " and ".join(_named(name) for name, _ in floats.most_common())
    if whole:
        text += f", quantized to {' and '.join(name for name, _ in whole.most_common())}"
    return text


def _named(name: str) -> str:
    return {"float": "float32", "double": "float64"}.get(name, name)
