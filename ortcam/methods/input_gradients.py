"""Methods about the picture itself: the gradient at its pixels, from one pass or from many.

Of each question the attributions are [C, *space], what enters with its channels first; what makes
a map [*space] of them is :func:`ortcam.methods.cam_formulas.gradient`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Layer
from ortcam.errors import InputError
from ortcam.inference.answer import Answer
from ortcam.inference.query import Query
from ortcam.messages import Option
from ortcam.methods import cam_formulas as formulas
from ortcam.methods.passes import Passes
from ortcam.pictures.preprocess import constant

__all__ = ["BASELINES", "gradient", "integrated_gradients", "smooth_grad"]

Doubles = NDArray[np.float64]

BASELINES = {"zero": None, "black": 0, "white": 255}
"""What integrated gradients start from: all that enters is 0, or all pixels are of a value."""

_ALLOWED = 0.05
"""The part of the score's change that integrated gradients may miss without a word."""


def gradient(asking: Query, **shown: Any) -> list[Answer]:
    """The plain gradient of the score with respect to what enters.

    K. Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models
    and Saliency Maps", ICLR Workshops 2014, section 3.
    """
    return [_shown(asking, n, g, **shown) for n, g in enumerate(_gradients(asking))]


def smooth_grad(asking: Query, samples: int, noise: float, seed: int, **shown: Any) -> list[Answer]:
    """SmoothGrad: the mean of the gradients at the picture under normal noise.

    D. Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, section 3. The noise's
    standard deviation is ``noise`` times the range of what enters, its largest value less its
    least. The noise is the same at every call, and for a picture alone and among others.
    """
    passes = Passes(asking, asking.opened.pictures * samples)

    def smoothed(n: int) -> Doubles:
        x = asking.opened.picture(n).astype(np.float64)
        sigma = noise * np.ptp(x)
        random = np.random.default_rng(seed)
        weights = np.full(samples, 1 / samples)
        return _summed(passes, n, weights, lambda i: x + random.normal(0, sigma, x.shape))

    return [_shown(asking, n, smoothed(n), **shown) for n in range(asking.opened.pictures)]


def integrated_gradients(asking: Query, steps: int, baseline: str, **shown: Any) -> list[Answer]:
    """Integrated gradients: (x - b) times the mean of the gradients on the way from b to x.

    M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017, equation 1, by
    Gauss and Legendre's quadrature of ``steps`` points. By their completeness they add up to y(x)
    less y(b), but for the quadrature's error; a remark tells where that is large.
    """
    passes = Passes(asking, asking.opened.pictures * steps)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    axis = _pixels(asking).channel_axis - 1
    y = asking.values()

    def explained(n: int) -> Answer:
        x = asking.opened.picture(n).astype(np.float64)
        b = _baseline(asking, x, baseline)
        mean = _summed(passes, n, weights / 2, lambda i: b + (nodes[i] + 1) / 2 * (x - b))
        attributions = mean * np.moveaxis(x - b, axis, 0)
        changes = y[:, n] - asking.varied(n, b[None]).values()[:, 0]
        remarks = [_incomplete(a.sum(), c) for a, c in zip(attributions, changes, strict=True)]
        return replace(_shown(asking, n, attributions, **shown), remarks=tuple(remarks))

    return [explained(n) for n in range(asking.opened.pictures)]


def _summed(passes: Passes, n: int, weights: Doubles, made: Callable[[int], Doubles]) -> Doubles:
    """The weighed sum of the gradients [questions, C, *space] at variants of picture n."""
    total = np.zeros(())
    for part, asking in passes.variants(n, len(weights), made, gradient=True):
        for i, g in zip(part, _gradients(asking), strict=True):
            total = total + weights[i] * g
    return total


def _pixels(asking: Query) -> Layer:
    """The picture as a layer."""
    (layer,) = asking.layers
    return layer


def _gradients(asking: Query) -> list[NDArray[np.float32]]:
    """[questions, C, *space] of each picture."""
    name = _pixels(asking).name
    return [answer.found[name] for answer in asking.apply(lambda _, g: g)]


def _shown(asking: Query, n: int, attributions: NDArray[Any], **shown: Any) -> Answer:
    """The answer whose maps are made of attributions [questions, C, *space]."""
    name = _pixels(asking).name
    with np.errstate(invalid="ignore"):  # what is no number is told of later
        largest = np.abs(attributions).max(axis=tuple(range(2, attributions.ndim)))
        maps = formulas.gradient(attributions, **shown)
    return Answer(asking.opened.score[n], found={name: maps}, slopes={name: largest})


def _baseline(asking: Query, x: Doubles, baseline: str) -> Doubles:
    """What enters of a picture that shows nothing.

    Raises:
        InputError: it is a picture, and nobody said how one becomes the input.
    """
    value = BASELINES[baseline]
    if value is None:
        return np.zeros_like(x)
    how = asking.opened.artifact.expects.preprocess
    if how is None:
        raise InputError(
            f"nobody said how a {baseline} picture becomes the input; take baseline=zero, or "
            "export the network again with its ",
            Option("mean"),
            ", ",
            Option("std"),
            " and ",
            Option("rescale"),
        )
    return np.broadcast_to(constant(how, value), x.shape)


def _incomplete(total: float, change: float) -> str:
    """What is to be said of attributions that miss too much of the score's change."""
    if abs(total - change) <= _ALLOWED * abs(change):
        return ""
    return (
        f"is made of attributions that add up to {total:.3g}, while the score changes by "
        f"{change:.3g} from the baseline to the picture; more steps come closer, as in "
        "integrated-gradients:steps=200"
    )
