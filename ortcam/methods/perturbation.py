"""Methods without a gradient: what the score does where part of what leads to it is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.grids.resample import resample
from ortcam.inference.answer import Answer
from ortcam.inference.query import Query
from ortcam.methods import cam_formulas as formulas
from ortcam.methods.passes import Passes
from ortcam.pictures.network_inputs import channel_axis

__all__ = ["ablation_cam", "score_cam"]

Floats = NDArray[np.float32]


def score_cam(asking: Query, weights: str) -> list[Answer]:
    """Score-CAM: what the score becomes where the picture shows through one channel alone.

    H. Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", CVPR Workshops 2020. What enters is multiplied by a channel of the layer, which is
    brought to its size (bilinear) and then from its least value to 0 and its largest to 1. A
    channel that is the same all over shows nothing, and takes no pass.
    """
    opened = asking.opened
    features = opened.features(asking.layers)
    shown = {name: [_uneven(own) for own in a] for name, a in features.items()}
    total = sum(len(channels) for each in shown.values() for channels in each)
    passes = Passes(asking, opened.pictures + total)
    axis = channel_axis(opened.artifact, opened.picture(0).ndim)

    def weighed(n: int) -> Answer:
        x = opened.picture(n)
        ((_, unseen),) = passes.variants(n, 1, lambda _: np.zeros_like(x))
        nothing = unseen.values()[:, 0]
        found = {}
        for name, a in features.items():
            channels = shown[name][n]
            y = np.repeat(nothing[:, None], a.shape[1], axis=1)
            y[:, channels] = _through(passes, n, x, a[n][channels], axis)
            found[name] = formulas.score_cam(y, nothing, weights)
        return Answer(opened.score[n], {name: a[n] for name, a in features.items()}, found)

    return [weighed(n) for n in range(opened.pictures)]


def ablation_cam(asking: Query) -> list[Answer]:
    """Ablation-CAM: by what part the score drops where a channel of the layer is left out.

    S. Desai and H. Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via
    Gradient-free Localization", WACV 2020. A channel that is 0 all over is left out already, and
    takes no pass.
    """
    opened = asking.opened
    features = opened.features(asking.layers)
    there = {
        name: np.flatnonzero(a.any(axis=(0, *range(2, a.ndim)))) for name, a in features.items()
    }
    passes = Passes(asking, sum(map(len, there.values())))
    y = asking.values()
    found = {}
    for layer in asking.layers:
        channels = features[layer.name].shape[1]
        drops = np.zeros((len(asking.rows), channels, opened.pictures), np.float32)
        for part in passes.parts(
            len(there[layer.name]), pictures=opened.pictures, together=layer.together
        ):
            left_out = there[layer.name][part.start : part.stop]
            keep = np.ones((len(part), channels), np.float32)
            keep[range(len(part)), left_out] = 0
            drops[:, left_out] = opened.drops(asking.rows, asking.cells, layer, keep)
        found[layer.name] = formulas.ablation_cam(y, drops)
    return [
        Answer(
            opened.score[n],
            {name: a[n] for name, a in features.items()},
            {name: weights[..., n] for name, weights in found.items()},
        )
        for n in range(opened.pictures)
    ]


def _uneven(features: Floats) -> NDArray[np.intp]:
    """The channels of [C, *space] that are not the same all over."""
    flat = features.reshape(len(features), -1)
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(flat.max(axis=1) > flat.min(axis=1))


def _through(
    passes: Passes, n: int, x: NDArray[Any], features: Floats, axis: int
) -> NDArray[np.float64]:
    """y [questions, C] of what enters, seen through each of the channels [C, *space]."""
    grid = tuple(extent for i, extent in enumerate(x.shape) if i != axis)

    def masked(i: int) -> NDArray[Any]:
        plane = resample(features[i], grid, "bilinear")
        least, most = plane.min(), plane.max()
        mask = (plane - least) / (most - least) if most > least else np.zeros_like(plane)
        seen: NDArray[Any] = x * np.expand_dims(mask, axis)
        return np.rint(seen) if x.dtype.kind in "iu" else seen

    y = [asking.values() for _, asking in passes.variants(n, len(features), masked)]
    return np.concatenate(y, axis=1) if y else np.zeros((1, 0))
