"""What an artifact's graph answers about one picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "Formula"]

Formula: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Of features [C, *space] and gradients [questions, C, *space]: something of each question."""


@dataclass(frozen=True)
class Answer:
    """What the graph says of one picture.

    Attributes:
        score: float32 [C, *space].
        features: float32 [C_L, h, w], or [C_L, d, h, w], for each layer.
        weights: float32 [questions, C_L] for each layer.
        maps: float32 [questions, h, w] for each layer whose maps the graph makes and that each
            show something; then its features are left where they are.
        found: float32 [questions, ...] for each layer, what a formula makes of its whole gradients.
        slopes: float32 [questions, C_L] for each of these, the steepest of a channel's gradients.
        remarks: for each question the end of a sentence that begins "the map of ..."; or nothing.
    """

    score: NDArray[np.float32]
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    weights: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    found: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    slopes: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
