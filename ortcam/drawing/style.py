"""The drawing options of maps: their defaults by preset, and their checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict, Unpack

from numpy.typing import NDArray

from ortcam.drawing.colormap import table
from ortcam.drawing.presets import Preset
from ortcam.errors import InputError, LayerError
from ortcam.messages import Option

__all__ = [
    "SCALES",
    "DrawingStyle",
    "Scale",
    "Style",
    "at_slice",
    "check_names",
    "check_scale",
    "check_share",
    "check_slice",
    "scale_of",
]

SCALES = ("shared", "own", "layers", "none")
"""The named scales; see :class:`Style`."""


Scale: TypeAlias = "str | float | Mapping[str, float]"
"""One of :data:`SCALES`, or the value of the top colour, for all layers or for each."""


class Style(TypedDict, total=False):
    """The drawing options, which overlays, figures, files and reports take as keyword arguments.

    An option that is left out, or None, is the preset's; the defaults named here are those of the
    default preset.

    Attributes:
        alpha: the opacity of the map's colours over the picture, from 0 to 1 (0.5).
        colormap: one of :data:`ortcam.drawing.colormap.COLORMAPS` (``"inferno"``).
        scale: the value shown in the top colour: the maximum of all the layer's maps
            (``"shared"``, the default), which makes classes comparable; of each map (``"own"``),
            which shows a faint one; of the maps of all layers (``"layers"``); or 1 (``"none"``).
            Or a number, for all layers or as ``{layer: number}``, which gives several pictures
            one scale: see :func:`ortcam.common_scale`.
        slice: the slice of a volume to draw, counted along its depth from 0; its colours are
            scaled by the whole volume.
        contours: outline the pixels predicted as the class in white, for questions about one
            class, and the region asked about in light blue.
    """

    alpha: float | None
    colormap: str | None
    scale: Scale | None
    slice: int | None
    contours: bool | None


@dataclass(frozen=True, kw_only=True)
class DrawingStyle:
    """The drawing options in force; their meanings are those of :class:`Style`."""

    alpha: float
    colormap: str
    scale: Scale
    slice: int | None
    contours: bool

    @classmethod
    def of(cls, preset: Preset, grid: tuple[int, ...], **options: Unpack[Style]) -> DrawingStyle:
        """The user's options, and the preset's for the rest.

        Args:
            preset: that of the maps.
            grid: the picture's (height, width), or the volume's (depth, height, width).
            **options: see :class:`Style`.

        Raises:
            InputError: there is no such colour map, scale or slice, or alpha is not in [0, 1].
        """
        check_names(options)
        values: dict[str, Any] = {
            "alpha": preset.alpha,
            "colormap": preset.colormap,
            "scale": preset.scale,
            "slice": None,
            "contours": preset.contours,
        }
        values.update({name: value for name, value in options.items() if value is not None})
        style = cls(**values)
        check_share("alpha", style.alpha)
        check_scale(style.scale)
        check_slice(grid, style.slice)
        table(style.colormap)
        return style


def check_names(options: Style) -> None:
    """Check that these are drawing options.

    Raises:
        TypeError: one is not.
    """
    for name in options.keys() - Style.__annotations__.keys():
        raise TypeError(f"{name!r} is not a drawing option: {', '.join(Style.__annotations__)}")


def check_scale(scale: Scale) -> None:
    """Check that this is a scale.

    Raises:
        InputError: it is not.
    """
    if isinstance(scale, str):
        if scale not in SCALES:
            raise InputError(
                f"there is no scale {scale!r}; give 'shared', 'own', 'layers', 'none', or the "
                "value of the top colour"
            )
        return
    for value in scale.values() if isinstance(scale, Mapping) else (scale,):
        if not (value > 0 and math.isfinite(value)):
            raise InputError(f"the scale must be a finite number above 0, got {value}")


def scale_of(scale: Scale, layer: str) -> str | float:
    """The scale of a layer.

    Raises:
        LayerError: the scale has no value for it.
    """
    if not isinstance(scale, Mapping):
        return scale
    if layer not in scale:
        raise LayerError(
            f"the scale has no value for layer {layer!r}, only for {', '.join(scale)}; add one"
        )
    return scale[layer]


def check_slice(grid: tuple[int, ...], slice: int | None) -> None:
    """Check that a picture has no slice and that a volume's slice exists.

    Raises:
        InputError: otherwise.
    """
    if len(grid) == 2 and slice is not None:
        raise InputError("a picture has no slices; leave ", Option("slice"), " out")
    if len(grid) == 3 and (slice is None or not 0 <= slice < grid[0]):
        wrong = "" if slice is None else f"there is no slice {slice}: "
        raise InputError(
            f"{wrong}a volume is drawn one slice at a time; give ",
            Option("slice"),
            f" from 0 to {grid[0] - 1}, or save the arrays to a .npz file",
        )


def at_slice(slice: int | None, values: NDArray[Any]) -> NDArray[Any]:
    """The slice of a volume; a picture's values unchanged."""
    return values if slice is None else values[slice]


def check_share(name: str, value: float) -> None:
    """Check that a value is from 0 to 1.

    Raises:
        InputError: it is not.
    """
    if not 0 <= value <= 1:
        raise InputError(f"{name} must be from 0 to 1, got {value}")
