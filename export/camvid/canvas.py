"""A small software renderer: planar faces and flat figures in perspective, with a depth buffer.

World axes in metres: x to the right, y up from the road, z ahead. Colours are linear light.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.floating[Any]]
Paint = Callable[[Floats], Floats]
"""Points of a face, world coordinates ``[P, 3]``, to their colours ``[P, 3]``."""

Points = Iterable[Iterable[float]]
"""Points in a plane, ``(x, y)`` each."""

NEAR = 0.6
"""The near plane, in metres: points nearer to the camera are clipped."""


class Canvas:
    """Colour ``float32 [H, W, 3]``, depth ``float32 [H, W]`` and labels ``uint8 [H, W]``."""

    def __init__(
        self, size: tuple[int, int], focal: float, horizon: float, eye: ArrayLike, yaw: float
    ) -> None:
        """``focal`` in widths, ``horizon`` as a fraction of the height, ``yaw`` in radians."""
        self.width, self.height = size
        self.focal = focal * self.width
        self.middle, self.horizon = self.width / 2, horizon * self.height
        self.eye = np.asarray(eye, np.float32)
        c, s = np.cos(yaw), np.sin(yaw)
        self.turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], np.float32)
        self.rgb: Floats = np.zeros((self.height, self.width, 3), np.float32)
        self.depth: Floats = np.full((self.height, self.width), np.inf, np.float32)
        self.labels = np.zeros((self.height, self.width), np.uint8)
        columns = np.arange(self.width, dtype=np.float32) + 0.5
        rows = np.arange(self.height, dtype=np.float32) + 0.5
        self.across = (columns - np.float32(self.middle)) / np.float32(self.focal)
        self.upward = (np.float32(self.horizon) - rows) / np.float32(self.focal)

    def rays(self) -> Floats:
        """The viewing direction of each pixel in the world, ``[H, W, 3]``, not normalised."""
        x, y = np.meshgrid(self.across, self.upward)
        return np.stack([x, y, np.ones_like(x)], -1) @ self.turn

    def seen(self, points: ArrayLike) -> Floats:
        """World points ``[P, 3]`` in the camera's axes."""
        seen: Floats = (np.asarray(points, np.float32) - self.eye) @ self.turn.T
        return seen

    def project(self, seen: Floats) -> Floats:
        """Points in the camera's axes ``[P, 3]`` to pixels ``[P, 2]``."""
        plane = seen[:, :2] * np.float32(self.focal) / seen[:, 2:]
        return plane * np.array([1, -1], np.float32) + np.array(
            [self.middle, self.horizon], np.float32
        )

    def outline(self, points: ArrayLike) -> Floats:
        """A polygon ``[P, 3]`` clipped at the near plane and projected to pixels ``[Q, 2]``."""
        return self.project(clip(self.seen(points)))

    def face(self, points: ArrayLike, paint: Paint, label: int) -> None:
        """Paint a planar polygon, world corners ``[P, 3]``, where nothing nearer hides it."""
        seen = clip(self.seen(points))
        if len(seen) < 3:
            return
        pixels = self.project(seen)
        low = np.clip(np.floor(pixels.min(0)), 0, [self.width, self.height]).astype(int)
        high = np.clip(np.ceil(pixels.max(0)) + 1, 0, [self.width, self.height]).astype(int)
        if (high <= low).any():
            return
        normal = np.cross(seen, np.roll(seen, -1, 0)).sum(
            0
        )  # Newell's method: robust for any corners
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        slope = normal[0] * self.across[box[1]] + (normal[1] * self.upward[box[0]])[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = normal @ seen[0] / (slope + normal[2])
        stencil = Image.new("1", (int(high[0] - low[0]), int(high[1] - low[1])))
        corners = [(float(x), float(y)) for x, y in pixels - low - 0.5]
        ImageDraw.Draw(stencil).polygon(corners, fill=1)
        # The tolerance lets details be painted over the face that carries them.
        visible = np.asarray(stencil) & (depth > 0) & (depth < self.depth[box] * 1.002)
        rows, columns = np.nonzero(visible)
        if not len(rows):
            return
        rows, columns, depth = rows + low[1], columns + low[0], depth[visible]
        rays = np.stack([self.across[columns], self.upward[rows], np.ones_like(depth)], -1)
        self.rgb[rows, columns] = paint((rays * depth[:, None]) @ self.turn + self.eye)
        self.depth[rows, columns] = depth
        self.labels[rows, columns] = label

    def figure(
        self, foot: Iterable[float], extent: tuple[float, float], draw: "Draw", label: int
    ) -> None:
        """Draw a flat figure that stands at ``foot`` and faces the camera.

        Args:
            foot: its lowest point, world coordinates.
            extent: half its width, and its height.
            draw: called with a ``Pen`` that takes metres from the foot.
            label: its class.
        """
        seen = self.seen([list(foot)])
        depth = float(seen[0, 2])
        if depth < NEAR:
            return
        x, y = self.project(seen)[0]
        scale = self.focal / depth
        left, top = int(np.floor(x - extent[0] * scale)), int(np.floor(y - extent[1] * scale))
        right, bottom = int(np.ceil(x + extent[0] * scale)) + 1, int(np.ceil(y)) + 1
        if right <= 0 or left >= self.width or bottom <= 0 or top >= self.height:
            return
        pen = Pen((right - left, bottom - top), (float(x) - left, float(y) - top), scale)
        draw(pen)
        rows = slice(max(top, 0), min(bottom, self.height))
        columns = slice(max(left, 0), min(right, self.width))
        inner = np.s_[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        colour = (np.asarray(pen.picture, np.float32)[inner] / 255) ** np.float32(2.2)
        covers = np.asarray(pen.cover)[inner] & (self.depth[rows, columns] > depth)
        means = np.asarray(pen.meaning)[inner] & (self.depth[rows, columns] > depth)
        self.rgb[rows, columns][covers] = colour[covers]
        self.labels[rows, columns][means] = label
        self.depth[rows, columns][covers] = depth


class Pen:
    """Draws a figure in metres; its label may cover more than its paint."""

    def __init__(self, size: tuple[int, int], foot: tuple[float, float], scale: float) -> None:
        self.foot, self.scale = foot, scale
        self.picture = Image.new("RGB", size)
        self.cover, self.meaning = Image.new("1", size), Image.new("1", size)
        self.layers = [ImageDraw.Draw(i) for i in (self.picture, self.cover, self.meaning)]

    def at(self, points: Points) -> list[tuple[float, float]]:
        """Metres from the foot to pixels of the figure."""
        s, (left, top) = self.scale, self.foot
        return [(left + float(x) * s, top - float(y) * s) for x, y in points]

    def fills(self, colour: Iterable[float]) -> list[tuple[int, int, int] | int]:
        """The same linear colour for picture, cover and label."""
        r, g, b = (int(min(max(float(c), 0), 1) ** (1 / 2.2) * 255) for c in colour)
        return [(r, g, b), 1, 1]

    def polygon(self, points: Points, colour: Iterable[float]) -> None:
        """A filled polygon."""
        for layer, fill in zip(self.layers, self.fills(colour), strict=True):
            layer.polygon(self.at(points), fill=fill)

    def ellipse(
        self, centre: Sequence[float], radii: Sequence[float], colour: Iterable[float]
    ) -> None:
        """A filled ellipse."""
        for layer, fill in zip(self.layers, self.fills(colour), strict=True):
            layer.ellipse(self.box(centre, radii), fill=fill)

    def line(self, points: Points, width: float, colour: Iterable[float]) -> None:
        """A line of some width, its corners rounded."""
        pixels = max(1, round(width * self.scale))
        for layer, fill in zip(self.layers, self.fills(colour), strict=True):
            layer.line(self.at(points), fill=fill, width=pixels, joint="curve")

    def ring(
        self, centre: Sequence[float], radii: Sequence[float], width: float, colour: Iterable[float]
    ) -> None:
        """The outline of an ellipse; its inside gets the label, but no paint."""
        pixels = max(1, round(width * self.scale))
        picture, cover, _ = self.fills(colour)
        self.layers[0].ellipse(self.box(centre, radii), outline=picture, width=pixels)
        self.layers[1].ellipse(self.box(centre, radii), outline=cover, width=pixels)
        self.layers[2].ellipse(self.box(centre, radii), fill=1)

    def veil(self, centre: Sequence[float], radius: float) -> None:
        """A disc that gets the label, but no paint."""
        self.layers[2].ellipse(self.box(centre, (radius, radius)), fill=1)

    def box(self, centre: Sequence[float], radii: Sequence[float]) -> list[tuple[float, float]]:
        """An ellipse's bounding box in pixels."""
        (x, y), (w, h) = centre, radii
        (left, top), (right, bottom) = self.at([(x - w, y + h), (x + w, y - h)])
        return [(left, top), (max(left, right), max(top, bottom))]


Draw = Callable[[Pen], None]


def clip(seen: Floats) -> Floats:
    """The part of a polygon ``[P, 3]`` that lies beyond the near plane, ``[Q, 3]``."""
    corners = []
    for a, b in zip(seen, np.roll(seen, -1, 0), strict=True):
        if a[2] >= NEAR:
            corners.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            corners.append(a + (b - a) * (NEAR - a[2]) / (b[2] - a[2]))
    return np.array(corners, np.float32).reshape(-1, 3)
