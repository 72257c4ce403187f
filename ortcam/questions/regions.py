"""Where a question is asked: parts of a picture, as objects that combine.

``&`` takes what two parts share, ``|`` what either has, ``~`` the rest of the picture, and
``border(width)`` the pixels along a part's edge. Nothing is looked at until there is a picture;
parts that depend on what the network predicts are then told.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Color
from ortcam.errors import RegionError
from ortcam.grids import morphology as components
from ortcam.grids.labels import NONE
from ortcam.pictures import label_image as truths
from ortcam.questions import masks
from ortcam.questions.masks import Given
from ortcam.questions.names import class_indices

__all__ = [
    "Box",
    "Component",
    "Labelled",
    "Mask",
    "Mistaken",
    "Pixel",
    "Polygon",
    "Predicted",
    "Region",
    "Scene",
    "Where",
]

Weights = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scene:
    """What a part of a picture is found by.

    Attributes:
        grid: the picture's (height, width), or the volume's (depth, height, width).
        classes, colors: the classes' names and label colours.
        predict: gives the predicted class of every pixel, on the grid; it is asked once, where a
            part depends on it.
    """

    grid: tuple[int, ...]
    classes: tuple[str, ...]
    colors: tuple[Color, ...]
    predict: Callable[[], NDArray[np.int32]]

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """The predicted class of every pixel, -1 for none."""
        return self.predict()


class Where(ABC):
    """A part of a picture.

    Attributes:
        by_class: whether it is another part for another class.
        by_prediction: whether it depends on what the network predicts.
    """

    by_class: bool = False
    by_prediction: bool = False

    @abstractmethod
    def weights(self, sight: Scene, subject: int) -> Weights:
        """What each pixel counts.

        Args:
            sight: the picture's grid, and what is predicted there.
            subject: the class that the question is about.

        Returns:
            On the grid 0 or 1; of a mask of weights these.

        Raises:
            ClassError: there is no such class.
            PictureError: a path leads to no picture.
            RegionError: it does not lie in the picture, or does not fit it.
        """

    def border(self, width: int = 1) -> Where:
        """Its pixels from which at most so many steps lead out of it.

        Raises:
            RegionError: the width is less than 1.
        """
        if width < 1:
            raise RegionError(f"a border of {width} pixels is empty; it takes 1 or more")
        return _Border((self,), width)

    def __and__(self, other: Where) -> Where:
        return _Both((self, other))

    def __or__(self, other: Where) -> Where:
        return _Either((self, other))

    def __invert__(self) -> Where:
        return _Rest((self,))


@dataclass(frozen=True)
class Pixel(Where):
    """One pixel, column x and row y from 0 at the top left; of a volume also its slice z."""

    x: int
    y: int
    z: int | None = None

    def weights(self, sight: Scene, subject: int) -> Weights:
        """1 at the pixel."""
        weights = np.zeros(sight.grid, np.float32)
        weights[_place(self, sight)] = 1
        return weights

    def __str__(self) -> str:
        return f"at {_listed(self)}"


@dataclass(frozen=True)
class Box(Where):
    """The columns from x0 to before x1 and the rows from y0 to before y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    def weights(self, sight: Scene, subject: int) -> Weights:
        """1 in the box."""
        _check_flat(sight, "a box")
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise RegionError(
                f"the box {self.x0},{self.y0},{self.x1},{self.y1} is empty: it goes from its left "
                "and upper edge to before its right and lower one"
            )
        weights = np.zeros(sight.grid, np.float32)
        rows, columns = (max(self.y0, 0), max(self.y1, 0)), (max(self.x0, 0), max(self.x1, 0))
        weights[slice(*rows), slice(*columns)] = 1
        return weights

    def __str__(self) -> str:
        return f"in the box {self.x0},{self.y0},{self.x1},{self.y1}"


@dataclass(frozen=True, init=False)
class Polygon(Where):
    """The pixels whose centres lie in a polygon, by the even-odd rule.

    Attributes:
        points: its corners (x, y), in pixels from the picture's upper left corner: the centre of
            the first pixel is (0.5, 0.5).
    """

    points: tuple[tuple[float, float], ...]

    def __init__(self, points: Sequence[Sequence[float]]) -> None:
        """Any sequence of corners.

        Raises:
            RegionError: these are no three or more pairs of finite numbers.
        """
        corners = tuple(tuple(float(value) for value in point) for point in points)
        if (
            len(corners) < 3
            or any(len(point) != 2 for point in corners)
            or not np.isfinite(corners).all()
        ):
            raise RegionError(f"a polygon is three or more corners (x, y), not {points!r}")
        object.__setattr__(self, "points", corners)

    def weights(self, sight: Scene, subject: int) -> Weights:
        """1 where an odd number of edges is crossed on the way from the left."""
        _check_flat(sight, "a polygon")
        height, width = sight.grid
        crossings = np.zeros((height, width + 1), np.int32)
        for (x0, y0), (x1, y1) in zip(self.points, self.points[1:] + self.points[:1], strict=True):
            low, high = (round(max(0, min(height, np.ceil(y - 0.5)))) for y in sorted((y0, y1)))
            if low < high:  # the rows whose centres the edge passes
                rows = np.arange(low, high)
                x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                crossings[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)] += 1
        odd: NDArray[np.bool_] = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
        return _ones(odd)

    def __str__(self) -> str:
        return f"in a polygon of {len(self.points)} corners"


@dataclass(frozen=True, eq=False)
class Mask(Where):
    """A mask, or weights of 0 or more.

    Attributes:
        mask: [H, W] or [D, H, W]; or the path of a picture that is not black there.
    """

    mask: Given

    def weights(self, sight: Scene, subject: int) -> Weights:
        """The mask."""
        (weights,) = masks.read(self.mask, sight.grid, None)
        plane: Weights = weights
        return plane

    def __str__(self) -> str:
        named = isinstance(self.mask, (str, os.PathLike))
        return f"in {Path(self.mask).name}" if named else "in a mask"  # type: ignore[arg-type]


@dataclass(frozen=True)
class Predicted(Where):
    """The pixels predicted as a class, of None as the class that the question is about."""

    cls: str | int | None = None
    by_prediction = True

    @property
    def by_class(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """Unless it names its class."""
        return self.cls is None

    def weights(self, sight: Scene, subject: int) -> Weights:
        """1 where the class is the label."""
        return _ones(sight.labels == _index(self.cls, sight, subject))

    def __str__(self) -> str:
        return "where predicted" if self.cls is None else f"where {self.cls} is predicted"


@dataclass(frozen=True, eq=False)
class Labelled(Where):
    """The pixels that a label image gives a class, of None the class that the question is about.

    Attributes:
        truth: see :data:`ortcam.pictures.label_image.Truth`.
        cls: by name or 0-based index.
    """

    truth: truths.Truth
    cls: str | int | None = None

    @property
    def by_class(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """Unless it names its class."""
        return self.cls is None

    def weights(self, sight: Scene, subject: int) -> Weights:
        """1 where the class is the truth."""
        truth = truths.read(self.truth, sight.grid, sight.colors)
        return _ones(truth == _index(self.cls, sight, subject))

    def __str__(self) -> str:
        return "where labelled" if self.cls is None else f"where labelled {self.cls}"


@dataclass(frozen=True, eq=False)
class Mistaken(Where):
    """The pixels predicted as another class than a label image gives them, where it gives one.

    ``Predicted() & Mistaken(truth)`` are those that are wrongly the question's class,
    ``Labelled(truth) & Mistaken(truth)`` those that are wrongly not.

    Attributes:
        truth: see :data:`ortcam.pictures.label_image.Truth`.
    """

    truth: truths.Truth
    by_prediction = True

    def weights(self, sight: Scene, subject: int) -> Weights:
        """1 where label and truth differ."""
        truth = truths.read(self.truth, sight.grid, sight.colors)
        return _ones((truth != NONE) & (truth != sight.labels))

    def __str__(self) -> str:
        return "where mistaken"


@dataclass(frozen=True)
class Component(Where):
    """The connected pixels of one predicted class around a pixel, whatever class is asked about.

    Pixels that touch at a corner are connected.
    """

    x: int
    y: int
    z: int | None = None
    by_prediction = True

    def weights(self, sight: Scene, subject: int) -> Weights:
        """1 in the component."""
        place = _place(self, sight)
        label = sight.labels[place]
        if label == NONE:
            raise RegionError(
                f"no class is predicted at {_listed(self)}, so there is no component under it"
            )
        return _ones(components.component(sight.labels == label, place))

    def __str__(self) -> str:
        return f"in the component under {_listed(self)}"


@dataclass(frozen=True)
class _Combined(Where):
    """What it depends on is what its parts do."""

    parts: tuple[Where, ...]

    @property
    def by_class(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        return any(part.by_class for part in self.parts)

    @property
    def by_prediction(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        return any(part.by_prediction for part in self.parts)

    def weights(self, sight: Scene, subject: int) -> Weights:
        return self.combine(*(part.weights(sight, subject) for part in self.parts))

    @abstractmethod
    def combine(self, *parts: Weights) -> Weights: ...


class _Both(_Combined):
    def combine(self, *parts: Weights) -> Weights:
        one, other = parts
        return one * other

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))


class _Either(_Combined):
    def combine(self, *parts: Weights) -> Weights:
        return np.maximum(*parts)

    def __str__(self) -> str:
        return f"({' or '.join(map(str, self.parts))})"


class _Rest(_Combined):
    def combine(self, *parts: Weights) -> Weights:
        (part,) = parts
        return 1 - part

    def __str__(self) -> str:
        return f"not ({self.parts[0]})"


@dataclass(frozen=True)
class _Border(_Combined):
    width: int

    def combine(self, *parts: Weights) -> Weights:
        (part,) = parts
        return part * components.border(part > 0, self.width)

    def __str__(self) -> str:
        return f"along the border, {self.width} px, {self.parts[0]}"


def _ones(mask: NDArray[np.bool_]) -> Weights:
    weights: Weights = mask.astype(np.float32)
    return weights


def _index(cls: str | int | None, sight: Scene, subject: int) -> int:
    return subject if cls is None else class_indices(cls, sight.classes)[0]


def _listed(point: Pixel | Component) -> str:
    return f"{point.x},{point.y}" + ("" if point.z is None else f",{point.z}")


def _place(point: Pixel | Component, sight: Scene) -> tuple[int, ...]:
    """A pixel's indices.

    Raises:
        RegionError: it does not lie in the picture.
    """
    place = (point.y, point.x) if point.z is None else (point.z, point.y, point.x)
    if len(place) != len(sight.grid):
        raise RegionError(
            f"a pixel of a picture is x,y and one of a volume x,y,z, and {_listed(point)} asks "
            f"about one of {' x '.join(map(str, sight.grid))}"
        )
    if not all(0 <= at < extent for at, extent in zip(place, sight.grid, strict=True)):
        extents = " x ".join(str(extent) for extent in reversed(sight.grid))
        what = "picture" if point.z is None else "volume"
        raise RegionError(
            f"the pixel {_listed(point)} does not lie in the {what} of {extents}, which are "
            "counted from 0"
        )
    return place


def _check_flat(sight: Scene, what: str) -> None:
    if len(sight.grid) != 2:
        raise RegionError(
            f"{what} lies in a picture, not in a volume of {' x '.join(map(str, sight.grid))}; "
            "give a mask, [depth, height, width]"
        )


Region: TypeAlias = "Given | Where"
"""The same, or a part of the picture that is to be found; see :mod:`ortcam.questions.regions`."""
