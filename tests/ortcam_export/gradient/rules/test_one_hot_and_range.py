"""Tensors made from a few numbers, and Mod."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator


def test_range() -> None:
    inputs = {
        "start": np.array(1.5, np.float32),
        "limit": np.array(4.0, np.float32),
        "delta": np.array(0.5, np.float32),
    }

    def function(f: Any) -> Any:
        return f["start"] + np.arange(5) * f["delta"]

    check(operator("Range", inputs), wrt=["start", "delta"], function=function)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(normal: Any, axis: Any) -> None:
    inputs = {
        "indices": np.array([[0, 2, -1], [1, 9, 3]], np.int64),
        "depth": np.array([4], np.int64),
        "values": normal(2),
    }
    check_operator("OneHot", inputs, fixed=["depth"], linear=True, axis=axis)


def test_mod(normal: Any, positive: Any) -> None:
    check_operator("Mod", {"a": normal(3, 4) * 5, "b": positive(4)}, fmod=1)
