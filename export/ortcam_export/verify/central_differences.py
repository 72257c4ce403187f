"""Central differences of the score along shifts of the features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from ortcam.artifact import Artifact
from ortcam.errors import VerificationError
from ortcam.messages import Option
from ortcam_export.trials.inputs import SEED
from ortcam_export.verify.network_tail import Array, Doubles, Tail
from ortcam_export.verify.questions import Questions

__all__ = ["TOLERANCE", "GradientError", "measure", "shifts", "shifts_in_space"]

#: The largest relative error of a directional derivative that an artifact may have.
TOLERANCE = 1e-2


#: Steps go on until two neighbours agree to this part of the tolerance.
AGREED = 0.25


#: A direction is judged where its own uncertainty is at most this part of the tolerance...
CERTAIN = 0.5


#: ...and a layer where at least this part of its directions is.
ENOUGH = 0.5


#: Steps, in units of the features' root mean square.
STEPS = (0.01, 0.003, 0.001, 0.0003)


#: Steps at the picture itself, behind which lie all the kinks of the network.
STEPS_OF_PICTURE = (0.0003, 0.0001, 0.00003, 0.00001)


#: The step to take where none of these agree: in a tail of many layers their own rounding hides
#: what finer steps change.
LONGER = 0.03


CHANNELS = 2  # directions that are one channel


MIXTURES = 2  # directions that are a mixture of all


class GradientError(VerificationError):
    """The gradient disagrees with central differences, or these cannot be had."""


def measure(
    tail: Tail,
    meta: Artifact,
    plain: Mapping[str, Array],
    questions: Questions,
    directions: Sequence[tuple[Doubles, Doubles]],
) -> tuple[float, int]:
    """The largest relative error along directions at one layer, and how many of them tell.

    Args:
        tail: from the layer on.
        meta: the artifact's metadata.
        plain: what the network computes on the trial picture.
        questions: what is asked.
        directions: [C, *space], each extent of space full or 1, each with what the
            artifact says of it, [K, N].
    """
    axis = tail.layer.channel_axis
    features = plain[tail.layer.name]
    if len(features) != len(plain[meta.score.name]):
        raise VerificationError(
            f"{tail.layer.name!r} has {len(features)} rows for a picture in its first axis, which "
            "is no axis of pictures, so no artifact is made; choose another layer"
        )
    scale = float(np.sqrt(np.mean(np.square(features, dtype=np.float64)))) or 1.0

    def differ(moved: Doubles, step: float) -> Doubles:
        up, down = (
            tail.run((features + sign * step * moved).astype(features.dtype), plain)
            for sign in (1, -1)
        )
        return questions.reduce(np.moveaxis(up - down, meta.score.class_axis, 1)) / (2 * step)

    steps = STEPS_OF_PICTURE if tail.layer == meta.pixels else STEPS
    measured, expected = [], []
    for direction, said in directions:
        spread = direction.reshape(direction.shape + (1,) * (features.ndim - 1 - direction.ndim))
        moved = np.moveaxis(spread[None], 1, axis)
        reach = features[0].size / direction.size  # cells that one number of it shifts
        ladder: list[Doubles] = []
        for step in steps:
            if len(ladder) > 1 and _agree(*ladder[-2:]):
                break
            ladder.append(differ(moved, step * scale))
        if not _agree(*ladder[-2:]):
            ladder.insert(0, differ(moved, LONGER / STEPS[0] * steps[0] * scale))
        measured.append(np.stack(ladder))
        expected.append(reach * said)
    unseen = tail.rounding(plain) / (2 * steps[0] * scale)
    return judge(tail.layer.name, measured, np.stack(expected), unseen)


def _agree(one: Doubles, other: Doubles) -> bool:
    """Whether two steps agree question by question, as they are judged."""
    return _relative(one - other, np.abs(other)) <= AGREED * TOLERANCE


def shifts(weights: Doubles) -> list[tuple[Doubles, Doubles]]:
    """Directions [C]: the channels that count most for the questions [K, N, C], and mixtures."""
    channels = weights.shape[2]
    random = np.random.default_rng(SEED)
    largest = np.abs(weights).max(axis=(0, 1))
    most = np.argsort(-largest, kind="stable")[:CHANNELS]
    mixtures = random.standard_normal((MIXTURES, channels)) / channels**0.5
    return [(along, weights @ along) for along in (*np.eye(channels)[most], *mixtures)]


def shifts_in_space(gradients: Doubles) -> list[tuple[Doubles, Doubles]]:
    """Directions [C, *space]: those of :func:`shifts`, each in a corner of its own.

    Shifts that are the same all over a corner leave level what lies level, as a ReLU's zeros do:
    which of these a MaxPool takes is as good as any, until they are shifted apart.
    """
    _, _, channels, *space = gradients.shape
    cells = gradients.mean(axis=tuple(range(3, gradients.ndim)))
    found = []
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
        found.append((v, np.tensordot(gradients, v, v.ndim)))
    return found


def judge(
    name: str, measured: Sequence[Doubles], expected: Doubles, unseen: float = 0.0
) -> tuple[float, int]:
    """The largest relative error over the directions that can be judged, and their number.

    All is relative to what a question's answer changes by along a direction, and at least to the
    root mean square of that over the directions: one along which next to nothing changes is not
    asked for its own digits. A direction's error is the root mean square over its questions.

    Args:
        name: the layer, for an error.
        measured: directional derivatives by central differences, for each direction its ladder
            [steps, K, N].
        expected: the same from the artifact's weights, [directions, K, N].
        unseen: a derivative that is lost in the rounding of the tail, and so is no error.

    Raises:
        VerificationError: the values are not finite, or too few directions can be judged.
    """
    if not all(np.isfinite(values).all() for values in (*measured, expected)):
        raise VerificationError(
            f"the network's score or its gradient at {name!r} is not finite on the trial picture, "
            "so no artifact is made; does the network expect other input (",
            Option("rescale"),
            ", ",
            Option("mean"),
            ", ",
            Option("std"),
            ")?",
        )
    typical = np.stack([np.abs(ladder).mean(axis=0) for ladder in measured])
    usual = np.sqrt(np.mean(typical**2, axis=0))
    flat = not usual.any()
    size = np.maximum(typical, usual)
    errors = []
    for ladder, own, wanted in zip(measured, size, expected, strict=True):
        pairs = [((a + b) / 2, _relative(a - b, own)) for a, b in pairwise(ladder)]
        value, doubt = min(pairs, key=lambda pair: pair[1])
        if doubt <= CERTAIN * TOLERANCE:
            beyond = np.maximum(np.abs(value - wanted) - unseen, 0)
            errors.append(_relative(beyond, own))
    if flat:
        raise GradientError(
            f"the score does not respond to {name!r}: shifting its features leaves every class as "
            "it was on the trial picture, as where the weights are no trained ones or the softmax "
            "is saturated; try ",
            Option("score", "logits"),
            " or another layer, or export with ",
            Option("verify", False),
        )
    if len(errors) < ENOUGH * len(measured):
        raise GradientError(
            f"central differences cannot measure the gradient at {name!r}: the score is too rough "
            "on the trial picture; export with ",
            Option("verify", False),
            " to go without this check",
        )
    return max(errors), len(errors)


def _relative(difference: Doubles, size: Doubles) -> float:
    """The root mean square of differences in units of sizes, where nothing is 0 of nothing."""
    nothing = (difference == 0) & (size == 0)
    with np.errstate(divide="ignore"):
        parts = np.divide(difference, size, out=np.zeros_like(size), where=~nothing)
    return float(np.sqrt(np.mean(parts**2)))
