"""The gradient rules, a module for each family of operators.

Importing this package fills the table in :mod:`ortcam_export.gradient.table`.
"""

from ortcam_export.gradient.rules import (
    activation,
    arithmetic,
    convolution,
    indexing,
    linear,
    none,
    normalization,
    padding,
    pooling,
    reduction,
    resampling,
    shaping,
    softmax,
)

__all__ = [
    "activation",
    "arithmetic",
    "convolution",
    "indexing",
    "linear",
    "none",
    "normalization",
    "padding",
    "pooling",
    "reduction",
    "resampling",
    "shaping",
    "softmax",
]
