"""Parts of a picture, which combine: where a question is asked.

``a & b`` is the intersection of two parts, ``a | b`` their union, ``~a`` the rest of the picture,
and ``a.border(width)`` the pixels along a part's edge. A part is evaluated once there is a picture
and, if it depends on it, the network's prediction.
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
from ortcam.grids.labels import NONE
from ortcam.grids.morphology import border, component
from ortcam.pictures import label_image
from ortcam.pictures.label_image import Truth
from ortcam.questions import masks
from ortcam.questions.masks import Given
from ortcam.questions.names import class_indices

__all__ = [
    "MISTAKES",
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

MISTAKES = ("mistaken", "false-positive", "false-negative")
"""The kinds of :class:`Mistaken` pixels."""

Region: TypeAlias = "Given | Where"
"""An array or a picture's path, or a part of the picture that the scene determines."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The picture that parts are evaluated in.

    Attributes:
        grid: the picture's (height, width), or the volume's (depth, height, width).
        classes, colors: the classes' names and label colours.
        predict: returns the predicted class of every pixel, on the grid; called once at most.
        list_extents: returns the extents of a score's list; () where it has none.
    """

    grid: tuple[int, ...]
    classes: tuple[str, ...]
    colors: tuple[Color, ...]
    predict: Callable[[], NDArray[np.int32]]
    list_extents: Callable[[], tuple[int, ...]] = tuple

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """The predicted class of every pixel, -1 for none."""
        return self.predict()


class Where(ABC):
    """A part of a picture.

    Attributes:
        by_class: True if the part depends on the question's class.
        by_prediction: True if it depends on the network's prediction.
        by_place: True if it depends on places in the picture.
        by_list: True if it depends on the entries of a list.

    Example:
        >>> from ortcam import Box, Predicted
        >>> str(Predicted("Car").border(2) & ~Box(0, 0, 10, 10))
        'along the border, 2 px, where Car is predicted and not (in the box 0,0,10,10)'
    """

    by_class: bool = False
    by_prediction: bool = False
    by_place: bool = True
    by_list: bool = False

    @abstractmethod
    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return the weight of each pixel.

        Args:
            scene: the picture's grid and prediction.
            subject: the class that the question is about.

        Returns:
            0 or 1 on the grid, or a mask's weights.

        Raises:
            ClassError: there is no such class.
            PictureError: a path leads to no picture.
            RegionError: the part lies outside the picture, or does not fit it.
        """

    def border(self, width: int = 1) -> Where:
        """Return the pixels of the part that lie at most ``width`` steps from its outside.

        Raises:
            RegionError: the width is less than 1, or the part is of a list.

        Example:
            >>> from ortcam import Box
            >>> str(Box(2, 2, 9, 9).border(2))
            'along the border, 2 px, in the box 2,2,9,9'
        """
        if width < 1:
            raise RegionError(f"the width of a border must be at least 1, got {width}")
        if self.by_list:
            raise RegionError(f"the entries of a list have no border, got {self}")
        return _Border((self,), width)

    def __and__(self, other: Where) -> Where:
        return _Both((self, other))

    def __or__(self, other: Where) -> Where:
        return _Either((self, other))

    def __invert__(self) -> Where:
        return _Rest((self,))


@dataclass(frozen=True)
class Pixel(Where):
    """One pixel: column x and row y, from 0 at the top left, and in a volume slice z.

    Example:
        >>> str(Pixel(120, 80))
        'at 120,80'
    """

    x: int
    y: int
    z: int | None = None

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return 1 at the pixel, 0 elsewhere."""
        weights = np.zeros(scene.grid, np.float32)
        weights[_pixel_index(self, scene)] = 1
        return weights

    def __str__(self) -> str:
        return f"at {_listed(self)}"


@dataclass(frozen=True)
class Box(Where):
    """The columns x0 to x1 and the rows y0 to y1, without x1 and y1.

    Example:
        >>> str(Box(10, 20, 30, 40))
        'in the box 10,20,30,40'
    """

    x0: int
    y0: int
    x1: int
    y1: int

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return 1 in the box, 0 elsewhere."""
        _check_flat(scene, "a box")
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise RegionError(
                f"the box {self.x0},{self.y0},{self.x1},{self.y1} is empty; give x0,y0,x1,y1 with "
                "x0 < x1 and y0 < y1"
            )
        weights = np.zeros(scene.grid, np.float32)
        rows, columns = (max(self.y0, 0), max(self.y1, 0)), (max(self.x0, 0), max(self.x1, 0))
        weights[slice(*rows), slice(*columns)] = 1
        return weights

    def __str__(self) -> str:
        return f"in the box {self.x0},{self.y0},{self.x1},{self.y1}"


@dataclass(frozen=True, init=False)
class Polygon(Where):
    """The pixels whose centres lie in a polygon, by the even-odd rule.

    Attributes:
        points: its corners (x, y), in pixels from the picture's upper left corner; the centre of
            the first pixel is (0.5, 0.5).

    Example:
        >>> str(Polygon([(0, 0), (10, 0), (5, 8)]))
        'in a polygon of 3 corners'
    """

    points: tuple[tuple[float, float], ...]

    def __init__(self, points: Sequence[Sequence[float]]) -> None:
        """Takes any sequence of corners.

        Raises:
            RegionError: these are not at least three pairs of finite numbers.
        """
        corners = tuple(tuple(float(value) for value in point) for point in points)
        if (
            len(corners) < 3
            or any(len(point) != 2 for point in corners)
            or not np.isfinite(corners).all()
        ):
            raise RegionError(f"a polygon needs at least three corners (x, y), got {points!r}")
        object.__setattr__(self, "points", corners)

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return 1 where a ray from the left has crossed an odd number of edges."""
        _check_flat(scene, "a polygon")
        height, width = scene.grid
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
    """The pixels of a mask, or weights of at least 0.

    Attributes:
        mask: [H, W] or [D, H, W]; or the path of a picture, which selects the pixels that are not
            black.

    Example:
        >>> str(Mask([[0, 1], [0, 0]])), str(Mask("person.png"))
        ('in a mask', 'in person.png')
    """

    mask: Given

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return the mask."""
        (weights,) = masks.read(self.mask, scene.grid, None)
        plane: Weights = weights
        return plane

    def __str__(self) -> str:
        if isinstance(self.mask, str | os.PathLike):
            return f"in {Path(self.mask).name}"
        return "in a mask"


@dataclass(frozen=True)
class Predicted(Where):
    """The pixels predicted as a class; for None, as the question's class.

    Example:
        >>> str(Predicted("Car")), str(Predicted())
        ('where Car is predicted', 'where predicted')
    """

    cls: str | int | None = None
    by_prediction = True

    @property
    def by_class(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """True unless it names a class."""
        return self.cls is None

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return 1 where the class is predicted, 0 elsewhere."""
        return _ones(scene.labels == _index(self.cls, scene, subject))

    def __str__(self) -> str:
        return "where predicted" if self.cls is None else f"where {self.cls} is predicted"


@dataclass(frozen=True, eq=False)
class Labelled(Where):
    """The pixels of a class in a label image; for None, of the question's class.

    Attributes:
        truth: see :data:`ortcam.pictures.label_image.Truth`.
        cls: by name or 0-based index.

    Example:
        >>> str(Labelled("street.labels.png", "Car"))
        'where labelled Car'
    """

    truth: Truth
    cls: str | int | None = None

    @property
    def by_class(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """True unless it names a class."""
        return self.cls is None

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return 1 where the class is labelled, 0 elsewhere."""
        truth = label_image.read(self.truth, scene.grid, scene.colors)
        return _ones(truth == _index(self.cls, scene, subject))

    def __str__(self) -> str:
        return "where labelled" if self.cls is None else f"where labelled {self.cls}"


@dataclass(frozen=True, eq=False)
class Mistaken(Where):
    """The pixels whose prediction differs from their class in a label image.

    Pixels that the label image gives no class are never mistaken.

    Attributes:
        truth: see :data:`ortcam.pictures.label_image.Truth`.
        kind: ``"mistaken"`` for all of them; ``"false-positive"`` for those predicted as the
            question's class, mistaken for it; ``"false-negative"`` for those labelled as the class,
            where another or none is predicted.

    Example:
        >>> str(Mistaken("street.labels.png")), str(Mistaken("street.labels.png", "false-positive"))
        ('where mistaken', 'where false positive')
    """

    truth: Truth
    kind: str = "mistaken"
    by_prediction = True

    def __post_init__(self) -> None:
        """Checks the kind.

        Raises:
            RegionError: there is no such kind.
        """
        if self.kind not in MISTAKES:
            words = f"{', '.join(MISTAKES[:-1])} or {MISTAKES[-1]}"
            raise RegionError(f"the kind of mistaken pixels must be {words}, got {self.kind!r}")

    @property
    def by_class(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """True unless it is about the mistakes of all classes."""
        return self.kind != "mistaken"

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return 1 where prediction and label differ, 0 elsewhere."""
        truth = label_image.read(self.truth, scene.grid, scene.colors)
        mistaken = (truth != NONE) & (truth != scene.labels)
        if self.kind == "false-positive":
            mistaken &= scene.labels == subject
        elif self.kind == "false-negative":
            mistaken &= truth == subject
        return _ones(mistaken)

    def __str__(self) -> str:
        return f"where {self.kind.replace('-', ' ')}"


@dataclass(frozen=True)
class Component(Where):
    """The connected pixels of one predicted class around a pixel, for questions about any class.

    Pixels that touch at a corner are connected.

    Example:
        >>> str(Component(120, 80))
        'in the component under 120,80'
    """

    x: int
    y: int
    z: int | None = None
    by_prediction = True

    def weights(self, scene: Scene, subject: int) -> Weights:
        """Return 1 in the component, 0 elsewhere."""
        index = _pixel_index(self, scene)
        label = scene.labels[index]
        if label == NONE:
            raise RegionError(f"no class is predicted at {_listed(self)}, so there is no component")
        return _ones(component(scene.labels == label, index))

    def __str__(self) -> str:
        return f"in the component under {_listed(self)}"


@dataclass(frozen=True)
class _Combined(Where):
    """A combination of parts; it depends on what they depend on."""

    parts: tuple[Where, ...]

    @property
    def by_class(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        return any(part.by_class for part in self.parts)

    @property
    def by_prediction(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        return any(part.by_prediction for part in self.parts)

    @property
    def by_place(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        return any(part.by_place for part in self.parts)

    @property
    def by_list(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        return any(part.by_list for part in self.parts)

    def weights(self, scene: Scene, subject: int) -> Weights:
        return self.combine(*(part.weights(scene, subject) for part in self.parts))

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
        return part * border(part > 0, self.width)

    def __str__(self) -> str:
        return f"along the border, {self.width} px, {self.parts[0]}"


def _ones(mask: NDArray[np.bool_]) -> Weights:
    weights: Weights = mask.astype(np.float32)
    return weights


def _index(cls: str | int | None, scene: Scene, subject: int) -> int:
    return subject if cls is None else class_indices(cls, scene.classes)[0]


def _listed(point: Pixel | Component) -> str:
    return f"{point.x},{point.y}" + ("" if point.z is None else f",{point.z}")


def _pixel_index(point: Pixel | Component, scene: Scene) -> tuple[int, ...]:
    """The pixel's index on the grid.

    Raises:
        RegionError: it lies outside the picture.
    """
    index = (point.y, point.x) if point.z is None else (point.z, point.y, point.x)
    if len(index) != len(scene.grid):
        raise RegionError(
            f"a pixel is x,y in a picture and x,y,z in a volume; {_listed(point)} does not fit one "
            f"of {' x '.join(map(str, scene.grid))}"
        )
    if not all(0 <= i < extent for i, extent in zip(index, scene.grid, strict=True)):
        extents = " x ".join(str(extent) for extent in reversed(scene.grid))
        what = "picture" if point.z is None else "volume"
        raise RegionError(
            f"the pixel {_listed(point)}, counted from 0, lies outside the {what} of {extents}"
        )
    return index


def _check_flat(scene: Scene, what: str) -> None:
    if len(scene.grid) != 2:
        raise RegionError(
            f"{what} fits a picture, not a volume of {' x '.join(map(str, scene.grid))}; "
            "give a mask [depth, height, width]"
        )
