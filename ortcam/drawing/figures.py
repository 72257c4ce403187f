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

from ortcam.artifact import Color
from ortcam.drawing import colormap as colormaps
from ortcam.drawing import contours
from ortcam.drawing.style import DrawingStyle
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

if TYPE_CHECKING:
    from ortcam.results.explanation import Explanation
    from ortcam.results.segmentation import Segmentation

__all__ = [
    "cut",
    "grid_figure",
    "maps_figure",
    "place",
    "plain",
    "segmentation_figure",
    "sheet",
]

_DPI = 200
_PANEL = 3.8  # the side, in inches, of a square as large as a panel
_GAP = 0.12
_TITLE = 0.27  # the height of a title
_BAR = 0.14  # the width of a colour bar
_NUMBERS = 0.5  # the width of what stands beside it
_LETTERS = 46  # a title longer than this is cut in its middle
_KEY = 0.22  # the height of the line that says what the outlines are
_FINE = 500  # a smaller picture is enlarged before outlines are drawn, to have fine ones

Panel = tuple[str, NDArray[np.uint8]]
"""A title and a picture."""

Limits = tuple[float, float]
"""The values of a colour bar's first and last colour."""

_EACH: Limits = (0.0, 0.0)
"""The bar of maps that have a range each."""


def segmentation_figure(
    segmentation: Segmentation, transparency: float = 0.4, slice: int | None = None
) -> Figure:
    """The labels over the picture, beside a colour bar that names the classes."""
    painted = np.asarray(segmentation.overlay(transparency, slice=slice))
    width, height = _panel(segmentation.grid, 1.5 * _PANEL)
    across = 3 * _GAP + width + _BAR + _legend_width(segmentation)
    figure = Figure((across, height + 2 * _GAP), dpi=_DPI)
    _show(place(figure, _GAP, _GAP, width, height), painted)
    _legend(place(figure, width + 2 * _GAP, _GAP, _BAR, height), segmentation, height)
    return figure


def maps_figure(explanation: Explanation, look: DrawingStyle) -> Figure:
    """The picture, its segmentation, and a map for each class, at one layer.

    A colour bar beside the first row names the classes, one beside the last is the maps'.
    """
    (layer,) = explanation.layers
    slice = look.slice
    panels: list[Panel] = []
    if explanation.picture is not None:
        picture = explanation.picture if slice is None else explanation.picture[slice]
        panels.append(("Picture" if slice is None else f"Slice {slice}", picture))
    if explanation.segmentation is not None:
        painted = np.asarray(explanation.segmentation.overlay(slice=slice))
        panels.append(("Segmentation", painted))
    for k, name in enumerate(explanation.classes):
        panels.append(_map(explanation, k, layer, f"{explanation.title}: {name}", look))
    columns = _columns(len(panels), explanation.grid)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    bars: list[Limits | None] = [None] * (len(rows) - 1)
    bars.append(_limits(explanation, layer, look))
    return _figure(rows, explanation, look, bars, explanation.segmentation)


def _columns(panels: int, grid: tuple[int, ...]) -> int:
    """How many panels stand side by side: three alone do, or below each other if they are wide."""
    if panels == 3:
        return 3 if _panel(grid, _PANEL)[0] <= 1.25 * _PANEL else 1
    return min(panels, 2 if panels <= 4 else 3 if panels <= 9 else 4)


def grid_figure(explanation: Explanation, look: DrawingStyle) -> Figure:
    """A map for each layer and class: a row for each layer, from early to late.

    Every row has a colour bar; where each map has a range of its own, one serves for all.
    """
    order = [layer.name for layer in explanation.artifact.layers]
    layers = sorted(set(explanation.layers), key=order.index)
    rows = [
        [
            _map(explanation, k, layer, f"{explanation.title}: {name} ({layer})", look)
            for k, name in enumerate(explanation.classes)
        ]
        for layer in layers
    ]
    bars: list[Limits | None] = [_limits(explanation, layer, look) for layer in layers]
    if all(bar == _EACH for bar in bars):
        bars[:-1] = [None] * (len(bars) - 1)
    return _figure(rows, explanation, look, bars, None)


def _map(
    explanation: Explanation, position: int, layer: str, title: str, look: DrawingStyle
) -> Panel:
    painted = explanation.painted(position, layer, look)
    if look.contours and (outlines := explanation.outlines(position, look.slice)):
        painted = _outlined(painted, outlines)
    return f"{title}{_blank(explanation, position, layer)}", painted


def _outlined(
    painted: NDArray[np.uint8], outlines: Sequence[contours.Outline]
) -> NDArray[np.uint8]:
    """A picture with outlines that are fine on the page also where its pixels are not."""
    height, width = painted.shape[:2]
    times = max(1, round(_FINE / (height * width) ** 0.5))
    if times > 1:
        image = Image.fromarray(painted)
        size = (width * times, height * times)
        painted = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        outlines = [(m.repeat(times, 0).repeat(times, 1), color) for m, color in outlines]
    return contours.draw(painted, outlines)


def sheet(width: float, height: float, dpi: float = _DPI) -> Figure:
    """An empty figure, its size in inches."""
    return Figure((width, height), dpi=dpi)


def _figure(
    rows: Sequence[Sequence[Panel]],
    explanation: Explanation,
    look: DrawingStyle,
    bars: Sequence[Limits | None],
    legend: Segmentation | None,
) -> Figure:
    """Rows of titled panels.

    Args:
        rows: from top to bottom.
        explanation: what is shown.
        look: how.
        bars: for each row the values at the ends of a colour bar at its right, or None for none.
        legend: its classes are named beside the first row, behind the bar of a single one.
    """
    width, height = _panel(explanation.grid, _PANEL)
    across, up = width + _GAP, height + _TITLE + _GAP / 2
    names = 0 if legend is None else _legend_width(legend)
    right = _GAP + max(map(len, rows)) * across
    behind = right + (_BAR + _NUMBERS + _GAP if bars[0] is not None and names else 0)
    end = max(right + _BAR + _NUMBERS, behind + (_BAR + names if names else 0)) + _GAP
    key = _outlines_there(explanation, look)
    foot = _GAP + (_KEY if key else 0)
    figure = Figure((end, len(rows) * up + foot), dpi=_DPI)
    for r, row in enumerate(rows):
        bottom = foot + (len(rows) - 1 - r) * up
        for c, (title, image) in enumerate(row):
            axes = place(figure, _GAP + c * across, bottom, width, height)
            _show(axes, image)
            shown = plain(cut(title))
            axes.set_title(shown, fontsize=10, pad=4, fontfamily=fonts.families(shown))
        bar = bars[r]
        if bar is not None:
            beside = _GAP + len(row) * across
            _color_bar(place(figure, beside, bottom, _BAR, height), look.colormap, bar)
        if legend is not None and r == 0:
            _legend(place(figure, behind, bottom, _BAR, height), legend, height)
    if key:
        _outline_key(figure, key)
    return figure


def _outlines_there(explanation: Explanation, look: DrawingStyle) -> list[tuple[Color, str]]:
    """The outlines that are drawn somewhere, and what they are around."""
    if not look.contours:
        return []
    positions = range(len(explanation.classes))
    there = {color for k in positions for _, color in explanation.outlines(k, look.slice)}
    words = {
        contours.PREDICTED: "around what is predicted as the class",
        contours.ASKED: "around what is asked about",
    }
    return [(color, text) for color, text in words.items() if color in there]


def _outline_key(figure: Figure, key: Sequence[tuple[Color, str]]) -> None:
    """A sample of each outline and what it is around, at the lower left."""
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
    names = [plain(cut(segmentation.classes[i])) for i in shown]
    axes.set_yticks(
        range(len(names)), names, fontsize=size, fontfamily=fonts.families("".join(names))
    )
    axes.tick_params(length=0, pad=4)


def _legend_width(segmentation: Segmentation) -> float:
    longest = max(
        (fonts.width(cut(segmentation.classes[i])) for i in segmentation.legend), default=0
    )
    return 0.15 + 0.085 * longest


def _color_bar(axes: Axes, colormap: str, bar: Limits) -> None:
    colors = colormaps.table(colormap)[:, None]
    each = bar == _EACH
    low, top = (0.0, 1.0) if each else bar
    axes.imshow(colors, aspect="auto", origin="lower", extent=(0.0, 1.0, low, top))
    axes.tick_params(length=2.5, width=0.5, labelsize=8, pad=3)
    if each:
        axes.set_yticks([low, top], ["0", "max"])
    else:
        ticks = [float(t) for t in MaxNLocator(4).tick_values(low, top) if low <= t <= top]
        axes.set_yticks(ticks, [f"{t:.3g}" for t in ticks])


def _limits(explanation: Explanation, layer: str, look: DrawingStyle) -> Limits:
    """The values at the ends of a layer's colour bar."""
    scale = look.scale
    if scale == "own":
        if len(explanation.classes) > 1:
            return _EACH
        scale = "shared"
    low, top = explanation.limits(0, layer, scale, look.colormap)
    return (low, top) if top > low else _EACH


def _blank(explanation: Explanation, position: int, layer: str) -> str:
    return "" if any(explanation.limits(position, layer, "own", "coolwarm")) else ", all zero"


def _panel(grid: tuple[int, ...], side: float) -> tuple[float, float]:
    """(width, height) in inches: as the picture, and as large for all but the longest shapes."""
    height, width = grid[-2:]
    scale = min(side / (height * width) ** 0.5, 2.2 * side / max(height, width))
    return max(width * scale, 0.5), max(height * scale, 0.5)


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Bare axes at a place given in inches, whose labels stand at their right."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.yaxis.tick_right()
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)
    return axes


def cut(title: str, letters: int = _LETTERS) -> str:
    """A long title without its middle: of a layer's long path the end tells most."""
    if (wide := fonts.width(title)) <= letters:
        return title
    letters = letters * len(title) // wide
    return f"{title[: letters // 3]}…{title[-(2 * letters // 3) :]}"


def plain(text: str) -> str:
    r"""Text that matplotlib prints as it stands: a dollar sign begins no formula.

    What is no letter, such as a control character, which no SVG may hold, and what no installed
    font has, is shown as a letter that is not known.
    """
    shown = (c if c.isprintable() else " " if c.isspace() else fonts.UNKNOWN for c in text)
    return fonts.legible("".join(shown)).replace("$", r"\$")
