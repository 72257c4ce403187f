"""An artifact at work: pictures in, segmentations and Grad-CAM maps out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam.artifact import FORMAT, METADATA_KEY, Artifact, Color
from ortcam.drawing.palette import distinct_colors
from ortcam.drawing.presets import DEFAULT
from ortcam.errors import ArtifactError, InputError
from ortcam.inference.artifact_graph import Graph
from ortcam.inference.providers import Providers
from ortcam.inference.query import Progress
from ortcam.inference.session import Session
from ortcam.inference.two_part import Runs, TwoPartSession, open_parts
from ortcam.messages import Option
from ortcam.methods.registry import GRAD_CAM
from ortcam.pictures import read as pictures
from ortcam.pictures.network_inputs import entering, feeds
from ortcam.pictures.preprocess import Size
from ortcam.pipeline import (
    MEMORY,
    ArtifactModel,
    ClassesOfEach,
    explain_all,
    for_each,
    require_space,
    segment_all,
)
from ortcam.questions.question import Questions
from ortcam.questions.regions import Region
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation
from ortcam.view import View

__all__ = ["MEMORY", "Cam", "load"]


def load(
    model: str | os.PathLike[str] | bytes,
    providers: Providers | None = None,
    *,
    gradient: str | os.PathLike[str] | bytes | None = None,
    threads: int | None = None,
) -> Cam:
    """Opens an artifact.

    Args:
        model: the path of an artifact that ``ortcam export`` wrote, or its bytes; where it is split
            in two, of its first part.
        providers: execution providers of onnxruntime in order of preference; each must start, and
            may be a pair of its name and its options, such as ``("cuda", {"enable_cuda_graph":
            "1"})`` (see :mod:`ortcam.inference.cuda_graphs`). None for CUDA where it really
            starts, else the CPU. :attr:`Cam.provider` says which.
        gradient: the second part of an artifact that is split in two, where it does not lie beside
            the first under the name that this gives.
        threads: how many compute on the CPU; None for onnxruntime's default, one for each of the
            machine's cores, whether or not the process may use them all.

    Raises:
        ArtifactError: it is a plain network, its metadata are damaged, or its second part is
            missing or another artifact's.
        DependencyError: onnxruntime is not installed.
        InputError: ``threads`` is below 1.
        ModelError: it is no ONNX file, or this onnxruntime cannot run it.
        ProviderError: a provider that was asked for does not start.
    """
    session = Session(model, providers, threads)
    # A model that says nothing of itself is the plainest of networks, and refused as such.
    metadata = session.metadata.get(METADATA_KEY, f'{{"format": {FORMAT}}}')
    artifact = Artifact.from_json(metadata, source=session.source)
    folder = None if isinstance(model, bytes) else Path(model).parent
    return Cam(open_parts(session, artifact, gradient, folder, providers), artifact)


class Cam:
    """An artifact, opened by :func:`load`.

    Several threads may use it at once, as they may a session of onnxruntime.

    Attributes:
        artifact: its metadata.
        source: the path of its file; of one opened from bytes, words that say so.
        provider: the execution provider that it really runs on.
        classes: the class names; ``"class 0"`` and so on where the artifact has none.
        colors: a label colour (red, green, blue) for each class.
        layers: the feature layers, from early to late.
    """

    def __init__(self, session: Runs, artifact: Artifact) -> None:
        """Checks that the artifact's graph is as its metadata say.

        Raises:
            ArtifactError: it is not.
        """
        self._graph = Graph(session, artifact)
        self.artifact = artifact
        self.source = session.source
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
        self._named = ArtifactModel(self._graph, self.classes, self.colors)

    def __repr__(self) -> str:
        return (
            f"<Cam of {self.source} on {self.provider}: "
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
        return self._view(picture, tensor, inputs, size).segmentation

    def segment_batch(
        self,
        pictures: Sequence[pictures.Picture],
        *,
        inputs: Mapping[str, ArrayLike] | None = None,
        size: Size = None,
        batch: int = 8,
    ) -> list[Segmentation]:
        """What :meth:`segment` tells of each picture, those of one size in runs together.

        Args:
            pictures: paths, PIL images, or arrays [H, W, 3] uint8 in RGB order, of any sizes.
            inputs: the network's further inputs, by name, as for one picture.
            size: as for :meth:`preprocess`.
            batch: how many pictures enter the network together at most.

        Raises:
            InputError: an option or a further input is missing or does not fit.
            ModelError: the score labels no pixels, as a classifier's does not.
            PictureError: a picture cannot be read, or the network does not run on it.
        """
        if batch < 1:
            raise InputError(f"batch is {batch}; it is 1 or more")
        slots = self._graph.session.inputs
        fed = [feeds(self.artifact, slots, one, None, inputs, size) for one in pictures]
        for one in fed:
            require_space(self._named, one)
        return segment_all(self._named, fed, batch=batch)

    def explain(
        self,
        picture: pictures.Picture | None = None,
        classes: Questions | None = None,
        layers: Iterable[str] | str | None = None,
        region: Region | None = None,
        *,
        tensor: ArrayLike | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        size: Size = None,
        method: str = GRAD_CAM,
        preset: str = DEFAULT,
        upsample: str | None = None,
        memory: int = MEMORY,
        progress: Progress | None = None,
    ) -> Explanation:
        """Where the evidence for each class lies, by Grad-CAM or another method.

        What is explained is y, the sum of a class's score over the region (over the whole score
        where there is none), each cell of the score by the share that the region covers.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            classes: by name or 0-based index, and questions; see :func:`ortcam.about`. None for
                the classes that the network sees in the picture (in the region), the largest
                first; finding them takes a run more, as a part of the picture does that depends
                on the prediction.
            layers: by name. None for all of the artifact's. A method about the picture itself
                takes none.
            region: on the picture's grid, [H, W] bool or weights, [classes, H, W] for one a
                class, or the path of a picture that is not black there. Of a volume [D, H, W] or
                [classes, D, H, W]. Or a part of the picture, such as :class:`ortcam.Predicted`.
                A question that has a place of its own is asked about what both share.
            tensor: the network's input, already preprocessed, with its batch axis of 1: the way
                of volumes. A picture that is given too is then only drawn on, and its grid is
                the maps'.
            inputs: the network's further inputs, by name.
            size: as for :meth:`preprocess`.
            method: ``"grad-cam"`` or another of :data:`ortcam.methods.registry.METHODS`, with its
                options as in ``"seg-xres-cam:block=4,pool=mean"``; most take an artifact that was
                exported for them.
            preset: how other tools make and draw a map: ``"matlab"``, ``"pytorch-grad-cam"`` or
                another of :data:`ortcam.drawing.presets.PRESETS`; ``"raw"`` for the sums before
                their ReLU, signed and at the layer's size.
            upsample: ``"bicubic"``, ``"nearest"``, ``"none"`` or another of
                :data:`ortcam.grids.resample.METHODS`; None for the preset's, without one bicubic.
            memory: bytes that the classes asked about at once may take, by an estimate from the
                sizes of score and features; more classes take several runs, with the same result.
                So do the passes of a method that takes many.
            progress: is told, by methods of many passes, how many of how many are done.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: an option or a further input is missing or does not fit.
            PictureError: the picture cannot be read, or the network does not run on it.
            RegionError: the region has another size than the picture, or selects nothing.
        """
        asked = self._named.asked(classes, layers, upsample, method, preset)
        view = self._view(picture, tensor, inputs, size)
        return view.answer(asked, region, memory, progress)

    def features(
        self,
        picture: pictures.Picture | None = None,
        layers: Iterable[str] | str | None = None,
        *,
        tensor: ArrayLike | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        size: Size = None,
    ) -> dict[str, NDArray[np.float32]]:
        """What feature layers hold, at the price of inference.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            layers: by name. None for all of the artifact's.
            tensor: the network's input, already preprocessed, with its batch axis of 1.
            inputs: the network's further inputs, by name.
            size: as for :meth:`preprocess`.

        Returns:
            For each layer float32 [C, h, w], or [C, d, h, w] of a volume, on its own grid.

        Raises:
            InputError: an option or a further input is missing or does not fit.
            LayerError: there is no such layer, or its features are no maps.
            PictureError: the picture cannot be read, or the network does not run on it.
        """
        return self._view(picture, tensor, inputs, size).features(layers)

    def explain_batch(
        self,
        pictures: Sequence[pictures.Picture],
        classes: ClassesOfEach | None = None,
        layers: Iterable[str] | str | None = None,
        regions: Sequence[Region | None] | None = None,
        *,
        inputs: Mapping[str, ArrayLike] | None = None,
        size: Size = None,
        method: str = GRAD_CAM,
        preset: str = DEFAULT,
        upsample: str | None = None,
        batch: int = 8,
        memory: int = MEMORY,
        progress: Progress | None = None,
    ) -> list[Explanation]:
        """What :meth:`explain` tells of each picture, those of one size in runs together.

        Args:
            pictures: paths, PIL images, or arrays [H, W, 3] uint8 in RGB order, of any sizes.
            classes: for all pictures alike, by name or 0-based index, and questions; or a list of
                lists, one a picture. None for those that the network sees in a picture.
            layers: by name. None for all of the artifact's.
            regions: a region or None for each picture, or None; see :meth:`explain`.
            inputs: the network's further inputs, by name, as for one picture.
            size: as for :meth:`preprocess`.
            method: as for :meth:`explain`.
            preset: as for :meth:`explain`.
            upsample: as for :meth:`explain`.
            batch: how many pictures enter the network together at most.
            memory: bytes that the classes asked about at once may take, as for :meth:`explain`.
            progress: as for :meth:`explain`, of the pictures that enter the network together.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: an option or a further input does not fit, or the numbers of pictures,
                lists of classes and regions differ.
            PictureError: a picture cannot be read, or the network does not run on it.
            RegionError: a region has another size than its picture, or selects nothing.
        """
        listed = list(pictures)
        if batch < 1:
            raise InputError(f"batch is {batch}; it is 1 or more")
        areas = [None] * len(listed) if regions is None else list(regions)
        if len(areas) != len(listed):
            raise InputError(
                f"there are {len(listed)} pictures and {len(areas)} regions; give one, or None, "
                "for each picture"
            )
        each = for_each(classes, len(listed))
        asked = [self._named.asked(own, layers, upsample, method, preset) for own in each]
        slots = self._graph.session.inputs
        fed = [feeds(self.artifact, slots, one, None, inputs, size) for one in listed]
        return explain_all(
            self._named, fed, asked, areas, batch=batch, memory=memory, progress=progress
        )

    def open(
        self,
        picture: pictures.Picture | None = None,
        *,
        tensor: ArrayLike | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        size: Size = None,
    ) -> View:
        """Runs a picture through the network once, to ask about it as often as wanted.

        This takes an artifact in two parts, as ``ortcam export --split`` writes it: of one in a
        single graph onnxruntime runs the network again with every question.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            tensor: as for :meth:`explain`.
            inputs: the network's further inputs, by name.
            size: as for :meth:`preprocess`.

        Raises:
            ArtifactError: the artifact is not in two parts.
            InputError: an option or a further input is missing or does not fit.
            PictureError: the picture cannot be read, or the network does not run on it.
        """
        if not isinstance(self._graph.session, TwoPartSession):
            raise ArtifactError(
                f"{self.source} is one graph, which runs the network with every "
                "question; export the network again with ",
                Option("split", True),
                " to run it once and ask often",
            )
        return self._view(picture, tensor, inputs, size)

    def _view(
        self,
        picture: pictures.Picture | None,
        tensor: ArrayLike | None,
        inputs: Mapping[str, ArrayLike] | None,
        size: Size,
    ) -> View:
        fed = feeds(self.artifact, self._graph.session.inputs, picture, tensor, inputs, size)
        return View(self._named, fed, self._graph.open(fed))
