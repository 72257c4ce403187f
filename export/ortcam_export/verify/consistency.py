"""Whether an artifact agrees with itself and with its network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from ortcam.artifact import Artifact
from ortcam.errors import VerificationError
from ortcam.inference.two_part import Runs
from ortcam_export.graph.model_io import open_session
from ortcam_export.trials.inputs import SEED, Feeds, trial_feeds
from ortcam_export.verify.network_tail import Array, Doubles, run
from ortcam_export.verify.questions import Questions, ask_artifact, unasked

__all__ = [
    "SAME",
    "measure_isolation",
    "same_alone",
    "same_maps",
    "same_means",
    "same_outputs",
    "same_score",
]

#: The largest relative difference between the artifact's score and the network's, and between a
#: picture's weights alone and beside other pictures.
SAME = 1e-3


def same_alone(
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    weights: Mapping[str, Doubles],
) -> None:
    """Compares the weights of each layer, asked for alone, with those of all together."""
    for layer in meta.targets if meta.mask is not None else ():
        alone, _ = ask_artifact(artifact, meta, feeds, questions, [layer])
        own, together = alone[layer.name], weights[layer.name]
        difference = np.abs(own - together).max() if own.shape == together.shape else np.inf
        if not difference <= SAME * np.abs(together).max():
            raise VerificationError(
                f"the weights at {layer.name!r} are others where that layer alone is asked for, "
                "so no artifact is made; export it with one feature layer, and please report the "
                "network"
            )


def same_means(wholes: Mapping[str, Doubles], weights: Mapping[str, Doubles]) -> None:
    """Compares the mean over space of whole gradients [K, N, C, *space] with the weights."""
    for name, whole in wholes.items():
        means = whole.mean(axis=tuple(range(3, whole.ndim)))
        scale = np.abs(weights[name]).max(initial=0)
        if not np.abs(means - weights[name]).max(initial=0) <= SAME * scale:
            raise VerificationError(
                f"the artifact's weights at {name!r} are not the means of its gradients, so no "
                "artifact is made; export without methods, and please report the network"
            )


def same_maps(artifact: Runs, meta: Artifact, feeds: Feeds, questions: Questions) -> None:
    """Compares the artifact's maps with those of its features and weights."""
    rows = questions.class_weights[: questions.whole]
    one = np.ones((1, 1, *[1] * (questions.regions.ndim - 2)), np.float32)
    asked = {
        **feeds,
        meta.class_weights: rows,
        meta.region: one,
        **unasked(artifact, meta, meta.layers),
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


def same_score(plain: Array, own: Array, meta: Artifact) -> None:
    """Compares the artifact's score with the network's."""
    difference = np.abs(plain.astype(np.float64) - own).max(initial=0)
    scale = np.abs(plain).max(initial=0)
    if plain.shape != own.shape or not difference <= SAME * scale:
        raise VerificationError(
            f"the artifact's score {meta.score.name!r} is not the network's (it differs by "
            f"{difference:.1e} of {scale:.1e}), so no artifact is made; please report the network"
        )


def same_outputs(
    source: ir.Model, artifact: Runs, meta: Artifact, feeds: Feeds, questions: Questions
) -> None:
    """Compares a network's float outputs with its artifact's, asked nothing (K = 0)."""
    session = open_session(source)
    floats = [n for n, slot in session.outputs.items() if slot.dtype in (np.float32, np.float64)]
    nothing = {
        meta.class_weights: questions.class_weights[:0],
        meta.region: np.ones((0, 1, *[1] * (questions.regions.ndim - 2)), np.float32),
        **unasked(artifact, meta, ()),
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


def measure_isolation(
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
        weights_beside, _ = ask_artifact(artifact, meta, beside, questions, meta.targets)
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
