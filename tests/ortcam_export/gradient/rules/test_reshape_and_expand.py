"""Operators that arrange elements: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from finite_differences import check_operator


def ints(*values: Any) -> Any:
    return np.array(values, np.int64)


@pytest.mark.parametrize("shape", [(6, 4), (2, -1), (0, 12), (0, 0, 2, -1), (-1,), (1, 2, 3, 4, 1)])
@pytest.mark.parametrize("known", [True, False], ids=["constant", "fed"])
def test_reshape(normal: Any, shape: Any, known: Any) -> None:
    inputs = {"x": normal(2, 3, 4), "shape": ints(*shape)}
    check_operator("Reshape", inputs, fixed=["shape"] if known else [], dynamic=["x"])


@pytest.mark.parametrize(("of", "to"), [((0, 3, 4), (3, 4, 0)), ((2, 0), (0, 5)), ((0,), (0, 7))])
def test_reshape_of_nothing_with_allowzero(normal: Any, of: Any, to: Any) -> None:
    inputs = {"x": normal(*of), "shape": ints(*to)}
    check_operator("Reshape", inputs, fixed=["shape"], allowzero=1)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_flatten(normal: Any, axis: Any) -> None:
    check_operator("Flatten", {"x": normal(2, 3, 4)}, axis=axis)


@pytest.mark.parametrize("axes", [None, (0,), (2,), (-2,), (0, 2)])
def test_squeeze(normal: Any, axes: Any) -> None:
    inputs = {"x": normal(1, 3, 1, 4), "axes": None if axes is None else ints(*axes)}
    # without axes the rank of what has symbolic extents is not known
    check_operator("Squeeze", inputs, fixed=["axes"], dynamic=[] if axes is None else None)


@pytest.mark.parametrize("axes", [(0,), (-1,), (1, 3), (-1, 0)])
def test_unsqueeze(normal: Any, axes: Any) -> None:
    check_operator("Unsqueeze", {"x": normal(2, 3), "axes": ints(*axes)}, fixed=["axes"])


@pytest.mark.parametrize("order", [None, *itertools.permutations(range(3))], ids=str)
def test_transpose(normal: Any, order: Any) -> None:
    given = {} if order is None else {"perm": order}
    check_operator("Transpose", {"x": normal(2, 3, 4)}, **given)


@pytest.mark.parametrize(
    ("of", "to"),
    [
        ((1, 3), (4, 3)), ((3,), (2, 3)), ((3, 1), (1, 4)), ((2, 3), (2, 3)), ((1,), (2, 1, 3)),
        ((), (2, 3)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("known", [True, False], ids=["constant", "fed"])
def test_expand(normal: Any, of: Any, to: Any, known: Any) -> None:
    inputs = {"x": np.asarray(normal(*of)), "shape": ints(*to)}
    check_operator("Expand", inputs, fixed=["shape"] if known else [], dynamic=["x"])
