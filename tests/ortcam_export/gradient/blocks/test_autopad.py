"""Padding that auto_pad asks for, where strides are longer than kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check, operator, symbolic

from ortcam.errors import OperatorError
from ortcam_export.vjp import vjp


def strided(op_type: Any, mode: Any, extent: Any, kernel: Any, stride: Any) -> Any:
    inputs = {"x": 1 + np.random.default_rng(0).random((1, 2, extent), np.float32)}
    attributes = {"strides": [stride], "auto_pad": mode}
    if op_type == "Conv":
        inputs["w"] = np.ones((2, 2, kernel), np.float32)
    else:
        attributes["kernel_shape"] = [kernel]
    return operator(op_type, inputs, fixed=["w"], **attributes)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("op_type", ["Conv", "AveragePool"])
def test_kernels_up_to_one_element_apart_are_not_cropped_for(op_type: Any, mode: Any) -> None:
    for extent in range(4, 9):
        check(strided(op_type, mode, extent, 2, 3), wrt=["x"], linear=True)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("op_type", ["Conv", "AveragePool"])
def test_nor_for_extents_that_are_padded_or_met(op_type: Any, mode: Any) -> None:
    for extent in (9, 10, 11):
        check(strided(op_type, mode, extent, 2, 4), wrt=["x"], linear=True, dynamic=[])


@pytest.mark.parametrize("op_type", ["Conv", "AveragePool", "LpPool"])
def test_what_may_be_cropped_is_refused(op_type: Any) -> None:
    case = strided(op_type, "SAME_UPPER", 8, 2, 4)
    for model in (case.model, symbolic(strided(op_type, "SAME_UPPER", 9, 2, 4).model)):
        with pytest.raises(OperatorError, match="crops by amounts"):
            vjp(model, "y", ["x"])
