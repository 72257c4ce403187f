"""Central differences of the score along shifts of the features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NoReturn

import numpy as np

from ortcam.artifact import Artifact
from ortcam.errors import VerificationError
from ortcam.messages import Option
from ortcam_export.trials.inputs import SEED
from ortcam_export.verify.consistency import PREPROCESSING, SAME
from ortcam_export.verify.network_tail import Tail
from ortcam_export.verify.questions import Questions
from ortcam_export.verify.run import Array, Doubles

__all__ = [
    "TOLERANCE",
    "Direction",
    "GradientError",
    "Judgement",
    "PictureGradientError",
    "UnmeasurableError",
    "WholeGradientError",
    "judge",
    "measure",
    "responses",
    "shifts",
    "shifts_in_space",
]

#: The largest relative error that a directional derivative of an artifact may have.
TOLERANCE = 1e-2

#: Steps shrink until two neighbours agree to this fraction of the tolerance.
AGREED = 0.25

#: A direction is judged if its own uncertainty is at most this fraction of the tolerance...
CERTAIN = 0.5

#: ...and a layer if at least this fraction of its directions is.
ENOUGH = 0.5

#: Steps, in units of the features' root mean square.
STEPS = (0.03, 0.01, 0.003, 0.001, 0.0003)

#: Further steps through a tail in float64.
FINER = (1e-4, 3e-5, 1e-5, 3e-6)

#: The step taken if none of these agree: in a tail of many layers, rounding hides the effect of
#: finer steps.
LONGER = 0.1

#: Steps through an affine tail, where longer ones lose nothing to curvature and less to rounding.
AFFINE_STEPS = (1.0, 10.0, 100.0)

#: The halves of a step through an affine tail agree to this fraction of the tolerance.
STRAIGHT = 0.02

#: Parts of each axis of space, shifted with a sign each.
PARTS = 8

#: The number of directions that are a single channel.
CHANNELS = 2

#: The number of directions that are a mixture of all channels.
MIXTURES = 2

#: The number of random mixtures of which one is taken.
DRAWS = 8

#: In a mixture, weights below this fraction of the root mean square count as that.
FAINT = 0.1


class GradientError(VerificationError):
    """The gradient disagrees with central differences, or these cannot be measured."""


class UnmeasurableError(GradientError):
    """Central differences cannot tell whether the gradient is right."""


class WholeGradientError(GradientError):
    """The whole gradient of a layer cannot be measured, while its mean is verified."""


class PictureGradientError(GradientError):
    """The gradient of the picture is not verified, while those of the layers are."""


@dataclass(frozen=True)
class Direction:
    """A shift of a layer, and what the artifact says of it.

    Attributes:
        shift: [C, *space], each extent of space full or 1.
        derivative: the answers' derivative along it, [K, N].
        size: the derivative's expected size, were the channels' parts of it independent, [K, N]:
            what is far below it by chance is not held to its own digits.
    """

    shift: Doubles
    derivative: Doubles
    size: Doubles


@dataclass(frozen=True)
class Judgement:
    """An artifact's derivatives compared with those measured.

    Attributes:
        error: the largest relative error.
        uncertainty: the largest uncertainty of a measurement, relative likewise.
        directions: the number of directions judged.
    """

    error: float = 0.0
    uncertainty: float = 0.0
    directions: int = 0

    def __or__(self, other: Judgement) -> Judgement:
        """This judgement and another one."""
        return Judgement(
            max(self.error, other.error),
            max(self.uncertainty, other.uncertainty),
            self.directions + other.directions,
        )


def measure(
    tail: Tail,
    meta: Artifact,
    plain: Mapping[str, Array],
    questions: Questions,
    directions: Iterable[Direction],
) -> Judgement:
    """Judge an artifact's derivatives along directions at a layer.

    Args:
        tail: the network from the layer on, without kinks.
        meta: the artifact's metadata.
        plain: the network's tensors for the trial picture.
        questions: the questions.
        directions: the directions.
    """
    features = plain[tail.layer.name]
    pictures = len(plain[meta.score.name])
    if len(features) != pictures and not tail.layer.frames:
        raise VerificationError(
            f"the first axis of {tail.layer.name!r} has length {len(features)} for one picture, so "
            "it is no batch axis and no artifact is made; choose another layer"
        )
    scale = _size(features)
    features = features.astype(np.float64) if tail.is_wide else features
    end = tail.run_to_end(features, plain)
    _check_end(tail, end, plain[tail.end])
    score = tail.score(end)

    def slope(shift: Array, step: float) -> tuple[Doubles, Doubles]:
        """The slopes [K, N] ahead of the features and behind them."""
        t = step * scale
        ahead, behind = (
            (tail.run_to_end(features + (s * t * shift).astype(features.dtype), plain) - end)
            / (s * t)
            for s in (1, -1)
        )
        one, other = (
            questions.reduce(np.moveaxis(tail.change(score, d), meta.score.class_axis, 1))
            for d in (ahead, behind)
        )
        return one, other

    def for_pictures(values: Doubles, cells: float) -> Doubles:
        """Sums over the cells shifted together, and over each picture's frames."""
        frames = np.reshape(values, (len(values), pictures, -1))
        return np.asarray(cells * frames.sum(axis=2))

    ladders, expected, sizes = [], [], []
    for direction in directions:
        v = direction.shift
        spread = v.reshape(v.shape + (1,) * (features.ndim - 1 - v.ndim))
        shift = np.moveaxis(spread[None], 1, tail.layer.channel_axis)
        cells = features[0].size / v.size
        expected.append(for_pictures(direction.derivative, cells))
        sizes.append(for_pictures(direction.size, cells))
        ladders.append(_ladder(partial(slope, shift), sizes[-1], tail))
    unseen = tail.rounding(plain) / (2 * STEPS[0] * scale)
    return judge(tail.layer.name, ladders, np.stack(expected), unseen, sizes)


def _check_end(tail: Tail, twin: Doubles, end: Array) -> None:
    """Compare the tail without its kinks with the network."""
    if not np.abs(twin - end).max(initial=0) <= SAME * np.abs(end).max(initial=0):
        raise VerificationError(
            f"the network behind {tail.layer.name!r} cannot be run without its kinks, so its "
            "gradient cannot be verified; please report the network, or export with ",
            Option("verify", False),
        )


def responses(tail: Tail, meta: Artifact, plain: Mapping[str, Array]) -> Doubles:
    """The largest change of each class's score [C] as a layer is shifted."""
    features = plain[tail.layer.name]
    dtype = np.float64 if tail.is_wide else features.dtype
    channels = features.shape[tail.layer.channel_axis]
    mixture = np.random.default_rng(SEED).standard_normal(channels)
    shape = [-1 if axis == tail.layer.channel_axis else 1 for axis in range(features.ndim)]
    shift = STEPS[0] * _size(features) * np.reshape(mixture, shape)
    end, shifted = (
        tail.run_to_end(values.astype(dtype), plain) for values in (features, features + shift)
    )
    change = np.moveaxis(tail.change(tail.score(end), shifted - end), meta.score.class_axis, 1)
    largest = np.asarray(np.abs(change).max(axis=(0, *range(2, change.ndim)), initial=0))
    return largest if largest.any() or not tail.widen() else responses(tail, meta, plain)


def _size(features: Array) -> float:
    """The root mean square of features, 1 if all are 0."""
    return float(np.sqrt(np.mean(np.square(features, dtype=np.float64)))) or 1.0


def _ladder(
    slope: Callable[[float], tuple[Doubles, Doubles]], size: Doubles, tail: Tail
) -> Doubles:
    """Slopes [steps, K, N]: both halves of a straight line, or ever finer steps until two agree."""
    if tail.is_affine:
        halves = _straightest(slope, size)
        if _apart(halves, size) <= AGREED * TOLERANCE:
            return np.stack(halves)

    def central(step: float) -> Doubles:
        ahead, behind = slope(step)
        return (ahead + behind) / 2

    ladder: list[Doubles] = []
    for step in (*STEPS, *FINER) if tail.is_wide else STEPS:
        if len(ladder) > 1 and _apart(ladder[-2:], size) <= AGREED * TOLERANCE:
            break
        ladder.append(central(step))
    if not _apart(ladder[-2:], size) <= AGREED * TOLERANCE:
        ladder.insert(0, central(LONGER))
    return np.stack(ladder)


def _straightest(
    slope: Callable[[float], tuple[Doubles, Doubles]], size: Doubles
) -> tuple[Doubles, Doubles]:
    """The halves that agree best of a step through an affine tail."""
    pairs = []
    for step in AFFINE_STEPS:
        pairs.append(slope(step))
        if _apart(pairs[-1], size) <= STRAIGHT * TOLERANCE:
            break
    return min(pairs, key=lambda pair: _apart(pair, size))


def _apart(slopes: Sequence[Doubles], size: Doubles) -> float:
    """The relative difference of two slopes, by the criterion of the judgement."""
    one, other = slopes
    return _relative(one - other, np.maximum(np.abs(other), size))


def shifts(weights: Doubles, *, alone: bool = True) -> Iterator[Direction]:
    """Yield directions for weights [K, N, C].

    The channels with the largest weights, and random mixtures of all, in which each channel counts
    for about as much as any other: an error at one is not lost among the rest.

    Args:
        weights: the pooled gradients.
        alone: True for single channels too.
    """
    channels = weights.shape[2]
    magnitude = np.abs(weights).max(axis=(0, 1))
    typical = np.sqrt(np.square(weights).mean(axis=2))
    for channel in np.argsort(-magnitude, kind="stable")[: CHANNELS * alone]:
        v = np.eye(1, channels, channel)[0]
        yield Direction(v, weights @ v, typical)
    random = np.random.default_rng(SEED)
    even = _even(np.square(weights).mean(axis=(0, 1)))
    for _ in range(MIXTURES):
        yield _mixture(even, weights * even, random)


def shifts_in_space(gradients: Array, *, corners: bool = True) -> Iterator[Direction]:
    """Yield directions for gradients [K, N, C, *space].

    Every channel is shifted by a sign of its own: everywhere, with a sign for each of 8 parts of
    every axis of space, then in each corner.

    Args:
        gradients: the whole gradients.
        corners: True for the corners too.
    """
    _, _, channels, *space = gradients.shape
    others = (0, *range(2, gradients.ndim - 1))
    even = _even(
        np.mean([np.square(g, dtype=np.float64).mean(axis=others) for g in gradients], axis=0)
    ).reshape(channels, *[1] * len(space))
    random = np.random.default_rng(SEED)
    for field in _fields(channels, space, random, 4 * corners):
        v = even * field
        by_channel = [[(one * v).reshape(channels, -1).sum(axis=1) for one in g] for g in gradients]
        yield _mixture(v, np.array(by_channel), random)


def _fields(
    channels: int, space: Sequence[int], random: np.random.Generator, corners: int
) -> Iterator[Doubles]:
    """Factors [C or 1, *space] of each cell's shift."""
    signs = random.choice((-1.0, 1.0), (channels, *[PARTS] * len(space)))
    for axis, extent in enumerate(space, 1):
        signs = np.take(signs, np.arange(extent) * PARTS // extent, axis)
    yield signs
    for i in range(corners):
        ends = [(i >> axis) % 2 for axis in range(len(space))]
        corner = np.zeros((1, *space))
        corner[
            0,
            *(
                np.s_[extent // 2 :] if end else np.s_[: (extent + 1) // 2]
                for extent, end in zip(space, ends, strict=True)
            ),
        ] = 1
        yield corner


def _mixture(shift: Doubles, by_channel: Doubles, random: np.random.Generator) -> Direction:
    """A shift [C, ...] with a random factor for each channel, for its derivatives [K, N, C].

    Of a few draws the one along which the answers change most: where the channels' parts cancel,
    nothing can be measured.
    """
    channels = len(shift)
    shape = DRAWS, channels
    draws = random.choice((-1, 1), shape) * random.uniform(0.5, 1, shape)
    factors = max(draws, key=lambda draw: float(np.square(by_channel @ draw).sum()))
    parts = by_channel * factors
    return Direction(
        shift * factors.reshape(channels, *[1] * (shift.ndim - 1)),
        parts.sum(axis=2),
        np.sqrt(np.square(parts).sum(axis=2)),
    )


def _even(squares: Array) -> Doubles:
    """Factors of channels that even out the sizes of their weights, for mean squares [C]."""
    sizes = np.sqrt(np.asarray(squares, np.float64))
    typical = float(np.sqrt(np.mean(squares))) or 1.0
    return np.asarray(typical / np.maximum(sizes, FAINT * typical) / len(sizes) ** 0.5)


def judge(
    name: str,
    ladders: Sequence[Doubles],
    expected: Doubles,
    unseen: float = 0.0,
    sizes: Sequence[Doubles] | None = None,
) -> Judgement:
    """Judge the directions that can be judged.

    Errors are relative to a question's derivative along the direction, and at least to its
    expected size: a direction along which next to nothing changes is not held to its own digits.
    A direction's error is the root mean square over its questions.

    Args:
        name: the layer, for error messages.
        ladders: directional derivatives by central differences, for each direction its ladder
            [steps, K, N].
        expected: the same from the artifact's weights, [directions, K, N].
        unseen: a derivative below the rounding of the tail, which is no error; a direction along
            which no question's derivative is well above it is not judged.
        sizes: the expected sizes [K, N] of the derivatives along each direction; None for the root
            mean square over the directions.

    Raises:
        VerificationError: the values are not finite.
        UnmeasurableError: too few directions can be judged.
    """
    if not all(np.isfinite(values).all() for values in (*ladders, expected)):
        raise VerificationError(
            f"the network's score or its gradient at {name!r} is not finite on the trial picture, "
            "so no artifact is made; check the preprocessing that the network expects (",
            *PREPROCESSING,
            ")",
        )
    typical = np.stack([np.abs(ladder).mean(axis=0) for ladder in ladders])
    if not typical.any():
        _refuse_silence(name, is_zero=not expected.any())
    if sizes is None:
        sizes = [np.sqrt(np.mean(typical**2, axis=0))] * len(ladders)
    judgement = Judgement()
    for i, (ladder, value) in enumerate(zip(ladders, expected, strict=True)):
        size = np.maximum(typical[i], sizes[i])
        pairs = [((a + b) / 2, _relative(a - b, size)) for a, b in pairwise(ladder)]
        derivative, uncertainty = min(pairs, key=lambda pair: pair[1])
        is_resolved = unseen <= CERTAIN * TOLERANCE * size
        if uncertainty <= CERTAIN * TOLERANCE and np.any(is_resolved & (size > 0)):
            excess = np.maximum(np.abs(derivative - value) - unseen, 0)
            error = max(_relative(excess, size), _relative(excess[is_resolved], size[is_resolved]))
            judgement |= Judgement(error, uncertainty, 1)
    if judgement.directions < ENOUGH * len(ladders):
        raise UnmeasurableError(
            f"central differences cannot measure the gradient at {name!r}: the score is too rough "
            "on the trial picture; export with ",
            Option("verify", False),
            " to skip this check",
        )
    return judgement


def _refuse_silence(name: str, *, is_zero: bool) -> NoReturn:
    """Refuse a layer that moves no class."""
    reason = (
        "and its gradient is 0 there, as with dead units, a saturated softmax, or tokens that the "
        "head does not read"
        if is_zero
        else "and its gradient, not quite 0 there, may be rounding alone, as with untrained "
        "weights or a saturated softmax"
    )
    raise UnmeasurableError(
        f"the score does not respond to {name!r}: shifting its features changes no class on the "
        f"trial picture, {reason}; try ",
        Option("score", "logits"),
        " or another layer, or export with ",
        Option("verify", False),
    )


def _relative(difference: Doubles, size: Doubles) -> float:
    """The root mean square of differences relative to sizes, with 0 / 0 = 0."""
    nothing = (difference == 0) & (size == 0)
    with np.errstate(divide="ignore"):
        parts = np.divide(difference, size, out=np.zeros_like(size), where=~nothing)
    return float(np.sqrt(np.mean(parts**2)))
