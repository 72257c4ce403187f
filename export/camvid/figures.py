"""Upright things drawn flat: trees, people, cyclists, poles and signs; and fences."""

import numpy as np
from numpy.typing import ArrayLike

from camvid.canvas import Canvas, Floats, Pen
from camvid.classes import CLASSES
from camvid.light import Light, sample, srgb

SKIN = [(224, 180, 150), (196, 146, 112), (120, 82, 60), (232, 194, 170)]
CLOTHES = [
    (30, 32, 44), (52, 56, 70), (120, 30, 34), (40, 70, 120), (86, 78, 62), (196, 190, 180),
    (24, 26, 28), (70, 90, 70), (150, 120, 60), (110, 112, 118),
]  # fmt: skip


def pick(rng: np.random.Generator, colours: list[tuple[int, int, int]]) -> Floats:
    """One of the colours, as linear light."""
    return srgb(*colours[rng.integers(len(colours))])


def lit(light: Light, place: ArrayLike) -> Floats:
    """The light on an upright figure, half of which faces the sun, RGB."""
    sun = light.sunlit(np.asarray([place], np.float32))[0]
    return light.ambient * 0.8 + light.direct * np.float32(0.4 * sun)


class Tree:
    """A trunk, and a crown of leaves or of bare branches; ``x``, ``z`` its foot."""

    def __init__(self, x: float, z: float, height: float, bare: bool, seed: int) -> None:
        self.x, self.z, self.height, self.bare, self.seed = x, z, height, bare, seed

    def crown(self) -> list[tuple[float, float, float]]:
        """A few corners of the crown, for its shadow."""
        r, h = self.height * 0.3, self.height
        around = [(r, 0), (-r, 0), (0, r), (0, -r)]
        return [(self.x + a, h * up, self.z + b) for a, b in around for up in (0.45, 0.85)]

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""
        rng = np.random.default_rng(self.seed)
        h = self.height
        shine = lit(light, (self.x, h * 0.7, self.z))
        bark = srgb(74, 62, 50) * shine
        leaf = srgb(*(np.array([78, 96, 44]) + rng.normal(0, 12, 3))) * shine
        lean = float(np.sign(light.sun[0]))

        def trunk(pen: Pen) -> None:
            w = h * 0.022
            pen.polygon(
                [(-w * 1.4, 0), (w * 1.4, 0), (w * 0.7, h * 0.5), (-w * 0.7, h * 0.5)], bark
            )
            if self.bare:
                self.branch(pen, rng, (0.0, h * 0.3), np.pi / 2, h * 0.25, w * 1.3, bark)
                return
            # Clumps from the back (dark) to the front; in each, leaves lighter to the sun.
            clumps = int(rng.integers(9, 15))
            for k in range(clumps):
                angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
                cx = np.cos(angle) * reach * h * 0.22
                cy = h * 0.66 + np.sin(angle) * reach * h * 0.22
                size = h * rng.uniform(0.09, 0.15)
                pen.ellipse((cx, cy), (size, size * 0.85), leaf * (0.35 + 0.25 * k / clumps))
                leaves = int(np.clip(size * pen.scale * 2.5, 6, 240))
                for a, r, s in zip(rng.uniform(0, 2 * np.pi, leaves), rng.random(leaves) ** 0.4,
                                   rng.uniform(0.04, 0.12, leaves), strict=True):  # fmt: skip
                    lx, ly = np.cos(a) * r, np.sin(a) * r
                    tone = (
                        0.6 + 0.32 * ly + 0.22 * lx * lean + rng.normal(0, 0.12) + 0.2 * k / clumps
                    )
                    pen.ellipse((cx + lx * size * 1.1, cy + ly * size),
                                (size * s * 1.3, size * s), leaf * max(tone, 0.15))  # fmt: skip

        extent = (h * 0.8, h * 1.3) if self.bare else (h * 0.45, h * 1.05)
        canvas.figure((self.x, 0, self.z), extent, trunk, CLASSES.index("Tree"))

    def branch(
        self, pen: Pen, rng: np.random.Generator, start: tuple[float, float], angle: float,
        length: float, width: float, bark: Floats,
    ) -> None:  # fmt: skip
        """Draw a branch and its twigs, down to those too fine to see."""
        end = (start[0] + length * np.cos(angle), start[1] + length * np.sin(angle))
        pen.line([start, end], width, bark)
        if length < max(self.height * 0.045, 3 / pen.scale):
            # The label between the finest twigs is tree, although the sky is visible there.
            pen.veil(end, max(length, self.height * 0.04))
            return
        for turn in rng.normal([-0.5, 0.45, 0.02], 0.18):
            shorter = length * rng.uniform(0.6, 0.8)
            self.branch(pen, rng, end, angle + turn, shorter, width * 0.62, bark)


def pedestrian(canvas: Canvas, light: Light, x: float, z: float, rng: np.random.Generator) -> None:
    """A person who walks or stands on the pavement or the road."""
    height = rng.uniform(1.55, 1.88)
    shine = lit(light, (x, 1, z))
    skin, hair = pick(rng, SKIN) * shine, srgb(50, 38, 30) * shine
    coat, legs = pick(rng, CLOTHES) * shine, pick(rng, CLOTHES) * shine * 0.8
    stride = rng.uniform(-0.22, 0.22)
    swing = stride * 0.9
    wide = rng.uniform(0.19, 0.25)
    bag = rng.random() < 0.3

    def draw(pen: Pen) -> None:
        s = height / 1.75
        for foot, shade in ((stride, 0.8), (-stride, 1.0)):
            pen.line(
                np.array([(0, 0.85), (foot * 0.4, 0.45), (foot, 0.04)]) * s, 0.15 * s, legs * shade
            )
            pen.ellipse((foot * s + 0.04, 0.05), (0.12, 0.05), srgb(26, 24, 24) * shine)
        right = [(wide * 0.85, 0.78), (wide, 1.4), (wide * 0.6, 1.47)]
        pen.polygon(np.array(right + [(-x, y) for x, y in right[::-1]]) * s, coat)
        pen.polygon(
            np.array([(0, 0.8), (wide * 0.8, 0.8), (wide * 0.9, 1.4), (0, 1.45)]) * s, coat * 0.7
        )
        for side in (-1, 1):
            hand = side * (wide + 0.03) + swing * side
            arm = [(side * wide, 1.38), (side * (wide + 0.05), 1.08), (hand, 0.83)]
            pen.line(np.array(arm) * s, 0.1 * s, coat * 0.85)
            pen.ellipse((hand * s, 0.8 * s), (0.045, 0.05), skin)
        pen.ellipse((0, 1.6 * s), (0.095 * s, 0.13 * s), skin)
        pen.ellipse((0, 1.66 * s), (0.105 * s, 0.1 * s), hair)
        if bag:
            pen.polygon(
                [(wide, 0.55), (wide + 0.22, 0.55), (wide + 0.22, 0.85), (wide, 0.85)], coat * 0.5
            )

    canvas.figure((x, 0, z), (0.6, height + 0.1), draw, CLASSES.index("Pedestrian"))


def cyclist(canvas: Canvas, light: Light, x: float, z: float, rng: np.random.Generator) -> None:
    """A rider on a bicycle, seen from behind or, crossing, from the side."""
    shine = lit(light, (x, 1, z))
    skin, coat = pick(rng, SKIN) * shine, pick(rng, CLOTHES) * shine
    bright = rng.random() < 0.3
    coat = srgb(190, 214, 40) * shine if bright else coat
    legs, black = pick(rng, CLOTHES) * shine * 0.7, srgb(24, 24, 26) * shine
    frame = pick(rng, CLOTHES) * shine
    helmet = srgb(200, 200, 196) * shine if rng.random() < 0.5 else srgb(46, 36, 30) * shine
    way = rng.choice([-1.0, 1.0])

    def from_behind(pen: Pen) -> None:
        pen.ellipse((0, 0.34), (0.045, 0.34), black)
        pen.line([(-0.28, 1.02), (0.28, 1.02)], 0.04, black)
        for side in (-1, 1):
            knee = 0.55 + 0.1 * side * way
            pen.line(
                [(side * 0.1, 0.95), (side * 0.16, knee), (side * 0.13, knee - 0.36)], 0.13, legs
            )
            pen.line(
                [(side * 0.2, 1.4), (side * 0.32, 1.2), (side * 0.26, 1.02)], 0.09, coat * 0.85
            )
        pen.polygon([(-0.18, 0.9), (0.18, 0.9), (0.23, 1.42), (-0.23, 1.42)], coat)
        pen.polygon([(0, 0.9), (0.18, 0.9), (0.23, 1.42), (0, 1.42)], coat * 0.75)
        pen.ellipse((0, 1.57), (0.1, 0.13), skin)
        pen.ellipse((0, 1.63), (0.115, 0.1), helmet)

    def from_side(pen: Pen) -> None:
        def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
            return [(px * way, py) for px, py in points]

        for wheel in (-0.52, 0.52):
            pen.ring((wheel * way, 0.34), (0.34, 0.34), 0.05, black)
        pen.line(
            at((-0.52, 0.34), (0.0, 0.3), (0.38, 0.85), (-0.15, 0.85), (0.0, 0.3)), 0.045, frame
        )
        pen.line(at((0.52, 0.34), (0.38, 0.95), (0.5, 1.0)), 0.045, frame)
        pen.line(at((-0.15, 0.92), (0.2, 0.66), (0.02, 0.24)), 0.14, legs)
        pen.line(at((-0.15, 0.92), (0.1, 0.5), (0.0, 0.4)), 0.13, legs * 0.7)
        pen.polygon(at((-0.28, 0.9), (-0.02, 0.88), (0.26, 1.38), (0.06, 1.48)), coat)
        pen.line(at((0.18, 1.38), (0.32, 1.12), (0.46, 1.02)), 0.09, coat * 0.8)
        pen.ellipse((0.24 * way, 1.58), (0.1, 0.13), skin)
        pen.ellipse((0.23 * way, 1.64), (0.12, 0.095), helmet)

    draw = from_behind if rng.random() < 0.55 else from_side
    canvas.figure((x, 0, z), (0.95, 1.8), draw, CLASSES.index("Bicyclist"))


def pole(canvas: Canvas, light: Light, x: float, z: float, height: float, width: float,
         colour: Floats) -> None:  # fmt: skip
    """A round post: lighter on the sun's side."""
    shine = colour * lit(light, (x, height / 2, z))
    sunny = float(np.sign(light.sun[0]))

    def draw(pen: Pen) -> None:
        w = width / 2
        pen.polygon([(-w, 0), (w, 0), (w * 0.7, height), (-w * 0.7, height)], shine * 0.8)
        if w * pen.scale > 2:
            pen.polygon(
                [(0, 0), (w * sunny, 0), (w * 0.7 * sunny, height), (0, height)], shine * 1.25
            )

    canvas.figure((x, 0, z), (width, height), draw, CLASSES.index("Pole"))


def lamp(canvas: Canvas, light: Light, x: float, z: float, reach: float, height: float) -> None:
    """A street lamp whose arm reaches ``reach`` metres over the road (signed)."""
    grey = srgb(116, 120, 122)
    pole(canvas, light, x, z, height, 0.16, grey)
    shine = grey * lit(light, (x, height, z))

    def draw(pen: Pen) -> None:
        pen.line(
            [(0, height - 0.05), (reach * 0.4, height + 0.25), (reach, height + 0.35)], 0.09, shine
        )
        tip, top = reach + 0.6 * np.sign(reach), height + 0.35
        head = [(reach, top - 0.12), (tip, top - 0.06), (tip, top + 0.08), (reach, top + 0.1)]
        pen.polygon(head, shine * 1.3)

    canvas.figure((x, 0, z), (abs(reach) + 0.7, height + 0.6), draw, CLASSES.index("Pole"))


def sign(canvas: Canvas, light: Light, x: float, z: float, rng: np.random.Generator) -> None:
    """A road sign, a direction board or a traffic light, on its post."""
    kind = rng.integers(4)
    high = rng.uniform(2.1, 2.9)
    pole(canvas, light, x, z, high + (0.3 if kind < 3 else 0.6), 0.09, srgb(128, 130, 132))
    shine = lit(light, (x, high, z)) * 1.1
    white, red = srgb(226, 226, 222) * shine, srgb(178, 26, 30) * shine
    blue, black = srgb(28, 66, 142) * shine, srgb(26, 26, 28) * shine
    lit_lamp = rng.integers(3)

    def draw(pen: Pen) -> None:
        if kind == 0:
            rim, field = (red, white) if rng.random() < 0.6 else (white, blue)
            pen.ellipse((0, high), (0.34, 0.34), rim)
            pen.ellipse((0, high), (0.26, 0.26), field)
            pen.line([(-0.12, high), (0.12, high)], 0.09, black if field is white else white)
        elif kind == 1:
            pen.polygon([(-0.42, high - 0.3), (0.42, high - 0.3), (0, high + 0.42)], red)
            pen.polygon([(-0.26, high - 0.2), (0.26, high - 0.2), (0, high + 0.24)], white)
            pen.line([(0, high - 0.14), (0, high + 0.08)], 0.06, black)
        elif kind == 2:
            half = rng.uniform(0.4, 0.9)
            board = srgb(24, 92, 60) * shine if rng.random() < 0.5 else white
            pen.polygon(
                [
                    (-half, high - 0.35),
                    (half, high - 0.35),
                    (half, high + 0.3),
                    (-half, high + 0.3),
                ],
                board,
            )
            for level in (-0.15, 0.1):
                pen.line([(-half * 0.8, high + level), (half * 0.7, high + level)], 0.09,
                         black if board is white else white)  # fmt: skip
        else:
            pen.polygon(
                [
                    (-0.24, high - 0.2),
                    (0.24, high - 0.2),
                    (0.24, high + 0.95),
                    (-0.24, high + 0.95),
                ],
                black,
            )
            for k, hue in enumerate(((60, 220, 120), (240, 180, 50), (240, 50, 40))):
                glow = srgb(*hue) if k == lit_lamp else srgb(*hue) * 0.08
                pen.ellipse((0, high + 0.05 + 0.3 * k), (0.11, 0.11), glow)

    canvas.figure((x, 0, z - 0.06), (1.0, high + 1.1), draw, CLASSES.index("SignSymbol"))


def fence(canvas: Canvas, light: Light, x: float, near: float, far: float, style: int,
          tile: Floats) -> None:  # fmt: skip
    """Along the pavement's edge: railings, boards, or a low wall of bricks."""
    rng = np.random.default_rng(style)
    kind = rng.integers(3)
    height = (1.15, 1.75, 0.95)[kind]
    base = srgb(*((58, 62, 66), (132, 102, 70), (146, 92, 74))[kind])
    base = base * np.float32(rng.uniform(0.7, 1.3))
    normal = [-np.sign(x), 0, 0]

    def paint(points: Floats) -> Floats:
        y, z = points[:, 1] / height, points[:, 2]
        tone = 1 + 0.12 * sample(tile, z / 3, points[:, 1] / 3)
        if kind == 0:
            bars = (z % 0.16 < 0.05) | (np.abs(y - 0.92) < 0.035) | (np.abs(y - 0.12) < 0.03)
            behind = srgb(70, 78, 52)
            colour = np.where(bars[:, None], base, behind * tone[:, None])
        elif kind == 1:
            gap = (z % 0.19 < 0.018) | (np.abs(y - 0.5) < 0.008)
            plank = 1 + 0.1 * np.sin(np.floor(z / 0.19) * 7.7)
            colour = base * (tone * plank * np.where(gap, 0.4, 1))[:, None]
        else:
            course = np.floor(points[:, 1] / 0.08)
            joint = (points[:, 1] / 0.08 % 1 < 0.14) | ((z / 0.24 + course * 0.5) % 1 < 0.05)
            colour = base * (tone * np.where(joint, 1.25, 1))[:, None]
            colour = np.where((y > 0.9)[:, None], srgb(172, 164, 150), colour)
        return light.surface(colour, normal, points)

    corners = [[x, 0, near], [x, 0, far], [x, height, far], [x, height, near]]
    canvas.face(corners, paint, CLASSES.index("Fence"))
    if kind:
        end = [[x, 0, near], [x + np.sign(x) * 0.2, 0, near],
               [x + np.sign(x) * 0.2, height, near], [x, height, near]]  # fmt: skip
        canvas.face(end, light.matt(base * 0.8, [0, 0, -1]), CLASSES.index("Fence"))
