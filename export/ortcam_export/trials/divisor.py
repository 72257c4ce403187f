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
from ortcam_export.trials.inputs import trial_feeds

__all__ = ["find_divisor"]

#: Divisors that are tried, the smallest first.
TRIED = (1, 2, 4, 8, 16, 32, 64)

#: Pictures are about so high when they are tried, or three times the divisor.
_EXTENT = 96


def find_divisor(model: ir.Model, picture: ir.Value, preprocess: Preprocessing) -> int:
    """The smallest power of two, an odd multiple of which the network runs on.

    Args:
        model: a prepared network.
        picture: its input that takes the picture.
        preprocess: how a picture becomes that input.

    Returns:
        1 also where the input is of fixed size, or where the network runs on nothing that was
        tried: then the divisor is not what stands in the way.
    """
    first = 1 if preprocess.layout == "NHWC" else 2
    if picture.shape is None or any(isinstance(picture.shape[first + i], int) for i in (0, 1)):
        return 1
    try:
        session = open_session(model)
    except OrtcamError:  # onnxruntime cannot load it, which is told where that matters
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
