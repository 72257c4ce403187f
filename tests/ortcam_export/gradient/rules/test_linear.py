"""MatMul and Gemm."""

from __future__ import annotations

import itertools

import pytest
from finite_differences import check_operator

PRODUCTS = [
    ((3, 4), (4, 5)),
    ((4,), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((2, 3, 4), (4,)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((1, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (3, 4, 5)),
    ((3, 4), (2, 1, 4, 1)),
    ((2, 1, 1, 4), (1, 3, 4, 1)),
]


@pytest.mark.parametrize(("a", "b"), PRODUCTS, ids=[f"{a} @ {b}" for a, b in PRODUCTS])
def test_matmul(normal, a, b):
    inputs = {"a": normal(*a), "b": normal(*b)}
    check_operator("MatMul", inputs)
    check_operator("MatMul", inputs, fixed=["b"])


@pytest.mark.parametrize(("left", "right"), [*itertools.product([0, 1], repeat=2)])
@pytest.mark.parametrize("c", [None, (3, 5), (5,), (1, 5), (3, 1), (1,), ()], ids=str)
def test_gemm(normal, left, right, c):
    inputs = {
        "a": normal(*((4, 3) if left else (3, 4))),
        "b": normal(*((5, 4) if right else (4, 5))),
    }
    if c is not None:
        inputs["c"] = normal(*c).reshape(c) if c else normal(1).reshape(())
    scales = {"alpha": 0.7, "beta": 1.6} if left != right else {}
    check_operator("Gemm", inputs, transA=left, transB=right, **scales)
