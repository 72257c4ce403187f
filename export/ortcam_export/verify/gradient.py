"""Truth: the artifact's gradients against central differences through the network itself.

An artifact holds, for each feature layer, the spatial mean of the gradient. So a feature layer L
is shifted by a constant a channel, L + t v, and the rest of the network (its tail) is run on the
shifted features in onnxruntime, with none of the gradient's operators:

    (y(L + t v) - y(L - t v)) / 2t   against   sum over c of v_c * H * W * weights_c,

channel by channel for those that count most, and in random mixtures of all. Where the artifact
holds the whole gradient too, its mean over space is to be the weights, and L is shifted in its
corners as well:

    (y(L + t v) - y(L - t v)) / 2t   against   sum over c and space of v * gradient.

The tail runs in float32, so differences are taken pixel by pixel and summed in float64: the
pixels that a shift leaves alone then cancel exactly. A softmax or sigmoid at its end is taken in
float64: where a head is all but untrained, what a shift changes in its logits is far below the last
digit of a probability in float32. What remains is rounding, which grows as the
step shrinks, and the kinks of ReLU and MaxPool, whose share grows with the step. So each
direction is measured at ever finer steps until two neighbours agree, and the two that agree best
over all questions give its value: the artifact has no say in that. What these two still differ by
is the measurement's own uncertainty: a direction is judged only where it lies well within the
tolerance, and a layer of which less than half the directions can be judged counts as not verified.

A batch is checked by way of its first picture: its weights are the same alone, before another
picture and behind one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ortcam.artifact import Artifact, Layer, Verification
from ortcam.errors import ModelError, VerificationError
from ortcam.inference.session import RunError
from ortcam.inference.two_part import Runs
from ortcam_export.graph.names import find, tensor
from ortcam_export.graph.traversal import between, part, read_beside
from ortcam_export.trials.inputs import SEED, Feeds, trial_feeds
from ortcam_export.write_artifact import open_session

__all__ = [
    "SAME",
    "TOLERANCE",
    "GradientError",
    "Tail",
    "ask",
    "errors",
    "nothing_left_out",
    "run",
    "run_plain",
    "verify",
]

#: The largest relative error of a directional derivative that an artifact may have.
TOLERANCE = 1e-2

#: The largest relative difference between the artifact's score and the network's, and between a
#: picture's weights alone and beside other pictures.
SAME = 1e-3

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
CLASSES = 3  # classes asked for

Array = NDArray[Any]
Doubles = NDArray[np.float64]


class GradientError(VerificationError):
    """The gradient disagrees with central differences, or these cannot be had."""


@dataclass(frozen=True)
class Questions:
    """Questions, all on the whole picture but the last ones, which have regions of their own.

    Attributes:
        class_weights: float32 [K, 1, C].
        regions: float32 [R, 1, *space], of the last R questions.
    """

    class_weights: NDArray[np.float32]
    regions: NDArray[np.float32]

    @property
    def whole(self) -> int:
        """How many questions are on the whole picture."""
        return len(self.class_weights) - len(self.regions)

    def reduce(self, score: Doubles) -> Doubles:
        """The questions' answers, y [K, N], for a score [N, C, *space]."""
        space = range(2, score.ndim)
        rows = self.class_weights[:, 0].astype(np.float64)
        totals = [score.sum(axis=tuple(space))] * self.whole
        totals += [
            np.tensordot(score, region, (space, range(region.ndim)))
            for region in self.regions[:, 0]
        ]
        return np.stack([total @ row for total, row in zip(totals, rows, strict=True)])


def verify(
    network: ir.Model, artifact: Runs, meta: Artifact, raised_from: ir.Model | None = None
) -> Verification:
    """Checks an artifact against the network that it was made from.

    Args:
        network: the prepared network with its score, before the gradient was appended.
        artifact: the artifact, opened.
        meta: its metadata.
        raised_from: the network as it was before its opset was raised, if it was: its outputs
            are then compared with the artifact's.

    Returns:
        What was measured.

    Raises:
        GradientError: the gradient's error is past its tolerance, or cannot be measured.
        VerificationError: the artifact's score is not the network's, or pictures of a batch mix.
        ModelError: the network does not run on the trial pictures.
    """
    feeds = trial_feeds(network, meta.picture, meta.expects.preprocess, batch=1)
    tails = [Tail(network, meta.score.name, layer) for layer in meta.targets]
    plain = run_plain(network, meta, tails, feeds)
    score = np.moveaxis(plain[meta.score.name], meta.score.class_axis, 1)
    questions = ask(score)
    weights, own_score = _ask_artifact(artifact, meta, feeds, questions, meta.targets)
    wholes, _ = _ask_artifact(artifact, meta, feeds, questions, meta.targets, "grad")
    _same_means(wholes, weights)
    _same_score(plain[meta.score.name], own_score, meta)
    _same_alone(artifact, meta, feeds, questions, weights)
    _same_maps(artifact, meta, feeds, questions)
    if raised_from is not None:
        _same_outputs(raised_from, artifact, meta, feeds, questions)
    error, directions = 0.0, 0
    for tail in tails:
        measured, judged = _error(tail, meta, plain, questions, weights, wholes)
        if not measured <= TOLERANCE:  # also where it is no number
            raise GradientError(
                f"the exported gradient at {tail.layer.name!r} is off by {measured:.1e} from "
                f"central differences (tolerance {TOLERANCE:g}), so no artifact is made; "
                + (
                    "please report the network"
                    if meta.engine == "ortcam"
                    else "export with engine='ortcam'"
                )
            )
        error, directions = max(error, measured), directions + judged
    isolation = _isolation(network, artifact, meta, feeds, questions, weights)
    return Verification(error=error, directions=directions, isolation=isolation)


def errors(
    network: ir.Model, artifact: Runs, meta: Artifact, feeds: Feeds
) -> dict[str, tuple[float, int]]:
    """Measures the gradient on a picture of one's own, and judges nothing.

    Args:
        network: the network with its score, without the gradient.
        artifact: the artifact, opened.
        meta: its metadata.
        feeds: the network's inputs.

    Returns:
        For each feature layer the largest relative error and how many directions were measured.

    Raises:
        GradientError: an error cannot be measured.
        ModelError: the network does not run on this input.
    """
    tails = [Tail(network, meta.score.name, layer) for layer in meta.layers]
    plain = run_plain(network, meta, tails, feeds)
    questions = ask(np.moveaxis(plain[meta.score.name], meta.score.class_axis, 1))
    weights, _ = _ask_artifact(artifact, meta, feeds, questions, meta.layers)
    wholes, _ = _ask_artifact(artifact, meta, feeds, questions, meta.layers, "grad")
    return {
        tail.layer.name: _error(tail, meta, plain, questions, weights, wholes) for tail in tails
    }


def _error(
    tail: Tail,
    meta: Artifact,
    plain: Mapping[str, Array],
    questions: Questions,
    weights: Mapping[str, Doubles],
    wholes: Mapping[str, Doubles],
) -> tuple[float, int]:
    """The largest relative error of one layer's pooled and whole gradients, and its directions."""
    name = tail.layer.name
    measured, judged = _measure(tail, meta, plain, questions, _shifts(weights[name]))
    if name in wholes:
        more = _measure(tail, meta, plain, questions, _shifts_in_space(wholes[name]))
        measured, judged = max(measured, more[0]), judged + more[1]
    return measured, judged


# ---- The question ---------------------------------------------------------------------------


def ask(score: Array) -> Questions:
    """Questions about a score [N, C, *space].

    Each of the classes that hold most of the score; the first of these rather than the second;
    and the first two in a box each, with a random part of every cell.
    """
    classes = score.shape[1]
    shares = score.mean(axis=(0, *range(2, score.ndim)))
    most = [int(c) for c in np.argsort(-shares, kind="stable")[:CLASSES]]
    rows = [*np.eye(classes, dtype=np.float32)[most]]
    if classes > 1:
        rows.append(rows[0] - rows[1])
    random = np.random.default_rng(SEED)
    space = score.shape[2:]
    regions = []
    if space:
        for low, high in ((0.0, 0.6), (0.3, 1.0)):
            region = np.zeros(space, np.float32)
            box = tuple(slice(int(e * low), max(int(e * low) + 1, int(e * high))) for e in space)
            region[box] = random.uniform(0.2, 1, region[box].shape)
            regions.append(region)
            rows.append(rows[min(len(regions), classes) - 1])
    stacked = np.stack(regions) if regions else np.zeros((0,), np.float32)
    return Questions(np.stack(rows)[:, None], stacked[:, None])


def _ask_artifact(
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    layers: Sequence[Layer],
    what: str = "weights",
) -> tuple[dict[str, Doubles], Array]:
    """These layers' weights [K, N, C] (``"grad"``: gradients), and the artifact's score."""
    whole = questions.whole
    space = questions.regions.ndim - 2
    asked = [(questions.class_weights[:whole], np.ones((1, 1, *[1] * space), np.float32))]
    if len(questions.regions):
        asked.append((questions.class_weights[whole:], questions.regions))
    tensors = {x.name: getattr(x, what) for x in layers if getattr(x, what) is not None}
    outputs = [meta.score.name, *tensors.values()]
    feeds = {**feeds, **_unasked(artifact, meta, layers)}
    runs = [
        run(artifact, outputs, {**feeds, meta.class_weights: rows, meta.region: region})
        for rows, region in asked
    ]
    found = {
        name: np.concatenate([run[tensor] for run in runs]).astype(np.float64)
        for name, tensor in tensors.items()
    }
    return found, runs[0][meta.score.name]


def _unasked(artifact: Runs, meta: Artifact, asked: Sequence[Layer]) -> Feeds:
    """What the inputs get that say which layers are asked for, and that no channel is left out."""
    feeds: Feeds = nothing_left_out(artifact, meta)
    if meta.mask is not None:
        feeds[meta.mask] = np.array([layer in asked for layer in meta.targets])
    return feeds


def nothing_left_out(artifact: Runs, meta: Artifact) -> Feeds:
    """What the inputs get that leave channels out, where no ablation is asked for: [0, C]."""
    feeds: Feeds = {}
    for name in {layer.keep or "" for layer in meta.layers} & set(artifact.inputs):
        channels = artifact.inputs[name].shape[1]
        feeds[name] = np.zeros((0, channels if isinstance(channels, int) else 0), np.float32)
    return feeds


def _same_alone(
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    weights: Mapping[str, Doubles],
) -> None:
    """Compares the weights of each layer, asked for alone, with those of all together."""
    for layer in meta.targets if meta.mask is not None else ():
        alone, _ = _ask_artifact(artifact, meta, feeds, questions, [layer])
        own, together = alone[layer.name], weights[layer.name]
        difference = np.abs(own - together).max() if own.shape == together.shape else np.inf
        if not difference <= SAME * np.abs(together).max():
            raise VerificationError(
                f"the weights at {layer.name!r} are others where that layer alone is asked for, "
                "so no artifact is made; export it with one feature layer, and please report the "
                "network"
            )


def _same_means(wholes: Mapping[str, Doubles], weights: Mapping[str, Doubles]) -> None:
    """Compares the mean over space of whole gradients [K, N, C, *space] with the weights."""
    for name, whole in wholes.items():
        means = whole.mean(axis=tuple(range(3, whole.ndim)))
        scale = np.abs(weights[name]).max(initial=0)
        if not np.abs(means - weights[name]).max(initial=0) <= SAME * scale:
            raise VerificationError(
                f"the artifact's weights at {name!r} are not the means of its gradients, so no "
                "artifact is made; export without methods, and please report the network"
            )


def _same_maps(artifact: Runs, meta: Artifact, feeds: Feeds, questions: Questions) -> None:
    """Compares the artifact's maps with those of its features and weights."""
    rows = questions.class_weights[: questions.whole]
    one = np.ones((1, 1, *[1] * (questions.regions.ndim - 2)), np.float32)
    asked = {
        **feeds,
        meta.class_weights: rows,
        meta.region: one,
        **_unasked(artifact, meta, meta.layers),
    }
    for layer in meta.layers:
        if layer.map is None:
            continue
        found = run(artifact, [layer.name, layer.weights, layer.map], asked)
        a = np.moveaxis(found[layer.name], layer.channel_axis, 1).astype(np.float64)
        alphas = found[layer.weights].astype(np.float64)
        own = np.maximum(np.einsum("knc,nc...->kn...", alphas, a), 0)
        scale = np.einsum("knc,nc...->kn...", np.abs(alphas), np.abs(a)).max(initial=0)
        map_ = found[layer.map]
        if map_.shape != own.shape or not np.abs(map_ - own).max(initial=0) <= SAME * scale:
            raise VerificationError(
                f"the artifact's maps {layer.map!r} are not those of its features and weights, so "
                "no artifact is made; export without maps, and please report the network"
            )


def _same_score(plain: Array, own: Array, meta: Artifact) -> None:
    difference = np.abs(plain.astype(np.float64) - own).max(initial=0)
    scale = np.abs(plain).max(initial=0)
    if plain.shape != own.shape or not difference <= SAME * scale:
        raise VerificationError(
            f"the artifact's score {meta.score.name!r} is not the network's (it differs by "
            f"{difference:.1e} of {scale:.1e}), so no artifact is made; please report the network"
        )


def _same_outputs(
    source: ir.Model, artifact: Runs, meta: Artifact, feeds: Feeds, questions: Questions
) -> None:
    """Compares a network's float outputs with its artifact's, asked nothing (K = 0)."""
    session = open_session(source)
    floats = [n for n, slot in session.outputs.items() if slot.dtype in (np.float32, np.float64)]
    nothing = {
        meta.class_weights: questions.class_weights[:0],
        meta.region: np.ones((0, 1, *[1] * (questions.regions.ndim - 2)), np.float32),
        **_unasked(artifact, meta, ()),
    }
    before = run(session, floats, feeds)
    after = run(artifact, floats, {**feeds, **nothing})
    for name in floats:
        difference = np.abs(before[name] - after[name]).max(initial=0)
        if not difference <= SAME * np.abs(before[name]).max(initial=0):
            raise VerificationError(
                f"raising the network's opset changes its output {name!r} by {difference:.1e}, "
                "so no artifact is made; export it again with opset 18 or later"
            )


# ---- Central differences --------------------------------------------------------------------


class Tail:
    """The part of a network from a feature layer to the score, as a network of its own.

    Attributes:
        layer: the feature layer, its first input.
        needs: its other inputs: tensors of the network that do not depend on the layer.
        end: what it computes in float32: the logits of a softmax or sigmoid, or the score itself.
    """

    def __init__(self, network: ir.Model, score: str, layer: Layer) -> None:
        self.layer = layer
        value, target = tensor(network, layer.name), find(network, score)
        self._finish, target = _finish(target, value)
        self.end = target.name or ""
        nodes = between(network.graph, value, target)
        self.needs = [read.name or "" for read in read_beside(nodes, value)]
        self._session = open_session(part(network, [layer.name, *self.needs], [self.end]))

    def run(self, features: Array, plain: Mapping[str, Array]) -> Doubles:
        """The score that follows from these features, in float64."""
        feeds = {name: plain[name] for name in self.needs}
        feeds[self.layer.name] = features
        end = run(self._session, [self.end], feeds)[self.end].astype(np.float64)
        return end if self._finish is None else self._finish(end)

    def rounding(self, plain: Mapping[str, Array]) -> float:
        """The norm of what single precision leaves open of the score."""
        unit = plain[self.end].astype(np.float64) * np.finfo(np.float32).eps
        if self._finish is not None:
            score = self._finish(plain[self.end].astype(np.float64))
            unit *= score * (1 - score)  # the slope of a softmax or sigmoid
        return float(np.linalg.norm(unit))


def _finish(
    score: ir.Value, layer: ir.Value
) -> tuple[Callable[[Doubles], Doubles] | None, ir.Value]:
    """The softmax or sigmoid that gives the score, if one does, and what the tail ends in."""
    node = score.producer()
    logits = node.inputs[0] if node is not None and node.inputs else None
    if node is None or logits is None or node.domain or score is layer:
        return None, score
    if node.op_type == "Softmax":
        axis = node.attributes.get_int("axis", -1)

        def softmax(x: Doubles) -> Doubles:
            exponential = np.exp(x - x.max(axis, keepdims=True))
            return np.asarray(exponential / exponential.sum(axis, keepdims=True))

        return softmax, logits
    if node.op_type == "Sigmoid":
        return lambda x: np.asarray(0.5 + 0.5 * np.tanh(x / 2)), logits
    return None, score


def run_plain(
    network: ir.Model, meta: Artifact, tails: Sequence[Tail], feeds: Feeds
) -> dict[str, Array]:
    """The score, the features and what the tails need, for the trial pictures."""
    wanted = [meta.score.name, *(layer.name for layer in meta.layers)]
    wanted += [name for tail in tails for name in (*tail.needs, tail.end)]
    wanted = list(dict.fromkeys(wanted))
    computed = [name for name in wanted if name not in feeds]
    session = open_session(part(network, list(feeds), computed))
    return {**feeds, **run(session, computed, feeds)}


def run(session: Runs, outputs: list[str], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of a session, of these feeds those that it takes.

    Raises:
        ModelError: it does not run on them.
    """
    try:
        return session.run(outputs, {k: v for k, v in feeds.items() if k in session.inputs})
    except RunError as error:
        picture = max(feeds.values(), key=np.size)
        raise ModelError(
            f"the network does not run on trial input of shape {list(picture.shape)}: {error}; "
            "say the size it takes (size=, divisor=)"
        ) from error


def _measure(
    tail: Tail,
    meta: Artifact,
    plain: Mapping[str, Array],
    questions: Questions,
    shifts: Sequence[tuple[Doubles, Doubles]],
) -> tuple[float, int]:
    """The largest relative error along shifts at one layer, and how many of them tell.

    Args:
        tail: from the layer on.
        meta: the artifact's metadata.
        plain: what the network computes on the trial picture.
        questions: what is asked.
        shifts: directions [C, *space], each extent of space full or 1, each with what the
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
    for direction, said in shifts:
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


def _shifts(weights: Doubles) -> list[tuple[Doubles, Doubles]]:
    """Directions [C]: the channels that count most for the questions [K, N, C], and mixtures."""
    channels = weights.shape[2]
    random = np.random.default_rng(SEED)
    largest = np.abs(weights).max(axis=(0, 1))
    most = np.argsort(-largest, kind="stable")[:CHANNELS]
    mixtures = random.standard_normal((MIXTURES, channels)) / channels**0.5
    return [(along, weights @ along) for along in (*np.eye(channels)[most], *mixtures)]


def _shifts_in_space(gradients: Doubles) -> list[tuple[Doubles, Doubles]]:
    """Directions [C, *space]: those of :func:`_shifts`, each in a corner of its own.

    Shifts that are the same all over a corner leave level what lies level, as a ReLU's zeros do:
    which of these a MaxPool takes is as good as any, until they are shifted apart.
    """
    _, _, channels, *space = gradients.shape
    cells = gradients.mean(axis=tuple(range(3, gradients.ndim)))
    shifts = []
    for i, (along, _) in enumerate(_shifts(cells)):
        ends = [(i >> axis) % 2 for axis in range(len(space))]
        corner = np.zeros(space)
        corner[
            tuple(
                np.s_[e // 2 :] if end else np.s_[: e // 2]
                for e, end in zip(space, ends, strict=True)
            )
        ] = 1
        v = along.reshape(channels, *[1] * len(space)) * corner
        shifts.append((v, np.tensordot(gradients, v, v.ndim)))
    return shifts


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
            "so no artifact is made; does the network expect other input (scale=, mean=, std=)?"
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
            "is saturated; try score='logits' or another layer, or export with verify=False"
        )
    if len(errors) < ENOUGH * len(measured):
        raise GradientError(
            f"central differences cannot measure the gradient at {name!r}: the score is too rough "
            "on the trial picture; export with verify=False to go without this check"
        )
    return max(errors), len(errors)


def _relative(difference: Doubles, size: Doubles) -> float:
    """The root mean square of differences in units of sizes, where nothing is 0 of nothing."""
    nothing = (difference == 0) & (size == 0)
    with np.errstate(divide="ignore"):
        parts = np.divide(difference, size, out=np.zeros_like(size), where=~nothing)
    return float(np.sqrt(np.mean(parts**2)))


# ---- Batches --------------------------------------------------------------------------------


def _isolation(
    network: ir.Model,
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    weights: Mapping[str, Doubles],
) -> float | None:
    """How much a picture's weights change beside another one, or None where it has to be alone."""
    batch = next(v for v in network.graph.inputs if v.name == meta.picture).shape
    if batch is None or isinstance(batch[0], int):
        return None
    pair = trial_feeds(network, meta.picture, meta.expects.preprocess, batch=2, seed=SEED + 1)
    largest = 0.0
    for place in (0, 1):
        beside = {name: _placed(feeds[name], value, place) for name, value in pair.items()}
        weights_beside, _ = _ask_artifact(artifact, meta, beside, questions, meta.targets)
        for layer in meta.targets:
            alone, now = weights[layer.name][:, 0], weights_beside[layer.name][:, place]
            change = np.abs(now - alone).max() / (np.abs(alone).max() or 1.0)
            if not change <= SAME:
                raise VerificationError(
                    f"a picture's weights at {layer.name!r} change by {change:.1e} beside another "
                    "picture: the network mixes the pictures of a batch, so no artifact is made; "
                    "export it with a batch of one"
                )
            largest = max(largest, float(change))
    return largest


def _placed(alone: Array, pair: Array, place: int) -> Array:
    """The pair with what belongs to the one picture in its place; else what is common to both."""
    if alone.shape == pair.shape:
        return alone
    placed = pair.copy()
    placed[place] = alone[0]
    return placed
