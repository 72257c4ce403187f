"""What a run can be asked for, what the figures are called, and which way is good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ortcam.errors import InputError, nearest

__all__ = [
    "AGAINST",
    "ASKED",
    "BY_EXPORTER",
    "DEFAULT",
    "FIGURES",
    "Figure",
    "asked_for",
    "in_words",
]


@dataclass(frozen=True)
class Figure:
    """A figure of a map.

    Attributes:
        words: what it is.
        good: ``"high"``, ``"low"``, or empty where neither is.
    """

    words: str
    good: str = ""


FIGURES = {
    "pointing": Figure("the map's maximum lies on the object, or as near as the tolerance", "high"),
    "energy": Figure("share of the map on the object", "high"),
    "overlap": Figure("IoU of the object and as many of the map's highest places", "high"),
    "context": Figure("share of the map outside what is predicted as the class"),
    "concentration": Figure("Gini index of the map"),
    "deletion-score": Figure("area under the class's mean score, highest places deleted", "low"),
    "deletion-iou": Figure("area under the class's IoU, highest places deleted", "low"),
    "insertion-score": Figure("area under the class's mean score, highest places first", "high"),
    "insertion-iou": Figure("area under the class's IoU, highest places first", "high"),
    "road-score": Figure("(least - most relevant removed) / 2, the class's mean score", "high"),
    "road-iou": Figure("(least - most relevant removed) / 2, the class's IoU", "high"),
    "layers-spearman": Figure("rank correlation of the maps of two layers"),
    "layers-top-iou": Figure("IoU of the highest tenth of the maps of two layers"),
    "gradient-error": Figure("largest relative error against central differences", "low"),
    "randomised-spearman": Figure("rank correlation with the map of shuffled weights", "low"),
    "randomised-top-iou": Figure("IoU of the highest tenth with that of shuffled weights", "low"),
    "against-spearman": Figure("rank correlation of both networks' maps", "high"),
    "against-pearson": Figure("correlation of both networks' maps", "high"),
    "against-top-iou": Figure("IoU of the highest tenth of both networks' maps", "high"),
    "against-difference": Figure("share of one map to be moved to make the other", "low"),
    "against-prediction": Figure("IoU of what both networks predict as the class", "high"),
}
"""By the names that stand in the tables."""

ASKED = {
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
"""What can be asked for, and the figures that it gives."""

BY_EXPORTER = ("gradient", "randomisation")
"""What takes the network's graph, and with it onnx, the ``export`` extra."""

DEFAULT = tuple(name for name in ASKED if name not in BY_EXPORTER)
"""What is asked for unless something is."""

AGAINST = tuple(name for name in FIGURES if name.startswith("against-"))
"""What the comparison of two artifacts gives."""


def asked_for(names: Iterable[str] | str | None) -> tuple[str, ...]:
    """What is asked for by these names, in the order of :data:`ASKED`; ``"all"`` for everything.

    Raises:
        InputError: there is no such metric.
    """
    if names is None:
        return DEFAULT
    listed = [names] if isinstance(names, str) else list(names)
    if listed == ["all"]:
        return tuple(ASKED)
    for name in listed:
        if name not in ASKED:
            raise InputError(f"there is no metric {name!r}{nearest(name, ASKED, most=4)}")
    if not listed:
        raise InputError(f"no metric was asked for; there are {', '.join(ASKED)}")
    return tuple(name for name in ASKED if name in listed)


def in_words(value: float) -> str:
    """A figure for people: three decimals, or two digits of what these would round to nothing."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"
