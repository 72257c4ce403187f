"""The class of every pixel, drawn and saved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import Artifact, Color
from ortcam.drawing import overlay
from ortcam.drawing.style import (
    at_slice,
    check_share,
    check_slice,
)
from ortcam.files.atomic import check_writable, write_whole
from ortcam.files.formats import ARRAYS, PICTURES, encoded, figure_bytes, save_arrays, suffix_of
from ortcam.grids.labels import NONE, label_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Segmentation"]

_FEW = 24  # classes that a legend names whether or not they are in the picture


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation:
    """The classes that a network sees in a picture.

    Attributes:
        score: float32 [C, h, w], or [C, d, h, w] of a volume, what the reduction layer says, on
            its own grid.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        classes: the class names, in the order of the score's channels.
        colors: a label colour (red, green, blue) for each class.
        picture: [H, W, 3] uint8, or None where a tensor was given without it; of a volume its
            first channel as greys, [D, H, W, 3].
        artifact: the metadata of the artifact it was made with.
        notes: what a reader of the result should know, one sentence each.
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
        """The classes that a legend names: all, or of many those that are in the picture."""
        if len(self.classes) <= _FEW:
            return tuple(range(len(self.classes)))
        return tuple(int(i) for i in np.unique(self.labels) if i != NONE)

    def overlay(
        self, transparency: float = 0.4, *, legend: bool = False, slice: int | None = None
    ) -> Image.Image:
        """The labels' colours over the picture.

        Args:
            transparency: the picture's share, from 0 to 1; the label's colour has the rest.
            legend: with a colour bar at the right that names the classes.
            slice: of a volume the one that is drawn, counted along its depth from 0.

        Returns:
            An RGB image of the picture's size, wider with a legend.

        Raises:
            InputError: the transparency is no share, or the slice is not there.
        """
        check_share("transparency", transparency)
        check_slice(self.grid, slice)
        picture = None if self.picture is None else at_slice(slice, self.picture)
        labels = at_slice(slice, self.labels)
        painted = overlay.paint_labels(picture, labels, self.colors, transparency)
        if not legend:
            return Image.fromarray(painted)
        names = [self.classes[i] for i in self.legend]
        return overlay.beside_legend(painted, names, [self.colors[i] for i in self.legend])

    def figure(self, transparency: float = 0.4, *, slice: int | None = None) -> Figure:
        """The overlay beside a colour bar that names the classes, as a matplotlib figure.

        The options are those of :meth:`overlay`.

        Raises:
            DependencyError: matplotlib is not installed.
            InputError: the transparency is no share, or the slice is not there.
        """
        from ortcam.drawing.figures import segmentation_figure

        check_share("transparency", transparency)
        return segmentation_figure(self, transparency, slice)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        transparency: float = 0.4,
        slice: int | None = None,
    ) -> None:
        """Writes a file by what its name ends with.

        A .png or .jpg holds the overlay with its legend (by Pillow alone), a .svg or .pdf the
        figure (by matplotlib). A .npz holds ``labels``, ``score``, ``classes``, ``colors`` and
        ``artifact`` (JSON: the network's SHA-256, the score), and is read by ``numpy.load``
        without pickles.

        Raises:
            DependencyError: a .svg or .pdf without matplotlib.
            InputError: a picture of a volume without its slice.
            OutputError: the path cannot be written, or ends otherwise.
        """
        suffix = suffix_of(path)
        if suffix in ARRAYS:
            save_arrays(
                path,
                self.artifact,
                {
                    "labels": self.labels,
                    "score": self.score,
                    "classes": np.array(self.classes),
                    "colors": np.array(self.colors, np.uint8),
                },
            )
            return
        check_writable(path)
        if suffix in PICTURES:
            image = self.overlay(transparency, legend=True, slice=slice)
            write_whole(path, encoded(image, suffix))
        else:
            write_whole(path, figure_bytes(self.figure(transparency, slice=slice), suffix))
