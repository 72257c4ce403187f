"""Labels and maps over the picture, and the legend of the labels, by Pillow alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ortcam.artifact import Color
from ortcam.drawing.colormap import DEFAULT, apply, apply_evenly, share, table
from ortcam.grids.labels import NONE

__all__ = [
    "Painter",
    "beside_legend",
    "paint_brightened",
    "paint_evenly",
    "paint_labels",
    "paint_map",
]

RISE = 4
"""A map's opacity rises from 0 over the first 1/RISE of its range."""


def paint_labels(
    picture: NDArray[np.uint8] | None,
    labels: NDArray[np.int32],
    colors: Sequence[Color],
    transparency: float = 0.4,
) -> NDArray[np.uint8]:
    """The labels' colours over a picture.

    Args:
        picture: [H, W, 3] uint8; None for the colours alone, on white.
        labels: [H, W]; where there is no label the picture is unchanged.
        colors: one for each class.
        transparency: the picture's share of the mix, from 0 to 1.

    Returns:
        [H, W, 3] uint8.
    """
    painted = np.array([*colors, (255, 255, 255)], np.uint8)[labels]  # NONE is -1: the last
    if picture is None:
        return painted
    opacity = np.where(labels == NONE, 0, np.float32(1 - transparency))
    return _blend(picture, painted, opacity[..., None])


class Painter(Protocol):
    """A function that lays a map's colours over a picture, called like :func:`paint_map`."""

    def __call__(
        self,
        picture: NDArray[np.uint8] | None,
        plane: NDArray[np.float32],
        top: float,
        *,
        low: float = 0.0,
        alpha: float = 0.5,
        colormap: str = DEFAULT,
    ) -> NDArray[np.uint8]:
        """[H, W, 3] uint8."""


def paint_map(
    picture: NDArray[np.uint8] | None,
    plane: NDArray[np.float32],
    top: float,
    *,
    low: float = 0.0,
    alpha: float = 0.5,
    colormap: str = DEFAULT,
) -> NDArray[np.uint8]:
    """A map's colours over a picture, which is unchanged where the map is 0.

    The jets are equally opaque everywhere, as in MATLAB's figures. The other colour maps begin
    near black, or have a grey middle, which would darken the picture or wash it out where the map
    is 0: their opacity rises with the map's magnitude, from 0 to ``alpha`` at a quarter of the
    top.

    Args:
        picture: [H, W, 3] uint8; None for the colours alone.
        plane: [H, W].
        top: the value of the last colour.
        low: the value of the first colour.
        alpha: the opacity of the colours, from 0 to 1.
        colormap: one of :data:`ortcam.drawing.colormap.COLORMAPS`.

    Returns:
        [H, W, 3] uint8.
    """
    colors = apply(plane, top, colormap, low=low)
    if picture is None:
        return colors
    if colormap.startswith("jet"):
        return _blend(picture, colors, np.float32(alpha))
    size = np.abs(plane) if low < 0 else plane
    rise = share(size, top / RISE)
    return _blend(picture, colors, np.float32(alpha) * rise[..., None])


def paint_evenly(
    picture: NDArray[np.uint8] | None,
    plane: NDArray[np.float32],
    top: float,
    *,
    low: float = 0.0,
    alpha: float = 0.5,
    colormap: str = DEFAULT,
) -> NDArray[np.uint8]:
    """A map's colours over a picture, equally opaque everywhere, with equal steps of colour.

    MATLAB's imagesc with AlphaData and matplotlib's imshow with alpha do this. The arguments are
    those of :func:`paint_map`.
    """
    colors = apply_evenly(plane, top, colormap, low=low)
    return colors if picture is None else _blend(picture, colors, np.float32(alpha))


def paint_brightened(
    picture: NDArray[np.uint8] | None,
    plane: NDArray[np.float32],
    top: float,
    *,
    low: float = 0.0,
    alpha: float = 0.5,
    colormap: str = DEFAULT,
) -> NDArray[np.uint8]:
    """A map's colours over a picture, equally opaque everywhere, then as bright as possible.

    This is pytorch-grad-cam's show_cam_on_image, in its float32 arithmetic. The arguments are
    those of :func:`paint_map`.
    """
    at = (255 * share(plane, top, low)).astype(np.uint8)
    colors = table(colormap)[at]
    if picture is None:
        return colors
    weight = 1 - alpha
    heat = (1 - weight) * (colors.astype(np.float32) / 255)
    mixed = heat + weight * (picture.astype(np.float32) / 255)
    painted: NDArray[np.uint8] = (255 * (mixed / max(mixed.max(), 1e-7))).astype(np.uint8)
    return painted


def beside_legend(
    picture: NDArray[np.uint8], names: Sequence[str], colors: Sequence[Color]
) -> Image.Image:
    """A picture beside a colour bar that names the classes, from top to bottom.

    The lettering grows with the picture. White is added below a picture that is lower than the
    bar.
    """
    height, width = picture.shape[:2]
    cell = max(height / max(len(names), 1), 14.0)
    size = min(max(cell * 0.45, 10.0), max(height / 26, 10.0))
    lettering = _lettering(names, size)
    gap, bar = round(size), round(1.6 * size)
    text = round(max((font.getlength(name) for name, font in lettering), default=0))
    tall = max(height, round(cell * len(names)))
    canvas = Image.new("RGB", (width + 3 * gap + bar + text, tall), "white")
    canvas.paste(Image.fromarray(picture))
    draw = ImageDraw.Draw(canvas)
    left = width + gap
    for i, ((name, font), color) in enumerate(zip(lettering, colors, strict=True)):
        top, bottom = round(i * cell), round((i + 1) * cell)
        draw.rectangle((left, top, left + bar - 1, bottom - 1), fill=color)
        draw.text(
            (left + bar + gap // 2, (top + bottom) / 2), name, "black", font=font, anchor="lm"
        )
    return canvas


def _lettering(
    names: Sequence[str], size: float
) -> list[tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]]:
    """Names, each with a font that has its letters; Pillow's own font has ASCII alone.

    Without matplotlib, which finds other fonts, names lose their accents.
    """
    if not all(name.isascii() for name in names):
        try:
            from ortcam.drawing import fonts
        except ImportError:
            names = [_in_ascii(name) for name in names]
        else:
            files = map(fonts.in_one, names)
            return [(name, ImageFont.truetype(file, size)) for name, file in files]
    font = ImageFont.load_default(size)
    return [(name, font) for name in names]


def _in_ascii(name: str) -> str:
    letters = (c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return "".join(letters).encode("ascii", "replace").decode()


def _blend(
    under: NDArray[np.uint8], over: NDArray[np.uint8], opacity: NDArray[np.float32] | np.float32
) -> NDArray[np.uint8]:
    return np.rint(under + opacity * (over - under.astype(np.float32))).astype(np.uint8)
