"""Ablations: the artifact's drops against the network's own tail, run without the channels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ortcam.artifact import Artifact, Layer
from ortcam.errors import VerificationError
from ortcam.inference.two_part import Runs
from ortcam_export.trials.inputs import SEED, Feeds, trial_feeds
from ortcam_export.verify.consistency import SAME
from ortcam_export.verify.network_tail import Tail, run_plain
from ortcam_export.verify.questions import Questions, ask, no_ablations
from ortcam_export.verify.run import Array, Doubles, run

__all__ = ["verify_ablations"]


def verify_ablations(network: ir.Model, artifact: Runs, meta: Artifact) -> None:
    """Check an artifact's drops, the change of its answers without some channels.

    Args:
        network: the prepared network with its score.
        artifact: the artifact, opened.
        meta: its metadata.

    Raises:
        ModelError: the network, or the artifact, does not run on the trial picture.
        VerificationError: the drops differ from the network's.
    """
    layers = [layer for layer in meta.layers if layer.keep is not None]
    tails = [Tail(network, meta.score.name, layer) for layer in layers]
    feeds = trial_feeds(network, meta.picture, meta.expects.preprocess, batch=2, seed=SEED)
    plain = run_plain(network, meta, tails, feeds)
    score = np.moveaxis(plain[meta.score.name], meta.score.class_axis, 1)
    questions = ask(score.astype(np.float64))
    for tail in tails:
        keep = _ablations(plain[tail.layer.name].shape[tail.layer.channel_axis])
        expected = [_drops_of_network(tail, meta, questions, plain, row) for row in keep]
        batches = [keep] if tail.layer.together else [row[None] for row in keep]
        ladders = [
            _drops_of_artifact(artifact, meta, tail.layer, questions, feeds, rows)
            for rows in batches
        ]
        difference = np.concatenate(ladders, axis=1) - np.stack(expected, axis=1)
        # each drop is the difference of two rounded scores
        unseen = 2 * tail.rounding(plain)
        scale = np.abs(expected).max(initial=0)
        if not np.abs(difference).max(initial=0) <= SAME * scale + unseen:
            raise VerificationError(
                f"leaving out channels of {tail.layer.name!r} changes the score differently in the "
                "artifact and in the network, so no artifact is made; export without "
                "ablation-cam, and please report the network"
            )


def _ablations(channels: int) -> NDArray[np.float32]:
    """Three ablations [3, C]: of one channel, of every other one, and of a random half."""
    one = np.ones(channels, np.float32)
    one[0] = 0
    random = np.random.default_rng(SEED).integers(0, 2, channels).astype(np.float32)
    return np.stack([one, np.arange(channels, dtype=np.float32) % 2, random])


def _drops_of_network(
    tail: Tail, meta: Artifact, questions: Questions, plain: Mapping[str, Array], keep: Array
) -> Doubles:
    """The drops [K, N] of one ablation, by the network's tail."""
    features = plain[tail.layer.name]
    rank, axis = features.ndim, tail.layer.channel_axis
    factors = keep.reshape([-1 if i == axis else 1 for i in range(rank)]).astype(features.dtype)
    change = tail.run(features, plain) - tail.run(features * factors, plain)
    return questions.reduce(np.moveaxis(change, meta.score.class_axis, 1))


def _drops_of_artifact(
    artifact: Runs,
    meta: Artifact,
    layer: Layer,
    questions: Questions,
    feeds: Feeds,
    keep: NDArray[np.float32],
) -> Doubles:
    """The drops [K, B, N], by the artifact."""
    assert layer.drops is not None
    feeds = {**feeds, **no_ablations(artifact, meta), layer.keep or "": keep}
    if meta.mask is not None:
        feeds[meta.mask] = np.zeros(len(meta.targets), bool)
    drops = [
        run(artifact, [layer.drops], {**feeds, meta.class_weights: rows, meta.region: region})
        for rows, region in questions.batches()
    ]
    return np.concatenate([results[layer.drops] for results in drops]).astype(np.float64)
