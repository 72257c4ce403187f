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
    """
    tops: dict[str, float] = {}
    for explanation in explanations:
        for layer in explanation.layers:
            tops[layer] = max(tops.get(layer, 0.0), explanation.top(0, layer, "shared"))
    return {layer: top or 1.0 for layer, top in tops.items()}
