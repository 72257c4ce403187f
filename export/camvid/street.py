"""The ground and the houses: large faces whose texture is a function of position."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from camvid.canvas import Canvas, Floats, Paint
from camvid.classes import CLASSES
from camvid.light import Ground, Light, noise, sample, srgb

FAR = 400.0
KERB = 0.11

WALLS = [
    (150, 84, 66), (126, 76, 62), (172, 128, 98), (196, 178, 148), (214, 206, 190),
    (186, 164, 128), (110, 92, 82), (160, 150, 140), (222, 214, 176), (140, 100, 84),
]  # fmt: skip
ROOFS = [(92, 86, 88), (110, 74, 62), (78, 76, 80), (120, 96, 80)]
FASCIAS = [(30, 60, 110), (130, 30, 36), (24, 84, 60), (40, 40, 44), (200, 180, 60), (90, 40, 90)]


@dataclass
class Plan:
    """The street's cross-section, in metres: carriageway from ``left`` to ``right``."""

    left: float
    right: float
    walk_left: float
    walk_right: float

    def front(self, side: int) -> float:
        """The outer edge of the pavement; ``side`` is -1 or 1."""
        return self.left - self.walk_left if side < 0 else self.right + self.walk_right

    def kerb(self, side: int) -> float:
        """The edge of the carriageway."""
        return self.left if side < 0 else self.right


class GroundTexture:
    """The colours of carriageway, kerbs, pavements, and the ground beyond, lit and shadowed."""

    def __init__(
        self, canvas: Canvas, light: Light, ground: Ground, plan: Plan, rng: np.random.Generator
    ) -> None:
        self.canvas, self.light, self.plan = canvas, light, plan
        self.tile, self.grit = noise(rng), rng.standard_normal((512, 512)).astype(np.float32)
        self.sun_left, self.sky_left = ground.darken()
        self.asphalt = srgb(*(rng.uniform(84, 128) + rng.normal(0, 1.2, 3)))
        self.paving = srgb(*(rng.uniform(125, 172) + np.array([6, 2, -4]) + rng.normal(0, 4, 3)))
        self.wear = rng.uniform(0.06, 0.2)
        self.lane = (plan.left + plan.right) / 2
        self.double = rng.random() < 0.5
        self.dashes = (2.0, 6.0) if rng.random() < 0.5 else (4.0, 6.0)
        self.patched = rng.random() < 0.6

    def lit(self, colour: Floats, points: Floats) -> Floats:
        """Surface colours at points, after sun, sky and shadow."""
        pixels = self.canvas.project(self.canvas.seen(points)).astype(int)
        x = np.clip(pixels[:, 0], 0, self.canvas.width - 1)
        y = np.clip(pixels[:, 1], 0, self.canvas.height - 1)
        light = self.light
        ambient = light.ambient * self.sky_left[y, x][:, None]
        direct = light.sunlit(points) * self.sun_left[y, x] * light.sun[1]
        lit_colour: Floats = colour * (ambient + light.direct * direct[:, None])
        return lit_colour

    def road(self, points: Floats) -> Floats:
        """Asphalt, worn by tyres and patched, with its markings."""
        x, z = points[:, 0], points[:, 2]
        broad = sample(self.tile, x / 37, z / 90)
        fine = sample(self.grit, x / 4, z / 4)
        near = np.clip(1.5 - z / 25, 0.25, 1)
        tone = 1 + self.wear * broad + 0.1 * fine * near
        # Tyres polish two tracks in each lane; oil darkens the space between them.
        tone += 0.05 * np.cos((x - self.lane) * 2 * np.pi / 1.6)
        if self.patched:
            cell = np.floor((x - self.plan.left) / 1.7) * 12.99 + np.floor(z / 6.5) * 78.23
            tone *= np.where(np.sin(cell) * 437.58 % 1 > 0.9, 0.85, 1)
        gutter = np.minimum(x - self.plan.left, self.plan.right - x)
        colour = self.marked(self.asphalt * tone[:, None], 0.85 + 0.12 * fine * near, x, z, gutter)
        colour *= (1 - 0.25 * np.exp(-np.maximum(gutter, 0) / 0.12))[:, None]
        return self.lit(colour, points)

    def marked(self, colour: Floats, worn: Floats, x: Floats, z: Floats, gutter: Floats) -> Floats:
        """The asphalt's colours with a dashed centre line, and lines along both gutters."""
        centre = (np.abs(x - self.lane) < 0.07) & (z % self.dashes[1] < self.dashes[0])
        edge = np.abs(gutter - 0.3) < 0.045
        edge |= self.double & (np.abs(gutter - 0.48) < 0.045)
        colour = np.where(centre[:, None], srgb(215, 215, 208) * worn[:, None], colour)
        lines = srgb(205, 178, 70) if self.double else self.asphalt * 1.25
        return np.where(edge[:, None], lines * worn[:, None], colour)

    def pavement(self, points: Floats) -> Floats:
        """Slabs with joints."""
        x, z = points[:, 0], points[:, 2]
        slab = np.floor(x / 0.6) * 7.1 + np.floor(z / 0.75 + np.floor(x / 0.6) % 2 * 0.5) * 3.7
        tone = 1 + 0.05 * np.sin(slab * 12.9) + 0.12 * sample(self.tile, x / 5, z / 5)
        joint = (np.abs(x / 0.6 % 1) < 0.04) | (z / 0.75 % 1 < 0.04)
        tone = np.where(joint & (z < 22), tone * 0.8, tone)
        return self.lit(self.paving * tone[:, None], points)

    def beyond(self, points: Floats) -> Floats:
        """Grass behind the pavements."""
        tone = 1 + 0.3 * sample(self.tile, points[:, 0] / 7, points[:, 2] / 7)
        return self.lit(srgb(98, 108, 66) * tone[:, None], points)

    def kerb(self, points: Floats) -> Floats:
        """The upright face of a kerb."""
        return self.lit(self.paving * 0.72 * np.ones((len(points), 1), np.float32), points)


def paint_ground(
    canvas: Canvas, light: Light, ground: Ground, plan: Plan, rng: np.random.Generator
) -> None:
    """Carriageway with its markings, kerbs, pavements, and the ground beyond them."""
    texture = GroundTexture(canvas, light, ground, plan, rng)
    road_label, pavement_label = CLASSES.index("Road"), CLASSES.index("Pavement")
    quad = np.array([[0, 0, 0.0], [1, 0, 0], [1, 0, 1], [0, 0, 1]])

    def strip(x0: float, x1: float, y: float) -> Floats:
        return (quad * [x1 - x0, 0, FAR] + [x0, y, 0]).astype(np.float32)

    canvas.face(strip(plan.left, plan.right, 0), texture.road, road_label)
    for side in (-1, 1):
        inner, outer = plan.kerb(side), plan.front(side)
        canvas.face(strip(outer, outer + side * 200, KERB), texture.beyond, pavement_label)
        canvas.face(strip(inner, outer, KERB), texture.pavement, pavement_label)
        upright = np.array([[inner, 0, 0], [inner, KERB, 0], [inner, KERB, FAR], [inner, 0, FAR]])
        canvas.face(upright, texture.kerb, pavement_label)


@dataclass
class House:
    """A box with a pitched roof: ``front`` and ``back`` in x, ``near`` and ``far`` in z."""

    front: float
    back: float
    near: float
    far: float
    height: float
    style: int
    """Seeds the house's own colours and windows."""


class Facade:
    """The texture of a wall: storeys of windows, and a shop or doors on the ground floor."""

    def __init__(self, style: int, light: Light, tile: Floats) -> None:
        rng = np.random.default_rng(style)
        self.light, self.tile = light, tile
        self.wall = srgb(*(np.array(WALLS[rng.integers(len(WALLS))]) + rng.normal(0, 7, 3)))
        self.wall *= np.float32(rng.uniform(0.75, 1.15))
        self.roof = srgb(*ROOFS[rng.integers(len(ROOFS))])
        self.storey = rng.uniform(2.7, 3.5)
        self.bay = rng.uniform(1.7, 3.4)
        self.window = np.array([rng.uniform(0.3, 0.62), rng.uniform(0.42, 0.66)])
        self.frame = srgb(*(rng.choice([235, 225, 70, 190]) + rng.normal(0, 4, 3)))
        self.glass = rng.uniform(0.03, 0.12)
        self.brick = rng.random() < 0.6
        self.shop = rng.random() < 0.4
        self.fascia = srgb(*FASCIAS[rng.integers(len(FASCIAS))])
        self.band = rng.random() < 0.5
        self.salt = float(rng.uniform(0, 100))

    def colours(self, along: Floats, up: Floats) -> Floats:
        """Surface colours ``[P, 3]`` at metres along the wall and up it."""
        stain = sample(self.tile, along / 11 + self.salt, up / 9)
        tone = 1 + 0.1 * stain + 0.05 * sample(self.tile, along / 1.1, up / 1.1)
        if self.brick:
            course = np.floor(up / 0.09)
            brick = np.floor(along / 0.22 + course % 2 * 0.5)
            tone *= 0.93 + 0.14 * (np.sin(course * 12.99 + brick * 78.23) * 437.58 % 1)
        if self.band:
            tone *= np.where(up % self.storey < 0.2, 1.25, 1)
        colour = self.wall * tone[:, None]
        # A point's offset from the middle of the window in its bay and storey, in half windows.
        column, level = np.floor(along / self.bay), np.floor(up / self.storey)
        across = np.abs(along / self.bay - column - 0.5) / (self.window[0] / 2)
        rise = (up / self.storey - level - 0.55) / (self.window[1] / 2)
        upper = level > 0 if self.shop else level >= 0
        within = (across < 1) & (np.abs(rise) < 1) & upper
        border = (across > 0.86) | (np.abs(rise) > 0.9) | (across < 0.06) | (np.abs(rise) < 0.04)
        chance = (np.sin(column * 12.98 + level * 78.23 + self.salt) * 43758.5) % 1
        shade = self.glass * (0.5 + chance + 0.5 * (rise + 1))
        blind = (chance > 0.6) & (rise > 1.2 - chance)
        pane = np.where(blind[:, None], srgb(196, 190, 176), self.light.haze * shade[:, None])
        colour = np.where(within[:, None], np.where(border[:, None], self.frame, pane), colour)
        sill = (across < 1.15) & (rise < -1) & (rise > -1.16) & upper
        colour = np.where(sill[:, None], self.wall * 1.5 + 0.05, colour)
        lintel = (across < 1.1) & (rise > 1) & (rise < 1.16) & upper
        colour = np.where(lintel[:, None], self.wall * 1.3, colour)
        ground = level == 0
        if self.shop:
            shop = ground & (up < 2.4) & (up > 0.5) & (along / 2.1 % 1 > 0.06)
            shelf = np.floor(along / 0.45) * 12.99 + np.floor(up / 0.6) * 78.23 + self.salt
            goods = 0.04 + 0.1 * (np.sin(shelf) * 437.58 % 1) ** 2 + 0.03 * (up - 0.5)
            colour = np.where(shop[:, None], goods[:, None] * self.light.haze,
                              colour)  # fmt: skip
            board = ground & (up > 2.45) & (up < 3.0)
            text = (np.abs(up - 2.72) < 0.14) & (np.sin(along * 17 + self.salt) > 0.2)
            text &= along % 7 > 3.5
            colour = np.where(board[:, None], np.where(text[:, None], 0.75, self.fascia), colour)
        else:
            door = ground & (column % 3 == 1) & (across < 0.95 / max(self.window[0], 0.45) * 0.5)
            door &= up < 2.15
            colour = np.where(door[:, None], self.fascia * 1.2, colour)
        plinth = up < 0.35
        return np.where(plinth[:, None], colour * 0.6, colour).astype(np.float32)


def paint_house(canvas: Canvas, light: Light, house: House, tile: Floats) -> None:
    """The two walls that are visible from the road, and the roof."""
    label = CLASSES.index("Building")
    facade = Facade(house.style, light, tile)
    f, b, n, r, h = house.front, house.back, house.near, house.far, house.height
    side = np.sign(f)

    def wall(axis: int, normal: ArrayLike, dim: float) -> Paint:
        def paint(points: Floats) -> Floats:
            colour = facade.colours(points[:, axis] + facade.salt, points[:, 1])
            return light.surface(colour * dim, normal, points)

        return paint

    ends = [[f, 0, n], [b, 0, n], [b, h, n], [f, h, n]]
    canvas.face(ends, wall(0, [0, 0, -1], 0.95), label)
    street = [[f, 0, n], [f, 0, r], [f, h, r], [f, h, n]]
    canvas.face(street, wall(2, [-side, 0, 0], 1), label)
    if house.style % 4 == 0:
        return  # a flat roof, invisible from below
    middle, rise = (f + b) / 2, 0.32 * abs(f - b)
    eaves = f - side * 0.25
    normal = np.array([-side * rise, abs(middle - f), 0]) / np.hypot(rise, middle - f)

    def slates(points: Floats) -> Floats:
        y, z = points[:, 1], points[:, 2]
        tone = 1 + 0.1 * np.sin(y * 40) + 0.12 * sample(tile, z / 6, y / 6)
        return light.surface(facade.roof * tone[:, None], normal, points)

    roof = [[eaves, h, n], [eaves, h, r], [middle, h + rise, r], [middle, h + rise, n]]
    canvas.face(roof, slates, label)
    gable = [[f, h, n], [b, h, n], [middle, h + rise, n]]
    canvas.face(gable, wall(0, [0, 0, -1], 0.9), label)
    x, y, z, w = middle - side * 0.4, h + rise, n + 0.8, 0.45
    for corners, facing in (
        ([[x - w, y - 1, z], [x + w, y - 1, z], [x + w, y + 1, z], [x - w, y + 1, z]], [0, 0, -1]),
        ([[x - side * w, y - 1, z], [x - side * w, y - 1, z + 1.6], [x - side * w, y + 1, z + 1.6],
          [x - side * w, y + 1, z]], [-side, 0, 0]),
    ):  # fmt: skip
        canvas.face(corners, light.matt(facade.wall * 0.8, facing), label)
