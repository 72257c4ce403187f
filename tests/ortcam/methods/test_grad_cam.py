"""Grad-CAM's arithmetic, and why a map shows nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ortcam.methods.grad_cam import rectified, weighted_sums, why_blank


def test_the_formula() -> None:
    r = np.random.default_rng(0)
    features, weights = r.normal(size=(5, 3, 4)), r.normal(size=(2, 5))
    sums = weighted_sums(features, weights)
    expected = sum(weights[:, k, None, None] * features[k] for k in range(5))
    assert sums.dtype == np.float32
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)
    assert (expected < 0).any()
    np.testing.assert_array_equal(rectified(sums), np.where(sums > 0, sums, 0))


def test_half_precision_is_summed_in_float32() -> None:
    features, weights = np.full((600, 1, 1), 300, np.float16), np.ones((1, 600), np.float16)
    assert weighted_sums(features, weights) == 180000  # beyond float16


ONES = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("features", "weights", "said"),
    [
        (ONES, [1, 1], None),
        (ONES, [-1, -2], "all zero: every sum is negative before the ReLU"),
        (0 * ONES, [1, 1], "all zero: the features are all zero"),
        (ONES, [0, 0], "all zero: every weight is zero"),
        (ONES, [1, -1], "all zero: every sum is zero before the ReLU"),
        (np.where(np.arange(4) == 2, np.nan, ONES), [1, 1], "the features are not finite"),
        (np.where(np.arange(4) == 2, np.inf, ONES), [1, -1], "the features are not finite"),
        (ONES, [np.nan, 1], "not a number: the gradient is not finite"),
        (1e38 * ONES, [10, -10], "the sums overflow float32"),
    ],
)
def test_a_blank_map_says_why(features: Any, weights: Any, said: str) -> None:
    weights = np.array(weights, np.float32)
    features = np.asarray(features, np.float32)
    sums = weighted_sums(features, weights[None])
    why = why_blank(features, weights, sums[0])
    if said is None:
        assert why is None
    else:
        assert why is not None
        assert said in why
