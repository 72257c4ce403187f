"""Methods without a gradient, which measure how the score changes where evidence is removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.grids.resample import resample
from ortcam.inference.answer import Answer
from ortcam.inference.query import Query
from ortcam.methods import cam_formulas
from ortcam.methods.passes import Passes
from ortcam.pictures.layout import channel_axis

__all__ = ["ablation_cam", "score_cam"]

Floats = NDArray[np.float32]


def score_cam(query: Query, weights: str, corners: str) -> list[Answer]:
    """Score-CAM: the score of the picture as seen through one channel at a time.

    H. Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", CVPR Workshops 2020. The network's input is multiplied by a channel of the layer,
    resized to the input (bilinear) and scaled to 0 to 1. A constant channel shows nothing, and
    takes no pass.

    A layer's cells cover the input edge to edge (``corners`` is ``"half-pixel"``), as in the
    authors' code. With ``"aligned"`` the centres of the outermost cells lie on those of the
    outermost pixels, as in pytorch-grad-cam, which shifts a mask by up to half a cell.
    """
    resize = _aligned if corners == "aligned" else partial(resample, method="bilinear")
    batch = query.batch
    features = batch.features(query.layers)
    uneven = {name: [_uneven(of_picture) for of_picture in a] for name, a in features.items()}
    total = sum(len(channels) for each in uneven.values() for channels in each)
    passes = Passes(query, batch.pictures + total)
    axis = channel_axis(batch.graph.artifact, batch.picture(0).ndim)

    def answer(n: int) -> Answer:
        x = batch.picture(n)
        ((_, of_zeros),) = passes.variants(n, 1, lambda _: np.zeros_like(x))
        nothing = of_zeros.values()[:, 0]
        alphas = {}
        for name, a in features.items():
            channels = uneven[name][n]
            y = np.repeat(nothing[:, None], a.shape[1], axis=1)
            y[:, channels] = _through(passes, n, x, a[n][channels], axis, resize)
            alphas[name] = cam_formulas.score_cam(y, nothing, weights)
        return Answer({name: a[n] for name, a in features.items()}, alphas)

    return [answer(n) for n in range(batch.pictures)]


def ablation_cam(query: Query, divisor: str) -> list[Answer]:
    """Ablation-CAM: the relative drop of the score where one channel of the layer is set to 0.

    S. Desai and H. Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via
    Gradient-free Localization", WACV 2020. A channel that is 0 everywhere takes no pass. For
    ``divisor`` see :func:`ortcam.methods.cam_formulas.ablation_cam`; with ``"score"`` a remark says
    where pytorch-grad-cam would set a channel to something else than 0.
    """
    batch = query.batch
    features = batch.features(query.layers)
    nonzero = {
        name: np.flatnonzero(a.any(axis=(0, *range(2, a.ndim)))) for name, a in features.items()
    }
    passes = Passes(query, sum(map(len, nonzero.values())))
    y = query.values()
    alphas = {}
    for layer in query.layers:
        channels = features[layer.name].shape[1]
        drops = np.zeros((len(query.rows), channels, batch.pictures), np.float32)
        for part in passes.parts(
            len(nonzero[layer.name]), pictures=batch.pictures, together=layer.together
        ):
            ablated = nonzero[layer.name][part.start : part.stop]
            keep = np.ones((len(part), channels), np.float32)
            keep[range(len(part)), ablated] = 0
            drops[:, ablated] = batch.drops(query.rows, query.cells, layer, keep)
        alphas[layer.name] = cam_formulas.ablation_cam(y, drops, divisor)

    def answer(n: int) -> Answer:
        of_picture = {name: a[n] for name, a in features.items()}
        remark = _other_ablations(of_picture) if divisor == "score" else ""
        return Answer(
            of_picture,
            {name: weights[..., n] for name, weights in alphas.items()},
            remarks=(remark,) * len(query.rows),
        )

    return [answer(n) for n in range(batch.pictures)]


def _other_ablations(features: Mapping[str, Floats]) -> str:
    """The remark on layers whose channels pytorch-grad-cam does not set to 0, or ""."""
    layers = [name for name, a in features.items() if a.min() != 0]
    if not layers:
        return ""
    return (
        f"is made by setting channels of {' and '.join(layers)} to 0, while pytorch-grad-cam "
        "sets them to -1e7 or less, since the least value of the features is not 0 there"
    )


def _uneven(features: Floats) -> NDArray[np.intp]:
    """The channels of [C, *space] that are not constant."""
    flat = features.reshape(len(features), -1)
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(flat.max(axis=1) > flat.min(axis=1))


def _aligned(plane: Floats, grid: tuple[int, ...]) -> Floats:
    """A plane or volume between the centres of its outermost cells, as UpsamplingBilinear2d."""
    for axis, (cells, extent) in enumerate(zip(plane.shape, grid, strict=True)):
        at = np.linspace(0, cells - 1, extent)
        low = np.minimum(at.astype(np.intp), max(cells - 2, 0))
        share = (at - low).astype(np.float32).reshape([-1, *[1] * (plane.ndim - 1 - axis)])
        high = np.minimum(low + 1, cells - 1)
        plane = plane.take(low, axis) * (1 - share) + plane.take(high, axis) * share
    return plane


def _through(
    passes: Passes,
    n: int,
    x: NDArray[Any],
    features: Floats,
    axis: int | None,
    resize: Callable[[Floats, tuple[int, ...]], Floats],
) -> NDArray[np.float64]:
    """y [questions, C] of the input as seen through each of the channels [C, *space]."""
    grid = tuple(extent for i, extent in enumerate(x.shape) if i != axis)

    def masked(i: int) -> NDArray[Any]:
        plane = resize(features[i], grid)
        least, most = plane.min(), plane.max()
        mask = (plane - least) / (most - least) if most > least else np.zeros_like(plane)
        product: NDArray[Any] = x * (mask if axis is None else np.expand_dims(mask, axis))
        return np.rint(product) if x.dtype.kind in "iu" else product

    y = [query.values() for _, query in passes.variants(n, len(features), masked)]
    return np.concatenate(y, axis=1) if y else np.zeros((1, 0))
