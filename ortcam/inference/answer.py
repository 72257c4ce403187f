"""An artifact's answer about one picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "Formula"]

Formula: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""From features [C, *space] and gradients [questions, C, *space] to one result a question."""


@dataclass(frozen=True)
class Answer:
    """The answers to all questions about one picture.

    Attributes:
        features: float32 [C_L, *space] for each layer, unless ``maps`` has it; of a layer of frames
            [C_L, frames, *space].
        weights: float32 [questions, C_L] for each layer, or [questions, frames, C_L].
        maps: float32 [questions, *space] for each layer whose maps the graph computes, where none
            of them is blank.
        results: float32 [questions, ...] for each layer, computed by a formula from features and
            whole gradients: maps before their ReLU, or weights.
        slopes: float32 [questions, C_L] for each of these layers, the largest absolute gradient of
            each channel.
        remarks: for each question the end of a sentence that begins "the map of ...", or "".
    """

    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    weights: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    results: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    slopes: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def first(self, questions: int) -> Answer:
        """The answers to the first questions, of a batch in which another picture has more."""
        weights, maps, results, slopes = (
            {layer: values[:questions] for layer, values in part.items()}
            for part in (self.weights, self.maps, self.results, self.slopes)
        )
        return Answer(self.features, weights, maps, results, slopes, self.remarks[:questions])
