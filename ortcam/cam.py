"""An open artifact: pictures in, segmentations and Grad-CAM maps out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam.artifact import FORMAT, METADATA_KEY, Artifact, Color
from ortcam.drawing.palette import distinct_colors
from ortcam.drawing.presets import DEFAULT
from ortcam.errors import ArtifactError, InputError
from ortcam.inference.artifact_graph import ArtifactGraph
from ortcam.inference.memory import MEMORY
from ortcam.inference.providers import Providers
from ortcam.inference.query import Progress
from ortcam.inference.session import Session
from ortcam.inference.two_part import Runs, TwoPartSession, open_parts
from ortcam.messages import Option
from ortcam.methods.registry import GRAD_CAM
from ortcam.pictures.further_inputs import FurtherInputs, inputs_of_each
from ortcam.pictures.network_inputs import Feeds, entering, feeds, feeds_of_each
from ortcam.pictures.preprocess import Size
from ortcam.pictures.read import Picture, read
from ortcam.pipeline import (
    ArtifactModel,
    ClassesOfEach,
    explain_all,
    for_each,
    open_pictures,
    segment_all,
)
from ortcam.questions.list_places import Entry, at_entry
from ortcam.questions.names import class_names
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
    """Open an artifact.

    Args:
        model: the path of an artifact that ``ortcam export`` wrote, or its bytes; for a split
            artifact, of its first part.
        providers: onnxruntime's execution providers in order of preference, all of which must
            start. Each is a name or a pair of name and options, such as ``("cuda",
            {"enable_cuda_graph": "1"})`` (see :mod:`ortcam.inference.cuda_graphs`). None for CUDA
            if it starts, else the CPU; :attr:`Cam.provider` is the one in use.
        gradient: the second part of a split artifact, if it is not the file beside the first that
            the first names.
        threads: the number of CPU threads; None for onnxruntime's default, one for each of the
            machine's cores, even if the process may use only some of them.

    Raises:
        ArtifactError: it is a plain network, its metadata are damaged, or its second part is
            missing or belongs to another artifact.
        DependencyError: onnxruntime is not installed.
        InputError: ``threads`` is below 1.
        ModelError: it is no ONNX file, or this onnxruntime cannot run it.
        ProviderError: a requested provider does not start.

    Example:
        >>> import ortcam
        >>> cam = ortcam.load("network.cam.onnx", "cpu")
        >>> cam.classes, cam.layers
        (('Sky', 'Road', 'Car', 'Tree'), ('mid_relu', 'dec2_relu'))
    """
    session = Session(model, providers, threads)
    # A model without metadata is refused as a plain network.
    metadata = session.metadata.get(METADATA_KEY, f'{{"format": {FORMAT}}}')
    artifact = Artifact.from_json(metadata, source=session.source)
    folder = None if isinstance(model, bytes) else Path(model).parent
    return Cam(open_parts(session, artifact, gradient, folder, providers), artifact)


class Cam:
    """An artifact, opened by :func:`load`.

    Several threads may use it at once.

    Attributes:
        artifact: its metadata.
        source: the path of its file, or "the model" if it was opened from bytes.
        provider: the execution provider in use.
        classes: the class names; ``"class 0"`` and so on if the artifact has none, or of a linear
            score ``"value"``, of several ``"channel 0"`` and so on.
        colors: a label colour (red, green, blue) for each class.
        layers: the feature layers, from early to late.
    """

    def __init__(self, session: Runs, artifact: Artifact) -> None:
        """Checks the artifact's graph against its metadata.

        Raises:
            ArtifactError: they disagree.
        """
        self._graph = ArtifactGraph(session, artifact)
        self.artifact = artifact
        self.source = session.source
        self.provider = session.provider
        count, expects = self._graph.classes, artifact.expects
        self.classes: tuple[str, ...] = class_names(artifact, count)
        self.colors: tuple[Color, ...] = expects.colors or distinct_colors(count)
        self.layers = tuple(layer.name for layer in artifact.layers)
        for what, entries in (("classes", self.classes), ("colours", self.colors)):
            if len(entries) != count:
                raise ArtifactError(
                    f"{session.source} lists {len(entries)} {what} and its score "
                    f"{artifact.score.name!r} has {count} channels; export the network again"
                )
        self._model = ArtifactModel(self._graph, self.classes, self.colors)

    def __repr__(self) -> str:
        return (
            f"<Cam of {self.source} on {self.provider}: "
            f"{len(self.classes)} classes, layers {', '.join(self.layers)}>"
        )

    def preprocess(self, picture: Picture, *, size: Size = None) -> NDArray[Any]:
        """Return the network's input for a picture.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            size: (width, height) to resize it to, ``"native"`` for the picture's own, None for the
                artifact's working size; rounded to what the network takes. An input of fixed size
                takes no other.

        Returns:
            [1, C, H, W] or [1, H, W, C], of the type of the network's input, often float32.

        Raises:
            InputError: the preprocessing is unknown, or the size does not fit.
            PictureError: it cannot be read as a picture.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.preprocess("street.png", size=(64, 48)).shape
            (1, 3, 48, 64)
        """
        return entering(self.artifact, self._graph.session.inputs, read(picture), size)

    def segment(
        self,
        picture: Picture | None = None,
        *,
        tensor: ArrayLike | None = None,
        inputs: FurtherInputs | None = None,
        size: Size = None,
    ) -> Segmentation:
        """Return the class of every pixel, at the price of inference.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            tensor: the network's input, already preprocessed, with a batch axis of 1; needed for
                volumes. A picture is then used only for drawing.
            inputs: the network's further inputs, by name: arrays, and pictures as paths or PIL
                images.
            size: as for :meth:`preprocess`.

        Raises:
            InputError: an option or a further input is missing or does not fit.
            ModelError: the score gives no class to each pixel, as a classifier's does not.
            PictureError: the picture cannot be read, or the network does not run on it.

        Example:
            >>> import ortcam
            >>> segmentation = ortcam.load("network.cam.onnx", "cpu").segment("street.png")
            >>> segmentation.labels.shape, segmentation.classes[segmentation.labels[11, 15]]
            ((22, 31), 'Road')
        """
        entries = [self._feeds(picture, tensor, inputs, size)]
        (segmentation,) = segment_all(self._model, entries, batch=1)
        return segmentation

    def segment_batch(
        self,
        pictures: Sequence[Picture],
        *,
        inputs: FurtherInputs | Sequence[FurtherInputs] | None = None,
        size: Size = None,
        batch: int = 8,
    ) -> list[Segmentation]:
        """Segment several pictures, those of one size in common runs; see :meth:`segment`.

        Args:
            pictures: paths, PIL images, or arrays [H, W, 3] uint8 in RGB order, of any sizes.
            inputs: the network's further inputs, by name, for all pictures alike: an array of as
                many rows as pictures, or a list of as many pictures, gives each its own. Or a list
                of such mappings, one for each picture.
            size: as for :meth:`preprocess`.
            batch: how many pictures enter the network together at most.

        Raises:
            InputError: an option or a further input is missing or does not fit.
            ModelError: the score gives no class to each pixel, as a classifier's does not.
            PictureError: a picture cannot be read, or the network does not run on it.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> len(cam.segment_batch(["street.png", "street.png"]))
            2
        """
        _check_batch(batch)
        specs = self._graph.session.inputs
        entries = feeds_of_each(self.artifact, specs, pictures, inputs, size)
        return segment_all(self._model, entries, batch=batch)

    def explain(
        self,
        picture: Picture | None = None,
        classes: Questions | None = None,
        layers: Iterable[str] | str | None = None,
        region: Region | None = None,
        *,
        index: Entry | None = None,
        tensor: ArrayLike | None = None,
        inputs: FurtherInputs | None = None,
        size: Size = None,
        method: str = GRAD_CAM,
        preset: str = DEFAULT,
        upsample: str | None = None,
        memory: int = MEMORY,
        progress: Progress | None = None,
    ) -> Explanation:
        """Explain where the evidence for each class lies, by Grad-CAM or another method.

        The explained value is y, the sum of a class's score over the region, or over the whole
        picture without one; each cell of the score counts by the share that the region covers.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            classes: by name or 0-based index, and questions; see :func:`ortcam.about`. None for
                the classes that the network sees in the picture or region, the largest first;
                this takes one more run, as does a region that depends on the prediction. None for
                what raises and what lowers the value of a linear score, of several the largest.
            layers: by name, None for all of the artifact's. A method about the picture itself
                takes none.
            region: [H, W] bool or weights on the picture's grid, [classes, H, W] for one a class,
                or the path of a picture, which selects the pixels that are not black; for a volume
                [D, H, W] or [classes, D, H, W]. Or a part of the picture, such as
                :class:`ortcam.Predicted`. A question with its own part is asked in the
                intersection.
            index: the entry of a score over a list, such as a query, an anchor or a time step,
                counted from 0; of a list of several axes one number each. None for the sum over
                all entries. It is the same as a region :class:`ortcam.Index`.
            tensor: the network's input, already preprocessed, with a batch axis of 1; needed for
                volumes. A picture is then used only for drawing, and the maps have its size.
            inputs: the network's further inputs, by name: arrays, and pictures as paths or PIL
                images.
            size: as for :meth:`preprocess`.
            method: ``"grad-cam"`` or another of :data:`ortcam.methods.registry.METHODS`, with its
                options as in ``"seg-xres-cam:block=4,pool=mean"``; most need an artifact that was
                exported for them.
            preset: another tool's way to make and draw a map: ``"matlab"``, ``"pytorch-grad-cam"``
                or another of :data:`ortcam.drawing.presets.PRESETS`; ``"raw"`` for the signed sums
                before their ReLU, at the layer's size.
            upsample: ``"bicubic"``, ``"nearest"``, ``"none"`` or another of
                :data:`ortcam.grids.resample.METHODS`; None for the preset's, bicubic by default.
            memory: bytes for the questions of one run, by an estimate from the sizes of score and
                features; more questions, or the passes of a method with many, take several runs,
                with the same result.
            progress: called by methods of many passes, with the number done and the total.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: an option or a further input is missing or does not fit.
            PictureError: the picture cannot be read, or the network does not run on it.
            RegionError: the region or index does not fit the picture or the score, or selects
                nothing.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> road = ortcam.Predicted("Road")
            >>> explanation = cam.explain("street.png", ["Road", "Car"], region=road)
            >>> explanation.maps.shape  # layers, classes, rows, columns
            (2, 2, 22, 31)
        """
        request = self._model.request(classes, layers, upsample, method, preset)
        entries = [self._feeds(picture, tensor, inputs, size)]
        (explanation,) = explain_all(
            self._model,
            entries,
            [request],
            [at_entry(region, index)],
            batch=1,
            memory=memory,
            progress=progress,
        )
        return explanation

    def features(
        self,
        picture: Picture | None = None,
        layers: Iterable[str] | str | None = None,
        *,
        tensor: ArrayLike | None = None,
        inputs: FurtherInputs | None = None,
        size: Size = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Return the features of layers, at the price of inference.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            layers: by name, None for all of the artifact's.
            tensor: the network's input, already preprocessed, with a batch axis of 1.
            inputs: the network's further inputs, by name: arrays, and pictures as paths or PIL
                images.
            size: as for :meth:`preprocess`.

        Returns:
            For each layer float32 [C, h, w], or [C, d, h, w] for a volume or for frames, on the
            layer's grid.

        Raises:
            InputError: an option or a further input is missing or does not fit.
            LayerError: there is no such layer, or its features are no maps.
            PictureError: the picture cannot be read, or the network does not run on it.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.features("street.png", "dec2_relu")["dec2_relu"].shape
            (3, 11, 16)
        """
        return self._view(picture, tensor, inputs, size).features(layers)

    def explain_batch(
        self,
        pictures: Sequence[Picture],
        classes: ClassesOfEach | None = None,
        layers: Iterable[str] | str | None = None,
        regions: Sequence[Region | None] | None = None,
        *,
        index: Entry | None = None,
        inputs: FurtherInputs | Sequence[FurtherInputs] | None = None,
        size: Size = None,
        method: str = GRAD_CAM,
        preset: str = DEFAULT,
        upsample: str | None = None,
        batch: int = 8,
        memory: int = MEMORY,
        progress: Progress | None = None,
    ) -> list[Explanation]:
        """Explain several pictures, those of one size in common runs; see :meth:`explain`.

        Args:
            pictures: paths, PIL images, or arrays [H, W, 3] uint8 in RGB order, of any sizes.
            classes: for all pictures alike, by name or 0-based index, and questions; or a list of
                lists, one a picture. None for the classes that the network sees in each picture.
            layers: by name, None for all of the artifact's.
            regions: a region or None for each picture, or None; see :meth:`explain`.
            index: as for :meth:`explain`, for all pictures alike.
            inputs: the network's further inputs, by name, for all pictures alike: an array of as
                many rows as pictures, or a list of as many pictures, gives each its own. Or a list
                of such mappings, one for each picture.
            size: as for :meth:`preprocess`.
            method: as for :meth:`explain`.
            preset: as for :meth:`explain`.
            upsample: as for :meth:`explain`.
            batch: how many pictures enter the network together at most.
            memory: as for :meth:`explain`.
            progress: as for :meth:`explain`, for the pictures that enter the network together.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: an option or a further input does not fit, or the numbers of pictures,
                lists of classes and regions differ.
            PictureError: a picture cannot be read, or the network does not run on it.
            RegionError: a region does not fit its picture, or selects nothing.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> pictures = ["street.png", "street.png"]
            >>> for explanation in cam.explain_batch(pictures, [["Road"], ["Sky", "Tree"]]):
            ...     print(explanation.classes)
            ('Road',)
            ('Sky', 'Tree')
        """
        listed = list(pictures)
        _check_batch(batch)
        areas = [None] * len(listed) if regions is None else list(regions)
        if len(areas) != len(listed):
            raise InputError(
                f"there are {len(listed)} pictures and {len(areas)} regions; give one, or None, "
                "for each picture"
            )
        requests = [
            self._model.request(questions, layers, upsample, method, preset)
            for questions in for_each(classes, len(listed))
        ]
        return explain_all(
            self._model,
            feeds_of_each(self.artifact, self._graph.session.inputs, listed, inputs, size),
            requests,
            [at_entry(area, index) for area in areas],
            batch=batch,
            memory=memory,
            progress=progress,
        )

    def open(
        self,
        picture: Picture | None = None,
        *,
        tensor: ArrayLike | None = None,
        inputs: FurtherInputs | None = None,
        size: Size = None,
    ) -> View:
        """Run a picture through the network once, and return it for any number of questions.

        This needs a split artifact, as ``ortcam export --split`` writes it; an artifact in a single
        graph runs the network again with every question.

        Args:
            picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
            tensor: as for :meth:`explain`.
            inputs: the network's further inputs, by name: arrays, and pictures as paths or PIL
                images.
            size: as for :meth:`preprocess`.

        Raises:
            ArtifactError: the artifact is not split.
            InputError: an option or a further input is missing or does not fit.
            PictureError: the picture cannot be read, or the network does not run on it.

        Example:
            >>> import ortcam
            >>> view = ortcam.load("split.cam.onnx", "cpu").open("street.png")
            >>> view.explain("Road").classes, view.segment().labels.shape
            (('Road',), (22, 31))
        """
        if not isinstance(self._graph.session, TwoPartSession):
            raise ArtifactError(
                f"{self.source} is one graph, which runs the network with every "
                "question; export the network again with ",
                Option("split", True),
                " to run it once for all questions",
            )
        return self._view(picture, tensor, inputs, size)

    def inputs_of_each(self, inputs: FurtherInputs, pictures: int) -> list[dict[str, Any]]:
        """Return the further inputs that belong to each of several pictures.

        Args:
            inputs: as for :meth:`explain_batch`.
            pictures: how many pictures there are.

        Raises:
            InputError: an input has neither one row nor as many as there are pictures.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.inputs_of_each({}, 2)
            [{}, {}]
        """
        return inputs_of_each(self.artifact, self._graph.session.inputs, inputs, pictures)

    def _feeds(
        self,
        picture: Picture | None,
        tensor: ArrayLike | None,
        inputs: FurtherInputs | None,
        size: Size,
    ) -> Feeds:
        return feeds(self.artifact, self._graph.session.inputs, picture, tensor, inputs, size)

    def _view(
        self,
        picture: Picture | None,
        tensor: ArrayLike | None,
        inputs: FurtherInputs | None,
        size: Size,
    ) -> View:
        (open_picture,) = open_pictures(self._model, [self._feeds(picture, tensor, inputs, size)])
        return View(open_picture)


def _check_batch(batch: int) -> None:
    if batch < 1:
        raise InputError(f"batch must be at least 1, got {batch}")
