"""Choosing the reduction layer: the tensor that is explained, its classes' axis and its kind.

Each output gives a candidate. Class scores come before values of which nothing shows what they
are; boxes, prototypes, attention and their like come last. A softmax or sigmoid is appended on
evidence that an output scores classes; without it the output is explained as it stands. If a
candidate that cannot be explained is likelier the score, the choice stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir

from ortcam.artifact import SCORES, Score
from ortcam.errors import InputError, LayerError
from ortcam.messages import Message, Option
from ortcam_export.choosing.appending import activated, arranged, class_rows
from ortcam_export.choosing.candidates import (
    PASSING,
    THRESHOLDS,
    ScoreCandidate,
    quoted,
    trace,
)
from ortcam_export.choosing.channel_axes import Axes
from ortcam_export.choosing.evidence import class_evidence, names_fit
from ortcam_export.choosing.heads import recognised
from ortcam_export.choosing.operator_kinds import is_spatial, is_table
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.score_axes import check_class_axis, class_axis, largest_input
from ortcam_export.choosing.tokens import token_grids
from ortcam_export.graph.names import find
from ortcam_export.graph.values import rank
from ortcam_export.reading.class_statements import Statements

__all__ = ["ScoreChoice", "choose_score"]

#: What a list's candidate is taken for.
_LISTED = "class scores of a list"


#: What is explained only if nothing else is there.
_LAST = ("attention", "boxes", "masks", "prototypes", "queries", "tokens")


def choose_score(
    network: PreparedNetwork,
    *,
    reduction_layer: str | None = None,
    score: str | None = None,
    class_axis: int | None = None,
    statements: Statements | None = None,
    picture: ir.Value | None = None,
) -> Score:
    """Find or append the score.

    Args:
        network: a prepared network; nodes may be appended to its graph.
        reduction_layer: the name of a tensor or node, instead of the choice.
        score: one of :data:`ortcam.artifact.SCORES`, instead of what the network ends in.
        class_axis: the axis of the classes, instead of what is known of it.
        statements: what is stated about the classes.
        picture: the input that takes the picture. Default: the input of the highest rank.

    Raises:
        LayerError: there is no such layer, or no tensor that could be a score.
        InputError: ``score`` or ``class_axis`` does not fit.
    """
    choice = ScoreChoice(network, statements=statements, picture=picture)
    candidate = choice.find(reduction_layer=reduction_layer, score=score, class_axis=class_axis)
    return choice.take(candidate, score=score)


class ScoreChoice:
    """The candidate scores of a network, and the choice among them.

    Attributes:
        candidates: one for each output, or for several that lead to one score; the best first.
    """

    def __init__(
        self,
        network: PreparedNetwork,
        *,
        statements: Statements | None = None,
        picture: ir.Value | None = None,
    ) -> None:
        """Find the candidates; see :func:`choose_score`."""
        self._network = network
        self._statements = statements or Statements()
        self._picture = picture or largest_input(network.model)
        self._grids = token_grids(network.model, network.axes)
        self.candidates = self._all()

    # ---- Candidates

    def _all(self) -> list[ScoreCandidate]:
        traced = [self._traced(output) for output in self._network.model.graph.outputs]
        candidates = recognised(traced, self._statements, self._grids)
        judged = [self._judged(candidate) for candidate in candidates]
        best: dict[ir.Value, ScoreCandidate] = {}
        for candidate in judged:
            other = best.get(candidate.logits)
            if other is None or _is_better(candidate, other):
                best[candidate.logits] = candidate
        return sorted(best.values(), key=self._order)

    def _traced(self, output: ir.Value) -> ScoreCandidate:
        """Return the candidate behind an output; with a refusal where there is none."""
        try:
            candidate = trace(output, self._network.axes)
        except LayerError as error:
            return ScoreCandidate(output, output, taken_for="no score", refusal=error)
        if candidate.axis is not None:
            return replace(candidate, refusal=self._over_places(candidate))
        axis = class_axis(self._network, candidate.logits, self._picture)
        if axis is not None or rank(candidate.logits) < 2 or self._is_one_number(candidate.logits):
            return replace(candidate, axis=axis)
        refusal = LayerError(
            f"the output {quoted(output)} may be the score, but which axis holds its classes is "
            "not known; give that by ",
            Option("class_axis"),
            ", or name another tensor by ",
            Option("reduction_layer"),
        )
        return replace(candidate, refusal=refusal)

    def _over_places(self, candidate: ScoreCandidate) -> LayerError | None:
        """Return the refusal of a softmax that runs over places, as one for keypoints does."""
        kinds = self._network.kinds.get(candidate.name, ())
        axis = candidate.axis
        if candidate.kind != "softmax" or axis is None or axis >= len(kinds):
            return None
        if kinds[axis] != "space":
            return None
        return LayerError(
            f"the softmax {candidate.name!r} runs over places (axis {axis}), so it scores no "
            "classes; name the tensor before it by ",
            Option("reduction_layer"),
        )

    def _is_one_number(self, value: ir.Value) -> bool:
        """True if a tensor has one number for each picture or cell: its channels are gone."""
        axes: Axes = self._network.axes
        while (node := value.producer()) is not None and node.inputs:
            read = next((v for v in node.inputs if v is not None and v.const_value is None), None)
            if read is None:
                return False
            if axes.get(read.name or ""):
                return node.op_type in ("Gather", "Squeeze") or node.op_type.startswith("Reduce")
            if node.op_type not in PASSING | {"Add", "Div", "Mul", "Relu", "Sub", "Tanh"}:
                return False
            value = read
        return False

    def _judged(self, candidate: ScoreCandidate) -> ScoreCandidate:
        """Return a candidate with the evidence that it scores classes, and the kind to append."""
        names = self._statements.names
        fits = names_fit(self._statements, candidate.classes) or candidate.fits
        if candidate.taken_for == _LISTED:
            return _judged_list(candidate, self._statements)
        if candidate.taken_for not in ("values", "amounts", "tokens") or candidate.kind is not None:
            return replace(candidate, fits=fits and candidate.taken_for not in _LAST)
        evidence = class_evidence(candidate, self._statements)
        if not evidence:
            return replace(candidate, fits=fits and names is not None)
        sigmoid = candidate.classes == 1 or candidate.decided in THRESHOLDS
        appended = "sigmoid" if sigmoid else "softmax"
        if not candidate.decided and is_table(candidate.logits):
            appended = "logits"  # CLIP has a softmax over the texts, SigLIP a sigmoid for each
        return replace(
            candidate,
            taken_for="class scores",
            reason=evidence,
            is_score=True,
            fits=fits,
            appended=appended,
        )

    def _order(self, candidate: ScoreCandidate) -> tuple[bool, ...]:
        value = candidate.logits
        return (
            candidate.refusal is not None,
            candidate.taken_for in _LAST,
            not candidate.fits,
            candidate.kind is None and not candidate.is_score,
            value in self._grids,
            not is_spatial(value, candidate.axis) and candidate.axis is not None,
            candidate.kind is None,
        )

    # ---- The choice

    def find(
        self,
        *,
        reduction_layer: str | None = None,
        score: str | None = None,
        class_axis: int | None = None,
    ) -> ScoreCandidate:
        """Find the candidate to explain, and change nothing; see :func:`choose_score`."""
        if score is not None and score not in SCORES:
            raise InputError(f"score is {score!r}; it is {', '.join(SCORES[:-1])} or {SCORES[-1]}")
        if reduction_layer is not None:
            return self._named(find(self._network.model, reduction_layer), score, class_axis)
        choice, *others = self.candidates
        if class_axis is not None:
            choice = _with_axis(choice, class_axis)
        self._check(choice, others, sure=class_axis is not None)
        self._note_choice(choice, others, score)
        return choice

    def _named(self, value: ir.Value, score: str | None, axis: int | None) -> ScoreCandidate:
        """Return the candidate of a tensor that the user names."""
        for candidate_of_list in self.candidates if axis is None else ():
            if candidate_of_list.taken_for == _LISTED and value in (
                candidate_of_list.score,
                candidate_of_list.logits,
            ):
                return candidate_of_list
        candidate = trace(value, self._network.axes, keep=True)
        if score not in (None, "linear", candidate.kind):
            candidate = trace(value, self._network.axes)
        if axis is not None:
            candidate = _with_axis(candidate, axis)
        elif candidate.axis is None and rank(candidate.logits) >= 2:
            candidate = self.with_known_axis(candidate)
        candidate = self._as_known(self._judged(candidate))
        if score is None and candidate.kind is None and candidate.appended == "linear":
            self._note_linear(candidate)
        return candidate

    def _as_known(self, tensor: ScoreCandidate) -> ScoreCandidate:
        """Return a named tensor's candidate with the evidence that an output gives for it."""
        for candidate in self.candidates if tensor.kind is None else ():
            if (
                candidate.logits is tensor.logits
                and candidate.axis == tensor.axis
                and candidate.rows is None
            ):
                kind = candidate.kind or candidate.appended
                reason = f"the {candidate.kind} behind it" if candidate.kind else candidate.reason
                taken_for = "class scores" if candidate.kind else candidate.taken_for
                return replace(tensor, appended=kind, reason=reason, taken_for=taken_for)
        return tensor

    def with_known_axis(self, candidate: ScoreCandidate) -> ScoreCandidate:
        """Return a candidate with its class axis: as it is known, else axis 1, with a note."""
        axis = class_axis(self._network, candidate.logits, self._picture)
        if axis is None:
            axis = 1
            self._network.notes.append(
                Message(
                    f"axis 1 of {quoted(candidate.logits)} is taken for that of the classes; give "
                    "another by ",
                    Option("class_axis"),
                )
            )
        return replace(candidate, axis=axis)

    def _check(
        self, choice: ScoreCandidate, others: Sequence[ScoreCandidate], *, sure: bool
    ) -> None:
        """Check that no other candidate is likelier the score.

        Raises:
            LayerError: one is, or none can be explained.
        """
        likely = choice.fits or (self._statements.names is None and _scores_classes(choice))
        likelier = [] if likely or sure else [c for c in others if _is_likelier(c)]
        if choice.refusal is not None:
            likelier = [c for c in (choice, *others) if c.fits] or [choice]
        if likelier:
            assert likelier[0].refusal is not None
            raise likelier[0].refusal
        names, classes = self._statements.names, choice.classes
        if names is None or self._statements.is_option or choice.fits:
            return
        if classes in (None, len(names)):
            return
        has = "one channel" if classes == 1 else f"{classes} channels"
        raise LayerError(
            f"{self._statements.source} names {len(names)} classes, but {quoted(choice.value)}, "
            f"the likeliest score, has {has}; name the tensor that scores them by ",
            Option("reduction_layer"),
            ", or the channels by ",
            Option("classes"),
        )

    def _note_choice(
        self, choice: ScoreCandidate, others: Sequence[ScoreCandidate], score: str | None
    ) -> None:
        notes = self._network.notes
        if choice.kind is None and choice.appended == "linear" and score is None:
            self._note_linear(choice)
        elif choice.rows is not None:
            times = "" if choice.rows.objectness is None else ", times its objectness"
            rows = f"rows {choice.rows.start} to {choice.rows.stop - 1}{times}"
            notes.append(f"reduction layer {choice.name!r}, {rows}: {choice.reason}")
        else:
            what = f"the {choice.kind}" if choice.kind else "the logits"
            if choice.end is not choice.value:
                what += f" behind the output {choice.end.name!r}"
            if choice.taken_for == _LISTED:
                what += f": {choice.reason}"
            notes.append(f"reduction layer {choice.name!r}, {what}")
            if choice.kind is None and choice.appended == "logits" and score is None:
                notes.append(_neither_note(choice))
        others = [c for c in others if c.refusal is None]
        if others:
            names = ", ".join(repr(other.name) for other in others)
            notes.append(
                Message(
                    f"other outputs have scores too: {names}; choose by ",
                    Option("reduction_layer"),
                )
            )

    def _note_linear(self, choice: ScoreCandidate) -> None:
        reason = choice.reason or "nothing shows that they score classes"
        self._network.notes.append(
            Message(
                f"reduction layer {choice.name!r}, {choice.taken_for} explained as they stand "
                f"({reason}); if they score classes, say so by ",
                Option("score", "softmax"),
                ", ",
                Option("score", "sigmoid"),
                " or ",
                Option("score", "logits"),
            )
        )

    # ---- Taking it

    def take(self, candidate: ScoreCandidate, *, score: str | None = None) -> Score:
        """Return the score of a candidate, appended where the network has it not."""
        if candidate.refusal is not None:
            raise candidate.refusal
        model, kind = self._network.model, score or candidate.kind or candidate.appended
        has = kind == candidate.kind and (candidate.score is not None or candidate.rows is not None)
        _refuse_kind(candidate, kind, has=has)
        value = candidate.value if has or kind == "linear" else candidate.logits
        axis = candidate.axis
        if candidate.rows is not None:
            assert axis is not None
            value = class_rows(model, value, axis, candidate.rows)
        result = arranged(self._network, value, axis, self._picture)
        if result.note:
            self._network.notes.append(result.note)
        if kind in ("softmax", "sigmoid") and not has:
            result = activated(model, result, kind)
            self._note_appended(candidate, kind, by_option=score is not None)
        return Score(
            name=result.value.name or "",
            class_axis=result.axis,
            kind=kind,
            axes=result.kinds,
            reason=candidate.reason,
        )

    def _note_appended(self, candidate: ScoreCandidate, kind: str, *, by_option: bool) -> None:
        evidence = f", for {candidate.reason}" if candidate.reason and not by_option else ""
        self._network.notes.append(
            Message(
                f"appended a {kind} to {candidate.logits.name!r} as the score{evidence}, which "
                "changes every map; ",
                Option("score", "logits"),
                " explains the logits as they stand",
            )
        )


def _scores_classes(candidate: ScoreCandidate) -> bool:
    return candidate.is_score or candidate.kind is not None


def _is_likelier(candidate: ScoreCandidate) -> bool:
    """True if a candidate that cannot be explained looks more like the score than others do."""
    return candidate.refusal is not None and (candidate.fits or candidate.is_score)


def _neither_note(choice: ScoreCandidate) -> str:
    return Message(
        f"whether a softmax or a sigmoid belongs behind {choice.name!r} is not known, so its "
        "logits are explained; append one by ",
        Option("score", "softmax"),
        " or ",
        Option("score", "sigmoid"),
    )


def _is_better(candidate: ScoreCandidate, other: ScoreCandidate) -> bool:
    """True if of two candidates with the same logits the first says more."""

    def said(c: ScoreCandidate) -> tuple[bool, bool, bool]:
        return c.refusal is None, c.kind is not None, c.is_score

    return said(candidate) > said(other)


def _judged_list(candidate: ScoreCandidate, statements: Statements) -> ScoreCandidate:
    """Return a list's candidate with the kind that its class names speak for.

    A softmax over queries has one class more than there are names, that of no object.
    """
    names, classes = statements.names, candidate.classes
    if names is None or classes is None:
        return replace(candidate, appended="logits")
    no_object = classes == len(names) + 1
    appended = "softmax" if no_object else "sigmoid" if classes == len(names) else "logits"
    return replace(candidate, appended=appended, fits=no_object or classes == len(names))


def _with_axis(candidate: ScoreCandidate, axis: int) -> ScoreCandidate:
    """Return a candidate with the class axis that the user states.

    Raises:
        InputError: the tensor has no such axis, or its softmax runs over another.
    """
    if candidate.kind is None:
        end = candidate.end if not candidate.decided else candidate.logits
        axis = check_class_axis(end, axis)
        return replace(candidate, logits=end, axis=axis, refusal=None)
    axis = check_class_axis(candidate.value, axis)
    if candidate.kind == "softmax" and candidate.axis != axis:
        raise InputError(
            f"the softmax {candidate.name!r} runs over axis {candidate.axis}, so its classes are "
            f"not in axis {axis}; leave out ",
            Option("class_axis"),
        )
    return replace(candidate, axis=axis, refusal=None)


def _refuse_kind(candidate: ScoreCandidate, kind: str, *, has: bool) -> None:
    """Check that a candidate can be explained as a kind of score.

    Raises:
        LayerError: it cannot.
    """
    if kind == "softmax" and candidate.classes == 1:
        raise LayerError(
            f"a softmax over the one channel of {candidate.logits.name!r} is always 1; ask for ",
            Option("score", "sigmoid"),
            " or ",
            Option("score", "logits"),
        )
    probabilities = candidate.rows is not None or candidate.score is candidate.logits
    if probabilities and kind != "linear" and not has:
        raise LayerError(
            f"{candidate.name!r} holds probabilities already; name the tensor before them by ",
            Option("reduction_layer"),
            ", or leave out ",
            Option("score"),
        )
