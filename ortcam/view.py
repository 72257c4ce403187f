"""A picture before the network, and what is asked about it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ortcam.drawing.presets import DEFAULT
from ortcam.grids.labels import classes_seen
from ortcam.inference.artifact_graph import PictureBatch
from ortcam.inference.query import Progress, Query
from ortcam.methods.registry import GRAD_CAM
from ortcam.pictures.network_inputs import Feeds
from ortcam.pipeline import MEMORY, ArtifactModel, Request, explanation, require_space, segmentation
from ortcam.questions.names import named_layers
from ortcam.questions.question import Questions, class_weights
from ortcam.questions.regions import Region, Scene
from ortcam.questions.resolve import resolve
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

__all__ = ["View"]


class View:
    """A picture that went through the network once, to be asked about as often as wanted.

    What :meth:`ortcam.Cam.open` gives.
    """

    def __init__(self, named: ArtifactModel, fed: Feeds, opened: PictureBatch) -> None:
        """A picture of its own."""
        self._named = named
        self._fed = fed
        self._opened = opened

    @cached_property
    def segmentation(self) -> Segmentation:
        """The class of every pixel.

        Raises:
            ModelError: the score labels no pixels, as a classifier's does not.
        """
        require_space(self._named, self._fed)
        return segmentation(self._named, self._fed, self._opened.score[0])

    def remember(self) -> None:
        """Keeps the gradient's last answer, so that methods that need the same take one run.

        HiResCAM, Layer-CAM and others need the features' whole gradients, and these take memory:
        as many as the questions together have.
        """
        self._opened.remember()

    def segment(self) -> Segmentation:
        """The class of every pixel, as :meth:`ortcam.Cam.segment` gives it.

        Raises:
            ModelError: the score labels no pixels, as a classifier's does not.
        """
        return self.segmentation

    def features(self, layers: Iterable[str] | str | None = None) -> dict[str, NDArray[np.float32]]:
        """The features of layers: see :meth:`ortcam.Cam.features`.

        Raises:
            LayerError: there is no such layer, or its features are no maps.
        """
        chosen = named_layers(layers, self._named.graph.artifact.layers)
        return {name: own[0] for name, own in self._opened.features(chosen).items()}

    @cached_property
    def _seen(self) -> tuple[int, ...]:
        return classes_seen(self._opened.score[0], self._named.graph.artifact.score.kind)

    @cached_property
    def _sight(self) -> Scene:
        return self._named.sight(self._opened, 0, self._fed.grid)

    def explain(
        self,
        classes: Questions | None = None,
        layers: Iterable[str] | str | None = None,
        region: Region | None = None,
        *,
        method: str = GRAD_CAM,
        preset: str = DEFAULT,
        upsample: str | None = None,
        memory: int = MEMORY,
        progress: Progress | None = None,
    ) -> Explanation:
        """Where the evidence for each class lies: see :meth:`ortcam.Cam.explain`.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: there is no such method, or an option of it does not fit.
            PictureError: the network does not run on the picture.
            RegionError: the region has another size than the picture, or selects nothing.
        """
        asked = self._named.asked(classes, layers, upsample, method, preset)
        return self.answer(asked, region, memory, progress)

    def answer(
        self,
        asked: Request,
        region: Region | None,
        memory: int,
        progress: Progress | None = None,
    ) -> Explanation:
        """The same of a question that was checked."""
        asked.check_grid(self._fed.grid)
        there = resolve(self._named.graph, self._opened, 0, self._sight, asked.rows, region)
        weights = class_weights(there.rows, len(self._named.classes))[:, None]
        cells = None if there.cells is None else there.cells[:, None]
        (answer,) = asked.method.answer(
            Query(self._opened, weights, cells, asked.layers, memory, progress)
        )
        return explanation(self._named, self._fed, answer, there, asked, self._seen)
