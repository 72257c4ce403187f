"""Random arrays for the gradient tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def normal() -> Callable[..., np.ndarray[Any, Any]]:
    """Draws float32 arrays of a shape, the same ones in every run."""
    random = np.random.default_rng(0)
    return lambda *shape: random.standard_normal(shape).astype(np.float32)


@pytest.fixture
def positive() -> Callable[..., np.ndarray[Any, Any]]:
    """Draws float32 arrays between 1/2 and 2."""
    random = np.random.default_rng(1)
    return lambda *shape: random.uniform(0.5, 2, shape).astype(np.float32)
