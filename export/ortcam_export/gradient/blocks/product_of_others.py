"""Products of many factors, some of which may be 0."""

from __future__ import annotations

from ortcam_export.gradient.tensor import Tensor

__all__ = ["others"]


def others(x: Tensor, product: Tensor, zeros: Tensor) -> Tensor:
    """The product of all factors but x.

    Args:
        x: the factor.
        product: the product of the factors that are not 0.
        zeros: the number of factors that are 0.
    """
    zero = x.equals(0)
    return zero.where(
        product.masked(zeros.equals(1)), product.masked(zeros.equals(0)) / zero.where(1, x)
    )
