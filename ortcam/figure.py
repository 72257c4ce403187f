"""The figures, by matplotlib: without pyplot, its state or a display.

Panels are placed by hand, in inches, so that every picture keeps its shape and the figure ends
where the last panel does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam import colormap as colormaps
from ortcam.errors import DependencyError

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise DependencyError(
        f"a figure needs matplotlib ({error}): pip install 'ortcam[plot]'; "
        "overlay() makes a picture without it"
    ) from error

if TYPE_CHECKING:
    from ortcam.results import Explanation, Segmentation

__all__ = ["grid_figure", "maps_figure", "segmentation_figure"]

_DPI = 200
_PANEL = 3.8  # the side, in inches, of a square as large as a panel
_GAP = 0.12
_TITLE = 0.27  # the height of a title
_BAR = 0.14  # the width of a colour bar
_NUMBERS = 0.5  # the width of what stands beside it
_LETTERS = 46  # a title longer than this is cut in its middle

Panel = tuple[str, NDArray[np.uint8]]
"""A title and a picture."""


def segmentation_figure(
    segmentation: Segmentation, transparency: float = 0.4, slice: int | None = None
) -> Figure:
    """The labels over the picture, beside a colour bar that names the classes."""
    painted = np.asarray(segmentation.overlay(transparency, slice=slice))
    width, height = _panel(segmentation.grid, 1.5 * _PANEL)
    across = 3 * _GAP + width + _BAR + _legend_width(segmentation)
    figure = Figure((across, height + 2 * _GAP), dpi=_DPI)
    _show(_place(figure, _GAP, _GAP, width, height), painted)
    _legend(_place(figure, width + 2 * _GAP, _GAP, _BAR, height), segmentation, height)
    return figure


def maps_figure(
    explanation: Explanation, *, alpha: float, colormap: str, scale: str, slice: int | None = None
) -> Figure:
    """The picture, its segmentation, and a map for each class, at one layer.

    A colour bar beside the first row names the classes, one beside the last is the maps'.
    """
    (layer,) = explanation.layers
    panels: list[Panel] = []
    if explanation.picture is not None:
        picture = explanation.picture if slice is None else explanation.picture[slice]
        panels.append(("Picture" if slice is None else f"Slice {slice}", picture))
    if explanation.segmentation is not None:
        painted = np.asarray(explanation.segmentation.overlay(slice=slice))
        panels.append(("Segmentation", painted))
    for k, name in enumerate(explanation.classes):
        painted = explanation.painted(
            k, layer, alpha=alpha, colormap=colormap, scale=scale, slice=slice
        )
        panels.append((f"{explanation.title}: {name}{_blank(explanation, k, layer)}", painted))
    columns = min(len(panels), 2 if len(panels) <= 4 else 3 if len(panels) <= 9 else 4)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    tops = [None] * (len(rows) - 1) + [_top(explanation, layer, scale)]
    legend = explanation.segmentation if len(rows) > 1 else None
    return _figure(rows, explanation.grid, colormap, tops, legend)


def grid_figure(
    explanation: Explanation, *, alpha: float, colormap: str, scale: str, slice: int | None = None
) -> Figure:
    """A map for each layer and class: a row for each layer, from early to late.

    On a shared scale every row has a colour bar, else one serves for all.
    """
    order = [layer.name for layer in explanation.artifact.layers]
    layers = sorted(set(explanation.layers), key=order.index)
    rows: list[list[Panel]] = []
    for layer in layers:
        row = []
        for k, name in enumerate(explanation.classes):
            painted = explanation.painted(
                k, layer, alpha=alpha, colormap=colormap, scale=scale, slice=slice
            )
            title = f"{explanation.title}: {name} ({layer}){_blank(explanation, k, layer)}"
            row.append((title, painted))
        rows.append(row)
    tops = [_top(explanation, layer, scale) for layer in layers]
    if scale == "own":
        tops[:-1] = [None] * (len(tops) - 1)
    return _figure(rows, explanation.grid, colormap, tops, None)


def _figure(
    rows: Sequence[Sequence[Panel]],
    grid: tuple[int, ...],
    colormap: str,
    tops: Sequence[float | None],
    legend: Segmentation | None,
) -> Figure:
    """Rows of titled panels.

    Args:
        rows: from top to bottom.
        grid: the pictures' (height, width), of volumes behind their depth.
        colormap: the colour bars'.
        tops: for each row the last value of a colour bar at its right; 0 where each map has a
            range of its own, None for no bar.
        legend: its classes are named beside the first row.
    """
    width, height = _panel(grid, _PANEL)
    across, up = width + _GAP, height + _TITLE + _GAP / 2
    beside = max(_NUMBERS, 0 if legend is None else _legend_width(legend))
    bar = _GAP + max(map(len, rows)) * across
    figure = Figure((bar + _BAR + beside + _GAP, len(rows) * up + _GAP), dpi=_DPI)
    for r, row in enumerate(rows):
        bottom = _GAP + (len(rows) - 1 - r) * up
        for c, (title, image) in enumerate(row):
            axes = _place(figure, _GAP + c * across, bottom, width, height)
            _show(axes, image)
            axes.set_title(_plain(_cut(title)), fontsize=10, pad=4)
        top = tops[r]
        if top is not None:
            _color_bar(_place(figure, bar, bottom, _BAR, height), colormap, top)
        if legend is not None and r == 0:
            _legend(_place(figure, bar, bottom, _BAR, height), legend, height)
    return figure


def _show(axes: Axes, image: NDArray[np.uint8]) -> None:
    """A picture, smooth where it is enlarged and averaged where it is made smaller."""
    height, width = image.shape[:2]
    across = axes.get_window_extent().width
    if width > 2 * across:  # of a large photograph Pillow makes a small one much faster
        small = round(2 * across), max(1, round(2 * across * height / width))
        image = np.asarray(Image.fromarray(image).resize(small, Image.Resampling.BOX))
    interpolation = "bilinear" if width < across else "antialiased"
    axes.imshow(image, interpolation=interpolation, extent=(-0.5, width - 0.5, height - 0.5, -0.5))


def _legend(axes: Axes, segmentation: Segmentation, height: float) -> None:
    """The classes' colours and names, from top to bottom; ``height`` in inches."""
    shown = segmentation.legend
    colors = np.array([segmentation.colors[i] for i in shown], np.uint8).reshape(-1, 1, 3)
    axes.imshow(colors, aspect="auto", interpolation="nearest")
    size = min(9.0, 0.75 * 72 * height / max(len(shown), 1))
    names = [_plain(_cut(segmentation.classes[i])) for i in shown]
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.tick_params(length=0, pad=4)


def _legend_width(segmentation: Segmentation) -> float:
    longest = max((len(_cut(segmentation.classes[i])) for i in segmentation.legend), default=0)
    return 0.15 + 0.085 * longest


def _color_bar(axes: Axes, colormap: str, top: float) -> None:
    colors = colormaps.table(colormap)[:, None]
    end = top or 1.0
    axes.imshow(colors, aspect="auto", origin="lower", extent=(0.0, 1.0, 0.0, end))
    axes.tick_params(length=2.5, width=0.5, labelsize=8, pad=3)
    if top:
        ticks = [float(t) for t in MaxNLocator(4).tick_values(0, end) if 0 <= t <= end]
        axes.set_yticks(ticks, [f"{t:.3g}" for t in ticks])
    else:
        axes.set_yticks([0, end], ["0", "max"])


def _top(explanation: Explanation, layer: str, scale: str) -> float | None:
    return explanation.top(0, layer, scale) if scale == "shared" else 0.0


def _blank(explanation: Explanation, position: int, layer: str) -> str:
    return "" if explanation.top(position, layer, "own") > 0 else ", all zero"


def _panel(grid: tuple[int, ...], side: float) -> tuple[float, float]:
    """(width, height) in inches: as the picture, and as large for all but the longest shapes."""
    height, width = grid[-2:]
    scale = min(side / (height * width) ** 0.5, 2.2 * side / max(height, width))
    return max(width * scale, 0.5), max(height * scale, 0.5)


def _place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Bare axes at a place given in inches, whose labels stand at their right."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.yaxis.tick_right()
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)
    return axes


def _cut(title: str) -> str:
    """A long title without its middle: of a layer's long path the end tells most."""
    if len(title) <= _LETTERS:
        return title
    return f"{title[: _LETTERS // 3]}…{title[-(2 * _LETTERS // 3) :]}"


def _plain(text: str) -> str:
    r"""Text that matplotlib prints as it stands: a dollar sign begins no formula."""
    return text.replace("$", r"\$")
