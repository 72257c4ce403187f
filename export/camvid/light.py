"""Sun, sky and shadow: the light of a scene, and the colours that it gives to surfaces."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

from camvid.canvas import Canvas, Floats, Paint


def srgb(*colour: float) -> Floats:
    """A display colour, 0 to 255, as linear light."""
    return (np.array(colour, np.float32).clip(0) / 255) ** np.float32(2.2)


@dataclass
class Row:
    """The skyline of one side of the street: house k reaches from edges[k] to edges[k + 1]."""

    front: float
    edges: NDArray[np.float32]
    heights: NDArray[np.float32]


@dataclass
class Light:
    """The light sources of a scene.

    Args:
        sun: the unit vector towards it.
        direct: linear RGB on a surface that faces the sun.
        ambient: linear RGB from the open sky.
        zenith, haze: the sky's colour above, and at the horizon.
        clouds: the fraction of the sky that they hide.
    """

    sun: Floats
    direct: Floats
    ambient: Floats
    zenith: Floats
    haze: Floats
    clouds: float
    rows: list[Row] = field(default_factory=list)

    def surface(self, colour: ArrayLike, normal: ArrayLike, points: Floats) -> Floats:
        """The light off a matt surface: colour ``[3]`` or ``[P, 3]``, points ``[P, 3]``."""
        n = np.asarray(normal, np.float32)
        facing = max(float(n @ self.sun), 0.0)
        # More sky above than below; and the lower, the less sky between the houses.
        sky = (0.75 + 0.25 * n[1]) * (0.8 + 0.2 * np.clip(points[:, 1] / 8, 0, 1))
        lit = self.sunlit(points) * np.float32(facing)
        arriving = self.ambient * sky[:, None] + self.direct * lit[:, None]
        reflected: Floats = np.asarray(colour, np.float32) * arriving
        return reflected

    def matt(self, colour: ArrayLike, normal: ArrayLike) -> Paint:
        """The paint of a plain matt face."""
        return lambda points: self.surface(colour, normal, points)

    def sunlit(self, points: Floats) -> Floats:
        """1 at points in the sun, 0 at those in the shadow of a house, ``[P]``."""
        lit = np.ones(len(points), np.float32)
        for row in self.rows:
            if row.front * self.sun[0] <= 0.02:
                continue
            way = (row.front - points[:, 0]) / self.sun[0]
            above = points[:, 1] + way * self.sun[1]
            house = np.searchsorted(row.edges, points[:, 2] + way * self.sun[2]) - 1
            height = row.heights[np.clip(house, 0, len(row.heights) - 1)]
            lit *= 1 - np.clip((height - above) * 4, 0, 1) * (way > 0.05)
        return lit

    def cast(self, points: ArrayLike) -> Floats:
        """Points ``[P, 3]`` moved along the sun's rays down to the road."""
        corners = np.asarray(points, np.float32)
        return corners - self.sun * (corners[:, 1:2] / max(float(self.sun[1]), 0.15))


class Ground:
    """The shadows on the ground, in the camera's view."""

    def __init__(self, canvas: Canvas, light: Light) -> None:
        self.canvas, self.light = canvas, light
        self.hard = Image.new("L", (canvas.width, canvas.height))
        self.soft = Image.new("L", (canvas.width, canvas.height))

    def shadow(self, points: ArrayLike) -> None:
        """Cast the shadow of a convex thing with these corners ``[P, 3]``."""
        self.fill(self.hard, hull(self.light.cast(points)))

    def contact(self, points: ArrayLike) -> None:
        """Darken the ground under a thing that stands on this polygon ``[P, 3]``."""
        self.fill(self.soft, np.asarray(points, np.float32))

    def fill(self, mask: Image.Image, polygon: Floats) -> None:
        """Draw a polygon in the world into a mask."""
        corners = [(float(x), float(y)) for x, y in self.canvas.outline(polygon)]
        if len(corners) > 2:
            ImageDraw.Draw(mask).polygon(corners, fill=255)

    def darken(self) -> tuple[Floats, Floats]:
        """The remaining fractions of sunlight and skylight, each ``[H, W]``."""
        radius = self.canvas.width / 400
        hard = np.asarray(self.hard.filter(ImageFilter.GaussianBlur(radius)), np.float32)
        soft = np.asarray(self.soft.filter(ImageFilter.GaussianBlur(2.5 * radius)), np.float32)
        return 1 - hard / 255, 1 - 0.8 * soft / 255


def hull(points: Floats) -> Floats:
    """The convex hull of points in the plane of x and z (Andrew's monotone chain)."""
    ordered = sorted(points.tolist(), key=lambda p: (p[0], p[2]))
    chains: list[list[list[float]]] = []
    for sequence in (ordered, ordered[::-1]):
        chain: list[list[float]] = []
        for p in sequence:
            while len(chain) > 1 and turn(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        chains.append(chain[:-1])
    return np.array(chains[0] + chains[1], np.float32)


def turn(a: list[float], b: list[float], c: list[float]) -> float:
    """Positive if the path a, b, c turns left."""
    return (b[0] - a[0]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[0] - a[0])


def noise(rng: np.random.Generator, size: int = 512, octaves: int = 5) -> Floats:
    """A tile of fractal noise ``[size, size]``, mean 0, about -1 to 1."""
    tile = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = 4 << octave
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        grid = np.pad(grid, 2, mode="wrap")
        step = size // cells
        wide = Image.fromarray(grid).resize(((cells + 4) * step,) * 2, Image.Resampling.BICUBIC)
        tile += np.asarray(wide)[2 * step : -2 * step, 2 * step : -2 * step] * 0.6**octave
    return tile / np.float32(2.5 * tile.std())


def sample(tile: Floats, x: Floats, y: Floats) -> Floats:
    """The tile, repeated over the plane at one tile per unit, at ``x`` and ``y``."""
    size = len(tile)
    wrapped: Floats = tile[(y * size).astype(int) % size, (x * size).astype(int) % size]
    return wrapped
