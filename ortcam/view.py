"""A picture in the network, to be asked about repeatedly."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ortcam.drawing.presets import DEFAULT
from ortcam.inference.memory import MEMORY
from ortcam.inference.query import Progress
from ortcam.methods.registry import GRAD_CAM
from ortcam.pipeline import OpenPicture, explain
from ortcam.questions.list_places import Entry, at_entry
from ortcam.questions.names import named_layers
from ortcam.questions.question import Questions
from ortcam.questions.regions import Region
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

__all__ = ["View"]


class View:
    """A picture that went through the network once; :meth:`ortcam.Cam.open` returns it.

    Example:
        >>> import ortcam
        >>> view = ortcam.load("split.cam.onnx", "cpu").open("street.png")
        >>> for name in ("Road", "Car"):  # the network does not run again
        ...     print(view.explain(name, "dec2_relu").map().shape)
        (22, 31)
        (22, 31)
    """

    def __init__(self, picture: OpenPicture) -> None:
        """A view of an open picture."""
        self._picture = picture

    @cached_property
    def segmentation(self) -> Segmentation:
        """The class of every pixel.

        Raises:
            ModelError: the score gives no class to each pixel.
        """
        return self._picture.segmentation

    def remember(self) -> None:
        """Keeps the last answer, so that methods that need the same gradients share one run.

        HiResCAM, LayerCAM and others need the features' whole gradients, which take as much memory
        as the features of all questions together.

        Example:
            >>> import ortcam
            >>> view = ortcam.load("split.cam.onnx", "cpu").open("street.png")
            >>> view.remember()
        """
        self._picture.batch.remember()

    def segment(self) -> Segmentation:
        """Return the class of every pixel, as :meth:`ortcam.Cam.segment` does.

        Raises:
            ModelError: the score gives no class to each pixel.

        Example:
            >>> import ortcam
            >>> view = ortcam.load("split.cam.onnx", "cpu").open("street.png")
            >>> view.segment().labels.shape
            (22, 31)
        """
        return self.segmentation

    def features(self, layers: Iterable[str] | str | None = None) -> dict[str, NDArray[np.float32]]:
        """Return the features of layers; see :meth:`ortcam.Cam.features`.

        Raises:
            LayerError: there is no such layer, or its features are no maps.

        Example:
            >>> import ortcam
            >>> view = ortcam.load("split.cam.onnx", "cpu").open("street.png")
            >>> sorted(view.features())
            ['dec2_relu', 'mid_relu']
        """
        chosen = named_layers(layers, self._picture.model.artifact.layers)
        features = self._picture.batch.features(chosen)
        return {name: values[self._picture.n] for name, values in features.items()}

    def explain(
        self,
        classes: Questions | None = None,
        layers: Iterable[str] | str | None = None,
        region: Region | None = None,
        *,
        index: Entry | None = None,
        method: str = GRAD_CAM,
        preset: str = DEFAULT,
        upsample: str | None = None,
        memory: int = MEMORY,
        progress: Progress | None = None,
    ) -> Explanation:
        """Explain where the evidence for each class lies; see :meth:`ortcam.Cam.explain`.

        Raises:
            ArtifactError: the artifact lacks what the method needs.
            ClassError, LayerError: there is no such class or layer.
            InputError: there is no such method, or an option of it does not fit.
            PictureError: the network does not run on the picture.
            RegionError: the region or index does not fit the picture or the score, or selects
                nothing.

        Example:
            >>> import ortcam
            >>> view = ortcam.load("split.cam.onnx", "cpu").open("street.png")
            >>> view.explain("Car", "dec2_relu").maps.shape
            (1, 1, 22, 31)
        """
        request = self._picture.model.request(classes, layers, upsample, method, preset)
        request.check_grid(self._picture.feeds.grid)
        area = at_entry(region, index)
        (explanation,) = explain([self._picture], [request], [area], memory, progress)
        return explanation
