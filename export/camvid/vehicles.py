"""Cars: a side profile, swept across the width and leaning in above the belt, in flat faces."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from camvid.canvas import Canvas, Floats
from camvid.classes import CLASSES
from camvid.light import Ground, Light, srgb

# Each profile runs from under the front bumper over the roof to under the rear one: metres from
# the rear, metres up. The indices tell where the windscreen and the rear window begin.
PROFILES = {
    "hatchback": (
        [(3.92, 0.26), (4.0, 0.5), (3.86, 0.72), (2.9, 0.96), (2.15, 1.42), (0.75, 1.46),
         (0.18, 1.02), (0.04, 0.86), (0.0, 0.5), (0.06, 0.28)],
        1.68,
    ),
    "saloon": (
        [(4.5, 0.24), (4.58, 0.48), (4.42, 0.7), (3.25, 0.92), (2.5, 1.38), (1.35, 1.4),
         (0.68, 1.0), (0.06, 0.94), (0.0, 0.5), (0.06, 0.27)],
        1.74,
    ),
    "estate": (
        [(4.4, 0.28), (4.5, 0.55), (4.32, 0.82), (3.25, 1.05), (2.6, 1.6), (0.45, 1.62),
         (0.14, 1.1), (0.02, 0.92), (0.0, 0.55), (0.06, 0.32)],
        1.8,
    ),
    "van": (
        [(4.7, 0.3), (4.8, 0.6), (4.62, 1.0), (4.05, 1.22), (3.4, 2.0), (0.12, 2.05),
         (0.03, 1.24), (0.0, 1.0), (0.0, 0.6), (0.05, 0.35)],
        1.92,
    ),
}  # fmt: skip
SCREEN, ROOF, REAR, TAIL = 3, 4, 5, 6

PAINTS = [
    (186, 190, 194), (150, 154, 158), (40, 42, 46), (24, 26, 30), (226, 228, 228), (120, 24, 28),
    (28, 44, 96), (60, 90, 140), (30, 66, 54), (168, 160, 140), (90, 94, 100), (170, 36, 32),
]  # fmt: skip


@dataclass
class Car:
    """``x`` and ``z`` of its middle; ``heading`` 0 drives away from the camera, pi towards it."""

    x: float
    z: float
    heading: float
    kind: str
    colour: tuple[int, int, int]

    def world(self, points: ArrayLike) -> Floats:
        """From the car's axes (right of its middle line, up, forward from its rear)."""
        p = np.asarray(points, np.float32)
        profile, _ = PROFILES[self.kind]
        along = p[:, 2] - profile[1][0] / 2
        c, s = np.cos(self.heading), np.sin(self.heading)
        x, z = self.x + p[:, 0] * c + along * s, self.z - p[:, 0] * s + along * c
        return np.stack([x, p[:, 1], z], 1).astype(np.float32)

    def footprint(self, margin: float) -> Floats:
        """The corners of the ground it stands on, and a margin around."""
        profile, width = PROFILES[self.kind]
        w, length = width / 2 + margin, profile[1][0]
        corners = [(-w, -margin), (w, -margin), (w, length + margin), (-w, length + margin)]
        return self.world([(x, 0, z) for x, z in corners])

    def shade(self, ground: Ground) -> None:
        """Cast its shadow, and the darkness under it."""
        profile, width = PROFILES[self.kind]
        body = [(s * width / 2, y, z) for s in (-1, 1) for z, y in (profile[1], profile[-2])]
        roof = [(s * width * 0.37, y, z) for s in (-1, 1) for z, y in profile[SCREEN : TAIL + 1]]
        ground.shadow(np.concatenate([self.world(body + roof), self.footprint(0)]))
        ground.contact(self.footprint(0.05))

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""
        Coachwork(self, canvas, light).draw()


class Coachwork:
    """Paints one car's faces, large ones first, then what is fixed on them."""

    def __init__(self, car: Car, canvas: Canvas, light: Light) -> None:
        self.car, self.canvas, self.light = car, canvas, light
        self.profile, self.width = PROFILES[car.kind]
        self.paint = srgb(*car.colour)
        self.belt = self.profile[SCREEN][1]

    def half(self, y: float) -> float:
        """Half the width at a height: full up to the belt, four fifths at the roof."""
        lean = np.clip((y - self.belt) / (self.profile[ROOF][1] - self.belt), 0, 1)
        return float(self.width / 2 * (1 - 0.22 * lean))

    def face(
        self,
        points: ArrayLike,
        colour: Floats,
        gloss: float,
        rounding: tuple[float, float] = (0, 0),
    ) -> None:
        """A face with a coat that mirrors the sky, the more the flatter it lies.

        Args:
            points: corners in the car's axes.
            colour: linear RGB.
            gloss: how much of the sky it mirrors.
            rounding: how far the normal tilts up at the lower and at the upper edge: flat sheet
                passes for bent sheet when its shading turns.
        """
        corners = self.car.world(points)
        normal = np.cross(corners, np.roll(corners, -1, 0)).sum(0)
        normal = normal / max(float(np.linalg.norm(normal)), 1e-6)
        if normal @ (corners[0] - self.canvas.eye) > 0:
            normal = -normal
        low, high = corners[:, 1].min(), corners[:, 1].max()
        tilted = [tilt(normal, r) for r in rounding]
        light = self.light

        def coat(n: Floats, p: Floats) -> Floats:
            up = np.clip(n[1] * 1.3 + 0.12, 0, 1)
            return light.surface(colour, n, p) + light.haze * np.float32(up * gloss)

        def paint(p: Floats) -> Floats:
            share = ((p[:, 1] - low) / max(high - low, 1e-3)).clip(0, 1)[:, None]
            shaded = coat(tilted[0], p) * (1 - share) + coat(tilted[1], p) * share
            # The road darkens what is near to it.
            nearness: Floats = 0.5 + 0.5 * ((p[:, 1:2] - 0.2) * 1.4).clip(0, 1)
            mirrored: Floats = shaded * nearness
            return mirrored

        self.canvas.face(corners, paint, CLASSES.index("Car"))

    def draw(self) -> None:
        """Paint it."""
        black, glass = srgb(22, 22, 24), srgb(18, 22, 26)
        profile, paint = self.profile, self.paint
        length = profile[1][0]
        self.wheels(black, 0.0)
        # Front, bonnet, windscreen, roof, rear window, boot, rear.
        for (z0, y0), (z1, y1) in pairwise(profile):
            a, b = self.half(y0), self.half(y1)
            strip = [(-a, y0, z0), (a, y0, z0), (b, y1, z1), (-b, y1, z1)]
            self.face(strip, paint, 0.12, (-0.15, 0.3))
        self.pane(profile[SCREEN], profile[ROOF], glass)
        if self.car.kind != "van":
            self.pane(profile[TAIL], profile[REAR], glass)
        for side in (-1, 1):
            flank = [
                (side * self.width / 2, y, z) for z, y in profile if y <= profile[TAIL][1] + 0.01
            ]
            self.face(flank, paint, 0.16, (-0.5, 0.55))
            corners = [profile[SCREEN], profile[ROOF], profile[REAR], profile[TAIL]]
            quad = np.array([(side * (self.half(y) + 0.003), y, z) for z, y in corners])
            self.face(quad, paint, 0.12)
            spans = [(0.1, 0.47), (0.53, 0.92)] if self.car.kind != "van" else [(0.06, 0.3)]
            for start, end in spans:
                at = [(start, 0.1), (start, 0.86), (end, 0.86), (end, 0.1)]
                self.face([between(quad, s, t) for s, t in at], glass, 0.09, (-0.3, 0.2))
            w, z = self.width / 2 * side, profile[SCREEN][0] - 0.2
            mirror = [
                (w * r, self.belt + h, z)
                for r, h in ((0.98, 0), (1.16, 0.02), (1.16, 0.14), (1, 0.13))
            ]
            self.face(mirror, paint * 0.6, 0.05)
            groove = self.width / 2 + 0.006
            for z in (length * 0.5, length * 0.29, length * 0.71):
                door = [(0.42, z), (self.belt, z), (self.belt, z + 0.025), (0.42, z + 0.025)]
                self.face([(side * groove, y, at) for y, at in door], paint * 0.35, 0)
            sill = [(0.28, 0.5), (0.28, length - 0.5), (0.4, length - 0.5), (0.4, 0.5)]
            self.face([(side * groove, y, z) for y, z in sill], paint * 0.3 + black * 0.5, 0)
        self.wheels(black, self.width / 2 + 0.012)
        self.end(0.0, -0.02, srgb(170, 20, 22), srgb(214, 190, 60), black)
        self.end(length, 0.02, srgb(225, 228, 230), srgb(225, 225, 222), black)

    def pane(self, low: tuple[float, float], high: tuple[float, float], glass: Floats) -> None:
        """Glass between two points of the profile, inset from the pillars."""
        a, b = self.half(low[1]) * 0.9, self.half(high[1]) * 0.9
        quad = np.array([(-a, low[1], low[0]), (-b, high[1], high[0]),
                         (b, high[1], high[0]), (a, low[1], low[0])])  # fmt: skip
        at = [(0.02, 0.08), (0.02, 0.9), (0.98, 0.9), (0.98, 0.08)]
        self.face([between(quad, s, t) for s, t in at], glass, 0.09, (-0.3, 0.2))

    def wheels(self, black: Floats, out: float) -> None:
        """Without ``out`` the tyres as seen from behind; with it the wheels on the flanks."""
        length, radius = self.profile[1][0], 0.31 if self.car.kind != "van" else 0.34
        for z in (0.19 * length, 0.81 * length):
            for side in (-1, 1):
                if not out:
                    for edge in (z - 0.2, z + 0.2):
                        outer = side * (self.width / 2 - 0.02)
                        inner = outer - side * 0.21
                        tyre = [
                            (inner, 0, edge),
                            (outer, 0, edge),
                            (outer, 0.3, edge),
                            (inner, 0.3, edge),
                        ]
                        self.face(tyre, black, 0)
                    continue
                x = side * out
                self.disc((x, radius + 0.03, z), radius + 0.07, black * 0.5)
                self.disc((x * 1.004, radius, z), radius, black * 1.5)
                self.disc((x * 1.008, radius, z), radius * 0.66, srgb(150, 152, 156))
                self.disc((x * 1.012, radius, z), radius * 0.3, srgb(70, 72, 76))

    def disc(self, centre: tuple[float, float, float], radius: float, colour: Floats) -> None:
        """An upright disc on a flank."""
        angles = np.linspace(0, 2 * np.pi, 15)[:-1]
        x, y, z = centre
        rim = [(x, max(y + radius * np.sin(a), 0), z + radius * np.cos(a)) for a in angles]
        self.face(rim, colour, 0)

    def end(self, z: float, out: float, lamp: Floats, plate: Floats, black: Floats) -> None:
        """Lamps, number plate and bumper of one end."""
        w, top = self.width / 2, self.belt - 0.08
        z += out
        for side in (-1, 1):
            inner, outer = side * w * 0.62, side * w * 0.97
            lamps = [(inner, top - 0.2, z), (outer, top - 0.2, z), (outer, top, z), (inner, top, z)]
            if out > 0:
                lamps = [(x, y - 0.08, z) for x, y, z in lamps]
            self.face(lamps, lamp, 0.15)
        for half, low, high, colour in (
            (w * 0.94, 0.27, 0.42, black),
            (w * 0.5, 0.53, 0.68, black if out > 0 else self.paint * 0.7),
            (0.26, 0.45, 0.56, plate),
        ):
            self.face(
                [(-half, low, z), (half, low, z), (half, high, z), (-half, high, z)], colour, 0.05
            )


def tilt(normal: Floats, up: float) -> Floats:
    """A unit normal, tilted up."""
    tilted = normal + np.array([0, up, 0], np.float32)
    unit: Floats = tilted / np.linalg.norm(tilted)
    return unit


def between(quad: Floats, s: float, t: float) -> Floats:
    """A point of a quad: ``s`` from its first edge to its third, ``t`` from low to high."""
    low = quad[0] + (quad[3] - quad[0]) * s
    high = quad[1] + (quad[2] - quad[1]) * s
    point: Floats = low + (high - low) * t
    return point
