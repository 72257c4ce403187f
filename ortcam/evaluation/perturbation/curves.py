"""The response of a network to a picture whose pixels are removed, or inserted, in a map's order.

The region R is where the network predicts the class in the intact picture. Every perturbed picture
yields two numbers: the mean score of the class over R, and the IoU of R with the pixels that are
now predicted as the class. RISE and ROAD read the single score of a classifier; this adapts them to
networks with a score at each pixel. Where pixels have no class, R is everything: of a classifier
its score, of a list or a plane of values the mean; there is no IoU then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam import metrics
from ortcam.evaluation.options import is_segmented
from ortcam.evaluation.perturbation.imputation import impute
from ortcam.evaluation.perturbation.pictures import (
    blurred,
    deleted,
    first_pixels,
    inserted,
    pixel_order,
)
from ortcam.pictures.further_inputs import FurtherInputs
from ortcam.pipeline import score_all
from ortcam.questions.coverage import coverage

if TYPE_CHECKING:
    from ortcam.cam import Cam
    from ortcam.pictures.preprocess import Size

__all__ = ["Curve", "PerturbedPicture", "deletion", "insertion", "road", "road_combined"]

Picture = NDArray[np.uint8]
Response = tuple[float, float]
"""The mean score in the region, and the IoU with the region, NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The network's answer to a picture.

    Attributes:
        score: [C, *axes].
        labels: [H, W], the class of each pixel; None where pixels have none.
    """

    score: NDArray[np.float32]
    labels: NDArray[np.int32] | None


@dataclass(frozen=True)
class Curve:
    """The response to a class as the picture is perturbed.

    Attributes:
        name: ``"deletion"``, ``"insertion"``, ``"road-most"`` or ``"road-least"``.
        shares: fractions of the pixels that are removed, or inserted.
        score: the mean score of the class inside the region.
        iou: the IoU of the region and the pixels predicted as the class, NaN where pixels have
            none.
    """

    name: str
    shares: tuple[float, ...]
    score: tuple[float, ...]
    iou: tuple[float, ...]

    @property
    def areas(self) -> tuple[float, float]:
        """The areas under both, by the trapezoidal rule, over the width."""
        return metrics.area_under(self.score, self.shares), metrics.area_under(
            self.iou, self.shares
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class PerturbedPicture:
    """A picture at the network's input size, and the network's predictions as it is perturbed.

    Attributes:
        cam: the artifact.
        picture: [H, W, 3] uint8, at the input size.
        inputs: the network's further inputs.
        batch: how many perturbed pictures enter the network together.
    """

    cam: Cam
    picture: Picture
    inputs: FurtherInputs = field(default_factory=dict)
    batch: int = 4

    @classmethod
    def of(
        cls, cam: Cam, rgb: Picture, size: Size, inputs: FurtherInputs, batch: int = 4
    ) -> PerturbedPicture:
        """Resize a picture [H, W, 3] to the network's input size."""
        shape = cam.preprocess(rgb, size=size).shape
        preprocess = cam.artifact.expects.preprocess
        channels_last = preprocess is not None and preprocess.layout == "NHWC"
        height, width = shape[1:3] if channels_last else shape[2:4]
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
    def intact(self) -> Prediction:
        """The prediction of the intact picture."""
        return next(self.predictions([self.picture]))

    @cached_property
    def blurred(self) -> Picture:
        """The start of insertion."""
        return blurred(self.picture)

    @cached_property
    def extremes(self) -> tuple[Prediction, Prediction]:
        """The predictions of the end of deletion, a uniform picture, and the start of insertion."""
        empty = deleted(self.picture, np.ones(self.grid, np.bool_))
        uniform, start = self.predictions([empty, self.blurred])
        return uniform, start

    def region(self, index: int) -> NDArray[np.bool_]:
        """The pixels [H, W] predicted as a class in the intact picture; all without labels."""
        if self.intact.labels is None:
            return np.ones(self.grid, np.bool_)
        region: NDArray[np.bool_] = self.intact.labels == index
        return region

    def predictions(self, pictures: Iterable[Picture]) -> Iterator[Prediction]:
        """The predictions of pictures of this size."""
        cam, inputs, size = self.cam, self.inputs, self.grid[::-1]
        rest = iter(pictures)
        while chunk := list(islice(rest, self.batch)):
            if is_segmented(cam):
                for one in cam.segment_batch(chunk, inputs=inputs, size=size, batch=self.batch):
                    yield Prediction(one.score, one.labels)
            else:
                feeds = [cam._feeds(picture, None, inputs, size) for picture in chunk]
                for score in score_all(cam._model, feeds, batch=self.batch):
                    yield Prediction(score, None)

    def responses(self, index: int, predictions: Iterable[Prediction]) -> list[Response]:
        """The score and the IoU of a class in each prediction."""
        region = self.region(index)
        weights = region[None].astype(np.float32)
        responses = []
        for prediction in predictions:
            plane = prediction.score[index]
            if prediction.labels is None:
                responses.append((float(plane.mean(dtype=np.float64)), float("nan")))
                continue
            (cells,) = coverage(weights, plane.shape)
            score = metrics.mean_inside(plane, cells)
            responses.append((score, metrics.iou(prediction.labels == index, region)))
        return responses


def deletion(
    picture: PerturbedPicture,
    index: int,
    map: NDArray[np.float32],
    steps: int,
    random: np.random.Generator,
) -> Curve:
    """Replace the highest pixels, ever more of them, by the picture's mean colour; low is better.

    V. Petsiuk et al., 2018, who use the mean colour of their data set.

    Args:
        picture: the picture.
        index: the class.
        map: [H, W] on the picture's grid.
        steps: the number of equal parts into which the picture is divided.
        random: breaks ties.
    """
    order = pixel_order(map, random)
    shares = _inner_shares(steps)
    pictures = (
        deleted(picture.picture, first_pixels(order, share, picture.grid)) for share in shares
    )
    predictions = chain([picture.intact], picture.predictions(pictures), picture.extremes[:1])
    return _curve("deletion", (0.0, *shares, 1.0), picture.responses(index, predictions))


def insertion(
    picture: PerturbedPicture,
    index: int,
    map: NDArray[np.float32],
    steps: int,
    random: np.random.Generator,
) -> Curve:
    """Sharpen the highest pixels of a blurred picture, ever more of them; high is better.

    V. Petsiuk et al., 2018. The arguments are those of :func:`deletion`.
    """
    order = pixel_order(map, random)
    shares = _inner_shares(steps)
    pictures = (
        inserted(picture.picture, picture.blurred, first_pixels(order, share, picture.grid))
        for share in shares
    )
    predictions = chain(picture.extremes[1:], picture.predictions(pictures), [picture.intact])
    return _curve("insertion", (0.0, *shares, 1.0), picture.responses(index, predictions))


def road(
    picture: PerturbedPicture,
    index: int,
    map: NDArray[np.float32],
    steps: int,
    random: np.random.Generator,
) -> tuple[Curve, Curve]:
    """Remove pixels and impute them from their neighbours, most and least relevant first.

    Y. Rong et al., 2022. The arguments are those of :func:`deletion`; the shares are its inner
    ones.

    Returns:
        ``"road-most"``, where low is better, and ``"road-least"``, where high is better.
    """
    most_relevant_first = pixel_order(map, random)
    shares = _inner_shares(steps)

    def curve(name: str, order: NDArray[np.int64]) -> Curve:
        masks = (first_pixels(order, share, picture.grid) for share in shares)
        pictures = (impute(picture.picture, mask, random) for mask in masks)
        predictions = picture.predictions(pictures)
        return _curve(name, shares, picture.responses(index, predictions))

    return curve("road-most", most_relevant_first), curve("road-least", most_relevant_first[::-1])


def road_combined(most: Curve, least: Curve) -> tuple[float, float]:
    """(least - most) / 2, averaged over the shares, of score and IoU; high is better.

    As ``ROADCombined`` in pytorch-grad-cam.
    """
    score, iou = (
        (np.mean(getattr(least, quantity)) - np.mean(getattr(most, quantity))) / 2
        for quantity in ("score", "iou")
    )
    return float(score), float(iou)


def _inner_shares(steps: int) -> tuple[float, ...]:
    return tuple(i / steps for i in range(1, steps))


def _curve(name: str, shares: tuple[float, ...], responses: Iterable[Response]) -> Curve:
    score, iou = zip(*responses, strict=True)
    return Curve(name, shares, score, iou)
