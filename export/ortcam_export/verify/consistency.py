"""Agreement of an artifact with itself and with its network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from ortcam.artifact import Artifact
from ortcam.errors import VerificationError
from ortcam.inference.two_part import Runs
from ortcam_export.graph.model_io import open_session
from ortcam_export.trials.inputs import SEED, Feeds, trial_feeds
from ortcam_export.verify.questions import Questions, ask_artifact, selection
from ortcam_export.verify.run import Array, Doubles, run

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
    """Compare the weights of each layer, selected alone, with those of all together."""
    for layer in meta.targets if meta.mask is not None else ():
        answers, _ = ask_artifact(artifact, meta, feeds, questions, [layer])
        alone, together = answers[layer.name], weights[layer.name]
        difference = np.abs(alone - together).max() if alone.shape == together.shape else np.inf
        if not difference <= SAME * np.abs(together).max():
            raise VerificationError(
                f"the weights at {layer.name!r} change when that layer is selected alone, so no "
                "artifact is made; export with one feature layer, and please report the network"
            )


def same_means(gradients: Mapping[str, Doubles], weights: Mapping[str, Doubles]) -> None:
    """Compare the mean over space of whole gradients [K, N, C, *space] with the weights."""
    for name, gradient in gradients.items():
        means = gradient.mean(axis=tuple(range(3, gradient.ndim)))
        scale = np.abs(weights[name]).max(initial=0)
        if not np.abs(means - weights[name]).max(initial=0) <= SAME * scale:
            raise VerificationError(
                f"the artifact's weights at {name!r} are not the means of its gradients, so no "
                "artifact is made; export without methods, and please report the network"
            )


def same_maps(artifact: Runs, meta: Artifact, feeds: Feeds, questions: Questions) -> None:
    """Compare the artifact's maps with those of its features and weights."""
    feeds = {
        **feeds,
        meta.class_weights: questions.class_weights[: questions.whole],
        meta.region: questions.everywhere,
        **selection(artifact, meta, meta.layers),
    }
    for layer in meta.layers:
        if layer.map is None:
            continue
        results = run(artifact, [layer.name, layer.weights, layer.map], feeds)
        a = np.moveaxis(results[layer.name], layer.channel_axis, 1).astype(np.float64)
        alphas = results[layer.weights].astype(np.float64)
        expected = np.maximum(np.einsum("knc,nc...->kn...", alphas, a), 0)
        scale = np.einsum("knc,nc...->kn...", np.abs(alphas), np.abs(a)).max(initial=0)
        maps = results[layer.map]
        if (
            maps.shape != expected.shape
            or not np.abs(maps - expected).max(initial=0) <= SAME * scale
        ):
            raise VerificationError(
                f"the artifact's maps {layer.map!r} are not those of its features and weights, so "
                "no artifact is made; export without maps, and please report the network"
            )


def same_score(plain: Array, score: Array, meta: Artifact) -> None:
    """Compare the artifact's score with the network's."""
    difference = np.abs(plain.astype(np.float64) - score).max(initial=0)
    scale = np.abs(plain).max(initial=0)
    if plain.shape != score.shape or not difference <= SAME * scale:
        raise VerificationError(
            f"the artifact's score {meta.score.name!r} differs from the network's by "
            f"{difference:.1e}, where the largest value is {scale:.1e}, so no artifact is made; "
            "please report the network"
        )


def same_outputs(
    source: ir.Model, artifact: Runs, meta: Artifact, feeds: Feeds, questions: Questions
) -> None:
    """Compare a network's float outputs with those of its artifact without questions (K = 0)."""
    session = open_session(source)
    floats = [n for n, spec in session.outputs.items() if spec.dtype in (np.float32, np.float64)]
    no_questions = {
        meta.class_weights: questions.class_weights[:0],
        meta.region: questions.everywhere[:0],
        **selection(artifact, meta, ()),
    }
    before = run(session, floats, feeds)
    after = run(artifact, floats, {**feeds, **no_questions})
    for name in floats:
        difference = np.abs(before[name] - after[name]).max(initial=0)
        if not difference <= SAME * np.abs(before[name]).max(initial=0):
            raise VerificationError(
                f"raising the network's opset changes its output {name!r} by {difference:.1e}, "
                "so no artifact is made; export the network again with opset 18 or later"
            )


def measure_isolation(
    network: ir.Model,
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    weights: Mapping[str, Doubles],
) -> float | None:
    """The relative change of a picture's weights beside another one; None for a batch of one."""
    batch = next(v for v in network.graph.inputs if v.name == meta.picture).shape
    if batch is None or isinstance(batch[0], int):
        return None
    pair = trial_feeds(network, meta.picture, meta.expects.preprocess, batch=2, seed=SEED + 1)
    largest = 0.0
    for row in (0, 1):
        beside = {name: _with_row(value, row, feeds[name]) for name, value in pair.items()}
        weights_beside, _ = ask_artifact(artifact, meta, beside, questions, meta.targets)
        for layer in meta.targets:
            alone, now = weights[layer.name][:, 0], weights_beside[layer.name][:, row]
            change = np.abs(now - alone).max() / (np.abs(alone).max() or 1.0)
            if not change <= SAME:
                raise VerificationError(
                    f"a picture's weights at {layer.name!r} change by {change:.1e} beside another "
                    "picture: the network mixes the pictures of a batch, so no artifact is made; "
                    "export it with a batch size of 1"
                )
            largest = max(largest, float(change))
    return largest


def _with_row(pair: Array, row: int, alone: Array) -> Array:
    """A pair's input with one picture's in this row; the latter where it has no batch axis."""
    if alone.shape == pair.shape:
        return alone
    replaced = pair.copy()
    replaced[row] = alone[0]
    return replaced
