"""Street scenes with exact labels, each from a seed: ``render(seed)``.

A road in perspective between two rows of houses, as a camera behind a windscreen sees it, with all
11 classes of CamVid, light, shadow, texture and noise. ``python -m camvid.scenes`` fills a folder.
"""

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camvid.canvas import Canvas, Floats
from camvid.classes import CLASSES, SIZE
from camvid.figures import Tree, cyclist, fence, lamp, pedestrian, sign
from camvid.light import Ground, Light, Row, noise, sample, srgb
from camvid.street import House, Plan, paint_ground, paint_house
from camvid.vehicles import PAINTS, PROFILES, Car

OVERSAMPLE = 2


def render(seed: int, size: tuple[int, int] = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render a scene: RGB ``uint8 [H, W, 3]`` and labels ``uint8 [H, W]``, determined by the seed.

    Args:
        seed: the seed.
        size: width and height.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(
        (size[0] * OVERSAMPLE, size[1] * OVERSAMPLE),
        focal=rng.uniform(0.8, 1.05),
        horizon=rng.uniform(0.4, 0.52),
        eye=(0.0, rng.uniform(1.25, 1.6), 0.0),
        yaw=rng.normal(0, 0.04),
    )
    light = weather(rng)
    paint_sky(canvas, light, rng)
    build(canvas, light, rng)
    return develop(canvas, light, size, rng)


def weather(rng: np.random.Generator) -> Light:
    """A time of day and a sky."""
    clouds = float(rng.choice([rng.uniform(0.1, 0.5), rng.uniform(0.8, 1.0)]))
    overcast = clouds > 0.7
    height, bearing = rng.uniform(0.3, 0.9), rng.uniform(0, 2 * np.pi)
    flat = np.cos(height)
    sun = np.array([flat * np.sin(bearing), np.sin(height), flat * np.cos(bearing)], np.float32)
    low = float(np.clip((0.55 - height) / 0.25, 0, 1))
    warm = np.array([1.0, 0.93 - 0.17 * low, 0.84 - 0.34 * low], np.float32)
    direct = warm * np.float32(rng.uniform(0.1, 0.25) if overcast else rng.uniform(0.9, 1.4))
    tint = (
        np.array([0.94, 0.98, 1.06], np.float32)
        if not overcast
        else np.array([1.0, 1.0, 1.0], np.float32)
    )
    ambient = tint * np.float32(rng.uniform(0.55, 0.85) if overcast else rng.uniform(0.3, 0.45))
    blue = srgb(96, 140, 205) * rng.uniform(0.8, 1.3)
    pale = srgb(*(np.array([226, 232, 238]) - low * np.array([0, 12, 40]))) * rng.uniform(0.85, 1.2)
    zenith = blue * (1 - clouds) + pale * 0.85 * clouds if overcast else blue
    return Light(sun, direct, ambient, zenith.astype(np.float32), pale.astype(np.float32), clouds)


def paint_sky(canvas: Canvas, light: Light, rng: np.random.Generator) -> None:
    """Paint haze at the horizon, blue or grey above, and clouds on a plane overhead."""
    rays = canvas.rays()
    rise = np.maximum(rays[..., 1], 0.0) / np.linalg.norm(rays, axis=-1)
    blend = np.clip(rise * 2.2, 0, 1)[..., None] ** np.float32(0.6)
    sky = light.haze * (1 - blend) + light.zenith * blend
    overhead = 0.25 / np.maximum(rise, 0.03)
    tile = noise(rng)
    drift = rng.random(2)
    x = rays[..., 0] * overhead * 0.35 + drift[0]
    z = rays[..., 2] * overhead * 0.35 + drift[1]
    veil = sample(tile, x, z)
    cover = np.clip((veil + 2.2 * light.clouds - 1.1) * 1.6, 0, 1)[..., None]
    bright = light.haze * (0.97 + 0.1 * veil[..., None])
    sky = sky * (1 - 0.85 * cover) + bright * 0.85 * cover
    sun = rays @ light.sun / np.linalg.norm(rays, axis=-1)
    glow = np.clip(sun, 0, 1) ** 24 * (1 - 0.7 * light.clouds)
    canvas.rgb[:] = sky + glow[..., None] * light.direct * np.float32(0.5)
    canvas.labels[:] = CLASSES.index("Sky")


def build(canvas: Canvas, light: Light, rng: np.random.Generator) -> None:
    """Lay out the street, cast the shadows on the ground, then paint everything."""
    lanes = rng.uniform(6.5, 9.5)
    left = -lanes / 2 + rng.uniform(-0.6, 1.6)
    plan = Plan(left, left + lanes, rng.uniform(1.6, 3.4), rng.uniform(1.6, 3.4))
    end = rng.uniform(70, 140)
    tile = noise(rng)
    houses, gardens = [], []
    for side in (-1, 1):
        row, gaps = terrace(side, plan, end, rng)
        houses += row
        gardens += [(side, *gap) for gap in gaps]
        if row:
            edges = np.array([house.near for house in row] + [row[-1].far], np.float32)
            heights = np.array([house.height for house in row], np.float32)
            light.rows.append(Row(plan.front(side), edges, heights))
    cars = traffic(plan, rng)
    trees = planted(plan, gardens, end, rng)

    ground = Ground(canvas, light)
    for car in cars:
        car.shade(ground)
    for tree in trees:
        ground.shadow(tree.crown())
    walkers = [(place(plan, rng), rng.uniform(7, 32)) for _ in range(rng.integers(2, 8))]
    riders = [(rng.uniform(plan.left + 0.8, plan.right - 0.8), rng.uniform(7, 26))
              for _ in range(rng.integers(0, 4))]  # fmt: skip
    for x, z in walkers + riders:
        ground.shadow(
            [(x + a, y, z + b) for a in (-0.2, 0.2) for b in (-0.2, 0.2) for y in (0, 1.7)]
        )
        ground.contact([(x - 0.3, 0, z - 0.2), (x + 0.3, 0, z - 0.2), (x + 0.3, 0, z + 0.2),
                        (x - 0.3, 0, z + 0.2)])  # fmt: skip
    paint_ground(canvas, light, ground, plan, rng)

    close(canvas, light, plan, end, tile, rng)
    for house in houses:
        paint_house(canvas, light, house, tile)
    for side, near, far in gardens:
        fence(canvas, light, plan.front(side), near, far, int(rng.integers(1 << 30)), tile)
    for car in cars:
        car.draw(canvas, light)
    furniture(canvas, light, plan, end, tile, rng)
    for tree in sorted(trees, key=lambda t: -t.z):
        tree.draw(canvas, light)
    for x, z in walkers:
        pedestrian(canvas, light, x, z, rng)
    for x, z in riders:
        cyclist(canvas, light, x, z, rng)


def terrace(
    side: int, plan: Plan, end: float, rng: np.random.Generator
) -> tuple[list[House], list[tuple[float, float]]]:
    """One side's houses, and the gaps between them: gardens behind a fence."""
    houses, gaps = [], []
    z = rng.uniform(-14, -6)
    common = int(rng.integers(1 << 30))
    height = rng.uniform(5.5, 11)
    gap = rng.uniform(0.05, 0.3)
    setback = rng.choice([0.0, rng.uniform(0.5, 5)])
    while z < end:
        width = rng.uniform(6, 17)
        if rng.random() < gap:
            gaps.append((z, z + width))
            houses.append(House(side * 60.0, side * 61.0, z, z + width, 0.0, 0))
        else:
            front = plan.front(side) + side * (setback + rng.uniform(0, 0.6))
            style = common if rng.random() < 0.35 else int(rng.integers(1 << 30))
            tall = height * rng.uniform(0.8, 1.3)
            houses.append(
                House(front, front + side * rng.uniform(8, 11), z, z + width, tall, style)
            )
            if setback > 1 and rng.random() < 0.7:
                gaps.append((z + 0.2, z + width - 0.2))
        z += width
    return houses, gaps


def traffic(plan: Plan, rng: np.random.Generator) -> list[Car]:
    """Cars parked along both kerbs, and some that drive."""
    cars = []
    kinds = list(PROFILES)

    def add(x: float, z: float, heading: float) -> None:
        kind = kinds[rng.choice(4, p=[0.45, 0.25, 0.2, 0.1])]
        colour = PAINTS[rng.integers(len(PAINTS))]
        cars.append(Car(x, z, heading + rng.normal(0, 0.02), kind, colour))

    for side in (-1, 1):
        density = rng.choice([0.0, 0.4, 0.85], p=[0.15, 0.35, 0.5])
        z = rng.uniform(3, 9)
        while z < 75:
            if rng.random() < density:
                facing = 0.0 if (side < 0) == (rng.random() < 0.8) else np.pi
                add(plan.kerb(side) - side * rng.uniform(1.0, 1.25), z, facing)
            z += rng.uniform(5.2, 6.6)
    lane = (plan.left + plan.right) / 2
    inner = (plan.right - plan.left) / 2 - 2.1
    if rng.random() < 0.7:
        add(lane - inner * rng.uniform(0.2, 0.5), rng.uniform(9, 40), 0.0)
    if rng.random() < 0.6:
        add(lane + inner * rng.uniform(0.3, 0.6), rng.uniform(14, 60), np.pi)
    if rng.random() < 0.12:
        add(lane, rng.uniform(12, 30), np.pi / 2 * rng.choice([-1, 1]))
    return cars


def planted(
    plan: Plan, gardens: list[tuple[int, float, float]], end: float, rng: np.random.Generator
) -> list[Tree]:
    """Trees in the gardens, along the pavements, and where the street ends."""
    bare = rng.random() < 0.3
    trees = []

    def add(x: float, z: float, height: float) -> None:
        trees.append(Tree(x, z, height, bare, int(rng.integers(1 << 30))))

    for side, near, far in gardens:
        for z in np.arange(near + 1, far, rng.uniform(2.5, 5)):
            add(plan.front(side) + side * rng.uniform(1, 6), float(z), rng.uniform(3, 9))
    for side in (-1, 1):
        if rng.random() < 0.35:
            for z in np.arange(rng.uniform(6, 20), 80, rng.uniform(9, 16)):
                add(plan.kerb(side) + side * 0.6, float(z), rng.uniform(5, 9))
    for _ in range(rng.integers(2, 8)):
        add(rng.uniform(-14, 14), end + rng.uniform(1, 8), rng.uniform(6, 12))
    return trees


def place(plan: Plan, rng: np.random.Generator) -> float:
    """The x of a pedestrian: usually on a pavement, sometimes on the road."""
    if rng.random() < 0.15:
        return float(rng.uniform(plan.left, plan.right))
    side = int(rng.choice([-1, 1]))
    walk = abs(plan.front(side) - plan.kerb(side))
    return float(plan.kerb(side) + side * rng.uniform(0.4, walk - 0.3))


def furniture(
    canvas: Canvas, light: Light, plan: Plan, end: float, tile: Floats, rng: np.random.Generator
) -> None:
    """Lamps and signs along the kerbs, and railings at some of them."""
    height = rng.uniform(5.5, 8.5)
    for side in (-1, 1):
        kerb = plan.kerb(side) + side * 0.35
        if rng.random() < 0.85:
            for z in np.arange(rng.uniform(5, 18), end, rng.uniform(16, 28)):
                lamp(canvas, light, kerb, float(z), -side * 1.2, height)
        for _ in range(rng.integers(1, 5)):
            sign(canvas, light, kerb + side * rng.uniform(0, 0.8), rng.uniform(6, 34), rng)
        if rng.random() < 0.3:
            near = rng.uniform(5, 25)
            fence(canvas, light, kerb, near, near + rng.uniform(5, 14), 7, tile)


def close(
    canvas: Canvas, light: Light, plan: Plan, end: float, tile: Floats, rng: np.random.Generator
) -> None:
    """Houses across the far end of the street."""
    x = -60.0
    while x < 60:
        width = rng.uniform(8, 20)
        if rng.random() < 0.75:
            style = int(rng.integers(1 << 30))
            near = end + rng.uniform(8, 14)
            tall = rng.uniform(4, 10)
            paint_house(canvas, light, House(x, x + width, near, near + 10, tall, style), tile)
        x += width


def develop(
    canvas: Canvas, light: Light, size: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Develop the canvas as a camera would, with haze, exposure, blur, vignette and noise."""
    depth = np.minimum(canvas.depth, 400.0)[..., None]
    air = np.exp(-depth / np.float32(rng.uniform(250, 700)))
    sky = np.isinf(canvas.depth)[..., None]
    linear = np.where(sky, canvas.rgb, canvas.rgb * air + light.haze * 0.8 * (1 - air))
    linear = linear * np.float32(rng.uniform(0.9, 1.7))
    # A shoulder keeps the bright sky from clipping hard.
    display = (linear / (1 + 0.22 * linear) * np.float32(1.1)).clip(0, 1) ** np.float32(1 / 2.2)
    display += np.float32(0.35) * (display * display * (3 - 2 * display) - display)
    picture = Image.fromarray((display * 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9) * canvas.width / 960))
    small = np.asarray(picture.resize(size, Image.Resampling.BOX), np.float32)
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    small = small * (1 - rng.uniform(0, 0.18) * (x * x + y * y) / 2)[..., None]
    small = small * np.exp(rng.normal(0, 0.012, 3)) + rng.normal(0, rng.uniform(1, 4), small.shape)
    labels = canvas.labels[OVERSAMPLE // 2 :: OVERSAMPLE, OVERSAMPLE // 2 :: OVERSAMPLE]
    return small.clip(0, 255).astype(np.uint8), labels.copy()


@click.command(context_settings={"show_default": True})
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--first", default=0, help="The first scene's seed.")
@click.option("--count", default=400)
@click.option("--size", default=SIZE, type=(int, int), help="Width and height.")
def main(folder: Path, first: int, count: int, size: tuple[int, int]) -> None:
    """Render scenes into FOLDER: SEED.jpg, and SEED.png with the labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        rgb, labels = render(seed, size)
        Image.fromarray(labels).save(folder / f"{seed:06d}.png")
        Image.fromarray(rgb).save(folder / f"{seed:06d}.jpg", quality=93, subsampling=0)


if __name__ == "__main__":
    main()
