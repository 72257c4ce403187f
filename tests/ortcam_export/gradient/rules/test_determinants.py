from __future__ import annotations

import pytest
from finite_differences import check_operator, operator

from ortcam.errors import OperatorError
from ortcam_export.vjp import vjp


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 1, 1), (2, 3, 4, 4), (5, 5)])
def test_determinant(normal, shape):
    check_operator("Det", {"x": normal(*shape)}, dynamic=())


def test_determinants_of_matrices_without_inverse(normal):
    x = normal(3, 3, 3)
    x[1, 2] = x[1, 0] + x[1, 1]  # rank 2: the cofactors are not 0
    x[2, :2] = 0  # rank 1: they are
    check_operator("Det", {"x": x}, dynamic=())


def test_matrices_of_unknown_or_large_size_are_refused(normal):
    case = operator("Det", {"x": normal(33, 33)})
    with pytest.raises(OperatorError, match="32 rows or fewer"):
        vjp(case.model, "y", ["x"])
