"""Trigonometric and hyperbolic functions, inside the intervals where they are smooth."""

from __future__ import annotations

import numpy as np
import pytest
from finite_differences import check_operator

INTERVALS = {
    "Tan": (-1.4, 1.4),
    "Asin": (-0.95, 0.95),
    "Acos": (-0.95, 0.95),
    "Atan": (-4, 4),
    "Sinh": (-3, 3),
    "Cosh": (-3, 3),
    "Asinh": (-4, 4),
    "Acosh": (1.1, 5),
    "Atanh": (-0.95, 0.95),
}


@pytest.mark.parametrize("op_type", INTERVALS)
def test_function(op_type):
    x = np.linspace(*INTERVALS[op_type], 24, dtype=np.float32).reshape(2, 3, 4)
    check_operator(op_type, {"x": x}, opset=22)
