"""MatMul, Gemm and Det."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from finite_differences import check_operator, operator

from ortcam.errors import OperatorError
from ortcam_export.vjp import vjp

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
def test_matmul(normal: Any, a: Any, b: Any) -> None:
    inputs = {"a": normal(*a), "b": normal(*b)}
    check_operator("MatMul", inputs)
    check_operator("MatMul", inputs, fixed=["b"])


@pytest.mark.parametrize(("left", "right"), [*itertools.product([0, 1], repeat=2)])
@pytest.mark.parametrize("c", [None, (3, 5), (5,), (1, 5), (3, 1), (1,), ()], ids=str)
def test_gemm(normal: Any, left: Any, right: Any, c: Any) -> None:
    inputs = {
        "a": normal(*((4, 3) if left else (3, 4))),
        "b": normal(*((5, 4) if right else (4, 5))),
    }
    if c is not None:
        inputs["c"] = normal(*c).reshape(c) if c else normal(1).reshape(())
    scales: dict[str, Any] = {"alpha": 0.7, "beta": 1.6} if left != right else {}
    check_operator("Gemm", inputs, transA=left, transB=right, **scales)


# ---- Determinants ----


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 1, 1), (2, 3, 4, 4), (5, 5)])
def test_determinant(normal: Any, shape: Any) -> None:
    check_operator("Det", {"x": normal(*shape)}, dynamic=())


def test_determinants_of_matrices_without_inverse(normal: Any) -> None:
    x = normal(3, 3, 3)
    x[1, 2] = x[1, 0] + x[1, 1]  # rank 2: the cofactors are not 0
    x[2, :2] = 0  # rank 1: they are
    check_operator("Det", {"x": x}, dynamic=())


def test_matrices_of_unknown_or_large_size_are_refused(normal: Any) -> None:
    case = operator("Det", {"x": normal(33, 33)})
    with pytest.raises(OperatorError, match="more than 32 rows"):
        vjp(case.model, "y", ["x"])
