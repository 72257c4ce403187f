"""The artifact's gradients against central differences through the network itself.

An artifact holds, for each feature layer, the spatial mean of the gradient. So a feature layer L is
shifted by a constant for each channel, L + t v, and the rest of the network (its tail) runs on the
shifted features in onnxruntime, with none of the gradient's operators:

    (y(L + t v) - y(L - t v)) / 2t   against   sum over c of v_c * H * W * weights_c,

for single channels, those with the largest weights, and for random mixtures of all. If the artifact
holds the whole gradient too, its mean over space must equal the weights, and L is also shifted in
its corners:

    (y(L + t v) - y(L - t v)) / 2t   against   sum over c and space of v * gradient.

The tail runs in float32, so differences are taken pixel by pixel and summed in float64: pixels that
a shift does not affect then cancel exactly. A softmax or sigmoid at its end is computed in float64:
in an untrained head, the change of the logits is far below the last digit of a probability in
float32. Two errors remain: rounding, which grows as the step shrinks, and the kinks of ReLU and
MaxPool, whose share grows with the step. So each direction is measured at ever finer steps until
two neighbours agree, and the two that agree best over all questions give its value; the artifact
has no influence on that. The difference between these two is the measurement's own uncertainty: a
direction is judged only if it lies well within the tolerance, and a layer counts as not verified if
fewer than half of its directions can be judged.

A batch is checked through its first picture: its weights are the same alone, before another
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
from ortcam_export.verify.network_tail import Tail, run_plain
from ortcam_export.verify.questions import Questions, ask, ask_artifact
from ortcam_export.verify.run import Array, Doubles

__all__ = ["errors", "verify"]


def verify(
    network: ir.Model, artifact: Runs, meta: Artifact, raised_from: ir.Model | None = None
) -> Verification:
    """Check an artifact against the network that it was made from.

    Args:
        network: the prepared network with its score, before the gradient was appended.
        artifact: the artifact, opened.
        meta: its metadata.
        raised_from: the network before its opset was raised, if it was, to compare its outputs
            with the artifact's.

    Returns:
        The measurements.

    Raises:
        GradientError: the gradient's error exceeds the tolerance, or cannot be measured.
        VerificationError: the artifact's score differs from the network's, or the network mixes
            the pictures of a batch.
        ModelError: the network does not run on the trial pictures.
    """
    feeds = trial_feeds(network, meta.picture, meta.expects.preprocess, batch=1)
    tails = [Tail(network, meta.score.name, layer) for layer in meta.targets]
    plain = run_plain(network, meta, tails, feeds)
    questions = ask(np.moveaxis(plain[meta.score.name], meta.score.class_axis, 1))
    weights, score = ask_artifact(artifact, meta, feeds, questions, meta.targets)
    gradients, _ = ask_artifact(artifact, meta, feeds, questions, meta.targets, "grad")
    same_means(gradients, weights)
    same_score(plain[meta.score.name], score, meta)
    same_alone(artifact, meta, feeds, questions, weights)
    same_maps(artifact, meta, feeds, questions)
    if raised_from is not None:
        same_outputs(raised_from, artifact, meta, feeds, questions)
    error, directions = 0.0, 0
    for tail in tails:
        measured, judged = _error(tail, meta, plain, questions, weights, gradients)
        if not measured <= TOLERANCE:  # also if it is not a number
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
    """Measure the gradient's error on a picture, without judging it.

    Args:
        network: the network with its score, without the gradient.
        artifact: the artifact, opened.
        meta: its metadata.
        feeds: the network's inputs.

    Returns:
        For each feature layer, the largest relative error and the number of directions measured.

    Raises:
        GradientError: an error cannot be measured.
        ModelError: the network does not run on this input.
    """
    tails = [Tail(network, meta.score.name, layer) for layer in meta.layers]
    plain = run_plain(network, meta, tails, feeds)
    questions = ask(np.moveaxis(plain[meta.score.name], meta.score.class_axis, 1))
    weights, _ = ask_artifact(artifact, meta, feeds, questions, meta.layers)
    gradients, _ = ask_artifact(artifact, meta, feeds, questions, meta.layers, "grad")
    return {
        tail.layer.name: _error(tail, meta, plain, questions, weights, gradients) for tail in tails
    }


def _error(
    tail: Tail,
    meta: Artifact,
    plain: Mapping[str, Array],
    questions: Questions,
    weights: Mapping[str, Doubles],
    gradients: Mapping[str, Doubles],
) -> tuple[float, int]:
    """The largest relative error of a layer's weights and gradient, and the directions judged."""
    name = tail.layer.name
    error, judged = measure(tail, meta, plain, questions, shifts(weights[name]))
    if name in gradients:
        further = measure(tail, meta, plain, questions, shifts_in_space(gradients[name]))
        error, judged = max(error, further[0]), judged + further[1]
    return error, judged
