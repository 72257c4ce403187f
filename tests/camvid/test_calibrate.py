"""The calibration lowers the bias of a class whose score is too high."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def test_a_class_scored_too_high_is_lowered() -> None:
    from camvid.calibrate import ascend, mean_iou

    rng = np.random.default_rng(0)
    truth = rng.choice(11, 4000, p=[0.3, 0.2, *[0.5 / 9] * 9])
    logits = (2.5 * np.eye(11)[truth] + rng.normal(0, 1, (4000, 11))).astype(np.float32)
    logits[:, 10] += 2
    bias = ascend(logits, truth)
    assert bias[10] < -0.5
    assert abs(bias.mean()) < 1e-6
    better, worse = (mean_iou((logits + b).argmax(1), truth) for b in (bias, 0 * bias))
    assert better > worse + 0.02
