"""The artifact's gradients against central differences through the network itself.

An artifact holds, for each feature layer, the spatial mean of the gradient. So a feature layer L is
shifted by a constant for each channel, L + t v, and the rest of the network (its tail) runs on the
shifted features in onnxruntime, with none of the gradient's operators:

    (y(L + t v) - y(L - t v)) / 2t   against   sum over c of v_c * H * W * weights_c,

for single channels, those with the largest weights, and for random mixtures of all. If the artifact
holds the whole gradient, its mean over space must equal the weights, and L is shifted part by part
of space, and in its corners:

    (y(L + t v) - y(L - t v)) / 2t   against   sum over c and space of v * gradient.

Kinks of ReLU, MaxPool and the like would be the largest error of such differences. The tail has
none: it holds the pattern that the activations have on the trial picture
(:mod:`ortcam_export.verify.held_pattern`), and must give the network's own score there. So what a
difference shows is an error of the gradient or of the measurement, and no kink.

The tail runs in float32, so differences are taken pixel by pixel and summed in float64: pixels that
a shift does not affect then cancel exactly. A softmax or sigmoid at its end is differentiated in
float64: in an untrained head, the change of the logits is far below the last digit of a probability
in float32. Where the tail is affine, as behind most convolutions, a long step is exact, and its two
halves say how far it is rounded. Elsewhere, such as in attention, each direction is measured at
ever finer steps until two neighbours agree, and the two that agree best over all questions give its
value; the artifact has no influence on that. The difference between these two is the measurement's
own uncertainty: a direction is judged only if it lies well within the tolerance, and a layer counts
as not verified if fewer than half of its directions can be judged. It is then measured again in
float64 (:mod:`ortcam_export.verify.forms.in_float64`): beside the bias of a new detector's head, or
behind a scale of 1e-6, float32 has no digits of the change.

The questions are about classes that the layers move, and about random mixtures of all classes.

A network of a fixed large picture is asked a single question, a mixture of all classes with a
random weight for each cell, so that verification takes little more memory than the network.

A batch is checked through its first picture: its weights are the same alone, before another
picture and behind one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from ortcam.artifact import Artifact, Layer, Verification
from ortcam.inference.two_part import Runs
from ortcam.messages import Message, Option
from ortcam_export.trials.inputs import PIXELS, Feeds, trial_feeds
from ortcam_export.verify.central_differences import (
    TOLERANCE,
    GradientError,
    Judgement,
    PictureGradientError,
    UnmeasurableError,
    WholeGradientError,
    measure,
    responses,
    shifts,
    shifts_in_space,
)
from ortcam_export.verify.consistency import (
    finite_score,
    measure_isolation,
    same_alone,
    same_classes,
    same_maps,
    same_means,
    same_outputs,
    same_score,
)
from ortcam_export.verify.held_pattern import hold
from ortcam_export.verify.network_tail import Tail, run_plain
from ortcam_export.verify.questions import Answers, ask, ask_artifact

__all__ = ["errors", "verify"]

#: The numbers in a picture from which on it is large.
LARGE = 12 * PIXELS


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
        PictureGradientError: the same of the picture's gradient, while the layers' are right.
        WholeGradientError: a layer's whole gradient cannot be measured, while its mean can.
        VerificationError: the artifact's score differs from the network's, or the network mixes
            the pictures of a batch.
        ModelError: the network does not run on the trial pictures.
    """
    feeds = trial_feeds(network, meta.picture, meta.expects.preprocess, batch=1)
    trial = _Trial(network, meta, meta.targets, feeds)
    questions, score = trial.questions, trial.plain[meta.score.name]
    same_classes(network, meta, score)
    answers = ask_artifact(
        artifact, meta, feeds, questions, meta.targets, whole=True, runs_without=True
    )
    same_score(score, answers.score, meta)
    same_means(answers.gradients, answers.weights)
    # the last one costs as much alone as all do together
    alone = meta.targets[:-1] if trial.is_large else meta.targets
    same_alone(artifact, meta, feeds, questions, answers.weights, alone)
    same_maps(artifact, meta, feeds, questions)
    if raised_from is not None:
        same_outputs(raised_from, artifact, meta, feeds, questions)
    total = Judgement()
    for layer in meta.layers:
        judgement = _judge_layer(trial, layer, answers)
        if not judgement.error <= TOLERANCE:  # also if it is not a number
            raise GradientError(
                f"the exported gradient at {layer.name!r} is off by {judgement.error:.1e} from "
                f"central differences (tolerance {TOLERANCE:g}), so no artifact is made; ",
                "please report the network"
                if meta.engine == "ortcam"
                else Message("export with ", Option("engine", "ortcam")),
            )
        total |= judgement
    if meta.pixels is not None:
        total |= _judge_picture(trial, meta.pixels, answers)
    rows = (1,) if trial.is_large else (0, 1)
    isolation = measure_isolation(network, artifact, meta, feeds, questions, answers.weights, rows)
    return Verification(
        error=total.error,
        uncertainty=total.uncertainty,
        directions=total.directions,
        isolation=isolation,
    )


def _judge_layer(trial: _Trial, layer: Layer, answers: Answers) -> Judgement:
    """Judge a layer's gradient; its mean alone tells whether only the whole one is at fault."""
    try:
        return trial.judge(layer, answers)
    except UnmeasurableError as error:
        if layer.name not in answers.gradients:
            raise
        trial.judge(layer, dataclasses.replace(answers, gradients={}))
        raise WholeGradientError(error.message) from error


def _judge_picture(trial: _Trial, pixels: Layer, answers: Answers) -> Judgement:
    """Judge the picture's gradient, the failure of which concerns no layer."""
    try:
        judgement = trial.judge(pixels, answers)
    except GradientError as error:
        raise PictureGradientError(error.message) from error
    if not judgement.error <= TOLERANCE:
        raise PictureGradientError(
            f"the gradient of the picture is off by {judgement.error:.1e} from central differences"
        )
    return judgement


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
    trial = _Trial(network, meta, meta.layers, feeds)
    answers = ask_artifact(artifact, meta, feeds, trial.questions, meta.layers, whole=True)
    judgements = {layer.name: trial.judge(layer, answers) for layer in meta.layers}
    return {name: (judgement.error, judgement.directions) for name, judgement in judgements.items()}


class _Trial:
    """A network on trial inputs: its tensors there, its tails, and the questions asked.

    Attributes:
        plain: the score, the features and what the tails need.
        questions: the questions.
        is_large: True if the picture is so large that a single question is asked.
    """

    def __init__(
        self, network: ir.Model, meta: Artifact, layers: Sequence[Layer], feeds: Feeds
    ) -> None:
        recording, twin = hold(network)
        self._meta = meta
        self._tails = {layer: Tail(twin, meta.score.name, layer) for layer in layers}
        self.plain = run_plain(recording, meta, list(self._tails.values()), feeds)
        score = np.moveaxis(self.plain[meta.score.name], meta.score.class_axis, 1)
        finite_score(score, meta)
        self.is_large = feeds[meta.picture].size > LARGE
        moves = (
            []
            if self.is_large
            else [responses(tail, meta, self.plain) for tail in self._tails.values()]
        )
        self.questions = ask(score, moves, briefly=self.is_large)

    def judge(self, layer: Layer, answers: Answers) -> Judgement:
        """Compare a layer's weights or gradient with central differences.

        What float32 cannot tell is measured in float64.
        """
        tail = self._tails[layer]
        try:
            return self._measure(tail, answers)
        except UnmeasurableError:
            if not tail.widen():
                raise
            return self._measure(tail, answers)
        finally:
            tail.release()

    def _measure(self, tail: Tail, answers: Answers) -> Judgement:
        name, all_directions = tail.layer.name, not self.is_large
        directions = (
            shifts_in_space(answers.gradients[name], corners=all_directions)
            if name in answers.gradients
            else shifts(answers.weights[name], alone=all_directions)
        )
        return measure(tail, self._meta, self.plain, self.questions, directions)
