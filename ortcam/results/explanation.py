"""What a run gives: a segmentation, or an explanation."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import Artifact
from ortcam.drawing import colormap as colormaps
from ortcam.drawing import contours as outlines
from ortcam.drawing.presets import DEFAULT, PRESETS
from ortcam.drawing.style import (
    DrawingStyle,
    Scale,
    at_slice,
    check_scale,
    scale_of,
)
from ortcam.errors import ClassError, InputError, LayerError
from ortcam.files.atomic import check_writable, write_whole
from ortcam.files.formats import ARRAYS, figure_bytes, save_arrays, suffix_of
from ortcam.grids.resample import resample
from ortcam.messages import Option

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from ortcam.results.segmentation import Segmentation

__all__ = ["Explanation"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """Where in a picture, at each feature layer, the evidence for each class lies.

    Attributes:
        classes: the names of the classes, or questions, asked about.
        indices: the classes' 0-based indices; None where a question is not about one by itself.
        layers: the feature layers asked about.
        raw: float32 [classes, h, w], or [classes, d, h, w] of a volume, for each layer, on its
            grid, in its own scale: of Grad-CAM ReLU(sum over k of alpha_k A_k), or before the
            ReLU where the preset has it later, or not at all.
        weights: float32 [classes, C] for each layer, of methods that weigh channels as wholes: of
            Grad-CAM the alphas, spatial means of dy/dA_k; of others nothing.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        method: how the maps were made, such as ``"grad-cam"``; see :mod:`ortcam.methods.registry`.
        title: the same as figures write it, such as ``"Grad-CAM"``.
        upsampling: how maps are brought to that grid; see :data:`ortcam.grids.resample.METHODS`.
        picture: [H, W, 3] uint8, or None where a tensor was given without it; of a volume its
            first channel as greys, [D, H, W, 3].
        segmentation: of the same run; None where the score has not the picture's axes of space.
        artifact: the metadata of the artifact it was made with.
        score: of the same run, float32 [C, *space], what the reduction layer says, on its own
            grid; [C] of a classifier.
        notes: what a reader of the result should know, one sentence each: why a map is all zero,
            that the preprocessing is a guess.
        preset: what becomes of raw, and how it is drawn; see :mod:`ortcam.drawing.presets`.
        regions: for each question the mask on the picture's grid of where it is asked, None for
            everywhere.
    """

    classes: tuple[str, ...]
    indices: tuple[int | None, ...]
    layers: tuple[str, ...]
    raw: Mapping[str, NDArray[np.float32]]
    weights: Mapping[str, NDArray[np.float32]]
    grid: tuple[int, ...]
    method: str
    title: str
    upsampling: str
    picture: NDArray[np.uint8] | None
    segmentation: Segmentation | None
    artifact: Artifact
    score: NDArray[np.float32]
    notes: tuple[str, ...] = ()
    preset: str = DEFAULT
    regions: tuple[NDArray[np.bool_] | None, ...] = ()

    @cached_property
    def maps(self) -> NDArray[np.float32]:
        """[layers, classes, H, W] or [..., D, H, W] on the picture's grid.

        In their own scale, unless the preset has another. Made when first asked for: of a large
        picture, :meth:`map` takes less memory.

        Raises:
            InputError: the maps were not to be upsampled, and the layers' grids differ.
        """
        if not self._alike:
            raise InputError(
                "the maps of these layers have grids of their own, which no one array holds; "
                "take them from raw, or ask for another upsampling than 'none'"
            )
        positions = range(len(self.classes))
        return np.stack(
            [np.stack([self._made(k, layer) for k in positions]) for layer in self.layers]
        )

    @property
    def _alike(self) -> bool:
        return self.upsampling != "none" or len({m.shape for m in self.raw.values()}) == 1

    def map(self, cls: str | int | None = None, layer: str | None = None) -> NDArray[np.float32]:
        """One map, [H, W] or [D, H, W] on the picture's grid (its own if not to be upsampled).

        Args:
            cls: a class asked about, by name or 0-based index; None for the only one.
            layer: a layer asked about; None for the only one.

        Raises:
            ClassError: the class was not asked about, or there are several.
            LayerError: likewise.
        """
        return self._made(self._class(cls), self._layer(layer))

    def fused(self, cls: str | int | None = None) -> NDArray[np.float32]:
        """One map of all layers together, as the preset ``"pytorch-grad-cam"`` has it.

        There it is the mean of the layers' maps, each scaled before it was resized, and is then
        scaled again.

        Args:
            cls: a class asked about, by name or 0-based index; None for the only one.

        Returns:
            [H, W].

        Raises:
            ClassError: as for :meth:`map`.
            InputError: the preset joins no layers, whose features have scales of their own; or
                the maps have grids of their own.
        """
        preset = PRESETS[self.preset]
        if preset.fused is None:
            raise InputError(
                f"the preset {self.preset!r} joins no layers, since their maps have scales of "
                "their own; ",
                Option("preset", "pytorch-grad-cam"),
                " does",
            )
        if not self._alike:
            raise InputError(
                "maps with grids of their own are not joined; leave ", Option("upsample"), " out"
            )
        position = self._class(cls)
        return preset.joined([self.raw[layer][position] for layer in self.layers], self._to_grid)

    def _made(self, position: int, layer: str) -> NDArray[np.float32]:
        """The preset's map of the class at a position in :attr:`classes`."""
        return PRESETS[self.preset].made(self.raw[layer][position], self._to_grid)

    def _to_grid(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return resample(plane, self.grid, self.upsampling)

    def overlay(
        self,
        cls: str | int | None = None,
        layer: str | None = None,
        *,
        alpha: float | None = None,
        colormap: str | None = None,
        scale: Scale | None = None,
        slice: int | None = None,
        contours: bool = False,
    ) -> Image.Image:
        """One map's colours over the picture.

        What is None is as the preset has it; the defaults named here are those without one.

        Args:
            cls: a class asked about, by name or 0-based index; None for the only one.
            layer: a layer asked about; None for the only one.
            alpha: the colours' share, from 0 to 1 (0.5); the picture has the rest.
            colormap: one of :data:`ortcam.drawing.colormap.COLORMAPS` (``"inferno"``).
            scale: the last colour is the greatest value of all the layer's maps (``"shared"``, the
                default), which makes classes comparable; of this map (``"own"``), which shows a
                faint one; of all layers' maps (``"layers"``); or it is 1 (``"none"``). Or a
                number, the last colour's value, for all layers or ``{layer: number}``: so that
                several pictures have one scale, as :func:`ortcam.common_scale` finds it.
            slice: of a volume the one that is drawn, counted along its depth from 0; the colours
                are scaled by the whole volume's greatest value.
            contours: with outlines: white around what is predicted as the class, of questions
                about one class; light blue around what is asked about, where that is a region.

        Returns:
            An RGB image of the picture's size; the colours alone where there is no picture.

        Raises:
            ClassError, LayerError: as for :meth:`map`.
            InputError: no such colour map, scale or slice, or alpha is no share.
        """
        look = self._look(alpha, colormap, scale, slice, contours)
        position, name = self._class(cls), self._layer(layer)
        painted = self.painted(position, name, look)
        if look.contours:
            painted = outlines.draw(painted, self.outlines(position, slice))
        return Image.fromarray(painted)

    def _look(
        self,
        alpha: float | None,
        colormap: str | None,
        scale: Scale | None,
        slice: int | None,
        contours: bool | None,
    ) -> DrawingStyle:
        return DrawingStyle.of(
            PRESETS[self.preset],
            self.grid,
            alpha=alpha,
            colormap=colormap,
            scale=scale,
            slice=slice,
            contours=contours,
        )

    def painted(self, position: int, layer: str, look: DrawingStyle) -> NDArray[np.uint8]:
        """What :meth:`overlay` gives, [H, W, 3], of the class at a position in :attr:`classes`.

        Without outlines; for these see :meth:`outlines`.
        """
        picture = None if self.picture is None else at_slice(look.slice, self.picture)
        plane = at_slice(look.slice, self.plane(position, layer))
        low, top = self.limits(position, layer, look.scale, look.colormap)
        paint = PRESETS[self.preset].paint
        return paint(picture, plane, top, low=low, alpha=look.alpha, colormap=look.colormap)

    def plane(self, position: int, layer: str) -> NDArray[np.float32]:
        """What is drawn of the class at a position in :attr:`classes`.

        On the picture's grid, [H, W] or [D, H, W], also where maps were not to be upsampled.
        """
        whole = self._made(position, layer)
        return whole if whole.shape == self.grid else resample(whole, self.grid, "nearest")

    def outlines(self, position: int, slice: int | None = None) -> list[outlines.Outline]:
        """The masks to outline over the map of the class at a position, with their colours.

        Args:
            position: of the class in :attr:`classes`.
            slice: of a volume.
        """
        found: list[outlines.Outline] = []
        index, segmentation = self.indices[position], self.segmentation
        asked = self.regions[position] if self.regions else None
        asked = None if asked is None else at_slice(slice, asked)
        if index is not None and segmentation is not None:
            predicted = at_slice(slice, segmentation.labels) == index
            if predicted.any() and (asked is None or (predicted != asked).any()):
                found.append((predicted, outlines.PREDICTED))
        if asked is not None and asked.any():
            found.append((asked, outlines.ASKED))
        return found

    def top(self, position: int, layer: str, scale: Scale = "shared") -> float:
        """The value that takes the last colour; 0 where nothing is to be seen.

        Args:
            position: of the class in :attr:`classes`.
            layer: a layer asked about.
            scale: see :meth:`overlay`.

        Raises:
            InputError: there is no such scale.
            LayerError: the scale tells nothing of the layer.
        """
        return self.limits(position, layer, scale, PRESETS[self.preset].colormap)[1]

    def limits(self, position: int, layer: str, scale: Scale, colormap: str) -> tuple[float, float]:
        """The values that take the first and the last colour; see :meth:`top`.

        The first is 0; of colours with a middle it is as far below 0 as the last is above; and
        presets that colour from the least value on, as other tools do, take that one.
        """
        check_scale(scale)
        scale = scale_of(scale, layer)
        if not isinstance(scale, str):
            least, most = 0.0, float(scale)
        elif scale == "none":
            least, most = 0.0, 1.0
        else:
            positions = [position] if scale == "own" else range(len(self.classes))
            layers = self.layers if scale == "layers" else (layer,)
            least, most = _span(self._range(k, name) for name in layers for k in positions)
        if colormap in colormaps.SIGNED:
            top = max(-least, most)
            return -top, top
        return (least if PRESETS[self.preset].from_least else 0.0), max(most, 0.0)

    def _range(self, position: int, layer: str) -> tuple[float, float]:
        """The least and the greatest finite value of a map."""
        if (position, layer) not in self._ranges:
            at_layer = PRESETS[self.preset].as_at_the_layer
            plane = self.raw[layer][position] if at_layer else self._made(position, layer)
            finite = plane[np.isfinite(plane)]
            span = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
            self._ranges[position, layer] = span
        return self._ranges[position, layer]

    @cached_property
    def _ranges(self) -> dict[tuple[int, str], tuple[float, float]]:
        return {}

    def figure(
        self,
        *,
        alpha: float | None = None,
        colormap: str | None = None,
        scale: Scale | None = None,
        slice: int | None = None,
        contours: bool | None = None,
    ) -> Figure:
        """The maps over the picture, as a matplotlib figure.

        Of one layer: the picture, its segmentation, and a map for each class. Of several: a row
        of maps for each layer, from early to late. The options are those of :meth:`overlay`;
        outlines are drawn unless the preset has none, or contours is False.

        Raises:
            DependencyError: matplotlib is not installed.
            InputError: no such colour map, scale or slice, or alpha is no share.
        """
        from ortcam.drawing.figures import grid_figure, maps_figure

        look = self._look(alpha, colormap, scale, slice, contours)
        return (maps_figure if len(self.layers) == 1 else grid_figure)(self, look)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        alpha: float | None = None,
        colormap: str | None = None,
        scale: Scale | None = None,
        slice: int | None = None,
        contours: bool | None = None,
    ) -> None:
        """Writes a file by what its name ends with.

        A .png, .jpg, .svg or .pdf holds the figure (by matplotlib), a .html a report, as
        :class:`ortcam.Report` writes it. A .npz holds ``maps`` (unless
        they were not to be upsampled and the layers' grids differ), ``classes``,
        ``class_indices``, ``layers``, for layer number i ``raw_i`` and ``weights_i`` (of methods
        that weigh channels), ``method``, ``preset``, ``upsampling``, ``scale`` (in words) and
        ``artifact`` (JSON: the network's SHA-256, the score), and is read by ``numpy.load``
        without pickles.

        Raises:
            DependencyError: a figure without matplotlib.
            InputError: as for :meth:`figure`.
            OutputError: the path cannot be written, or ends otherwise.
        """
        if Path(path).suffix.lower() == ".html":
            from ortcam.report import Report

            with Report(
                path, alpha=alpha, colormap=colormap, scale=scale, slice=slice, contours=contours
            ) as report:
                report.add(self)
            return
        suffix = suffix_of(path)
        if suffix in ARRAYS:
            save_arrays(path, self.artifact, self._arrays())
            return
        check_writable(path)
        figure = self.figure(
            alpha=alpha, colormap=colormap, scale=scale, slice=slice, contours=contours
        )
        write_whole(path, figure_bytes(figure, suffix))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            **({"maps": self.maps} if self._alike else {}),
            "classes": np.array(self.classes),
            "class_indices": np.array([-1 if i is None else i for i in self.indices]),
            "layers": np.array(self.layers),
            **{f"raw_{i}": self.raw[layer] for i, layer in enumerate(self.layers)},
            **{
                f"weights_{i}": self.weights[layer]
                for i, layer in enumerate(self.layers)
                if layer in self.weights
            },
            "method": np.array(self.method),
            "preset": np.array(self.preset),
            "upsampling": np.array(self.upsampling),
            "scale": np.array(f"{self.title} {PRESETS[self.preset].words}"),
        }

    def _class(self, cls: str | int | None) -> int:
        """The position among the classes asked about."""
        known = self.classes if isinstance(cls, str) else self.indices
        if cls is None and len(self.classes) == 1:
            return 0
        if cls is None or cls not in known:
            wrong = "say which class" if cls is None else f"class {cls!r} was not asked about"
            raise ClassError(f"{wrong}: there is a map of {', '.join(self.classes)}")
        if known.count(cls) > 1 and self.classes.count(self.classes[known.index(cls)]) == 1:
            raise ClassError(
                f"several questions are about class {cls!r}; name one of {', '.join(self.classes)}"
            )
        return known.index(cls)

    def _layer(self, layer: str | None) -> str:
        if layer is None and len(self.layers) == 1:
            return self.layers[0]
        if layer is None or layer not in self.layers:
            wrong = "say which layer" if layer is None else f"layer {layer!r} was not asked about"
            raise LayerError(f"{wrong}: there are maps at {', '.join(self.layers)}")
        return layer


def _span(ranges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    least, most = zip(*ranges, strict=True)
    return min(least), max(most)
