from __future__ import annotations

import numpy as np
import pytest
from finite_differences import check_operator, operator

from ortcam.errors import OperatorError
from ortcam_export.vjp import vjp


# the other side of a complex signal is not the first one's conjugate
@pytest.mark.parametrize(("parts", "onesided"), [(1, 0), (1, 1), (2, 0)])
@pytest.mark.parametrize("step", [2, 5])
@pytest.mark.parametrize("windowed", [True, False])
def test_short_time_fourier_transform(normal, positive, parts, onesided, step, windowed):
    inputs = {
        "x": normal(2, 21, parts),
        "step": np.array(step),
        "window": positive(6) if windowed else None,
        "length": np.array(6),
    }
    check_operator(
        "STFT", inputs, fixed=["step", "length"], linear=True, onesided=onesided, dynamic=["x"]
    )


def test_a_step_that_is_computed_is_refused(normal):
    inputs = {"x": normal(1, 20, 1), "step": np.array(2), "window": None, "length": np.array(6)}
    case = operator("STFT", inputs, fixed=["length"])
    with pytest.raises(OperatorError, match="computed when the network runs"):
        vjp(case.model, "y", ["x"])
