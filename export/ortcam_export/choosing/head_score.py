"""The score that a head computes: its output as it stands."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.artifact import SCORES, Score
from ortcam.errors import InputError
from ortcam_export.choosing.candidates import ACTIVATIONS, PASSING, ScoreCandidate
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.score_axes import check_class_axis
from ortcam_export.choosing.scores import ScoreChoice
from ortcam_export.graph.names import find
from ortcam_export.graph.values import rank

__all__ = ["head_score"]


def head_score(
    network: PreparedNetwork,
    name: str,
    picture: ir.Value,
    *,
    score: str | None = None,
    class_axis: int | None = None,
) -> Score:
    """Return the score of a network to which a head is joined.

    It is the head's output itself, whatever operator that ends in: a maximum that ends a network
    decides by scores, but one that ends a head is the score.

    Args:
        network: the network with its head; nodes may be appended to its graph.
        name: the head's output.
        picture: the input that takes the picture.
        score: one of :data:`ortcam.artifact.SCORES`. Default: by the head's last operator,
            ``"linear"`` if that is neither a softmax nor a sigmoid. A softmax or sigmoid that the
            head does not end in is appended.
        class_axis: the axis of the classes. Default: the channels', as far as they can be
            followed, else axis 1, with a note; one number for each picture, [N], gets an axis of
            one class.

    Raises:
        InputError: there is no such kind of score, or no such axis.
        LayerError: a softmax is asked for over one class.
    """
    if score is not None and score not in SCORES:
        raise InputError(f"score is {score!r}; it is {', '.join(SCORES[:-1])} or {SCORES[-1]}")
    value = find(network.model, name)
    axis = None if class_axis is None else check_class_axis(value, class_axis)
    kind = _last_kind(value)
    candidate = ScoreCandidate(
        value, value, value if kind else None, kind, axis, reason="the head computes it"
    )
    network.notes.append(f"reduction layer {name!r}, the output of the head")
    choice = ScoreChoice(network, picture=picture)
    if axis is None and rank(value) > 1:
        candidate = choice.with_known_axis(candidate)
    return choice.take(candidate, score=score)


def _last_kind(value: ir.Value) -> str | None:
    """Return softmax or sigmoid if that is what a tensor is, perhaps in another shape."""
    while (node := value.producer()) is not None and not node.domain:
        if node.op_type in ACTIVATIONS:
            return ACTIVATIONS[node.op_type]
        read = node.inputs[0] if node.op_type in PASSING else None
        if read is None:
            break
        value = read
    return None
