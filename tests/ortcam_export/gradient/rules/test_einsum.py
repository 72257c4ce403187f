"""Einsum: contractions, traces, diagonals, ellipses; letters that only one operand has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check_operator

EQUATIONS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ki,kj", [(3, 2), (3, 4)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->i", [(2, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i", [(4,), (4,)]),
    ("ij,k->i", [(2, 3), (4,)]),
    ("bqhd,bkhd->bhqk", [(2, 3, 2, 4), (2, 5, 2, 4)]),
    ("nctkv,kvw->nctw", [(2, 3, 4, 2, 3), (2, 3, 5)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
    ("...ij,...jk->...ik", [(2, 5, 2, 3), (2, 5, 3, 4)]),
    ("...ij,...jk", [(1, 2, 3), (5, 3, 4)]),
    ("bc...,c->b...", [(2, 3, 4, 5), (3,)]),
    ("...->...", [(2, 3)]),
    (" i j , j -> i ", [(2, 3), (3,)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_equation(normal: Any, equation: Any, shapes: Any) -> None:
    operands = {f"x{i}": normal(*shape) for i, shape in enumerate(shapes)}

    def function(f: Any) -> Any:
        return np.asarray(np.einsum(equation.replace(" ", ""), *(f[name] for name in operands)))

    check_operator("Einsum", operands, equation=equation, function=function)


@pytest.mark.parametrize("equation", ["ii->i", "ii->", "ii"])
def test_diagonal(normal: Any, equation: Any) -> None:
    check_operator("Einsum", {"x": normal(3, 3)}, equation=equation, linear=True)


def test_diagonal_among_others(normal: Any) -> None:
    operands = {"a": normal(2, 3, 2), "b": normal(3, 4)}
    check_operator("Einsum", operands, equation="iji,jk->ki")
