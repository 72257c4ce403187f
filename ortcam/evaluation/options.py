"""What a run was asked for, checked before the work."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ortcam.errors import InputError, ModelError
from ortcam.evaluation.metric_names import AGAINST, BY_EXPORTER, asked_for
from ortcam.methods.registry import method_named, require
from ortcam.pictures.preprocess import Size
from ortcam.questions.names import Classes, class_indices, named_layers

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["Options", "options"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """See :func:`ortcam.evaluate`; classes are indices here."""

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    classes: tuple[int, ...]
    layers: tuple[str, ...]
    steps: int
    tolerance: float
    least: float
    checks: int
    stages: int
    seed: int
    size: Size
    inputs: Mapping[str, ArrayLike] = field(default_factory=dict)

    def asked(self) -> dict[str, Any]:
        """What decides the figures, as JSON has it; the further inputs by their check sums."""
        return {
            "methods": list(self.methods),
            "metrics": list(self.metrics),
            "classes": list(self.classes),
            "layers": list(self.layers),
            "steps": self.steps,
            "tolerance": self.tolerance,
            "least": self.least,
            "checks": self.checks,
            "stages": self.stages,
            "seed": self.seed,
            "size": list(self.size) if isinstance(self.size, tuple) else self.size,
            "inputs": {
                name: zlib.crc32(np.ascontiguousarray(value).tobytes())
                for name, value in self.inputs.items()
            },
        }

    def random(self, *about: str) -> np.random.Generator:
        """Numbers that depend on the seed and on what they are for, not on what came before."""
        return np.random.default_rng([self.seed, *(zlib.crc32(a.encode()) for a in about)])


def options(
    cam: Cam,
    *,
    methods: Iterable[str] | str,
    metrics: Iterable[str] | str | None,
    against: bool,
    classes: Classes | None,
    layers: Iterable[str] | str | None,
    steps: int,
    tolerance: float,
    least: float,
    checks: int,
    stages: int,
    seed: int,
    size: Size,
    inputs: Mapping[str, ArrayLike] | None,
) -> Options:
    """Checks what was asked for.

    Raises:
        ArtifactError: the artifact lacks what a method needs.
        ClassError, LayerError: there is no such class or layer.
        InputError: an option does not fit.
        ModelError: the network segments no pictures.
    """
    if cam._graph.space_rank != 2:
        raise ModelError(
            f"the score {cam.artifact.score.name!r} labels no pixels of a picture, and an "
            "evaluation asks whether maps lie on what is labelled; it is for networks that segment "
            "pictures"
        )
    if against and metrics is not None:
        raise InputError("two artifacts are compared by all of their figures; leave metrics out")
    listed = [methods] if isinstance(methods, str) else list(dict.fromkeys(methods))
    if not listed:
        raise InputError("no method was asked for; leave methods out for grad-cam")
    for name in listed:
        require(method_named(name), cam.artifact, "the artifact")
    for name, value, lowest in (
        ("steps", steps, 2),
        ("tolerance", tolerance, 0),
        ("checks", checks, 1),
        ("stages", stages, 1),
        ("seed", seed, 0),
    ):
        if not value >= lowest:
            raise InputError(f"{name} is {value}; it is {lowest} or more")
    if not 0 <= least <= 1:
        raise InputError(f"least is {least}; it is a share of the picture, from 0 to 1")
    everything = range(len(cam.classes))
    return Options(
        methods=tuple(listed),
        metrics=AGAINST if against else asked_for(metrics),
        classes=tuple(everything if classes is None else class_indices(classes, cam.classes)),
        layers=tuple(layer.name for layer in named_layers(layers, cam.artifact.layers)),
        steps=steps,
        tolerance=tolerance,
        least=least,
        checks=checks,
        stages=stages,
        seed=seed,
        size=size,
        inputs=inputs or {},
    )


def by_exporter(asked: Options) -> tuple[str, ...]:
    """What takes the export step."""
    return tuple(name for name in asked.metrics if name in BY_EXPORTER)
