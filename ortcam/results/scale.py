"""One colour scale for several explanations."""

from __future__ import annotations

from collections.abc import Iterable

from ortcam.results.explanation import Explanation

__all__ = ["common_scale"]


def common_scale(explanations: Iterable[Explanation]) -> dict[str, float]:
    """One scale for several pictures: for each layer the maximum of all their maps.

    ::

        scale = ortcam.common_scale(explanations)
        for explanation in explanations:
            explanation.figure(scale=scale)

    Returns:
        A scale for :meth:`Explanation.overlay`, ``figure`` and ``save``. A layer whose maps are
        all zero has 1.

    Example:
        >>> import numpy as np
        >>> from ortcam.artifact import Artifact, Score
        >>> explanations = [
        ...     Explanation(
        ...         classes=("Road",), indices=(0,), layers=("late",), raw={"late": raw},
        ...         weights={}, grid=(4, 4), method="grad-cam", title="Grad-CAM",
        ...         upsampling="bilinear", picture=None, segmentation=None, score=raw,
        ...         artifact=Artifact(layers=(), score=Score(name="score"), picture="image"))
        ...     for raw in np.array([[[[1.0]]], [[[3.0]]]], np.float32)]
        >>> common_scale(explanations)
        {'late': 3.0}
    """
    tops: dict[str, float] = {}
    for explanation in explanations:
        for layer in explanation.layers:
            tops[layer] = max(tops.get(layer, 0.0), explanation.top(0, layer, "shared"))
    return {layer: top or 1.0 for layer, top in tops.items()}
