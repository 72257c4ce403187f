"""The options of a run, checked before the work begins."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ortcam.errors import InputError, ModelError
from ortcam.evaluation.metric_names import AGAINST, BY_EXPORTER, BY_LABEL, selected_metrics
from ortcam.messages import Option
from ortcam.methods.registry import method_named, require
from ortcam.pictures.further_inputs import FurtherInputs, content
from ortcam.pictures.preprocess import Size
from ortcam.questions.names import Classes, class_indices, named_layers
from ortcam.questions.resolve import why_unlabelled

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["Options", "checked_options", "is_segmented"]


def is_segmented(cam: Cam) -> bool:
    """True if the network gives each pixel of a picture a class."""
    return why_unlabelled(cam._graph, (1, 1)) is None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of :func:`ortcam.evaluate`, with classes as indices.

    Attributes:
        left_out: the metrics that the network cannot have, a note for the reader, or "".
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    classes: tuple[int, ...]
    layers: tuple[str, ...]
    steps: int
    tolerance: float
    min_area: float
    checks: int
    stages: int
    seed: int
    size: Size
    inputs: FurtherInputs = field(default_factory=dict)
    left_out: str = ""

    @property
    def by_exporter(self) -> tuple[str, ...]:
        """The metrics that need the export step."""
        return tuple(name for name in self.metrics if name in BY_EXPORTER)

    def as_dict(self) -> dict[str, Any]:
        """As JSON data; further inputs by their checksums."""
        return {
            "methods": list(self.methods),
            "metrics": list(self.metrics),
            "classes": list(self.classes),
            "layers": list(self.layers),
            "steps": self.steps,
            "tolerance": self.tolerance,
            "min_area": self.min_area,
            "checks": self.checks,
            "stages": self.stages,
            "seed": self.seed,
            "size": list(self.size) if isinstance(self.size, tuple) else self.size,
            "inputs": {name: zlib.crc32(content(value)) for name, value in self.inputs.items()},
        }

    def random(self, *purpose: str) -> np.random.Generator:
        """A generator that depends on the seed and the purpose alone, not on earlier draws."""
        return np.random.default_rng([self.seed, *(zlib.crc32(p.encode()) for p in purpose)])


def checked_options(
    cam: Cam,
    *,
    methods: Iterable[str] | str,
    metrics: Iterable[str] | str | None,
    against: bool,
    classes: Classes | None,
    layers: Iterable[str] | str | None,
    steps: int,
    tolerance: float,
    min_area: float,
    checks: int,
    stages: int,
    seed: int,
    size: Size,
    inputs: FurtherInputs | None,
) -> Options:
    """Check the options against the artifact.

    Raises:
        ArtifactError: the artifact lacks what a method needs.
        ClassError, LayerError: there is no such class or layer.
        InputError: an option is out of range.
        ModelError: the network takes no pictures, but volumes.
    """
    if len(cam._graph.session.inputs[cam.artifact.picture].shape) != 4:
        raise ModelError(
            f"the input {cam.artifact.picture!r} takes no 2-D pictures, which are what maps are "
            "evaluated on; evaluate a network of pictures"
        )
    if against and metrics is not None:
        raise InputError("a comparison of two artifacts has its own metrics; leave metrics out")
    names = [methods] if isinstance(methods, str) else list(dict.fromkeys(methods))
    if not names:
        raise InputError("no method given; leave methods out for grad-cam")
    for name in names:
        require(method_named(name), cam.artifact, "the artifact")
    for option, value, minimum in (
        ("steps", steps, 2),
        ("tolerance", tolerance, 0),
        ("checks", checks, 1),
        ("stages", stages, 1),
        ("seed", seed, 0),
    ):
        if not value >= minimum:
            raise InputError(f"{option} must be at least {minimum}, got {value}")
    if not 0 <= min_area <= 1:
        raise InputError(
            Option("min_area"), f" must be a fraction of the picture, from 0 to 1, got {min_area}"
        )
    measured, left_out = _measured(cam, AGAINST if against else selected_metrics(metrics))
    return Options(
        methods=tuple(names),
        metrics=measured,
        left_out=left_out,
        classes=tuple(
            range(len(cam.classes)) if classes is None else class_indices(classes, cam.classes)
        ),
        layers=tuple(layer.name for layer in named_layers(layers, cam.artifact.layers)),
        steps=steps,
        tolerance=tolerance,
        min_area=min_area,
        checks=checks,
        stages=stages,
        seed=seed,
        size=size,
        inputs=inputs or {},
    )


def _measured(cam: Cam, metrics: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The metrics that the network can have, and a note on the others.

    Raises:
        InputError: it can have none of them.
    """
    labelled = (*BY_LABEL, "against-prediction")
    left_out = [name for name in metrics if name in labelled and not is_segmented(cam)]
    if not left_out:
        return metrics, ""
    listed = f"{', '.join(left_out[:-1])} and {left_out[-1]}" if left_out[1:] else left_out[0]
    note = f"{listed} need{'' if left_out[1:] else 's'} the class of each pixel, and the score "
    note += f"{cam.artifact.score.name!r} gives none"
    rest = tuple(name for name in metrics if name not in left_out)
    if not rest:
        raise InputError(f"{note}; choose other metrics, such as deletion, insertion or road")
    return rest, f"{note}, so they are left out" if left_out[1:] else f"{note}, so it is left out"
