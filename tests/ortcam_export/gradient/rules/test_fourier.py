"""The discrete Fourier transform: real and complex, both ways, one side, padded and cut."""

from __future__ import annotations

import numpy as np
import pytest
from finite_differences import check, check_operator, operator


@pytest.mark.parametrize("length", [None, 4, 9])
@pytest.mark.parametrize(
    ("parts", "inverse", "onesided"), [(1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 1, 0)]
)
@pytest.mark.parametrize("axis", [1, -3])
def test_dft(normal, axis, parts, inverse, onesided, length):
    inputs = {
        "x": normal(2, 6, 5, parts),
        "length": None if length is None else np.array(length, np.int64),
        "axis": np.array(axis, np.int64),
    }
    check_operator(
        "DFT", inputs, fixed=["length", "axis"], linear=True, opset=20, inverse=inverse,
        onesided=onesided,
    )  # fmt: skip


@pytest.mark.parametrize("length", [None, 8, 10, 11, 13])
@pytest.mark.parametrize("axis", [1, -3])
def test_the_inverse_of_one_side(normal, axis, length):
    # other lengths that do not fit the side's 6 places onnxruntime transforms otherwise than onnx
    inputs = {
        "x": normal(2, 6, 5, 2),
        "length": None if length is None else np.array(length, np.int64),
        "axis": np.array(axis, np.int64),
    }
    check_operator(
        "DFT", inputs, fixed=["length", "axis"], linear=True, opset=20, inverse=1, onesided=1
    )


def test_the_inverse_of_one_side_of_opset_17(normal):
    case = operator("DFT", {"x": normal(2, 3, 5, 2)}, opset=17, axis=2, inverse=1, onesided=1)
    check(case, wrt=["x"], linear=True)


@pytest.mark.parametrize("axis", [1, 2])
def test_the_dft_of_opset_17(normal, axis):
    case = operator("DFT", {"x": normal(2, 3, 5, 1)}, opset=17, axis=axis)
    check(case, wrt=["x"], linear=True)
