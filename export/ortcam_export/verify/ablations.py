"""Truth of ablations: the artifact's drops against the network's own tail, run on what is left."""

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
from ortcam_export.verify.network_tail import Array, Tail, run, run_plain
from ortcam_export.verify.questions import Questions, ask, nothing_left_out

__all__ = ["verify_ablations"]

Doubles = NDArray[np.float64]


def verify_ablations(network: ir.Model, artifact: Runs, meta: Artifact) -> None:
    """Checks what an artifact's answers drop by where channels are left out.

    Args:
        network: the prepared network with its score.
        artifact: the artifact, opened.
        meta: its metadata.

    Raises:
        ModelError: the network, or the artifact, does not run on the trial picture.
        VerificationError: the drops are not the network's.
    """
    layers = [layer for layer in meta.layers if layer.keep is not None]
    tails = [Tail(network, meta.score.name, layer) for layer in layers]
    feeds = trial_feeds(network, meta.picture, meta.expects.preprocess, batch=2, seed=SEED)
    plain = run_plain(network, meta, tails, feeds)
    score = np.moveaxis(plain[meta.score.name], meta.score.class_axis, 1)
    questions = ask(score.astype(np.float64))
    for tail in tails:
        keep = _kept(plain[tail.layer.name].shape[tail.layer.channel_axis])
        expected = np.stack([_dropped(tail, meta, questions, plain, row) for row in keep], axis=1)
        parts = [keep] if tail.layer.together else [row[None] for row in keep]
        found = np.concatenate(
            [_asked(artifact, meta, tail.layer, questions, feeds, rows) for rows in parts], axis=1
        )
        scale = np.abs(expected).max(initial=0)
        if not np.abs(found - expected).max(initial=0) <= SAME * scale:
            raise VerificationError(
                f"leaving channels of {tail.layer.name!r} out changes the score otherwise in the "
                "artifact than in the network, so no artifact is made; export without "
                "ablation-cam, and please report the network"
            )


def _kept(channels: int) -> NDArray[np.float32]:
    """Three ablations [3, C]: of a channel, of every other one, and of a random half."""
    one = np.ones(channels, np.float32)
    one[0] = 0
    random = np.random.default_rng(SEED).integers(0, 2, channels).astype(np.float32)
    return np.stack([one, np.arange(channels, dtype=np.float32) % 2, random])


def _dropped(
    tail: Tail, meta: Artifact, questions: Questions, plain: Mapping[str, Array], keep: Array
) -> Doubles:
    """[K, N] by the network's tail."""
    features = plain[tail.layer.name]
    rank, axis = features.ndim, tail.layer.channel_axis
    over = keep.reshape([-1 if i == axis else 1 for i in range(rank)]).astype(features.dtype)
    change = tail.run(features, plain) - tail.run(features * over, plain)
    return questions.reduce(np.moveaxis(change, meta.score.class_axis, 1))


def _asked(
    artifact: Runs,
    meta: Artifact,
    layer: Layer,
    questions: Questions,
    feeds: Feeds,
    keep: NDArray[np.float32],
) -> Doubles:
    """[K, B, N] by the artifact."""
    assert layer.drops is not None
    kept = {**nothing_left_out(artifact, meta), layer.keep or "": keep}
    space = questions.regions.ndim - 2
    whole, everywhere = questions.whole, np.ones((1, 1, *[1] * space), np.float32)
    asked = [(questions.class_weights[:whole], everywhere)]
    if len(questions.regions):
        asked.append((questions.class_weights[whole:], questions.regions))
    found = []
    for rows, region in asked:
        question = {meta.class_weights: rows, meta.region: region, **kept}
        if meta.mask is not None:
            question[meta.mask] = np.zeros(len(meta.targets), bool)
        found.append(run(artifact, [layer.drops], {**feeds, **question})[layer.drops])
    return np.concatenate(found).astype(np.float64)
