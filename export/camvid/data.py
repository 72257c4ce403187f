"""Labelled pictures, and their augmentation.

A sample is a pair of arrays: RGB ``uint8 [H, W, 3]`` and labels ``uint8 [H, W]``.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camvid.classes import CLASSES, IGNORE, MEAN, STD

Pixels = NDArray[np.uint8]
Sample = tuple[Pixels, Pixels]

RARE = tuple(CLASSES.index(c) for c in ("Pole", "SignSymbol", "Fence", "Pedestrian", "Bicyclist"))
"""The classes that are cut from one picture and pasted into another."""


def load_camvid(folder: Path, splits: Iterable[str]) -> list[Sample]:
    """The frames of ``folder/SPLIT`` with the labels of ``folder/SPLITannot``, by name."""
    pairs = []
    for split in splits:
        labels = {path.stem: path for path in (folder / f"{split}annot").iterdir()}
        pairs += [(path, labels[path.stem]) for path in sorted((folder / split).iterdir())]
    return [load(*pair) for pair in pairs]


def load_scenes(folder: Path) -> list[Sample]:
    """The scenes that ``camvid.scenes`` wrote: ``NAME.jpg`` beside its labels, ``NAME.png``."""
    return [load(path, path.with_suffix(".png")) for path in sorted(folder.glob("*.jpg"))]


def load(picture: Path, labels: Path) -> Sample:
    """A picture file and its label file as a sample."""
    with Image.open(picture) as rgb, Image.open(labels) as classes:
        return np.asarray(rgb.convert("RGB")), np.asarray(classes)


def normalise(rgb: Pixels) -> NDArray[np.float32]:
    """A picture ``uint8 [H, W, 3]`` as the network's input ``float32 [3, H, W]``."""
    scaled = (rgb.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def warp(sample: Sample, size: tuple[int, int], rng: np.random.Generator) -> Sample:
    """A random crop of ``size`` (width, height): mirrored, scaled, stretched, tilted.

    Pixels outside the picture are grey and unlabelled.
    """
    rgb, labels = sample
    height, width = labels.shape
    zoom = np.exp(rng.uniform(np.log(0.65), np.log(2.0)))
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    tilt = rng.normal(0, 0.04)
    steps = np.array([1 / (zoom * stretch), stretch / zoom])  # source pixels per crop pixel
    across = np.array([np.cos(tilt), np.sin(tilt)]) * steps[0]
    down = np.array([-np.sin(tilt), np.cos(tilt)]) * steps[1]
    if rng.random() < 0.5:
        across = -across
    # The crop's centre: anywhere that keeps the crop inside, as far as it fits.
    extent = np.array(size) * steps
    slack = np.maximum(np.array([width, height]) - extent, 0.1 * extent)
    centre = np.array([width, height]) / 2 + rng.uniform(-0.5, 0.5, 2) * slack
    corner = centre - across * size[0] / 2 - down * size[1] / 2
    matrix = (across[0], down[0], corner[0], across[1], down[1], corner[1])
    grey = tuple(round(255 * m) for m in MEAN)
    affine = Image.Transform.AFFINE
    picture = Image.fromarray(rgb)
    if zoom < 0.8:  # bilinear sampling alone would alias
        picture = picture.filter(ImageFilter.GaussianBlur(float(0.4 / zoom)))
    picture = picture.transform(size, affine, matrix, Image.Resampling.BILINEAR, fillcolor=grey)
    classes = Image.fromarray(labels).transform(
        size, affine, matrix, Image.Resampling.NEAREST, fillcolor=IGNORE
    )
    return np.array(picture), np.array(classes)


def paste(sample: Sample, donor: Sample, rng: np.random.Generator) -> Sample:
    """``sample`` with the donor's pixels of one to all of its rare classes pasted over it."""
    rgb, labels = sample
    chosen = [c for c in RARE if rng.random() < 0.6]
    over = np.isin(donor[1], chosen)
    return np.where(over[..., None], donor[0], rgb), np.where(over, donor[1], labels)


def relight(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """Simulate other light and another camera: colour, exposure, gamma, shade, blur, noise."""
    x = rgb.astype(np.float32) / 255
    # Saturation, hue and white balance are one 3x3 matrix.
    saturation = rng.uniform(0.4, 1.5)
    mix = saturation * np.eye(3) + (1 - saturation) * np.array([0.299, 0.587, 0.114])[:, None]
    mix = mix @ (np.eye(3) + rng.normal(0, 0.04, (3, 3))) * np.exp(rng.normal(0, 0.08, 3))
    x = x @ mix.astype(np.float32)
    contrast, brightness = np.exp(rng.normal(0, 0.2)), np.exp(rng.normal(0, 0.2))
    mean = x.mean()
    x = (x - mean) * np.float32(contrast) + mean * np.float32(brightness)
    if rng.random() < 0.4:
        x *= shade(x.shape[:2], rng)[..., None]
    x = np.clip(x, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.3:
        blurred = Image.fromarray((x * 255).astype(np.uint8))
        blurred = blurred.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.5)))
        x = np.asarray(blurred, np.float32) / 255
    if rng.random() < 0.3:
        x = x + rng.standard_normal(x.shape, np.float32) * np.float32(rng.uniform(0.01, 0.05))
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def shade(size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth field of gains about 1, ``float32 [H, W]``: shadows of clouds and of trees."""
    cells = int(rng.integers(2, 7))
    field = Image.fromarray(rng.uniform(0.55, 1.25, (cells, cells)).astype(np.float32))
    return np.asarray(field.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def augment(
    sample: Sample, donor: Sample, size: tuple[int, int], rng: np.random.Generator
) -> Sample:
    """One training crop of ``size`` (width, height); sometimes with rare classes of ``donor``."""
    crop = warp(sample, size, rng)
    if rng.random() < 0.5:
        crop = paste(crop, warp(donor, size, rng), rng)
    return relight(crop[0], rng), crop[1]
