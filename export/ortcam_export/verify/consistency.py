"""Agreement of an artifact with itself and with its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ortcam.artifact import Artifact, Layer
from ortcam.errors import VerificationError
from ortcam.inference.session import Session
from ortcam.inference.two_part import Runs
from ortcam.messages import Option
from ortcam_export.graph.model_io import open_session
from ortcam_export.graph.names import find
from ortcam_export.graph.traversal import part
from ortcam_export.trials.inputs import SEED, Feeds, trial_feeds
from ortcam_export.verify.questions import Questions, ask_artifact, selection
from ortcam_export.verify.run import Array, Doubles, run

__all__ = [
    "PREPROCESSING",
    "SAME",
    "finite_score",
    "measure_isolation",
    "same_alone",
    "same_classes",
    "same_maps",
    "same_means",
    "same_outputs",
    "same_score",
]

#: The options of a picture's preprocessing, as parts of a message.
PREPROCESSING = (Option("rescale"), ", ", Option("mean"), ", ", Option("std"))

#: The largest relative difference between the artifact's score and the network's, and between a
#: picture's weights alone and beside other pictures.
SAME = 1e-3

#: Further pictures on which the number of classes must be the same.
OTHERS = 4


def same_alone(
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    weights: Mapping[str, Doubles],
    layers: Sequence[Layer],
) -> None:
    """Compare the weights of layers, each selected alone, with those of all together."""
    for layer in layers if meta.mask is not None else ():
        answers = ask_artifact(artifact, meta, feeds, questions, [layer])
        alone, together = answers.weights[layer.name], weights[layer.name]
        difference = np.abs(alone - together).max() if alone.shape == together.shape else np.inf
        if not difference <= SAME * np.abs(together).max():
            raise VerificationError(
                f"the weights at {layer.name!r} change when that layer is selected alone, so no "
                "artifact is made; export with one feature layer, and please report the network"
            )


def same_means(gradients: Mapping[str, Array], weights: Mapping[str, Doubles]) -> None:
    """Compare the mean over space of whole gradients [K, N, C, *space] with the weights."""
    for name, gradient in gradients.items():
        means = gradient.mean(axis=tuple(range(3, gradient.ndim)), dtype=np.float64)
        scale = np.abs(weights[name]).max(initial=0)
        if not np.abs(means - weights[name]).max(initial=0) <= SAME * scale:
            raise VerificationError(
                f"the artifact's weights at {name!r} are not the means of its gradients, so no "
                "artifact is made; export without methods, and please report the network"
            )


def same_maps(artifact: Runs, meta: Artifact, feeds: Feeds, questions: Questions) -> None:
    """Compare the artifact's maps with those of its features and weights."""
    rows, region = questions.batches()[0]
    feeds = {
        **feeds,
        meta.class_weights: rows,
        meta.region: region,
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


def same_classes(network: ir.Model, meta: Artifact, score: Array) -> None:
    """Refuse a score whose number of classes depends on the picture, such as one for each object.

    Args:
        network: the prepared network with its score.
        meta: the artifact's metadata.
        score: the score on the trial picture.
    """
    name, axis = meta.score.name, meta.score.class_axis
    shape = find(network, name).shape
    if shape is not None and isinstance(shape[axis], int):
        return
    preprocess, lengths = meta.expects.preprocess, [score.shape[axis]]
    session: Session | None = None
    for seed in range(SEED + 1, SEED + 1 + OTHERS):
        other = trial_feeds(network, meta.picture, preprocess, batch=1, seed=seed)
        session = session or open_session(part(network, list(other), [name]))
        lengths.append(run(session, [name], other)[name].shape[axis])
    if min(lengths) < max(lengths):
        raise VerificationError(
            f"axis {axis} of the score {name!r} has length {min(lengths)} on one trial picture and "
            f"{max(lengths)} on another, so it holds no classes (but what is left of a selection, "
            "such as keypoints or boxes), and no artifact is made; name a tensor before the "
            "selection by ",
            Option("reduction_layer"),
        )


def finite_score(score: Array, meta: Artifact) -> None:
    """Refuse a network whose score is no number on the trial picture."""
    kinds = ("not a number (NaN)", np.isnan), ("infinite", np.isinf)
    for words, test in kinds:
        share = float(np.mean(test(score)))
        if share > 0:
            raise VerificationError(
                f"the network's score {meta.score.name!r} is {words} at {share:.0%} of its values "
                "on the trial picture, so no artifact is made; check the network's weights, and "
                "the preprocessing that it expects (",
                *PREPROCESSING,
                ")",
            )


def same_outputs(
    source: ir.Model, artifact: Runs, meta: Artifact, feeds: Feeds, questions: Questions
) -> None:
    """Compare a network's outputs with those of its artifact without questions (K = 0).

    Numbers may differ by rounding. Whole numbers, such as the classes of an ArgMax, are compared
    where there are no others; one in a thousand may be the other side of a tie.
    """
    session = open_session(source)
    kinds = {name: np.dtype(spec.dtype or str).kind for name, spec in session.outputs.items()}
    names = [name for name, kind in kinds.items() if kind == "f"]
    names = names or [name for name, kind in kinds.items() if kind in "iub"]
    if not names:
        return
    no_questions = {
        meta.class_weights: questions.class_weights[:0],
        meta.region: questions.everywhere[:0],
        **selection(artifact, meta, ()),
    }
    before = run(session, names, feeds)
    after = run(artifact, names, {**feeds, **no_questions})
    for name in names:
        change = _change(before[name], after[name])
        if not change <= SAME:
            raise VerificationError(
                f"raising the network's opset changes its output {name!r} by {change:.1e} of its "
                "size, so no artifact is made; export the network again with opset 18 or later"
            )


def _change(before: Array, after: Array) -> float:
    """The largest change relative to the largest value, or the share of changed whole numbers."""
    if before.shape != after.shape:
        return float("inf")
    if before.dtype.kind != "f":
        return float(np.mean(before != after)) if before.size else 0.0
    difference = np.abs(before - after).max(initial=0)
    return float(difference / (np.abs(before).max(initial=0) or 1.0))


def measure_isolation(
    network: ir.Model,
    artifact: Runs,
    meta: Artifact,
    feeds: Feeds,
    questions: Questions,
    weights: Mapping[str, Doubles],
    rows: Sequence[int],
) -> float | None:
    """The relative change of a picture's weights beside another one; None for a batch of one.

    It stands first or second in the batch, as ``rows`` say.
    """
    batch = next(v for v in network.graph.inputs if v.name == meta.picture).shape
    if batch is None or isinstance(batch[0], int):
        return None
    pair = trial_feeds(network, meta.picture, meta.expects.preprocess, batch=2, seed=SEED + 1)
    largest = 0.0
    for row in rows:
        beside = {name: _with_row(value, row, feeds[name]) for name, value in pair.items()}
        answers = ask_artifact(artifact, meta, beside, questions, meta.targets)
        for layer in meta.targets:
            alone, both = weights[layer.name], answers.weights[layer.name]
            frames = alone.shape[1]
            now = both[:, row * frames : (row + 1) * frames]
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
