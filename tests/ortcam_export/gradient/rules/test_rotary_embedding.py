"""Rotary position embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check_operator


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("dims", [0, 4])
@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("heads", [True, False])
def test_rotary_embedding(
    normal: Any, interleaved: Any, dims: Any, positions: Any, heads: Any
) -> None:
    angles = normal(*((9,) if positions else (2, 3)), (dims or 6) // 2)
    inputs = {
        "x": normal(2, 4, 3, 6) if heads else normal(2, 3, 24),
        "cos": np.cos(angles),
        "sin": np.sin(angles),
        "places": np.array([[0, 1, 2], [8, 4, 5]], np.int64) if positions else None,
    }
    check_operator(
        "RotaryEmbedding", inputs, wrt=["x", "cos", "sin"], opset=23, linear=True,
        interleaved=interleaved, rotary_embedding_dim=dims,
        num_heads=0 if heads and not dims else 4,
    )  # fmt: skip
