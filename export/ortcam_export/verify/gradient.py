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

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from ortcam.artifact import Artifact, Verification
from ortcam.inference.two_part import Runs
from ortcam.messages import Message, Option
from ortcam_export.trials.inputs import Feeds, trial_feeds
from ortcam_export.verify.central_differences import (
    TOLERANCE,
    GradientError,
    measure,
    shifts,
    shifts_in_space,
)
from ortcam_export.verify.consistency import (
    measure_isolation,
    same_alone,
    same_maps,
    same_means,
    same_outputs,
    same_score,
)
from ortcam_export.verify.network_tail import Array, Doubles, Tail, run_plain
from ortcam_export.verify.questions import Questions, ask, ask_artifact

__all__ = ["errors", "verify"]


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
    weights, own_score = ask_artifact(artifact, meta, feeds, questions, meta.targets)
    wholes, _ = ask_artifact(artifact, meta, feeds, questions, meta.targets, "grad")
    same_means(wholes, weights)
    same_score(plain[meta.score.name], own_score, meta)
    same_alone(artifact, meta, feeds, questions, weights)
    same_maps(artifact, meta, feeds, questions)
    if raised_from is not None:
        same_outputs(raised_from, artifact, meta, feeds, questions)
    error, directions = 0.0, 0
    for tail in tails:
        measured, judged = _error(tail, meta, plain, questions, weights, wholes)
        if not measured <= TOLERANCE:  # also where it is no number
            raise GradientError(
                f"the exported gradient at {tail.layer.name!r} is off by {measured:.1e} from "
                f"central differences (tolerance {TOLERANCE:g}), so no artifact is made; ",
                "please report the network"
                if meta.engine == "ortcam"
                else Message("export with ", Option("engine", "ortcam")),
            )
        error, directions = max(error, measured), directions + judged
    isolation = measure_isolation(network, artifact, meta, feeds, questions, weights)
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
    weights, _ = ask_artifact(artifact, meta, feeds, questions, meta.layers)
    wholes, _ = ask_artifact(artifact, meta, feeds, questions, meta.layers, "grad")
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
    measured, judged = measure(tail, meta, plain, questions, shifts(weights[name]))
    if name in wholes:
        more = measure(tail, meta, plain, questions, shifts_in_space(wholes[name]))
        measured, judged = max(measured, more[0]), judged + more[1]
    return measured, judged
