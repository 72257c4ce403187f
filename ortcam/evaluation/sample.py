"""One picture of a run: its label image, what the network predicts, and its classes' maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ortcam.batch.dataset import Item
from ortcam.evaluation.options import Options, is_segmented
from ortcam.evaluation.perturbation.curves import PerturbedPicture
from ortcam.grids.labels import NONE, classes_seen, least_score
from ortcam.pictures import label_image
from ortcam.pictures.read import read
from ortcam.results.explanation import Explanation
from ortcam.results.segmentation import Segmentation

if TYPE_CHECKING:
    from ortcam.cam import Cam
    from ortcam.view import View

__all__ = ["Sample", "read_sample"]


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture, its label image, and the artifact and options that it is evaluated with.

    Attributes:
        cam: the artifact.
        options: the run's options.
        name: the picture's name.
        rgb: [H, W, 3] uint8.
        truth: [H, W], the class of each pixel, or :data:`ortcam.grids.labels.NONE`; None without
            label images.
    """

    cam: Cam
    options: Options
    name: str
    rgb: NDArray[np.uint8]
    truth: NDArray[np.int32] | None

    @cached_property
    def view(self) -> View | None:
        """The picture, run once; None if the artifact is not in two parts."""
        if self.cam.artifact.gradient is None:
            return None
        view = self.cam.open(self.rgb, inputs=self.options.inputs, size=self.options.size)
        view.remember()
        return view

    @cached_property
    def segmentation(self) -> Segmentation:
        """The network's prediction, where it gives each pixel a class."""
        if self.view is not None:
            return self.view.segmentation
        return self.cam.segment(self.rgb, inputs=self.options.inputs, size=self.options.size)

    @cached_property
    def score(self) -> NDArray[np.float32]:
        """The network's score [C, *axes]."""
        options = self.options
        view = self.view or self.cam._view(self.rgb, None, options.inputs, options.size)
        return view._picture.score

    @cached_property
    def perturbed(self) -> PerturbedPicture:
        """The picture at the network's input size, to be perturbed."""
        return PerturbedPicture.of(self.cam, self.rgb, self.options.size, self.options.inputs)

    @property
    def reference(self) -> NDArray[np.int32]:
        """The label image, or without one the prediction: where the objects are."""
        if not is_segmented(self.cam):
            return np.full(self.rgb.shape[:2], NONE, np.int32)
        return self.segmentation.labels if self.truth is None else self.truth

    @property
    def labelled(self) -> NDArray[np.bool_] | None:
        """The pixels that the label image labels; None for all.

        All count where the network itself may give a pixel no class, as a sigmoid does: a pixel
        without a class is then background, and not void.
        """
        kind = self.cam.artifact.score.kind
        background = np.isfinite(least_score(kind, len(self.cam.classes)))
        return None if self.truth is None or background else self.truth != NONE

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The selected classes that cover at least the minimum area of the picture.

        Of a classifier or a list the selected classes that it sees; of a linear score the selected
        channel with the largest value.
        """
        if not is_segmented(self.cam):
            return self._seen
        pixels = max(1.0, self.options.min_area * self.reference.size)
        return tuple(
            i for i in self.options.classes if np.count_nonzero(self.reference == i) >= pixels
        )

    @property
    def _seen(self) -> tuple[int, ...]:
        kind, selected = self.cam.artifact.score.kind, self.options.classes
        if kind == "linear":
            return tuple(selected[i] for i in classes_seen(self.score[list(selected)], kind))
        return tuple(i for i in classes_seen(self.score, kind) if i in selected)

    def explanations(self, classes: Sequence[int]) -> Iterator[Explanation]:
        """The maps of classes, one method after the other."""
        options = self.options
        for method in options.methods:
            if self.view is not None:
                yield self.view.explain(classes, options.layers, method=method)
            else:
                yield self.cam.explain(
                    self.rgb,
                    classes,
                    options.layers,
                    inputs=options.inputs,
                    size=options.size,
                    method=method,
                )


def read_sample(cam: Cam, options: Options, item: Item) -> Sample:
    """Read a picture and its label image.

    Raises:
        PictureError: one of them cannot be read.
        RegionError: the label image does not fit the picture.
    """
    rgb = read(item.path)
    path = item.label_image()
    truth = None if path is None else label_image.read(path, rgb.shape[:2], cam.colors)
    return Sample(cam, options, item.name, rgb, truth)
