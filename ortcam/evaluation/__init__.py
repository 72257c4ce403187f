"""Are the maps faithful? Metrics of maps over many pictures, for one artifact or two.

Lowest first: ``metric_names`` and ``options``; ``perturbation``; ``sample``, a picture with its
prediction; ``measure_picture``, ``compare_artifacts`` and ``graph_checks``, a unit of work each;
``output``; ``run``.
"""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "metrics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "ortcam.evaluation.metrics is now ortcam.metrics", DeprecationWarning, stacklevel=2
    )
    from ortcam import metrics

    return metrics
