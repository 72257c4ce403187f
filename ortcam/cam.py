"""An artifact at work: pictures in, segmentations and Grad-CAM maps out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam import maps, pictures
from ortcam import region as regions
from ortcam.artifact import FORMAT, METADATA_KEY, Artifact
from ortcam.errors import ArtifactError, ModelError, RegionError
from ortcam.feeds import Feeds, entering, feeds
from ortcam.graph import Answer, Graph
from ortcam.labels import classes_seen
from ortcam.names import Classes, class_indices, named_layers
from ortcam.palette import Color, distinct_colors
from ortcam.preprocess import Size
from ortcam.results import Explanation, Segmentation
from ortcam.session import Providers, Session
from ortcam.upsample import check_method

__all__ = ["MEMORY", "Cam", "load"]

MEMORY = 2 * 2**30
"""Bytes that the questions asked at once may take beside inference, unless told otherwise."""


def load(model: str | os.PathLike[str] | bytes, providers: Providers | None = None) -> Cam:
    """Opens an artifact.

    Args:
        model: the path of an artifact that ``ortcam export`` wrote, or its bytes.
        providers: execution providers of onnxruntime in order of preference; each must start.
            None for CUDA where it really starts, else the CPU. :attr:`Cam.provider` says which.

    Raises:
        ArtifactError: it is a plain network, or its metadata are damaged.
        DependencyError: onnxruntime is not installed.
        ModelError: it is no ONNX file, or this onnxruntime cannot run it.
        ProviderError: a provider that was asked for does not start.
    """
    session = Session(model, providers)
    # A model that says nothing of itself is the plainest of networks, and refused as such.
    metadata = session.metadata.get(METADATA_KEY, f'{{"format": {FORMAT}}}')
    return Cam(session, Artifact.from_json(metadata, source=session.source))


class Cam:
    """An artifact, opened by :func:`load`.

    Several threads may use it at once, as they may a session of onnxruntime.

    Attributes:
        artifact: its metadata.
        provider: the execution provider that it really runs on.
        classes: the class names; ``"class 0"`` and so on where the artifact has none.
        colors: a label colour (red, green, blue) for each class.
        layers: the feature layers, from early to late.
    """

    def __init__(self, session: Session, artifact: Artifact) -> None:
        """Checks that the artifact's graph is as its metadata say.

        Raises:
            ArtifactError: it is not.
        """
        self._graph = Graph(session, artifact)
        self.artifact = artifact
        self.provider = session.provider
        count, expects = self._graph.classes, artifact.expects
        self.classes: tuple[str, ...] = expects.classes or tuple(f"class {i}" for i in range(count))
        self.colors: tuple[Color, ...] = expects.colors or distinct_colors(count)
        self.layers = tuple(layer.name for layer in artifact.layers)
        for what, known in (("classes", self.classes), ("colours", self.colors)):
            if len(known) != count:
                raise ArtifactError(
                    f"{session.source} lists {len(known)} {what} and its score "
                    f"{artifact.score.name!r} has {count} channels; export the network again"
                )

    def __repr__(self) -> str:
        return (
            f"<Cam of {self._graph.session.source} on {self.provider}: "
            f"{len(self.classes)} classes, layers {', '.join(self.layers)}>"
        )

    def preprocess(self, picture: pictures.Picture, *, size: Size = None) -> NDArray[Any]:
        """The array that the network gets for a picture.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            size: (width, height) to enter the network at, ``"native"`` for the picture's own, None
                for the artifact's working size; rounded to what the network takes. An input of
                fixed size has its own.

        Returns:
            [1, C, H, W] or [1, H, W, C]; float32, or the type of the network's input.

        Raises:
            InputError: nobody said how a picture becomes the input, or the size does not fit.
            PictureError: it cannot be read as a picture.
        """
        rgb = pictures.read(picture)
        return entering(self.artifact, self._graph.session.inputs, rgb, size)

    def segment(
        self,
        picture: pictures.Picture | None = None,
        *,
        tensor: ArrayLike | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        size: Size = None,
    ) -> Segmentation:
        """The class of every pixel, at the price of inference.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            tensor: the network's input, already preprocessed, with its batch axis of 1: the way
                of volumes. A picture that is given too is then only drawn on.
            inputs: the network's further inputs, by name.
            size: as for :meth:`preprocess`.

        Raises:
            InputError: an option or a further input is missing or does not fit.
            ModelError: the score labels no pixels, as a classifier's does not.
            PictureError: the picture cannot be read, or the network does not run on it.
        """
        fed = self._feeds(picture, tensor, inputs, size)
        if self._graph.space_rank != len(fed.grid):
            raise ModelError(
                f"the score {self.artifact.score.name!r} of {self._graph.session.source} has no "
                "rows and columns, as a classifier's has not, so it labels no pixels; "
                "explain works on it all the same"
            )
        return self._segmentation(fed, self._graph.look(fed))

    def explain(
        self,
        picture: pictures.Picture | None = None,
        classes: Classes | None = None,
        layers: Iterable[str] | str | None = None,
        region: regions.Region | None = None,
        *,
        tensor: ArrayLike | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        size: Size = None,
        upsample: str = "bicubic",
        memory: int = MEMORY,
    ) -> Explanation:
        """Where the evidence for each class lies, by Grad-CAM.

        What is explained is y, the sum of a class's score over the region (over the whole score
        where there is none), each cell of the score by the share that the region covers.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            classes: by name or 0-based index. None for those that the network sees in the picture
                (in the region), the largest first; finding them takes a run more.
            layers: by name. None for all of the artifact's.
            region: on the picture's grid, [H, W] bool or weights, [classes, H, W] for one a
                class, or the path of a picture that is not black there. Of a volume [D, H, W] or
                [classes, D, H, W].
            tensor: the network's input, already preprocessed, with its batch axis of 1: the way
                of volumes. A picture that is given too is then only drawn on, and its grid is
                the maps'.
            inputs: the network's further inputs, by name.
            size: as for :meth:`preprocess`.
            upsample: ``"bicubic"``, ``"bilinear"``, ``"nearest"`` or ``"none"``; see
                :mod:`ortcam.upsample`.
            memory: bytes that the classes asked about at once may take, by an estimate from the
                sizes of score and features; more classes take several runs, with the same result.

        Raises:
            ClassError, LayerError: there is no such class or layer.
            InputError: an option or a further input is missing or does not fit.
            PictureError: the picture cannot be read, or the network does not run on it.
            RegionError: the region has another size than the picture, or selects nothing.
        """
        check_method(upsample)
        chosen = named_layers(layers, self.artifact.layers)
        indices = None if classes is None else class_indices(classes, self.classes)
        fed = self._feeds(picture, tensor, inputs, size)
        cells = self._cells(region, fed, None if indices is None else len(indices))
        if indices is None:
            kind = self.artifact.score.kind
            indices = classes_seen(self._graph.look(fed), kind, None if cells is None else cells[0])
        rows = np.eye(len(self.classes), dtype=np.float32)[list(indices)]
        answer = self._graph.ask(fed, rows, cells, chosen, memory)
        names = tuple(self.classes[i] for i in indices)
        raw, blank = _grad_cams(answer, names)
        spatial = self._graph.space_rank == len(fed.grid)
        unseen = set(indices) - set(classes_seen(answer.score, self.artifact.score.kind))
        faint = [
            f"no pixel is labelled {self.classes[i]}, so its maps show faint evidence at most"
            for i in sorted(unseen)
            if spatial
        ]
        return Explanation(
            classes=names,
            indices=indices,
            layers=tuple(layer.name for layer in chosen),
            raw=raw,
            weights=answer.weights,
            grid=fed.grid,
            method=upsample,
            picture=fed.rgb,
            segmentation=self._segmentation(fed, answer.score) if spatial else None,
            artifact=self.artifact,
            notes=(*self._notes(fed), *faint, *blank),
        )

    def _feeds(
        self,
        picture: pictures.Picture | None,
        tensor: ArrayLike | None,
        inputs: Mapping[str, ArrayLike] | None,
        size: Size,
    ) -> Feeds:
        slots = self._graph.session.inputs
        return feeds(self.artifact, slots, picture, tensor, inputs, size)

    def _cells(
        self, region: regions.Region | None, fed: Feeds, classes: int | None
    ) -> NDArray[np.float32] | None:
        """The region on the score's grid, [1 or classes, *space]."""
        if region is None:
            return None
        if self._graph.space_rank != len(fed.grid):
            raise RegionError(
                f"the score {self.artifact.score.name!r} has no rows and columns, as a "
                "classifier's has not, so there is no region of it to explain"
            )
        weights = regions.read(region, fed.grid, classes)
        return regions.coverage(weights, self._graph.score_space(fed))

    def _segmentation(self, fed: Feeds, score: NDArray[np.float32]) -> Segmentation:
        return Segmentation(
            score=score,
            grid=fed.grid,
            classes=self.classes,
            colors=self.colors,
            picture=fed.rgb,
            artifact=self.artifact,
            notes=self._notes(fed),
        )

    def _notes(self, fed: Feeds) -> tuple[str, ...]:
        how = self.artifact.expects.preprocess
        if fed.rgb is None or how is None or not how.assumed:
            return ()
        return (
            "nobody said what pixels the network expects, so its preprocessing is a guess "
            f"({how.color_order} * {how.scale:.6g}, mean {how.mean}, std {how.std})",
        )


def _grad_cams(
    answer: Answer, classes: tuple[str, ...]
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """The maps of every layer, and why some show nothing."""
    raw, notes = {}, []
    for layer, features in answer.features.items():
        weights = answer.weights[layer]
        sums = maps.weighted_sums(features, weights)
        raw[layer] = maps.grad_cam(sums)
        for k, name in enumerate(classes):
            if why := maps.why_blank(features, weights[k], sums[k]):
                notes.append(f"the map of {name} at {layer} is {why}")
    return raw, notes
