"""Presets: the map and its picture as other tools compute them, step by step.

All begin with the sums over the channels, at the layer's size (:mod:`ortcam.methods.grad_cam`).
They differ in the rest: where the ReLU is applied, what is rescaled before or after resizing, the
filter, and how the map is drawn. Each row of :data:`PRESETS` is a tool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ortcam.drawing import colormap, overlay
from ortcam.errors import InputError, nearest

__all__ = ["DEFAULT", "PRESETS", "Preset", "preset_named"]

Map = NDArray[np.float32]
Step = Callable[[Map], Map]


def relu(values: Map) -> Map:
    """max(0, m)."""
    return np.maximum(values, 0)


def resize(values: Map) -> Map:
    """A placeholder for resizing to the picture's grid, which needs the grid and the filter."""
    return values


def to_unit(values: Map) -> Map:
    """(m - min m) / (max m - min m), and 0 where m is constant: MATLAB's rescale."""
    least, most = values.min(), values.max()
    return (values - least) / (most - least) if most != least else np.zeros_like(values)


def to_almost_unit(values: Map) -> Map:
    """(m - min m) / (1e-7 + max(m - min m)): pytorch-grad-cam's scale_cam_image."""
    above = values - values.min()
    scaled: Map = above / (np.float32(1e-7) + above.max())
    return scaled


def over_greatest(values: Map) -> Map:
    """m / max m, or m where max m is 0."""
    most = values.max()
    return values / most if most != 0 else values


def in_bytes(values: Map) -> Map:
    """m rounded down to a multiple of 1/255, as a byte holds it."""
    return (np.floor(255 * values) / 255).astype(np.float32, copy=False)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The choices that a tool makes.

    Attributes:
        steps: from the sums to the map.
        fused: the steps that follow the mean over several layers' maps; None for tools that do
            not average layers.
        filter: one of :data:`ortcam.grids.resample.METHODS`.
        colormap: one of :data:`ortcam.drawing.colormap.COLORMAPS`.
        alpha: the opacity of the colours.
        scale: the value shown in the top colour; see :class:`ortcam.drawing.style.Style`.
        from_least: the first colour is the least value shown, rather than 0.
        paint: lays the colours over the picture.
        contours: outlines are drawn.
        volumes: the tool handles volumes.
        words: the map's scale in words, to follow the method's name.
        methods: options of the methods by which the tool computes something else than
            :data:`ortcam.methods.registry.METHODS` do by default.
    """

    steps: tuple[Step, ...]
    fused: tuple[Step, ...] | None = None
    filter: str
    colormap: str
    alpha: float = 0.5
    scale: str
    from_least: bool = False
    paint: overlay.Painter
    contours: bool = False
    volumes: bool = True
    words: str
    methods: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_signs(self) -> bool:
        """True if the steps need the sums before the ReLU."""
        return self.steps[:1] != (relu,)

    @property
    def relu_is_left_out(self) -> bool:
        """True if negative values count."""
        return relu not in self.steps

    @property
    def keeps_range(self) -> bool:
        """True if the range of the map at the layer's size is the range that is shown."""
        return not self.from_least and not {to_unit, to_almost_unit, over_greatest} & {*self.steps}

    def apply(self, sums: Map, to_grid: Callable[[Map], Map]) -> Map:
        """One layer's map, [h, w] to [H, W]; NaN and infinity spread as they do in the tool."""
        return self.join([sums], to_grid)

    def join(self, sums: Sequence[Map], to_grid: Callable[[Map], Map]) -> Map:
        """The map of several layers together; of more than one only where ``fused`` is not None."""
        with np.errstate(invalid="ignore"):
            maps = [self._apply_steps(plane, to_grid) for plane in sums]
            if self.fused is None:
                (only,) = maps
                return only
            mean: Map = np.mean(maps, axis=0)
            for step in self.fused:
                mean = step(mean)
            return mean

    def _apply_steps(self, plane: Map, to_grid: Callable[[Map], Map]) -> Map:
        for step in self.steps:
            plane = to_grid(plane) if step is resize else step(plane)
        return plane


DEFAULT = "ortcam"

PRESETS: dict[str, Preset] = {
    DEFAULT: Preset(
        steps=(relu, resize, relu),
        filter="bicubic",
        colormap=colormap.DEFAULT, scale="shared", paint=overlay.paint_map, contours=True,
        words="after its ReLU, nothing rescaled",
    ),
    # gradCAM, and the figures of its documentation: imagesc with AlphaData 0.5, colormap jet.
    "matlab": Preset(
        steps=(relu, resize),
        filter="bicubic",
        colormap="jet-matlab", scale="own", from_least=True, paint=overlay.paint_evenly,
        words="after its ReLU, as MATLAB's gradCAM has it, nothing rescaled",
    ),
    # The example that MathWorks published before gradCAM; it sums over space instead of averaging,
    # which the rescaling undoes.
    "matlab-example": Preset(
        steps=(to_unit, resize),
        filter="bicubic",
        colormap="jet-matlab", scale="own", from_least=True, paint=overlay.paint_evenly,
        words="without a ReLU, rescaled to 0 to 1 before it was resized, as in MATLAB's example",
    ),
    # pytorch-grad-cam 1.5: BaseCAM and show_cam_on_image.
    "pytorch-grad-cam": Preset(
        steps=(relu, to_almost_unit, resize), fused=(to_almost_unit,),
        filter="bilinear-opencv",
        colormap="jet-opencv", scale="none", paint=overlay.paint_brightened,
        volumes=False,
        words="after its ReLU, rescaled to 0 to 1 before and after it was resized, as in "
        "pytorch-grad-cam",
        methods={
            "score-cam": "weights=softmax,corners=aligned",
            "ablation-cam": "divisor=score",
            "eigen-cam": "sign=svd",
            "eigen-grad-cam": "sign=svd",
        },
    ),
    # github.com/kiraving/SegGradCAM: SegGradCAM.activationMap and SegGradCAMplot.
    "seggradcam": Preset(
        steps=(resize, relu, over_greatest),
        filter="bilinear-opencv",
        colormap="jet", alpha=0.6, scale="own", from_least=True, paint=overlay.paint_evenly,
        contours=True,
        volumes=False,
        words="resized, then after its ReLU, divided by its greatest value, as in SegGradCAM",
    ),
    # github.com/Nouman97/Seg_XRes_CAM: seg_grad_cam, which has both methods.
    "seg-xres-cam": Preset(
        steps=(relu, resize, to_unit, in_bytes),
        filter="bilinear-opencv",
        colormap="jet-opencv", scale="none", paint=overlay.paint_brightened,
        volumes=False,
        words="after its ReLU, resized, rescaled to 0 to 1 in 255 steps, as in Seg-XRes-CAM",
        methods={"seg-xres-cam": "blocks=stretched"},
    ),
    "raw": Preset(
        steps=(resize,),
        filter="none",
        colormap="coolwarm", scale="shared", paint=overlay.paint_map, contours=True,
        words="before its ReLU, nothing rescaled",
    ),
}  # fmt: skip
"""The presets by name."""


def preset_named(name: str) -> Preset:
    """The preset of this name.

    Raises:
        InputError: there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}{nearest(name, PRESETS, most=6)}")
    return PRESETS[name]
