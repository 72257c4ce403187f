"""Methods about the picture itself: the gradient at its pixels, from one pass or from many.

The attributions of a question are [C, *space], the network's input with its channels first;
:func:`ortcam.methods.cam_formulas.gradient` makes a map [*space] of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Layer
from ortcam.errors import InputError
from ortcam.inference.answer import Answer
from ortcam.inference.query import Query
from ortcam.messages import Option
from ortcam.methods import cam_formulas
from ortcam.methods.passes import Passes
from ortcam.pictures.preprocess import constant

__all__ = ["BASELINES", "gradient", "integrated_gradients", "smooth_grad"]

Doubles = NDArray[np.float64]

BASELINES = {"zero": None, "black": 0, "white": 255}
"""Baselines of integrated gradients: an input of zeros, or a picture of one pixel value."""

_ALLOWED = 0.05
"""The share of the score's change by which integrated gradients may miss it without a remark."""


def gradient(query: Query, **reduction: Any) -> list[Answer]:
    """The plain gradient of the score with respect to the network's input.

    K. Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models
    and Saliency Maps", ICLR Workshops 2014, section 3.
    """
    return [_answer(query, g, **reduction) for g in _gradients(query)]


def smooth_grad(
    query: Query, samples: int, noise: float, seed: int, average: str, **reduction: Any
) -> list[Answer]:
    """SmoothGrad: the mean of the gradients at the picture under normal noise.

    D. Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, section 3. The standard
    deviation of the noise is ``noise`` times the range of the input, its maximum less its minimum.
    The noise is the same in every call, and for a picture alone or in a batch.

    With ``average="parts"`` the part of each gradient that ``sign`` names is taken before the mean:
    its magnitude by default, as Captum's NoiseTunnel over Saliency has it.
    """
    part = partial(cam_formulas.part, sign=reduction["sign"]) if average == "parts" else None
    passes = Passes(query, query.batch.pictures * samples)

    def smoothed(n: int) -> Doubles:
        x = query.batch.picture(n).astype(np.float64)
        sigma = noise * np.ptp(x)
        random = np.random.default_rng(seed)
        weights = np.full(samples, 1 / samples)

        def noisy(_: int) -> Doubles:
            return x + random.normal(0, sigma, x.shape)

        return _weighted_sum(passes, n, weights, noisy, part)

    if part is not None:
        reduction["sign"] = "absolute"
    return [_answer(query, smoothed(n), **reduction) for n in range(query.batch.pictures)]


def integrated_gradients(query: Query, steps: int, baseline: str, **reduction: Any) -> list[Answer]:
    """Integrated gradients: (x - b) times the mean of the gradients on the way from b to x.

    M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017, equation 1, by
    Gauss-Legendre quadrature with ``steps`` points. By completeness they add up to y(x) - y(b), but
    for the error of the quadrature; a remark says where that is large.
    """
    passes = Passes(query, query.batch.pictures * steps)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    axis = _pixels(query).channel_axis - 1
    y = query.values()

    def answer(n: int) -> Answer:
        x = query.batch.picture(n).astype(np.float64)
        b = _baseline(query, x, baseline)
        mean = _weighted_sum(passes, n, weights / 2, lambda i: b + (nodes[i] + 1) / 2 * (x - b))
        attributions = mean * np.moveaxis(x - b, axis, 0)
        changes = y[:, n] - query.varied(n, b[None]).values()[:, 0]
        remarks = [_incomplete(a.sum(), c) for a, c in zip(attributions, changes, strict=True)]
        return replace(_answer(query, attributions, **reduction), remarks=tuple(remarks))

    return [answer(n) for n in range(query.batch.pictures)]


def _weighted_sum(
    passes: Passes,
    n: int,
    weights: Doubles,
    variant: Callable[[int], Doubles],
    part: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Doubles:
    """The weighted sum of the gradients [questions, C, *space] at variants of picture n.

    Or of a part of each gradient.
    """
    total = np.zeros(())
    for indices, query in passes.variants(n, len(weights), variant, gradient=True):
        for i, g in zip(indices, _gradients(query), strict=True):
            total = total + weights[i] * (g if part is None else part(g))
    return total


def _pixels(query: Query) -> Layer:
    """The picture as a layer."""
    (layer,) = query.layers
    return layer


def _gradients(query: Query) -> list[NDArray[np.float32]]:
    """[questions, C, *space] of each picture."""
    name = _pixels(query).name
    return [answer.results[name] for answer in query.apply(lambda _, g: g)]


def _answer(query: Query, attributions: NDArray[Any], **reduction: Any) -> Answer:
    """The answer with the maps of attributions [questions, C, *space]."""
    name = _pixels(query).name
    with np.errstate(invalid="ignore"):  # NaN is explained by why_blank
        largest = np.abs(attributions).max(axis=tuple(range(2, attributions.ndim)))
        maps = cam_formulas.gradient(attributions, **reduction)
    return Answer(results={name: maps}, slopes={name: largest})


def _baseline(query: Query, x: Doubles, baseline: str) -> Doubles:
    """The network's input for a picture that shows nothing.

    Raises:
        InputError: it is a picture, and the preprocessing is unknown.
    """
    value = BASELINES[baseline]
    if value is None:
        return np.zeros_like(x)
    preprocessing = query.batch.graph.artifact.expects.preprocess
    if preprocessing is None:
        raise InputError(
            f"the preprocessing is unknown, so there is no {baseline} baseline; take "
            "baseline=zero, or export the network again with its ",
            Option("mean"),
            ", ",
            Option("std"),
            " and ",
            Option("rescale"),
        )
    return np.broadcast_to(constant(preprocessing, value), x.shape)


def _incomplete(total: float, change: float) -> str:
    """The remark on attributions that miss too much of the score's change, or ""."""
    if abs(total - change) <= _ALLOWED * abs(change):
        return ""
    return (
        f"is made of attributions that add up to {total:.3g}, while the score changes by "
        f"{change:.3g} from the baseline to the picture; more steps come closer, as in "
        "integrated-gradients:steps=200"
    )
