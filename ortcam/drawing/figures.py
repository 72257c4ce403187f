"""Figures by matplotlib, without pyplot, its state or a display.

Panels are placed by hand, in inches, so that every picture keeps its shape and the figure ends
where its last panel does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import Color
from ortcam.drawing import contours
from ortcam.drawing.colormap import table
from ortcam.drawing.palette import Legend
from ortcam.errors import DependencyError

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    from ortcam.drawing import fonts
except ImportError as error:
    raise DependencyError(
        f"a figure needs matplotlib ({error}): pip install 'ortcam[plot]'; "
        "overlay() makes a picture without it"
    ) from error

__all__ = [
    "ColorBar",
    "Panel",
    "cut",
    "labels_figure",
    "panels_figure",
    "place",
    "plain",
    "sheet",
    "wrap",
]

_DPI = 200
_PANEL = 3.8  # the side, in inches, of a square as large as a panel
_GAP = 0.12
_TITLE = 0.27  # the height of a title
_BAR = 0.14  # the width of a colour bar
_NUMBERS = 0.5  # the width of the numbers beside it
_LETTERS = 46  # a longer title is cut in its middle
_KEY = 0.22  # the height of the line that names the outlines
_FINE = 500  # a smaller picture is enlarged before outlines are drawn, so that they are thin


@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """A titled picture.

    Attributes:
        title: above it; its middle is cut out if it is long.
        image: [H, W, 3] uint8.
        outlines: masks [H, W] to outline, with their colours.
    """

    title: str
    image: NDArray[np.uint8]
    outlines: Sequence[contours.Outline] = ()


@dataclass(frozen=True, kw_only=True)
class ColorBar:
    """The colours of a row of maps.

    Attributes:
        colormap: one of :data:`ortcam.drawing.colormap.COLORMAPS`.
        limits: the values of the first and last colour; None for maps with a range each.
    """

    colormap: str
    limits: tuple[float, float] | None


def labels_figure(painted: NDArray[np.uint8], legend: Legend) -> Figure:
    """One large picture beside its legend."""
    width, height = _panel_size(painted, 1.5 * _PANEL)
    across = 3 * _GAP + width + _BAR + _legend_width(legend)
    figure = Figure((across, height + 2 * _GAP), dpi=_DPI)
    _show(place(figure, _GAP, _GAP, width, height), painted)
    _draw_legend(place(figure, width + 2 * _GAP, _GAP, _BAR, height), legend, height)
    return figure


def panels_figure(
    rows: Sequence[Sequence[Panel]],
    bars: Sequence[ColorBar | None],
    legend: Legend | None = None,
) -> Figure:
    """Rows of panels of one shape.

    Args:
        rows: from top to bottom.
        bars: the colour bar at the right of each row, or None.
        legend: stands beside the first row, to the right of the bar if that is the only row.
    """
    width, height = _panel_size(rows[0][0].image, _PANEL)
    across, up = width + _GAP, height + _TITLE + _GAP / 2
    names = 0 if legend is None else _legend_width(legend)
    right = _GAP + max(map(len, rows)) * across
    behind = right + (_BAR + _NUMBERS + _GAP if bars[0] is not None and names else 0)
    end = max(right + _BAR + _NUMBERS, behind + (_BAR + names if names else 0)) + _GAP
    drawn = {color for row in rows for panel in row for _, color in panel.outlines}
    foot = _GAP + (_KEY if drawn else 0)
    figure = Figure((end, len(rows) * up + foot), dpi=_DPI)
    for r, (row, bar) in enumerate(zip(rows, bars, strict=True)):
        bottom = foot + (len(rows) - 1 - r) * up
        for c, panel in enumerate(row):
            axes = place(figure, _GAP + c * across, bottom, width, height)
            _show(axes, _outlined(panel))
            title = plain(cut(panel.title))
            axes.set_title(title, fontsize=10, pad=4, fontfamily=fonts.families(title))
        if bar is not None:
            beside = _GAP + len(row) * across
            _draw_bar(place(figure, beside, bottom, _BAR, height), bar)
        if legend is not None and r == 0:
            _draw_legend(place(figure, behind, bottom, _BAR, height), legend, height)
    if drawn:
        _draw_key(figure, [(c, text) for c, text in contours.MEANINGS.items() if c in drawn])
    return figure


def wrap(panels: Sequence[Panel]) -> list[Sequence[Panel]]:
    """Rows of panels, one after the other: three stand side by side unless they are wide."""
    count = len(panels)
    if count == 3:
        columns = 3 if _panel_size(panels[0].image, _PANEL)[0] <= 1.25 * _PANEL else 1
    else:
        columns = min(count, 2 if count <= 4 else 3 if count <= 9 else 4)
    return [panels[i : i + columns] for i in range(0, count, columns)]


def _outlined(panel: Panel) -> NDArray[np.uint8]:
    """The picture with its outlines, which are thin on the page even where its pixels are not."""
    image, outlines = panel.image, panel.outlines
    if not outlines:
        return image
    height, width = image.shape[:2]
    times = max(1, round(_FINE / (height * width) ** 0.5))
    if times > 1:
        size = (width * times, height * times)
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        outlines = [(m.repeat(times, 0).repeat(times, 1), color) for m, color in outlines]
    return contours.draw(image, outlines)


def sheet(width: float, height: float, dpi: float = _DPI) -> Figure:
    """An empty figure, its size in inches."""
    return Figure((width, height), dpi=dpi)


def _draw_key(figure: Figure, key: Sequence[tuple[Color, str]]) -> None:
    """A sample of each outline and its meaning, at the lower left."""
    across, up = figure.get_size_inches()
    left, middle = _GAP, (_GAP + _KEY) / 2
    for color, text in key:
        light = tuple(channel / 255 for channel in color)
        for thick, shade in ((0.06, (0.08, 0.08, 0.12)), (0.02, light)):
            corner = left / across, (middle - thick / 2) / up
            sample = Rectangle(corner, 0.24 / across, thick / up, facecolor=shade, edgecolor="none")
            figure.add_artist(sample)
        figure.text((left + 0.31) / across, middle / up, text, fontsize=8, va="center_baseline")
        left += 0.31 + 0.059 * len(text) + 0.25


def _show(axes: Axes, image: NDArray[np.uint8]) -> None:
    """Show a picture, interpolated where it is enlarged and averaged where it is reduced."""
    height, width = image.shape[:2]
    across = axes.get_window_extent().width
    if width > 2 * across:  # Pillow reduces a large photograph much faster
        small = round(2 * across), max(1, round(2 * across * height / width))
        image = np.asarray(Image.fromarray(image).resize(small, Image.Resampling.BOX))
    interpolation = "bilinear" if width < across else "antialiased"
    axes.imshow(image, interpolation=interpolation, extent=(-0.5, width - 0.5, height - 0.5, -0.5))


def _draw_legend(axes: Axes, legend: Legend, height: float) -> None:
    """The classes' colours and names, from top to bottom; ``height`` in inches."""
    colors = np.array(legend.colors, np.uint8).reshape(-1, 1, 3)
    axes.imshow(colors, aspect="auto", interpolation="nearest")
    size = min(9.0, 0.75 * 72 * height / max(len(legend.names), 1))
    names = [plain(cut(name)) for name in legend.names]
    axes.set_yticks(
        range(len(names)), names, fontsize=size, fontfamily=fonts.families("".join(names))
    )
    axes.tick_params(length=0, pad=4)


def _legend_width(legend: Legend) -> float:
    return 0.15 + 0.085 * max((fonts.width(cut(name)) for name in legend.names), default=0)


def _draw_bar(axes: Axes, bar: ColorBar) -> None:
    low, top = bar.limits or (0.0, 1.0)
    colors = table(bar.colormap)[:, None]
    axes.imshow(colors, aspect="auto", origin="lower", extent=(0.0, 1.0, low, top))
    axes.tick_params(length=2.5, width=0.5, labelsize=8, pad=3)
    if bar.limits is None:
        axes.set_yticks([low, top], ["0", "max"])
    else:
        ticks = [float(t) for t in MaxNLocator(4).tick_values(low, top) if low <= t <= top]
        axes.set_yticks(ticks, [f"{t:.3g}" for t in ticks])


def _panel_size(image: NDArray[np.uint8], side: float) -> tuple[float, float]:
    """(width, height) in inches: as the picture, and as large for all but the longest shapes."""
    height, width = image.shape[:2]
    scale = min(side / (height * width) ** 0.5, 2.2 * side / max(height, width))
    return max(width * scale, 0.5), max(height * scale, 0.5)


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Bare axes at a place in inches, with their labels at the right."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.yaxis.tick_right()
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)
    return axes


def cut(title: str, letters: int = _LETTERS) -> str:
    """The title, without its middle if it is long: the end of a layer's path tells most."""
    if (wide := fonts.width(title)) <= letters:
        return title
    letters = letters * len(title) // wide
    return f"{title[: letters // 3]}…{title[-(2 * letters // 3) :]}"


def plain(text: str) -> str:
    r"""Text that matplotlib prints literally: a dollar sign begins no formula.

    Control characters, which no SVG may hold, and letters that no installed font has become
    :data:`~ortcam.drawing.fonts.UNKNOWN`.
    """
    letters = (c if c.isprintable() else " " if c.isspace() else fonts.UNKNOWN for c in text)
    return fonts.legible("".join(letters)).replace("$", r"\$")
