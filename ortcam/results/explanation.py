"""Explanations: the maps of one picture, drawn and saved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam.artifact import Artifact
from ortcam.drawing import contours
from ortcam.drawing.colormap import SIGNED
from ortcam.drawing.presets import DEFAULT, PRESETS, Preset
from ortcam.drawing.style import (
    DrawingStyle,
    Scale,
    Style,
    at_slice,
    check_names,
    check_scale,
    scale_of,
)
from ortcam.errors import ClassError, InputError, LayerError
from ortcam.files.formats import write
from ortcam.grids.resample import resample
from ortcam.messages import Option
from ortcam.results.segmentation import Segmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explanation"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """The maps of one picture: where, at each feature layer, the evidence for each class lies.

    Attributes:
        classes: the names of the classes, or of the questions.
        indices: the 0-based index of each class; None for a question about several.
        layers: the feature layers.
        raw: float32 [classes, h, w], or [classes, d, h, w] of a volume or of frames, for each
            layer, on its grid and in its own scale: for Grad-CAM ReLU(sum over k of alpha_k A_k),
            or the sum itself for presets that apply the ReLU later or never.
        weights: float32 [classes, C] for each layer, of methods that weigh whole channels: for
            Grad-CAM the alphas, the spatial means of dy/dA_k; [classes, d, C] of frames.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        method: the method's name, such as ``"grad-cam"``; see :mod:`ortcam.methods.registry`.
        title: its name in figures, such as ``"Grad-CAM"``.
        upsampling: the filter from a layer's grid to the picture's; see
            :data:`ortcam.grids.resample.METHODS`.
        picture: [H, W, 3] uint8, or None for a tensor; of a volume its first channel as greys,
            [D, H, W, 3].
        segmentation: of the same run; None where the score gives no class to each pixel.
        artifact: the metadata of the artifact.
        score: the output of the reduction layer in the same run, float32 [C, *space] on its own
            grid, [C, *list] over a list, or [C] of a classifier.
        notes: sentences for the reader: why a map is all zero, that the preprocessing is a guess.
        preset: the steps from raw to maps, and how maps are drawn; see
            :mod:`ortcam.drawing.presets`.
        regions: the mask, on the picture's grid, of each question's region; None for everywhere.
        titles: what each map shows, as figures call it, such as "what lowers Car"; () for the
            classes' names.

    Example:
        >>> from ortcam.artifact import Artifact, Score
        >>> raw = np.array([[[0, 1], [2, 3]]], np.float32)
        >>> explanation = Explanation(
        ...     classes=("Road",), indices=(0,), layers=("late",), raw={"late": raw}, weights={},
        ...     grid=(4, 4), method="grad-cam", title="Grad-CAM", upsampling="bilinear",
        ...     picture=None, segmentation=None, score=raw,
        ...     artifact=Artifact(layers=(), score=Score(name="score"), picture="image"))
        >>> explanation.map("Road").shape, explanation.overlay(colormap="jet").size
        ((4, 4), (4, 4))
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
    titles: tuple[str, ...] = ()

    @property
    def captions(self) -> tuple[str, ...]:
        """What each map shows, as figures call it."""
        return self.titles or self.classes

    @cached_property
    def maps(self) -> NDArray[np.float32]:
        """All maps, [layers, classes, H, W] or [..., D, H, W], on the picture's grid.

        They keep their own scale, unless the preset rescales them. They are computed on first
        access; for a large picture, :meth:`map` takes less memory.

        Raises:
            InputError: the maps are not upsampled, and the layers' grids differ.
        """
        if not self._has_one_grid:
            raise InputError(
                "the layers' grids differ, so their maps fit in no one array; take them from raw, "
                "or leave ",
                Option("upsample"),
                " out",
            )
        positions = range(len(self.classes))
        return np.stack(
            [np.stack([self._map(k, layer) for k in positions]) for layer in self.layers]
        )

    @property
    def _has_one_grid(self) -> bool:
        return self.upsampling != "none" or len({m.shape for m in self.raw.values()}) == 1

    @property
    def _preset(self) -> Preset:
        return PRESETS[self.preset]

    def map(self, cls: str | int | None = None, layer: str | None = None) -> NDArray[np.float32]:
        """One map, [H, W] or [D, H, W], on the picture's grid, or on its own if not upsampled.

        Args:
            cls: a class of the explanation, by name or 0-based index; None for the only one.
            layer: a layer of the explanation; None for the only one.

        Raises:
            ClassError: the explanation has no such class, or several and none is named.
            LayerError: likewise.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.explain("street.png", "Car").map("Car", "mid_relu").shape
            (22, 31)
        """
        return self._map(self._class(cls), self._layer(layer))

    def fused(self, cls: str | int | None = None) -> NDArray[np.float32]:
        """One map of all layers together, as the preset ``"pytorch-grad-cam"`` computes it.

        It is the mean of the layers' maps, each rescaled before it was resized, and is then
        rescaled again.

        Args:
            cls: a class of the explanation, by name or 0-based index; None for the only one.

        Returns:
            [H, W].

        Raises:
            ClassError: as for :meth:`map`.
            InputError: the preset joins no layers, whose maps have scales of their own; or the
                maps are not upsampled, and the layers' grids differ.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> explanation = cam.explain("street.png", "Car", preset="pytorch-grad-cam")
            >>> explanation.fused().shape
            (22, 31)
        """
        if self._preset.fused is None:
            raise InputError(
                f"the preset {self.preset!r} does not average layers, whose maps have scales of "
                "their own; use ",
                Option("preset", "pytorch-grad-cam"),
            )
        if not self._has_one_grid:
            raise InputError(
                "the layers' grids differ, so their maps cannot be averaged; leave ",
                Option("upsample"),
                " out",
            )
        position = self._class(cls)
        sums = [self.raw[layer][position] for layer in self.layers]
        return self._preset.join(sums, self._to_grid)

    def _map(self, position: int, layer: str) -> NDArray[np.float32]:
        """The preset's map of the class at a position in :attr:`classes`."""
        return self._preset.apply(self.raw[layer][position], self._to_grid)

    def _to_grid(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return resample(plane, self.grid, self.upsampling)

    def overlay(
        self, cls: str | int | None = None, layer: str | None = None, **style: Unpack[Style]
    ) -> Image.Image:
        """One map's colours over the picture.

        Args:
            cls: a class of the explanation, by name or 0-based index; None for the only one.
            layer: a layer of the explanation; None for the only one.
            **style: ``alpha``, ``colormap``, ``scale``, ``slice`` and ``contours``, described in
                :class:`ortcam.drawing.style.Style`; contours is False by default here.

        Returns:
            An RGB image of the picture's size; the colours alone where there is no picture.

        Raises:
            ClassError, LayerError: as for :meth:`map`.
            InputError: there is no such colour map, scale or slice, or alpha is not in [0, 1].

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.explain("street.png", "Car").overlay("Car", "mid_relu").size
            (31, 22)
        """
        options: Style = {"contours": False, **style}
        drawing = self._style(options)
        position, name = self._class(cls), self._layer(layer)
        painted = self.painted(position, name, drawing)
        if drawing.contours:
            painted = contours.draw(painted, self.outlines(position, drawing.slice))
        return Image.fromarray(painted)

    def _style(self, options: Style) -> DrawingStyle:
        return DrawingStyle.of(self._preset, self.grid, **options)

    def painted(self, position: int, layer: str, style: DrawingStyle) -> NDArray[np.uint8]:
        """The overlay [H, W, 3] of the class at a position in :attr:`classes`, without outlines."""
        picture = None if self.picture is None else at_slice(style.slice, self.picture)
        plane = at_slice(style.slice, self.plane(position, layer))
        low, top = self.limits(position, layer, style.scale, style.colormap)
        paint = self._preset.paint
        return paint(picture, plane, top, low=low, alpha=style.alpha, colormap=style.colormap)

    def plane(self, position: int, layer: str) -> NDArray[np.float32]:
        """The map that is drawn for the class at a position in :attr:`classes`.

        On the picture's grid, [H, W] or [D, H, W], even if maps are not upsampled.
        """
        plane = self._map(position, layer)
        return plane if plane.shape == self.grid else resample(plane, self.grid, "nearest")

    def outlines(self, position: int, slice: int | None = None) -> list[contours.Outline]:
        """The masks to outline over a map, with their colours.

        Args:
            position: of the class in :attr:`classes`.
            slice: of a volume.
        """
        outlines: list[contours.Outline] = []
        index, segmentation = self.indices[position], self.segmentation
        region = self.regions[position] if self.regions else None
        region = None if region is None else at_slice(slice, region)
        if index is not None and segmentation is not None:
            predicted = at_slice(slice, segmentation.labels) == index
            if predicted.any() and (region is None or (predicted != region).any()):
                outlines.append((predicted, contours.PREDICTED))
        if region is not None and region.any():
            outlines.append((region, contours.ASKED))
        return outlines

    def top(self, position: int, layer: str, scale: Scale = "shared") -> float:
        """The value shown in the top colour; 0 where the map shows nothing.

        Args:
            position: of the class in :attr:`classes`.
            layer: a layer of the explanation.
            scale: see :class:`ortcam.drawing.style.Style`.

        Raises:
            InputError: there is no such scale.
            LayerError: the scale has no value for the layer.
        """
        return self.limits(position, layer, scale, self._preset.colormap)[1]

    def limits(self, position: int, layer: str, scale: Scale, colormap: str) -> tuple[float, float]:
        """The values shown in the first and the top colour; see :meth:`top`.

        The first is 0. For signed colour maps it is minus the top; for presets that colour from
        the minimum, as other tools do, the minimum.
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
        if colormap in SIGNED:
            top = max(-least, most)
            return -top, top
        return (least if self._preset.from_least else 0.0), max(most, 0.0)

    def _range(self, position: int, layer: str) -> tuple[float, float]:
        """The least and the greatest finite value of a map."""
        if (position, layer) not in self._ranges:
            at_layer = self._preset.keeps_range
            plane = self.raw[layer][position] if at_layer else self._map(position, layer)
            finite = plane[np.isfinite(plane)]
            span = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
            self._ranges[position, layer] = span
        return self._ranges[position, layer]

    @cached_property
    def _ranges(self) -> dict[tuple[int, str], tuple[float, float]]:
        return {}

    def figure(self, **style: Unpack[Style]) -> Figure:
        """The maps over the picture, as a matplotlib figure.

        For one layer it shows the picture, its segmentation, and a map for each class; for
        several, a row of maps for each layer, from early to late.

        Args:
            **style: ``alpha``, ``colormap``, ``scale``, ``slice`` and ``contours``, described in
                :class:`ortcam.drawing.style.Style`.

        Raises:
            DependencyError: matplotlib is not installed.
            InputError: there is no such colour map, scale or slice, or alpha is not in [0, 1].

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> figure = cam.explain("street.png", "Car").figure(colormap="jet", scale="own")
            >>> figure.savefig("explain.png")
        """
        from ortcam.results.panels import maps_figure

        return maps_figure(self, self._style(style))

    def save(self, path: str | os.PathLike[str], **style: Unpack[Style]) -> None:
        """Write a file in the format that its name ends with.

        A .png, .jpg, .svg or .pdf holds the figure (drawn by matplotlib), a .html a report, as
        :class:`ortcam.Report` writes it. A .npz holds :meth:`arrays`, and ``artifact`` (JSON: the
        network's SHA-256, the score); ``numpy.load`` reads it without pickles.

        Args:
            path: the file.
            **style: as for :meth:`figure`; an array file ignores it.

        Raises:
            DependencyError: matplotlib, which draws figures, is not installed.
            InputError: as for :meth:`figure`.
            OutputError: the path cannot be written, or has no known format.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> cam.explain("street.png", "Car").save("explain.npz")
        """
        check_names(style)
        write(path, self, **style)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of a .npz file.

        They are ``maps`` (unless these are not upsampled and the layers' grids differ),
        ``classes``, ``class_indices``, ``layers``, for layer number i ``raw_i`` and ``weights_i``
        (of methods that weigh channels), ``method``, ``preset``, ``upsampling``, and ``scale``
        (in words).

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> arrays = cam.explain("street.png", ["Road", "Car"]).arrays()
            >>> arrays["maps"].shape, arrays["classes"].tolist()
            ((2, 2, 22, 31), ['Road', 'Car'])
        """
        return {
            **({"maps": self.maps} if self._has_one_grid else {}),
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
            "scale": np.array(f"{self.title} {self._preset.words}"),
        }

    def _class(self, cls: str | int | None) -> int:
        """The position of a class in :attr:`classes`."""
        keys = self.classes if isinstance(cls, str) else self.indices
        if cls is None and len(self.classes) == 1:
            return 0
        if cls is None or cls not in keys:
            wrong = "name a class" if cls is None else f"class {cls!r} is not explained"
            raise ClassError(f"{wrong}: there are maps of {', '.join(self.classes)}")
        if keys.count(cls) > 1 and self.classes.count(self.classes[keys.index(cls)]) == 1:
            raise ClassError(
                f"several questions are about class {cls!r}; name one of {', '.join(self.classes)}"
            )
        return keys.index(cls)

    def _layer(self, layer: str | None) -> str:
        if layer is None and len(self.layers) == 1:
            return self.layers[0]
        if layer is None or layer not in self.layers:
            wrong = "name a layer" if layer is None else f"layer {layer!r} is not explained"
            raise LayerError(f"{wrong}: there are maps at {', '.join(self.layers)}")
        return layer


def _span(ranges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    least, most = zip(*ranges, strict=True)
    return min(least), max(most)
