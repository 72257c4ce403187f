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

__all__ = ["Questions", "ask", "ask_artifact", "no_ablations", "selection"]

#: The number of classes asked about.
CLASSES = 3


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
        batches = [(self.class_weights[: self.whole], self.everywhere)]
        if len(self.regions):
            batches.append((self.class_weights[self.whole :], self.regions))
        return batches

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


def ask(score: Array) -> Questions:
    """Return questions about a score [N, C, *space].

    Each of the classes that hold most of the score; the first of these rather than the second;
    and the first two in a box each, with a random weight for every cell.
    """
    classes = score.shape[1]
    shares = score.mean(axis=(0, *range(2, score.ndim)))
    largest = [int(c) for c in np.argsort(-shares, kind="stable")[:CLASSES]]
    rows = [*np.eye(classes, dtype=np.float32)[largest]]
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


def ask_artifact(
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    layers: Sequence[Layer],
    tensor: str = "weights",
) -> tuple[dict[str, Doubles], Array]:
    """Return these layers' weights [K, N, C], and the artifact's score.

    With ``tensor="grad"``, whole gradients [K, N, C, *space] of the layers that have them.
    """
    names = {x.name: getattr(x, tensor) for x in layers if getattr(x, tensor) is not None}
    outputs = [meta.score.name, *names.values()]
    feeds = {**feeds, **selection(artifact, meta, layers)}
    runs = [
        run(artifact, outputs, {**feeds, meta.class_weights: rows, meta.region: region})
        for rows, region in questions.batches()
    ]
    answers = {
        layer: np.concatenate([results[name] for results in runs]).astype(np.float64)
        for layer, name in names.items()
    }
    return answers, runs[0][meta.score.name]


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
