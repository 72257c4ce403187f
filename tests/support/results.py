"""The type of the fixture ``small``, and the segmentation of an explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ortcam import Explanation, Segmentation

Build = Callable[..., Any]
"""A function that builds a small artifact."""


def segmented(explanation: Explanation) -> Segmentation:
    """The explanation's segmentation, which a classifier's lacks."""
    assert explanation.segmentation is not None
    return explanation.segmentation
