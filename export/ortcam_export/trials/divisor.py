"""The divisor of a network's width and height, found by trial runs.

A U-Net that halves its picture five times and joins what it doubles again takes multiples of 32,
and fails on others where it does not crop; nothing in an ONNX file says so.
"""

from __future__ import annotations

import onnx_ir as ir

from ortcam.artifact import Preprocessing
from ortcam.errors import OrtcamError
from ortcam.inference.ort_errors import RunError
from ortcam_export.graph.model_io import open_session
from ortcam_export.trials.extents import open_shape
from ortcam_export.trials.inputs import trial_feeds

__all__ = ["find_divisor"]

#: The divisors of the trials, the smallest first.
TRIED = (1, 2, 4, 8, 16, 32, 64)

#: The height of trial pictures, as nearly as the divisor allows; or three times the divisor.
_EXTENT = 96


def find_divisor(model: ir.Model, picture: ir.Value, preprocess: Preprocessing) -> int:
    """Return the smallest power of two, an odd multiple of which the network runs on.

    Args:
        model: a prepared network.
        picture: its input that takes the picture.
        preprocess: how a picture becomes that input.

    Returns:
        1 also where the input is of fixed size, or where every trial fails, for then the divisor
        is not the cause.
    """
    first = 1 if preprocess.layout == "NHWC" else 2
    if any(isinstance(extent, int) for extent in open_shape(picture)[first : first + 2]):
        return 1
    try:
        session = open_session(model)
    except OrtcamError:  # onnxruntime cannot load it; a later stage reports that
        return 1
    outputs = [value.name or "" for value in model.graph.outputs]
    for divisor in TRIED:
        odd = max(3, _EXTENT // divisor | 1)
        size = (odd + 2) * divisor, odd * divisor
        feeds = trial_feeds(model, picture.name or "", preprocess, batch=1, size=size)
        try:
            session.run(outputs, feeds)
        except RunError:
            continue
        return divisor
    return 1
