"""The questions that a verification asks, and the artifact's answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Artifact, Layer
from ortcam.inference.two_part import Runs
from ortcam_export.trials.inputs import SEED, Feeds
from ortcam_export.verify.network_tail import Array, Doubles, run

__all__ = ["Questions", "ask", "ask_artifact", "nothing_left_out", "unasked"]

CLASSES = 3  # classes asked for


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


def ask_artifact(
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
    feeds = {**feeds, **unasked(artifact, meta, layers)}
    runs = [
        run(artifact, outputs, {**feeds, meta.class_weights: rows, meta.region: region})
        for rows, region in asked
    ]
    found = {
        name: np.concatenate([run[tensor] for run in runs]).astype(np.float64)
        for name, tensor in tensors.items()
    }
    return found, runs[0][meta.score.name]


def unasked(artifact: Runs, meta: Artifact, asked: Sequence[Layer]) -> Feeds:
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
