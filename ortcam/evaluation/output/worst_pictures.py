"""The pictures of a row of the table: where the class is, and the map."""

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
from ortcam.evaluation.compare_artifacts import Match
from ortcam.evaluation.measure_picture import look
from ortcam.evaluation.options import Options
from ortcam.grids.resample import upsample

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["Drawn"]

WIDTH = 420
"""Pixels of a picture's width at most, as shown."""


class Drawn:
    """Draws rows; the maps of each are made again."""

    def __init__(
        self,
        cam: Cam,
        other: Cam | None,
        match: Match | None,
        asked: Options,
        items: Sequence[Item],
    ) -> None:
        """See :func:`ortcam.evaluate`."""
        self._cam, self._other, self._match, self._asked = cam, other, match, asked
        self._items: Mapping[str, Item] = {item.name: item for item in items}
        self._drawn: dict[Row, list[NDArray[np.uint8]]] = {}

    def __call__(self, row: Row) -> list[NDArray[np.uint8]]:
        """The picture, the class outlined, and below it the map, or both networks' maps.

        One row is often among the worst of several figures.
        """
        key = row._replace(metric="", value=None)
        if key not in self._drawn:
            self._drawn[key] = self._draw(row)
        return self._drawn[key]

    def _draw(self, row: Row) -> list[NDArray[np.uint8]]:
        index = self._cam.classes.index(row.cls)
        looked = look(self._cam, self._asked, self._items[row.picture])
        rgb, object = _small(looked.rgb, looked.reference == index)
        pictures = [rgb]
        pairs = [(self._cam, index, row.layer)]
        if self._other is not None and self._match is not None:
            pairs.append((self._other, self._match.classes[index], self._match.layers[row.layer]))
        for cam, cls, layer in pairs:
            explanation = cam.explain(
                looked.rgb,
                [cls],
                [layer],
                inputs=self._asked.inputs,
                size=self._asked.size,
                method=row.method,
            )
            plane = upsample(explanation.raw[layer][0], rgb.shape[:2])
            pictures.append(paint_map(rgb, plane, explanation.top(0, layer)))
        return [contours.draw(picture, [(object, contours.ASKED)]) for picture in pictures]


def _small(
    picture: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture and a mask on it, as they are shown."""
    height, width, _ = picture.shape
    if width <= WIDTH:
        return picture, mask
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    rgb = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(rgb), np.asarray(Image.fromarray(mask).resize(size))
