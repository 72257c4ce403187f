"""The agreement of maps, which is required before anything is timed."""

from __future__ import annotations

import numpy as np

from benchmarks.subjects import Maps

__all__ = ["COARSE", "TOLERANCE", "difference"]

TOLERANCE = 5e-3
"""Relative to a map's maximum. Deep networks with random weights need it in float32: the U-Net's
maps at its earliest layer differ from those in float64 by 2e-3 here and by 6e-4 in PyTorch, since a
ReLU near its kink takes either branch. With the shipped network the difference is 1e-5."""

COARSE = 2e-2
"""The same for formats with ten bits of mantissa, float16 and TF32. On the CPU, the shipped
network's maps in float16 differ from those in float32 by up to 3e-3."""


def difference(candidate: Maps, reference: Maps) -> float:
    """The largest difference of two raw maps over the maximum of the second, over all layers.

    Raises:
        ValueError: the reference lacks a layer, or the shapes differ.
    """
    worst = []
    for layer, maps in candidate.items():
        if layer not in reference or maps.shape != reference[layer].shape:
            raise ValueError(f"no maps of {list(maps.shape)} at {layer!r} to compare with")
        scale = np.abs(reference[layer]).max((-2, -1), keepdims=True)
        errors = np.abs(maps - reference[layer]) / np.maximum(scale, np.finfo(np.float32).tiny)
        worst.append(errors.max())
    return float(np.max(worst))  # NaN if any error is
