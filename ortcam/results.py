"""What a run gives: a segmentation, or an explanation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ortcam import colormap as colormaps
from ortcam import overlay
from ortcam.artifact import FORMAT, Artifact
from ortcam.errors import ClassError, InputError, LayerError, OutputError
from ortcam.files import check_writable, whole_file, write_whole
from ortcam.labels import NONE, label_image
from ortcam.palette import Color
from ortcam.upsample import upsample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explanation", "Segmentation", "check_share", "check_slice"]

SCALES = ("shared", "own")
_FEW = 24  # classes that a legend names whether or not they are in the picture


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation:
    """The classes that a network sees in a picture.

    Attributes:
        score: float32 [C, h, w], or [C, d, h, w] of a volume, what the reduction layer says, on
            its own grid.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        classes: the class names, in the order of the score's channels.
        colors: a label colour (red, green, blue) for each class.
        picture: [H, W, 3] uint8, or None where a tensor was given without it; of a volume its
            first channel as greys, [D, H, W, 3].
        artifact: the metadata of the artifact it was made with.
        notes: what a reader of the result should know, one sentence each.
    """

    score: NDArray[np.float32]
    grid: tuple[int, ...]
    classes: tuple[str, ...]
    colors: tuple[Color, ...]
    picture: NDArray[np.uint8] | None
    artifact: Artifact
    notes: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """[H, W] or [D, H, W], the class of every pixel of the picture, -1 for none.

        See :func:`ortcam.labels.label_image`.
        """
        return label_image(self.score, self.artifact.score.kind, self.grid)

    @property
    def legend(self) -> tuple[int, ...]:
        """The classes that a legend names: all, or of many those that are in the picture."""
        if len(self.classes) <= _FEW:
            return tuple(range(len(self.classes)))
        return tuple(int(i) for i in np.unique(self.labels) if i != NONE)

    def overlay(
        self, transparency: float = 0.4, *, legend: bool = False, slice: int | None = None
    ) -> Image.Image:
        """The labels' colours over the picture.

        Args:
            transparency: the picture's share, from 0 to 1; the label's colour has the rest.
            legend: with a colour bar at the right that names the classes.
            slice: of a volume the one that is drawn, counted along its depth from 0.

        Returns:
            An RGB image of the picture's size, wider with a legend.

        Raises:
            InputError: the transparency is no share, or the slice is not there.
        """
        check_share("transparency", transparency)
        check_slice(self.grid, slice)
        picture = None if self.picture is None else _at(slice, self.picture)
        labels = _at(slice, self.labels)
        painted = overlay.paint_labels(picture, labels, self.colors, transparency)
        if not legend:
            return Image.fromarray(painted)
        names = [self.classes[i] for i in self.legend]
        return overlay.beside_legend(painted, names, [self.colors[i] for i in self.legend])

    def figure(self, transparency: float = 0.4, *, slice: int | None = None) -> Figure:
        """The overlay beside a colour bar that names the classes, as a matplotlib figure.

        The options are those of :meth:`overlay`.

        Raises:
            DependencyError: matplotlib is not installed.
            InputError: the transparency is no share, or the slice is not there.
        """
        from ortcam.figure import segmentation_figure

        check_share("transparency", transparency)
        return segmentation_figure(self, transparency, slice)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        transparency: float = 0.4,
        slice: int | None = None,
    ) -> None:
        """Writes a .png, the overlay with its legend (by Pillow alone), or a .npz.

        The .npz holds ``labels``, ``score``, ``classes``, ``colors`` and ``artifact`` (JSON: the
        network's SHA-256, the score), and is read by ``numpy.load`` without pickles.

        Raises:
            InputError: a .png of a volume without its slice.
            OutputError: the path cannot be written, or ends otherwise.
        """
        if _suffix(path) == ".npz":
            _save_arrays(
                path,
                self.artifact,
                {
                    "labels": self.labels,
                    "score": self.score,
                    "classes": np.array(self.classes),
                    "colors": np.array(self.colors, np.uint8),
                },
            )
        else:
            check_writable(path)
            buffer = BytesIO()
            self.overlay(transparency, legend=True, slice=slice).save(buffer, "PNG")
            write_whole(path, buffer.getvalue())


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """Where in a picture, at each feature layer, the evidence for each class lies.

    Attributes:
        classes: the names of the classes, or questions, asked about.
        indices: the classes' 0-based indices; None where a question is not about one by itself.
        layers: the feature layers asked about.
        raw: float32 [classes, h, w], or [classes, d, h, w] of a volume, for each layer, on its
            grid, in its own scale: of Grad-CAM ReLU(sum over k of alpha_k A_k).
        weights: float32 [classes, C] for each layer, of methods that weigh channels as wholes: of
            Grad-CAM the alphas, spatial means of dy/dA_k; of others nothing.
        grid: the picture's (height, width), or the volume's (depth, height, width).
        method: how the maps were made, such as ``"grad-cam"``; see :mod:`ortcam.methods`.
        title: the same as figures write it, such as ``"Grad-CAM"``.
        upsampling: how maps are brought to that grid; see :data:`ortcam.upsample.METHODS`.
        picture: [H, W, 3] uint8, or None where a tensor was given without it; of a volume its
            first channel as greys, [D, H, W, 3].
        segmentation: of the same run; None where the score has not the picture's axes of space.
        artifact: the metadata of the artifact it was made with.
        score: of the same run, float32 [C, *space], what the reduction layer says, on its own
            grid; [C] of a classifier.
        notes: what a reader of the result should know, one sentence each: why a map is all zero,
            that the preprocessing is a guess.
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

    @cached_property
    def maps(self) -> NDArray[np.float32]:
        """[layers, classes, H, W] or [..., D, H, W] on the picture's grid, in their own scale.

        Made when first asked for: of a large picture, :meth:`map` takes less memory.

        Raises:
            InputError: the maps were not to be upsampled, and the layers' grids differ.
        """
        if not self._alike:
            raise InputError(
                "the maps of these layers have grids of their own, which no one array holds; "
                "take them from raw, or ask for another upsampling than 'none'"
            )
        return np.stack(
            [
                np.stack([upsample(plane, self.grid, self.upsampling) for plane in self.raw[layer]])
                for layer in self.layers
            ]
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
        plane = self.raw[self._layer(layer)][self._class(cls)]
        return upsample(plane, self.grid, self.upsampling)

    def overlay(
        self,
        cls: str | int | None = None,
        layer: str | None = None,
        *,
        alpha: float = 0.5,
        colormap: str = colormaps.DEFAULT,
        scale: str = "shared",
        slice: int | None = None,
    ) -> Image.Image:
        """One map's colours over the picture.

        Args:
            cls: a class asked about, by name or 0-based index; None for the only one.
            layer: a layer asked about; None for the only one.
            alpha: the colours' share, from 0 to 1; the picture has the rest.
            colormap: one of :data:`ortcam.colormap.COLORMAPS`.
            scale: the last colour is the maximum of all the layer's maps (``"shared"``), which
                makes classes comparable, or of this map (``"own"``), which shows a faint one.
            slice: of a volume the one that is drawn, counted along its depth from 0; the colours
                are scaled by the whole volume's maximum.

        Returns:
            An RGB image of the picture's size; the colours alone where there is no picture.

        Raises:
            ClassError, LayerError: as for :meth:`map`.
            InputError: no such colour map, scale or slice, or alpha is no share.
        """
        check_share("alpha", alpha)
        check_slice(self.grid, slice)
        position, name = self._class(cls), self._layer(layer)
        return Image.fromarray(
            self.painted(position, name, alpha=alpha, colormap=colormap, scale=scale, slice=slice)
        )

    def painted(
        self,
        position: int,
        layer: str,
        *,
        alpha: float,
        colormap: str,
        scale: str,
        slice: int | None,
    ) -> NDArray[np.uint8]:
        """What :meth:`overlay` gives, [H, W, 3], of the class at a position in :attr:`classes`.

        Raises:
            InputError: no such colour map or scale.
        """
        upsampling = "nearest" if self.upsampling == "none" else self.upsampling
        picture = None if self.picture is None else _at(slice, self.picture)
        plane = _at(slice, upsample(self.raw[layer][position], self.grid, upsampling))
        top = self.top(position, layer, scale)
        return overlay.paint_map(picture, plane, top, alpha=alpha, colormap=colormap)

    def top(self, position: int, layer: str, scale: str = "shared") -> float:
        """The value that takes the last colour; 0 where nothing is to be seen.

        Args:
            position: of the class in :attr:`classes`.
            layer: a layer asked about.
            scale: ``"shared"`` or ``"own"``; see :meth:`overlay`.

        Raises:
            InputError: there is no such scale.
        """
        if scale not in SCALES:
            raise InputError(f"there is no scale {scale!r}; it is 'shared' or 'own'")
        maps = self.raw[layer] if scale == "shared" else self.raw[layer][position]
        return float(np.max(maps, where=np.isfinite(maps), initial=0))

    def figure(
        self,
        *,
        alpha: float = 0.5,
        colormap: str = colormaps.DEFAULT,
        scale: str = "shared",
        slice: int | None = None,
    ) -> Figure:
        """The maps over the picture, as a matplotlib figure.

        Of one layer: the picture, its segmentation, and a map for each class. Of several: a row
        of maps for each layer, from early to late. The options are those of :meth:`overlay`.

        Raises:
            DependencyError: matplotlib is not installed.
            InputError: no such colour map, scale or slice, or alpha is no share.
        """
        from ortcam.figure import grid_figure, maps_figure

        check_share("alpha", alpha)
        check_slice(self.grid, slice)
        draw = maps_figure if len(self.layers) == 1 else grid_figure
        return draw(self, alpha=alpha, colormap=colormap, scale=scale, slice=slice)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        alpha: float = 0.5,
        colormap: str = colormaps.DEFAULT,
        scale: str = "shared",
        slice: int | None = None,
    ) -> None:
        """Writes a .png, the figure (by matplotlib), or a .npz.

        The .npz holds ``maps`` (unless they were not to be upsampled and the layers' grids
        differ), ``classes``, ``class_indices``, ``layers``, for layer number i ``raw_i`` and
        ``weights_i`` (of methods that weigh channels), ``method``, ``upsampling``, ``scale`` (in
        words) and ``artifact`` (JSON: the network's SHA-256, the score), and is read by
        ``numpy.load`` without pickles.

        Raises:
            DependencyError: a .png without matplotlib.
            InputError: as for :meth:`figure`.
            OutputError: the path cannot be written, or ends otherwise.
        """
        if _suffix(path) == ".npz":
            _save_arrays(path, self.artifact, self._arrays())
        else:
            check_writable(path)
            buffer = BytesIO()
            figure = self.figure(alpha=alpha, colormap=colormap, scale=scale, slice=slice)
            figure.savefig(buffer, format="png")
            write_whole(path, buffer.getvalue())

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
            "upsampling": np.array(self.upsampling),
            "scale": np.array(f"own scale: {self.title} after its ReLU, nothing rescaled"),
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


def check_slice(grid: tuple[int, ...], slice: int | None) -> None:
    """Finds out whether a picture, or a slice of a volume, can be drawn.

    Raises:
        InputError: a picture has no slices, or a volume none such.
    """
    if len(grid) == 2 and slice is not None:
        raise InputError("a picture has no slices; leave slice= out")
    if len(grid) == 3 and (slice is None or not 0 <= slice < grid[0]):
        wrong = "say which" if slice is None else f"there is no slice {slice}"
        raise InputError(
            f"a volume is drawn a slice at a time: {wrong}, by slice= from 0 to "
            f"{grid[0] - 1}, or save the arrays to a .npz file"
        )


def _at(slice: int | None, values: NDArray[Any]) -> NDArray[Any]:
    return values if slice is None else values[slice]


def check_share(name: str, value: float) -> None:
    """Finds out whether an option is a share.

    Raises:
        InputError: it is not.
    """
    if not 0 <= value <= 1:
        raise InputError(f"{name} is {value}; it is a share from 0 to 1")


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".npz"):
        raise OutputError(f"{path} ends with neither .png nor .npz, so its format is not known")
    return suffix


def _save_arrays(
    path: str | os.PathLike[str], artifact: Artifact, arrays: Mapping[str, NDArray[Any]]
) -> None:
    identity = {
        "format": FORMAT,
        "source_sha256": artifact.source_sha256,
        "score": artifact.score.name,
        "kind": artifact.score.kind,
        "engine": artifact.engine,
    }
    with whole_file(path) as file:
        arrays = {**arrays, "artifact": np.array(json.dumps(identity))}
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # allow_pickle is not in it
