"""Central differences of the score along shifts of the features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from ortcam.artifact import Artifact
from ortcam.errors import VerificationError
from ortcam.messages import Option
from ortcam_export.trials.inputs import SEED
from ortcam_export.verify.network_tail import Tail
from ortcam_export.verify.questions import Questions
from ortcam_export.verify.run import Array, Doubles

__all__ = ["TOLERANCE", "GradientError", "judge", "measure", "shifts", "shifts_in_space"]

#: The largest relative error that a directional derivative of an artifact may have.
TOLERANCE = 1e-2

#: Steps shrink until two neighbours agree to this fraction of the tolerance.
AGREED = 0.25

#: A direction is judged if its own uncertainty is at most this fraction of the tolerance...
CERTAIN = 0.5

#: ...and a layer if at least this fraction of its directions is.
ENOUGH = 0.5

#: Steps, in units of the features' root mean square.
STEPS = (0.01, 0.003, 0.001, 0.0003)

#: Steps at the picture itself, behind which lie all the kinks of the network.
STEPS_OF_PICTURE = (0.0003, 0.0001, 0.00003, 0.00001)

#: The step taken if none of these agree: in a tail of many layers, rounding hides the effect of
#: finer steps.
LONGER = 0.03

#: The number of directions that are a single channel.
CHANNELS = 2

#: The number of directions that are a mixture of all channels.
MIXTURES = 2


class GradientError(VerificationError):
    """The gradient disagrees with central differences, or these cannot be measured."""


def measure(
    tail: Tail,
    meta: Artifact,
    plain: Mapping[str, Array],
    questions: Questions,
    directions: Sequence[tuple[Doubles, Doubles]],
) -> tuple[float, int]:
    """Return the largest relative error along directions at a layer, and the number judged.

    Args:
        tail: the network from the layer on.
        meta: the artifact's metadata.
        plain: the network's tensors for the trial picture.
        questions: the questions.
        directions: shifts [C, *space], each extent of space full or 1, each with the answers'
            derivative along it according to the artifact, [K, N].
    """
    features = plain[tail.layer.name]
    if len(features) != len(plain[meta.score.name]):
        raise VerificationError(
            f"the first axis of {tail.layer.name!r} has length {len(features)} for one picture, so "
            "it is no batch axis and no artifact is made; choose another layer"
        )
    scale = float(np.sqrt(np.mean(np.square(features, dtype=np.float64)))) or 1.0

    def slope(shift: Doubles, step: float) -> Doubles:
        t = step * scale
        up, down = (
            tail.run((features + sign * t * shift).astype(features.dtype), plain)
            for sign in (1, -1)
        )
        return questions.reduce(np.moveaxis(up - down, meta.score.class_axis, 1)) / (2 * t)

    steps = STEPS_OF_PICTURE if tail.layer == meta.pixels else STEPS
    measured, expected = [], []
    for direction, derivative in directions:
        spread = direction.reshape(direction.shape + (1,) * (features.ndim - 1 - direction.ndim))
        shift = np.moveaxis(spread[None], 1, tail.layer.channel_axis)
        reach = features[0].size / direction.size  # cells shifted by one number of the direction
        measured.append(_ladder(partial(slope, shift), steps))
        expected.append(reach * derivative)
    unseen = tail.rounding(plain) / (2 * steps[0] * scale)
    return judge(tail.layer.name, measured, np.stack(expected), unseen)


def _ladder(slope: Callable[[float], Doubles], steps: Sequence[float]) -> Doubles:
    """The slopes [steps, K, N] at ever finer steps, until two agree."""
    ladder: list[Doubles] = []
    for step in steps:
        if len(ladder) > 1 and _agree(*ladder[-2:]):
            break
        ladder.append(slope(step))
    if not _agree(*ladder[-2:]):
        ladder.insert(0, slope(LONGER / STEPS[0] * steps[0]))
    return np.stack(ladder)


def _agree(one: Doubles, other: Doubles) -> bool:
    """True if two steps agree question by question, by the criterion of the judgement."""
    return _relative(one - other, np.abs(other)) <= AGREED * TOLERANCE


def shifts(weights: Doubles) -> list[tuple[Doubles, Doubles]]:
    """Return directions [C] and the derivatives along them, for weights [K, N, C].

    The channels with the largest weights, and random mixtures of all.
    """
    channels = weights.shape[2]
    random = np.random.default_rng(SEED)
    magnitude = np.abs(weights).max(axis=(0, 1))
    largest = np.argsort(-magnitude, kind="stable")[:CHANNELS]
    mixtures = random.standard_normal((MIXTURES, channels)) / channels**0.5
    return [(v, weights @ v) for v in (*np.eye(channels)[largest], *mixtures)]


def shifts_in_space(gradients: Doubles) -> list[tuple[Doubles, Doubles]]:
    """Return directions [C, *space] and the derivatives, for gradients [K, N, C, *space].

    The directions of :func:`shifts`, each in its own corner. A shift that is uniform over a corner
    keeps ties, such as a ReLU's zeros: a MaxPool may then take either of them.
    """
    _, _, channels, *space = gradients.shape
    cells = gradients.mean(axis=tuple(range(3, gradients.ndim)))
    directions = []
    for i, (along, _) in enumerate(shifts(cells)):
        ends = [(i >> axis) % 2 for axis in range(len(space))]
        corner = np.zeros(space)
        corner[
            tuple(
                np.s_[e // 2 :] if end else np.s_[: e // 2]
                for e, end in zip(space, ends, strict=True)
            )
        ] = 1
        v = along.reshape(channels, *[1] * len(space)) * corner
        directions.append((v, np.tensordot(gradients, v, v.ndim)))
    return directions


def judge(
    name: str, measured: Sequence[Doubles], expected: Doubles, unseen: float = 0.0
) -> tuple[float, int]:
    """Return the largest relative error over the directions that can be judged, and their number.

    Errors are relative to a question's derivative along the direction, and at least to its root
    mean square over the directions: a direction along which next to nothing changes is not held to
    its own digits. A direction's error is the root mean square over its questions.

    Args:
        name: the layer, for error messages.
        measured: directional derivatives by central differences, for each direction its ladder
            [steps, K, N].
        expected: the same from the artifact's weights, [directions, K, N].
        unseen: a derivative below the rounding of the tail, which is no error.

    Raises:
        VerificationError: the values are not finite, or too few directions can be judged.
    """
    if not all(np.isfinite(values).all() for values in (*measured, expected)):
        raise VerificationError(
            f"the network's score or its gradient at {name!r} is not finite on the trial picture, "
            "so no artifact is made; check the preprocessing that the network expects (",
            Option("rescale"),
            ", ",
            Option("mean"),
            ", ",
            Option("std"),
            ")",
        )
    typical = np.stack([np.abs(ladder).mean(axis=0) for ladder in measured])
    overall = np.sqrt(np.mean(typical**2, axis=0))
    if not overall.any():
        raise GradientError(
            f"the score does not respond to {name!r}: shifting its features changes no class on "
            "the trial picture, as with untrained weights or a saturated softmax; try ",
            Option("score", "logits"),
            " or another layer, or export with ",
            Option("verify", False),
        )
    errors = []
    for ladder, size, value in zip(measured, np.maximum(typical, overall), expected, strict=True):
        pairs = [((a + b) / 2, _relative(a - b, size)) for a, b in pairwise(ladder)]
        derivative, uncertainty = min(pairs, key=lambda pair: pair[1])
        if uncertainty <= CERTAIN * TOLERANCE:
            excess = np.maximum(np.abs(derivative - value) - unseen, 0)
            errors.append(_relative(excess, size))
    if len(errors) < ENOUGH * len(measured):
        raise GradientError(
            f"central differences cannot measure the gradient at {name!r}: the score is too rough "
            "on the trial picture; export with ",
            Option("verify", False),
            " to skip this check",
        )
    return max(errors), len(errors)


def _relative(difference: Doubles, size: Doubles) -> float:
    """The root mean square of differences relative to sizes, with 0 / 0 = 0."""
    nothing = (difference == 0) & (size == 0)
    with np.errstate(divide="ignore"):
        parts = np.divide(difference, size, out=np.zeros_like(size), where=~nothing)
    return float(np.sqrt(np.mean(parts**2)))
