"""Nothing is timed before its maps are seen to be the same."""

from __future__ import annotations

import numpy as np

from benchmarks.contestants import Maps

__all__ = ["COARSE", "TOLERANCE", "difference"]

TOLERANCE = 5e-3
"""Of a map's largest value. It is what float32 leaves of a deep network with random weights: the
U-Net's maps at its earliest layer differ from those in double precision by 2e-3 here and by 6e-4
in PyTorch, since a ReLU near its kink falls on either side. With the shipped network it is 1e-5."""

COARSE = 2e-2
"""The same for numbers of ten bits of mantissa: float16, and TF32. On the CPU the shipped network's
maps in float16 differ from those in float32 by up to 3e-3."""


def difference(found: Maps, reference: Maps) -> float:
    """The largest difference of two raw maps over the largest value of the second's, over layers.

    Raises:
        ValueError: a layer is missing in the reference, or the shapes differ.
    """
    worst = []
    for layer, maps in found.items():
        if layer not in reference or maps.shape != reference[layer].shape:
            raise ValueError(f"no maps of {list(maps.shape)} at {layer!r} to compare with")
        scale = np.abs(reference[layer]).max((-2, -1), keepdims=True)
        errors = np.abs(maps - reference[layer]) / np.maximum(scale, np.finfo(np.float32).tiny)
        worst.append(errors.max())
    return float(np.max(worst))  # not a number where one is
