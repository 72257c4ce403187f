"""How maps are drawn: in which colours, on which scale, with which outlines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from ortcam.drawing import colormap as colormaps
from ortcam.drawing.presets import Preset
from ortcam.errors import InputError, LayerError
from ortcam.messages import Option

__all__ = [
    "SCALES",
    "DrawingStyle",
    "Scale",
    "at_slice",
    "check_scale",
    "check_share",
    "check_slice",
    "scale_of",
]

SCALES = ("shared", "own", "layers", "none")
"""Whose greatest value takes the last colour, in words; ``"none"``: 1 does."""


Scale: TypeAlias = "str | float | Mapping[str, float]"
"""One of :data:`SCALES`, or the value of the last colour, for all layers or for each."""


@dataclass(frozen=True, kw_only=True)
class DrawingStyle:
    """Options of drawing, each said by the user or by the preset.

    Attributes:
        alpha: the colours' share.
        colormap, scale: see :meth:`ortcam.Explanation.overlay`.
        slice: of a volume.
        contours: whether outlines are drawn.
    """

    alpha: float
    colormap: str
    scale: Scale
    slice: int | None
    contours: bool

    @classmethod
    def of(
        cls,
        preset: Preset,
        grid: tuple[int, ...],
        *,
        alpha: float | None,
        colormap: str | None,
        scale: Scale | None,
        slice: int | None,
        contours: bool | None,
    ) -> DrawingStyle:
        """What was said, and for what was not the preset's.

        Raises:
            InputError: no such colour map, scale or slice, or alpha is no share.
        """
        look = cls(
            alpha=preset.alpha if alpha is None else alpha,
            colormap=preset.colormap if colormap is None else colormap,
            scale=preset.scale if scale is None else scale,
            slice=slice,
            contours=preset.contours if contours is None else contours,
        )
        check_share("alpha", look.alpha)
        check_scale(look.scale)
        check_slice(grid, slice)
        colormaps.table(look.colormap)
        return look


def check_scale(scale: Scale) -> None:
    """Finds out whether this is a scale.

    Raises:
        InputError: it is none.
    """
    if isinstance(scale, str):
        if scale not in SCALES:
            raise InputError(
                f"there is no scale {scale!r}; it is 'shared', 'own', 'layers', 'none', or the "
                "value of the last colour"
            )
        return
    for value in scale.values() if isinstance(scale, Mapping) else (scale,):
        if not (value > 0 and math.isfinite(value)):
            raise InputError(f"the scale is {value}; the last colour's value is a number above 0")


def scale_of(scale: Scale, layer: str) -> str | float:
    """A layer's scale.

    Raises:
        LayerError: the scale does not tell it.
    """
    if not isinstance(scale, Mapping):
        return scale
    if layer not in scale:
        raise LayerError(f"the scale tells nothing of layer {layer!r}, but of {', '.join(scale)}")
    return scale[layer]


def check_slice(grid: tuple[int, ...], slice: int | None) -> None:
    """Finds out whether this slice can be drawn.

    Raises:
        InputError: it is not there, or a volume's is not said.
    """
    if len(grid) == 2 and slice is not None:
        raise InputError("a picture has no slices; leave ", Option("slice"), " out")
    if len(grid) == 3 and (slice is None or not 0 <= slice < grid[0]):
        wrong = "say which" if slice is None else f"there is no slice {slice}"
        raise InputError(
            f"a volume is drawn a slice at a time: {wrong}, by ",
            Option("slice"),
            f" from 0 to {grid[0] - 1}, or save the arrays to a .npz file",
        )


def at_slice(slice: int | None, values: NDArray[Any]) -> NDArray[Any]:
    """The slice of a volume that is drawn; a picture's values as they are."""
    return values if slice is None else values[slice]


def check_share(name: str, value: float) -> None:
    """Finds out whether this is a share.

    Raises:
        InputError: it is none.
    """
    if not 0 <= value <= 1:
        raise InputError(f"{name} is {value}; it is a share from 0 to 1")
