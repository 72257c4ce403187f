"""The padding of convolutions and pools: the attribute's, or that of auto_pad."""

from __future__ import annotations

from collections.abc import Sequence

from ortcam_export.gradient.node import Node
from ortcam_export.gradient.tensor import Dim, at_least

__all__ = ["padding"]


def padding(
    n: Node, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[Dim, Dim]]:
    """The padding before and after each space axis of the input."""
    space = len(kernel)
    mode = n.attribute("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        pads = n.attribute("pads", [0] * 2 * space) if mode == "NOTSET" else [0] * 2 * space
        return list(zip(pads[:space], pads[space:], strict=True))
    amounts: list[tuple[Dim, Dim]] = []
    for i in range(space):  # the output is as long as the input divided by the stride
        span = dilations[i] * (kernel[i] - 1) + 1
        extent = n.x.dim(2 + i)
        steps = (extent + (strides[i] - 1)) // strides[i] - 1
        total = steps * strides[i] + span - extent
        if span < strides[i] - 1 and not (isinstance(total, int) and total >= -1):
            raise n.refuse(
                f"has auto_pad {mode} and kernels more than one element apart, for which "
                "ONNX Runtime crops by amounts that the operator's definition does not state"
            )
        total = at_least(total, 0)
        small = total // 2
        large = total - small
        amounts.append((large, small) if mode == "SAME_LOWER" else (small, large))
    return amounts
