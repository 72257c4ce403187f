"""The panels of an explanation's figure: which pictures, titles, colour bars and outlines."""

# ruff: noqa: D102 - the Protocol's members are documented in Explanation

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Artifact
from ortcam.drawing.contours import Outline
from ortcam.drawing.figures import ColorBar, Panel, panels_figure, wrap
from ortcam.drawing.style import DrawingStyle, Scale, at_slice
from ortcam.results.segmentation import Segmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Maps", "maps_figure"]


class Maps(Protocol):
    """The parts of an :class:`~ortcam.results.explanation.Explanation` that a figure shows."""

    @property
    def artifact(self) -> Artifact: ...
    @property
    def captions(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def layers(self) -> tuple[str, ...]: ...
    @property
    def picture(self) -> NDArray[np.uint8] | None: ...
    @property
    def segmentation(self) -> Segmentation | None: ...
    @property
    def title(self) -> str: ...
    def limits(
        self, position: int, layer: str, scale: Scale, colormap: str
    ) -> tuple[float, float]: ...
    def outlines(self, position: int, slice: int | None = None) -> list[Outline]: ...
    def painted(self, position: int, layer: str, style: DrawingStyle) -> NDArray[np.uint8]: ...


def maps_figure(maps: Maps, style: DrawingStyle) -> Figure:
    """One layer's maps beside the picture and its segmentation, or a row of maps for each layer."""
    return (_layer_figure if len(maps.layers) == 1 else _grid_figure)(maps, style)


def _layer_figure(maps: Maps, style: DrawingStyle) -> Figure:
    """The picture, its segmentation, and a map for each class.

    The legend stands beside the first row, the maps' colour bar beside the last.
    """
    (layer,) = maps.layers
    slice = style.slice
    panels: list[Panel] = []
    if maps.picture is not None:
        title = "Picture" if slice is None else f"Slice {slice}"
        panels.append(Panel(title=title, image=at_slice(slice, maps.picture)))
    if maps.segmentation is not None:
        labels = np.asarray(maps.segmentation.overlay(slice=slice))
        panels.append(Panel(title="Segmentation", image=labels))
    for k, name in enumerate(maps.captions):
        panels.append(_map_panel(maps, k, layer, f"{maps.title}: {name}", style))
    rows = wrap(panels)
    bars = [*[None] * (len(rows) - 1), _color_bar(maps, layer, style)]
    legend = None if maps.segmentation is None else maps.segmentation.color_key
    return panels_figure(rows, bars, legend)


def _grid_figure(maps: Maps, style: DrawingStyle) -> Figure:
    """A row of maps for each layer, from early to late.

    Every row has a colour bar; where each map has a range of its own, one serves for all.
    """
    order = [layer.name for layer in maps.artifact.layers]
    layers = sorted(set(maps.layers), key=order.index)
    rows = [
        [
            _map_panel(maps, k, layer, f"{maps.title}: {name} ({layer})", style)
            for k, name in enumerate(maps.captions)
        ]
        for layer in layers
    ]
    bars: list[ColorBar | None] = [_color_bar(maps, layer, style) for layer in layers]
    if all(bar is not None and bar.limits is None for bar in bars):
        bars[:-1] = [None] * (len(bars) - 1)
    return panels_figure(rows, bars)


def _map_panel(maps: Maps, position: int, layer: str, title: str, style: DrawingStyle) -> Panel:
    shows = any(maps.limits(position, layer, "own", "coolwarm"))
    return Panel(
        title=title if shows else f"{title}, all zero",
        image=maps.painted(position, layer, style),
        outlines=maps.outlines(position, style.slice) if style.contours else (),
    )


def _color_bar(maps: Maps, layer: str, style: DrawingStyle) -> ColorBar:
    """The colour bar of a layer's maps."""
    scale = style.scale
    if scale == "own":
        if len(maps.classes) > 1:
            return ColorBar(colormap=style.colormap, limits=None)
        scale = "shared"
    low, top = maps.limits(0, layer, scale, style.colormap)
    return ColorBar(colormap=style.colormap, limits=(low, top) if top > low else None)
