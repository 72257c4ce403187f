"""The result of a survey of a network's layers: numbers, and pages of small maps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.drawing import colormap as colormaps
from ortcam.drawing import contours
from ortcam.drawing.overlay import paint_map
from ortcam.errors import OutputError
from ortcam.files.atomic import check_writable, write_whole
from ortcam.files.formats import ARRAYS, figure_bytes, suffix_of
from ortcam.grids.resample import resample, upsample
from ortcam_export.layers.candidate import Candidate
from ortcam_export.layers.ranking import in_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Survey"]

#: A thumbnail's longer side, in pixels.
_SIDE = 480


@dataclass(frozen=True, eq=False, kw_only=True)
class Survey:
    """The layers of a network, measured on a picture.

    Attributes:
        question: the class asked about.
        candidates: the feature layers from early to late, with their measurements, then the
            reduction layers.
        maps: for each measured layer float32 [h, w], on its own grid and scale.
        picture: [H, W, 3] uint8.
        predicted: [H, W] bool, True where the class is predicted; None if the score has no places.
        notes: remarks for the reader, one sentence each.
    """

    question: str
    candidates: tuple[Candidate, ...]
    maps: Mapping[str, NDArray[np.float32]]
    picture: NDArray[np.uint8]
    predicted: NDArray[np.bool_] | None
    notes: tuple[str, ...] = ()

    def figures(
        self, *, order: str = "rank", colormap: str = colormaps.DEFAULT, most: int = 60
    ) -> list[Figure]:
        """Draw a small map of every measured layer, each on its own scale, on pages.

        Pixels predicted as the class are outlined.

        Args:
            order: one of :data:`ortcam_export.layers.ranking.ORDERS`.
            colormap: one of :data:`ortcam.drawing.colormap.COLORMAPS`.
            most: how many maps a page holds.

        Raises:
            DependencyError: matplotlib is not installed.
            InputError: there is no such order or colour map.
        """
        from ortcam.drawing.contact_sheet import Thumbnail, thumbnail_pages

        features = [c for c in self.candidates if c.name in self.maps]
        height, width = self.picture.shape[:2]
        shrink = min(1.0, _SIDE / max(height, width))
        grid = max(1, round(height * shrink)), max(1, round(width * shrink))
        small = np.asarray(Image.fromarray(self.picture).resize(grid[::-1], Image.Resampling.BOX))
        outlines: list[contours.Outline] = []
        if self.predicted is not None and self.predicted.any():
            predicted = resample(self.predicted.astype(np.float32), grid, "bilinear") >= 0.5
            outlines.append((predicted, contours.PREDICTED))
        thumbnails = []
        for candidate in in_order(features, order):
            plane = upsample(self.maps[candidate.name], grid)
            painted = paint_map(small, plane, float(plane.max()), colormap=colormap)
            thumbnails.append(
                Thumbnail(
                    title=f"{candidate.rank}  {candidate.name}",
                    lines=_lines(candidate),
                    image=contours.draw(painted, outlines),
                )
            )
        heading = f"Grad-CAM of {self.question} at each layer"
        caption = "each map on its own scale"
        if outlines:
            caption += "; outlined: pixels predicted as the class"
        return thumbnail_pages(thumbnails, heading, caption, most=most)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        order: str = "rank",
        colormap: str = colormaps.DEFAULT,
        most: int = 60,
    ) -> list[Path]:
        """Write :meth:`figures` as ``layers.png``, ``layers-2.png`` and so on.

        Returns:
            The files.

        Raises:
            DependencyError: matplotlib is not installed.
            InputError: as for :meth:`figures`.
            OutputError: a path cannot be written, or is not .png, .jpg, .svg or .pdf.
        """
        suffix = suffix_of(path)
        if suffix in ARRAYS:
            raise OutputError(
                f"{path} is a file of arrays, but every layer's map has its own grid; give the "
                "path of a picture, such as layers.png"
            )
        target = check_writable(path)
        pages = []
        for i, figure in enumerate(self.figures(order=order, colormap=colormap, most=most), 1):
            page = target if i == 1 else target.with_name(f"{target.stem}-{i}{target.suffix}")
            write_whole(page, figure_bytes(figure, suffix))
            pages.append(page)
        return pages


def _lines(candidate: Candidate) -> tuple[str, ...]:
    """Return the lines below a thumbnail."""
    field = candidate.field_in_words
    pixels = " px" if field[0].isdigit() else ""
    stride, cost = candidate.stride_in_words, candidate.cost_in_words
    facts = f"stride {stride}, field {field}{pixels}, cost {cost}"
    if candidate.is_empty:
        return facts, "the map shows nothing"
    shares = [
        f"{word} {100 * share:.0f} %"
        for word, share in (("inside", candidate.inside), ("dead", candidate.dead))
        if share is not None
    ]
    if candidate.concentration is not None:
        shares.append(f"gini {candidate.concentration:.2f}")
    return facts, ", ".join(shares)
