"""Drawings of a row of the table: the picture with the object outlined, and its maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.batch.dataset import Item
from ortcam.batch.journal import Row
from ortcam.drawing import contours
from ortcam.drawing.overlay import paint_map
from ortcam.evaluation.compare_artifacts import Correspondence
from ortcam.evaluation.options import Options
from ortcam.evaluation.sample import read_sample
from ortcam.grids.resample import upsample

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["RowPainter"]

MAX_WIDTH = 420
"""The largest width of a drawing, in pixels."""


class RowPainter:
    """Draws rows; it recomputes their maps."""

    def __init__(
        self,
        cam: Cam,
        other: Cam | None,
        shared: Correspondence | None,
        options: Options,
        items: Sequence[Item],
    ) -> None:
        """See :func:`ortcam.evaluate`."""
        self._cam, self._other, self._shared, self._options = cam, other, shared, options
        self._items: Mapping[str, Item] = {item.name: item for item in items}
        self._drawings: dict[Row, list[NDArray[np.uint8]]] = {}

    def __call__(self, row: Row) -> list[NDArray[np.uint8]]:
        """Draw the picture with the class outlined, then the map, or the maps of both networks.

        Drawings are kept, since one row is often among the worst of several metrics.
        """
        key = row._replace(metric="", value=None)
        if key not in self._drawings:
            self._drawings[key] = self._draw(row)
        return self._drawings[key]

    def _draw(self, row: Row) -> list[NDArray[np.uint8]]:
        index = self._cam.classes.index(row.cls)
        sample = read_sample(self._cam, self._options, self._items[row.picture])
        rgb, object = _reduced(sample.rgb, sample.reference == index)
        pictures = [rgb]
        sources = [(self._cam, index, row.layer)]
        if self._other is not None and self._shared is not None:
            counterpart = self._shared.layers[row.layer]
            sources.append((self._other, self._shared.classes[index], counterpart))
        for cam, cls, layer in sources:
            explanation = cam.explain(
                sample.rgb,
                [cls],
                [layer],
                inputs=self._options.inputs,
                size=self._options.size,
                method=row.method,
            )
            plane = upsample(explanation.raw[layer][0], rgb.shape[:2])
            pictures.append(paint_map(rgb, plane, explanation.top(0, layer)))
        return [contours.draw(picture, [(object, contours.ASKED)]) for picture in pictures]


def _reduced(
    picture: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture and its mask, at most :data:`MAX_WIDTH` wide."""
    height, width, _ = picture.shape
    if width <= MAX_WIDTH:
        return picture, mask
    size = (MAX_WIDTH, max(1, round(height * MAX_WIDTH / width)))
    rgb = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(rgb), np.asarray(Image.fromarray(mask).resize(size))
