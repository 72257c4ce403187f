"""The Fourier transform: real and complex, both ways, one side, padded and cut, and in frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check, check_operator, operator

from ortcam.errors import OperatorError
from ortcam_export.vjp import vjp


@pytest.mark.parametrize("length", [None, 4, 9])
@pytest.mark.parametrize(
    ("parts", "inverse", "onesided"), [(1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 1, 0)]
)
@pytest.mark.parametrize("axis", [1, -3])
def test_dft(normal: Any, axis: Any, parts: Any, inverse: Any, onesided: Any, length: Any) -> None:
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
def test_the_inverse_of_one_side(normal: Any, axis: Any, length: Any) -> None:
    # for other lengths that do not fit the side's 6 places ONNX Runtime differs from onnx
    inputs = {
        "x": normal(2, 6, 5, 2),
        "length": None if length is None else np.array(length, np.int64),
        "axis": np.array(axis, np.int64),
    }
    check_operator(
        "DFT", inputs, fixed=["length", "axis"], linear=True, opset=20, inverse=1, onesided=1
    )


def test_the_inverse_of_one_side_of_opset_17(normal: Any) -> None:
    case = operator("DFT", {"x": normal(2, 3, 5, 2)}, opset=17, axis=2, inverse=1, onesided=1)
    check(case, wrt=["x"], linear=True)


@pytest.mark.parametrize("axis", [1, 2])
def test_the_dft_of_opset_17(normal: Any, axis: Any) -> None:
    case = operator("DFT", {"x": normal(2, 3, 5, 1)}, opset=17, axis=axis)
    check(case, wrt=["x"], linear=True)


# ---- Short-time transforms ----


# the other side of a complex signal is not the first one's conjugate
@pytest.mark.parametrize(("parts", "onesided"), [(1, 0), (1, 1), (2, 0)])
@pytest.mark.parametrize("step", [2, 5])
@pytest.mark.parametrize("windowed", [True, False])
def test_short_time_fourier_transform(
    normal: Any, positive: Any, parts: Any, onesided: Any, step: Any, windowed: Any
) -> None:
    inputs = {
        "x": normal(2, 21, parts),
        "step": np.array(step),
        "window": positive(6) if windowed else None,
        "length": np.array(6),
    }
    check_operator(
        "STFT", inputs, fixed=["step", "length"], linear=True, onesided=onesided, dynamic=["x"]
    )


def test_a_step_that_is_computed_is_refused(normal: Any) -> None:
    inputs = {"x": normal(1, 20, 1), "step": np.array(2), "window": None, "length": np.array(6)}
    case = operator("STFT", inputs, fixed=["length"])
    with pytest.raises(OperatorError, match="computed when the network runs"):
        vjp(case.model, "y", ["x"])
