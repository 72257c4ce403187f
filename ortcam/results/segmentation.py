"""The class of every pixel, drawn and saved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import Artifact, Color
from ortcam.drawing.overlay import beside_legend, paint_labels
from ortcam.drawing.palette import Legend
from ortcam.drawing.style import at_slice, check_share, check_slice
from ortcam.files.atomic import check_writable, write_whole
from ortcam.files.formats import PICTURES, SUFFIXES, image_bytes, suffix_of, write
from ortcam.grids.labels import NONE, label_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Segmentation"]

_FEW = 24  # classes that a legend names even if they are absent from the picture


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation:
    """The class of every pixel of a picture.

    Attributes:
        score: the output of the reduction layer, float32 [C, h, w], or [C, d, h, w] of a volume,
            on its own grid.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        classes: the class names, in the order of the score's channels.
        colors: a label colour (red, green, blue) for each class.
        picture: [H, W, 3] uint8, or None for a tensor; of a volume its first channel as greys,
            [D, H, W, 3].
        artifact: the metadata of the artifact.
        notes: sentences for the reader.

    Example:
        >>> from ortcam.artifact import Artifact, Score
        >>> score = np.array([[[0.9, 0.2]], [[0.1, 0.8]]], np.float32)
        >>> artifact = Artifact(layers=(), score=Score(name="score"), picture="image")
        >>> segmentation = Segmentation(
        ...     score=score, grid=(1, 2), classes=("Sky", "Road"),
        ...     colors=((70, 130, 180), (128, 64, 128)), picture=None, artifact=artifact)
        >>> segmentation.labels.tolist()
        [[0, 1]]
    """

    score: NDArray[np.float32]
    grid: tuple[int, ...]
    classes: tuple[str, ...]
    colors: tuple[Color, ...]
    picture: NDArray[np.uint8] | None
    artifact: Artifact
    notes: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """[H, W] or [D, H, W], the class of every pixel of the picture, -1 for none.

        See :func:`ortcam.grids.labels.label_image`.
        """
        return label_image(self.score, self.artifact.score.kind, self.grid)

    @property
    def legend(self) -> tuple[int, ...]:
        """The classes that a legend names: all, or if there are many, those in the picture."""
        if len(self.classes) <= _FEW:
            return tuple(range(len(self.classes)))
        return tuple(int(i) for i in np.unique(self.labels) if i != NONE)

    @property
    def color_key(self) -> Legend:
        """The names and colours of the classes in :attr:`legend`."""
        return Legend(
            tuple(self.classes[i] for i in self.legend), tuple(self.colors[i] for i in self.legend)
        )

    def overlay(
        self, transparency: float = 0.4, *, legend: bool = False, slice: int | None = None
    ) -> Image.Image:
        """The labels' colours over the picture.

        Args:
            transparency: the picture's share of the mix, from 0 to 1.
            legend: add a colour bar that names the classes, at the right.
            slice: the slice of a volume to draw, counted along its depth from 0.

        Returns:
            An RGB image of the picture's size, wider with a legend.

        Raises:
            InputError: the transparency is not in [0, 1], or there is no such slice.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.segment("street.png").overlay(0.5).size
            (31, 22)
        """
        check_share("transparency", transparency)
        check_slice(self.grid, slice)
        picture = None if self.picture is None else at_slice(slice, self.picture)
        painted = paint_labels(picture, at_slice(slice, self.labels), self.colors, transparency)
        return beside_legend(painted, *self.color_key) if legend else Image.fromarray(painted)

    def figure(self, transparency: float = 0.4, *, slice: int | None = None) -> Figure:
        """The overlay beside a colour bar that names the classes, as a matplotlib figure.

        The options are those of :meth:`overlay`.

        Raises:
            DependencyError: matplotlib is not installed.
            InputError: the transparency is not in [0, 1], or there is no such slice.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.segment("street.png").figure().savefig("segmentation.pdf")
        """
        from ortcam.drawing.figures import labels_figure

        return labels_figure(np.asarray(self.overlay(transparency, slice=slice)), self.color_key)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        transparency: float = 0.4,
        slice: int | None = None,
    ) -> None:
        """Write a file in the format that its name ends with.

        A .png or .jpg holds the overlay with its legend (drawn by Pillow alone), a .svg or .pdf
        the figure (drawn by matplotlib). A .npz holds :meth:`arrays`, and ``artifact`` (JSON: the
        network's SHA-256, the score); ``numpy.load`` reads it without pickles.

        Raises:
            DependencyError: matplotlib, which draws a .svg or .pdf, is not installed.
            InputError: the transparency is not in [0, 1], or there is no such slice.
            OutputError: the path cannot be written, or has no known format.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.segment("street.png").save("segmentation.png")
        """
        suffix = suffix_of(path)
        if suffix in PICTURES:
            check_writable(path)  # before the drawing
            image = self.overlay(transparency, legend=True, slice=slice)
            write_whole(path, image_bytes(image, suffix))
        else:
            write(path, self, suffixes=SUFFIXES, transparency=transparency, slice=slice)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of a .npz file: ``labels``, ``score``, ``classes`` and ``colors``."""
        return {
            "labels": self.labels,
            "score": self.score,
            "classes": np.array(self.classes),
            "colors": np.array(self.colors, np.uint8),
        }
