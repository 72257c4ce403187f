"""Derivatives of softmax and sigmoid that keep their digits where these are close to 1."""

from __future__ import annotations

from ortcam_export.gradient.tensor import Tensor

__all__ = ["complemented", "sigmoid_slope"]


def sigmoid_slope(x: Tensor) -> Tensor:
    """s (1 - s) for s the sigmoid of x: e / (1 + e)^2 with e = exp(-|x|).

    Far from 0 neither 1 - s keeps its digits nor ONNX Runtime's Sigmoid, whose small values are
    exact to 1e-7 and not to seven digits.
    """
    e = (-x.apply("Abs")).exp()
    return e / ((1 + e) * (1 + e))


def complemented(s: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """A softmax split so that w_c - sum_j w_j s_j loses no digits where one s is close to 1.

    Returns:
        ``dominant``, one at the class above a half, if any, ``others``, the softmax without that
        class, and ``rest``, the sum of the others. With d = sum_j w_j dominant_j,
        sum_j w_j s_j = d + (sum_j w_j others_j - d rest), in which w_c - d is exactly 0 at the
        dominant class and the rest is as small as the other classes.
    """
    dominant = s.apply("Round")
    # products: on ONNX Runtime's CPU provider Where takes five times as long
    others = s - s * dominant
    return dominant, others, others.sum([axis], keepdims=True)
