"""The questions that a verification asks, and the artifact's answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Artifact, Layer
from ortcam.inference.two_part import Runs
from ortcam_export.trials.inputs import SEED, Feeds
from ortcam_export.verify.run import Array, Doubles, run

__all__ = ["Answers", "Questions", "ask", "ask_artifact", "no_ablations", "selection"]

#: The number of classes asked about, of those that hold most of the score.
CLASSES = 2

#: The number of further classes asked about, each the one that a layer moves most.
FURTHER = 8


@dataclass(frozen=True)
class Questions:
    """Questions, all about the whole picture but the last ones, which have regions.

    Attributes:
        class_weights: float32 [K, 1, C].
        regions: float32 [R, 1, *space], of the last R questions.
    """

    class_weights: NDArray[np.float32]
    regions: NDArray[np.float32]

    @property
    def whole(self) -> int:
        """The number of questions about the whole picture."""
        return len(self.class_weights) - len(self.regions)

    @property
    def everywhere(self) -> NDArray[np.float32]:
        """The region of the questions about the whole picture, [1, 1, *1]."""
        return np.ones((1, 1, *[1] * (self.regions.ndim - 2)), np.float32)

    def batches(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Class weights and regions of the questions that one run can answer, in order."""
        whole, rows = self.whole, self.class_weights
        batches = [(rows[:whole], self.everywhere), (rows[whole:], self.regions)]
        return [batch for batch in batches if len(batch[0])]

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


def ask(score: Array, moves: Sequence[Doubles] = (), *, briefly: bool = False) -> Questions:
    """Return questions about a score [N, C, *space].

    Of the classes that a layer moves, each of those that hold most of the score, the first of these
    rather than the second, and the one that each layer moves most; a random mixture of all classes;
    then two mixtures in a box each, with a random weight for every cell.

    Args:
        score: the score.
        moves: for each layer the change of each class's score [C] as it is shifted.
        briefly: True for a single mixture, with a random weight for every cell of the picture.
    """
    classes = score.shape[1]
    random = np.random.default_rng(SEED)

    def mixture() -> NDArray[np.float32]:
        signs = random.choice((-1, 1), classes) * random.uniform(0.5, 1, classes)
        return np.asarray(signs, np.float32)

    space = score.shape[2:]
    rows = [] if briefly and space else _rows(score, moves, mixture())
    regions = []
    if space:
        for low, high in ((0.0, 1.0),) if briefly else ((0.0, 0.6), (0.3, 1.0)):
            region = np.zeros(space, np.float32)
            box = tuple(slice(int(e * low), max(int(e * low) + 1, int(e * high))) for e in space)
            region[box] = random.uniform(0.2, 1, region[box].shape)
            regions.append(region)
            rows.append(mixture())
    stacked = np.stack(regions) if regions else np.zeros((0,), np.float32)
    return Questions(np.stack(rows)[:, None], stacked[:, None])


def _rows(
    score: Array, moves: Sequence[Doubles], mixture: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Class weights of the questions about the whole picture."""
    one = np.eye(score.shape[1], dtype=np.float32)
    shares = score.mean(axis=(0, *range(2, score.ndim)))
    if any(change.any() for change in moves):
        shares = np.where(np.any(moves, axis=0), shares, -np.inf)
    largest = [int(c) for c in np.argsort(-shares, kind="stable")[:CLASSES]]
    first = [c for c in largest if shares[c] > -np.inf]
    rows = [one[c] for c in first]
    if len(one) > 1:
        rows.append(mixture)
    if len(first) > 1:
        rows.append(one[first[0]] - one[first[1]])
    most = dict.fromkeys(int(np.argmax(change)) for change in moves if change.any())
    return [*rows, *(one[c] for c in list(most)[:FURTHER] if c not in first)]


@dataclass(frozen=True)
class Answers:
    """An artifact's answers to questions about a picture.

    Attributes:
        score: the score.
        weights: for each layer, [K, N, C].
        gradients: for each layer with whole gradients, [K, N, C, *space], as the artifact has them.
    """

    score: Array
    weights: dict[str, Doubles]
    gradients: dict[str, Array]


def ask_artifact(
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    layers: Sequence[Layer],
    *,
    whole: bool = False,
    runs_without: bool = False,
) -> Answers:
    """Ask an artifact about these layers; for whole gradients only on request.

    ``runs_without`` says that the network without its gradient has run on these inputs.
    """
    weights = {layer.name: layer.weights for layer in layers}
    gradients = {x.name: x.grad for x in layers if whole and x.grad is not None}
    outputs = [meta.score.name, *weights.values(), *gradients.values()]
    feeds = {**feeds, **selection(artifact, meta, layers)}
    runs = [
        run(
            artifact,
            outputs,
            {**feeds, meta.class_weights: rows, meta.region: region},
            gradient=runs_without,
        )
        for rows, region in questions.batches()
    ]

    def joined(name: str) -> Array:
        parts = [results.pop(name) for results in runs]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    return Answers(
        runs[0][meta.score.name],
        {layer: joined(name).astype(np.float64) for layer, name in weights.items()},
        {layer: joined(name) for layer, name in gradients.items()},
    )


def selection(artifact: Runs, meta: Artifact, layers: Sequence[Layer]) -> Feeds:
    """Feeds that select these layers, and request no ablations."""
    feeds = no_ablations(artifact, meta)
    if meta.mask is not None:
        feeds[meta.mask] = np.array([layer in layers for layer in meta.targets])
    return feeds


def no_ablations(artifact: Runs, meta: Artifact) -> Feeds:
    """Feeds that request no ablations: ``keep`` [0, C] for each layer."""
    feeds: Feeds = {}
    for name in {layer.keep or "" for layer in meta.layers} & set(artifact.inputs):
        channels = artifact.inputs[name].shape[1]
        feeds[name] = np.zeros((0, channels if isinstance(channels, int) else 0), np.float32)
    return feeds
