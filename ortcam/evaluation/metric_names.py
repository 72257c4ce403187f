"""The metrics that a run can compute, the names of their values, and which direction is better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ortcam.errors import InputError, nearest

__all__ = [
    "AGAINST",
    "BY_EXPORTER",
    "BY_LABEL",
    "DEFAULT",
    "FIGURES",
    "METRICS",
    "Figure",
    "format_value",
    "selected_metrics",
]


@dataclass(frozen=True)
class Figure:
    """A value that the tables show.

    Attributes:
        words: its description.
        good: ``"high"``, ``"low"``, or empty if neither is better.
    """

    words: str
    good: str = ""


FIGURES = {
    "pointing": Figure("the map's maximum lies on the object, within the tolerance", "high"),
    "energy": Figure("fraction of the map on the object", "high"),
    "overlap": Figure("IoU of the object and as many of the map's highest pixels", "high"),
    "context": Figure("fraction of the map outside the pixels predicted as the class"),
    "concentration": Figure("Gini index of the map"),
    "deletion-score": Figure("area under the class's mean score, highest pixels deleted", "low"),
    "deletion-iou": Figure("area under the class's IoU, highest pixels deleted", "low"),
    "insertion-score": Figure("area under the class's mean score, highest pixels first", "high"),
    "insertion-iou": Figure("area under the class's IoU, highest pixels first", "high"),
    "road-score": Figure("class's mean score, (least - most relevant removed) / 2", "high"),
    "road-iou": Figure("class's IoU, (least - most relevant removed) / 2", "high"),
    "layers-spearman": Figure("rank correlation of two layers' maps"),
    "layers-top-iou": Figure("IoU of the top 10 % of two layers' maps"),
    "gradient-error": Figure("largest relative error against central differences", "low"),
    "randomised-spearman": Figure("rank correlation with the map after weight shuffling", "low"),
    "randomised-top-iou": Figure("IoU with the map after weight shuffling, top 10 %", "low"),
    "against-spearman": Figure("rank correlation of the two artifacts' maps", "high"),
    "against-pearson": Figure("correlation of the two artifacts' maps", "high"),
    "against-top-iou": Figure("IoU of the top 10 % of the two artifacts' maps", "high"),
    "against-difference": Figure("total variation distance of the two artifacts' maps", "low"),
    "against-prediction": Figure("IoU of the pixels that the two predict as the class", "high"),
}
"""By name; the tables list them in this order."""

METRICS = {
    "pointing": ("pointing",),
    "energy": ("energy",),
    "overlap": ("overlap",),
    "context": ("context",),
    "concentration": ("concentration",),
    "deletion": ("deletion-score", "deletion-iou"),
    "insertion": ("insertion-score", "insertion-iou"),
    "road": ("road-score", "road-iou"),
    "layers": ("layers-spearman", "layers-top-iou"),
    "gradient": ("gradient-error",),
    "randomisation": ("randomised-spearman", "randomised-top-iou"),
}
"""The figures of each metric that can be requested."""

BY_EXPORTER = ("gradient", "randomisation")
"""Metrics that need the network's graph, and so onnx, from the ``export`` extra."""

BY_LABEL = ("pointing", "energy", "overlap", "context")
"""Metrics that need the class of each pixel."""

DEFAULT = tuple(name for name in METRICS if name not in BY_EXPORTER)
"""The default metrics."""

AGAINST = tuple(name for name in FIGURES if name.startswith("against-"))
"""The figures of a comparison of two artifacts."""


def selected_metrics(names: Iterable[str] | str | None) -> tuple[str, ...]:
    """The metrics with these names, in the order of :data:`METRICS`; ``"all"`` for every metric.

    Raises:
        InputError: there is no such metric.
    """
    if names is None:
        return DEFAULT
    requested = [names] if isinstance(names, str) else list(names)
    if requested == ["all"]:
        return tuple(METRICS)
    for name in requested:
        if name not in METRICS:
            raise InputError(f"there is no metric {name!r}{nearest(name, METRICS, most=4)}")
    if not requested:
        raise InputError(f"no metric given; choose from {', '.join(METRICS)}")
    return tuple(name for name in METRICS if name in requested)


def format_value(value: float) -> str:
    """A value for people: three decimals, or two digits if these would round it to zero."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"
