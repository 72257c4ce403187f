"""What a network says of a class while the picture is taken away, or put in, in a map's order.

The class is looked for where the network sees it in the whole picture, the region R. Two things are
read from every picture on the way: the mean of the class's score over R, and the IoU of the pixels
that are now predicted as the class with R. RISE and ROAD read a classifier's one score; this is the
same for a network that has one at each pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ortcam import metrics
from ortcam.evaluation.perturbation import pictures as perturb
from ortcam.evaluation.perturbation.imputation import impute
from ortcam.questions.coverage import coverage
from ortcam.results.segmentation import Segmentation

if TYPE_CHECKING:
    from ortcam.cam import Cam
    from ortcam.pictures.preprocess import Size

__all__ = ["Curve", "Scene", "deletion", "insertion", "road", "road_combined"]

Picture = NDArray[np.uint8]
Said = tuple[float, float]
"""The mean score in the region, and the IoU with it."""


@dataclass(frozen=True)
class Curve:
    """What the network says of a class on the way.

    Attributes:
        name: ``"deletion"``, ``"insertion"``, ``"road-most"`` or ``"road-least"``.
        shares: of the pixels that are taken away, or put in.
        score: the class's mean score inside the region.
        iou: of the pixels predicted as the class with the region.
    """

    name: str
    shares: tuple[float, ...]
    score: tuple[float, ...]
    iou: tuple[float, ...]

    @property
    def areas(self) -> tuple[float, float]:
        """Under both, by trapezoids, over the width."""
        return metrics.area_under(self.score, self.shares), metrics.area_under(
            self.iou, self.shares
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """A picture as it enters the network, and what the network sees in it.

    Attributes:
        cam: the artifact.
        picture: [H, W, 3] uint8, of the size at which it enters.
        inputs: the network's further inputs.
        batch: how many pictures enter together.
    """

    cam: Cam
    picture: Picture
    inputs: Mapping[str, ArrayLike] = field(default_factory=dict)
    batch: int = 4

    @classmethod
    def of(
        cls, cam: Cam, rgb: Picture, size: Size, inputs: Mapping[str, ArrayLike], batch: int = 4
    ) -> Scene:
        """A picture [H, W, 3] brought to the size at which it enters the network."""
        shape = cam.preprocess(rgb, size=size).shape
        how = cam.artifact.expects.preprocess
        height, width = shape[1:3] if how is not None and how.layout == "NHWC" else shape[2:4]
        if rgb.shape[:2] != (height, width):
            image = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
            rgb = np.asarray(image)
        return cls(cam=cam, picture=rgb, inputs=inputs, batch=batch)

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width)."""
        height, width, _ = self.picture.shape
        return height, width

    @cached_property
    def intact(self) -> Segmentation:
        """Of the whole picture."""
        return next(self.segmentations([self.picture]))

    @cached_property
    def blurred(self) -> Picture:
        """What insertion begins with."""
        return perturb.blurred(self.picture)

    @cached_property
    def ends(self) -> tuple[Segmentation, Segmentation]:
        """Of what deletion ends with, a plain picture, and what insertion begins with."""
        nothing = perturb.deleted(self.picture, np.ones(self.grid, np.bool_))
        plain, blurred = self.segmentations([nothing, self.blurred])
        return plain, blurred

    def region(self, index: int) -> NDArray[np.bool_]:
        """[H, W], the pixels that are predicted as a class in the whole picture."""
        region: NDArray[np.bool_] = self.intact.labels == index
        return region

    def segmentations(self, pictures: Iterable[Picture]) -> Iterator[Segmentation]:
        """What the network sees in pictures of this size."""
        height, width = self.grid
        left = iter(pictures)
        while some := list(islice(left, self.batch)):
            yield from self.cam.segment_batch(
                some, inputs=self.inputs, size=(width, height), batch=self.batch
            )

    def said(self, index: int, seen: Iterable[Segmentation]) -> list[Said]:
        """What segmentations say of a class."""
        region = self.region(index)
        weights = region[None].astype(np.float32)
        found = []
        for one in seen:
            plane = one.score[index]
            (cells,) = coverage(weights, plane.shape)
            score = metrics.mean_inside(plane, cells)
            found.append((score, metrics.iou(one.labels == index, region)))
        return found


def deletion(
    scene: Scene, index: int, map: NDArray[np.float32], steps: int, random: np.random.Generator
) -> Curve:
    """The highest places take on the picture's mean colour, ever more of them; low is good.

    V. Petsiuk et al., 2018, who replace them by the mean colour of their data.

    Args:
        scene: the picture.
        index: the class.
        map: [H, W] on the scene's grid.
        steps: into how many equal parts the picture is divided.
        random: for the order of ties.
    """
    places = perturb.order(map, random)
    shares = _inner(steps)
    pictures = (
        perturb.deleted(scene.picture, perturb.first(places, s, scene.grid)) for s in shares
    )
    seen = chain([scene.intact], scene.segmentations(pictures), scene.ends[:1])
    return _curve("deletion", (0.0, *shares, 1.0), scene.said(index, seen))


def insertion(
    scene: Scene, index: int, map: NDArray[np.float32], steps: int, random: np.random.Generator
) -> Curve:
    """The highest places of a blurred picture become sharp, ever more of them; high is good.

    V. Petsiuk et al., 2018. The arguments are those of :func:`deletion`.
    """
    places = perturb.order(map, random)
    shares = _inner(steps)
    pictures = (
        perturb.inserted(scene.picture, scene.blurred, perturb.first(places, s, scene.grid))
        for s in shares
    )
    seen = chain(scene.ends[1:], scene.segmentations(pictures), [scene.intact])
    return _curve("insertion", (0.0, *shares, 1.0), scene.said(index, seen))


def road(
    scene: Scene, index: int, map: NDArray[np.float32], steps: int, random: np.random.Generator
) -> tuple[Curve, Curve]:
    """Places are taken away and imputed from those around them: most relevant first, and least.

    Y. Rong et al., 2022. The arguments are those of :func:`deletion`, and the shares its inner
    ones.

    Returns:
        ``"road-most"``, of which low is good, and ``"road-least"``, of which high is good.
    """
    places = perturb.order(map, random)
    shares = _inner(steps)

    def curve(name: str, order: NDArray[np.int64]) -> Curve:
        missing = (perturb.first(order, s, scene.grid) for s in shares)
        pictures = (impute(scene.picture, mask, random) for mask in missing)
        return _curve(name, shares, scene.said(index, scene.segmentations(pictures)))

    return curve("road-most", places), curve("road-least", places[::-1])


def road_combined(most: Curve, least: Curve) -> tuple[float, float]:
    """(least - most) / 2 in the mean over the shares, of score and IoU; high is good.

    As ``ROADCombined`` of pytorch-grad-cam.
    """
    score, iou = (
        (np.mean(getattr(least, what)) - np.mean(getattr(most, what))) / 2
        for what in ("score", "iou")
    )
    return float(score), float(iou)


def _inner(steps: int) -> tuple[float, ...]:
    return tuple(i / steps for i in range(1, steps))


def _curve(name: str, shares: tuple[float, ...], said: Iterable[Said]) -> Curve:
    score, iou = zip(*said, strict=True)
    return Curve(name, shares, score, iou)
