"""Choosing the reduction layer: the tensor that holds the classes' scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from ortcam.artifact import Score
from ortcam.errors import InputError, LayerError
from ortcam.messages import Message, Option
from ortcam_export.choosing.channel_axes import Axes
from ortcam_export.choosing.operator_kinds import CONVOLUTIONS, FLOATS, is_spatial
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.tokens import token_grids
from ortcam_export.graph.names import find, unused
from ortcam_export.graph.values import constant_ints, extents, rank

__all__ = [
    "KINDS",
    "ScoreCandidate",
    "choose_score",
    "find_score",
    "score_candidates",
    "take_score",
]

#: The kinds of score: after a softmax, after a sigmoid, or before either.
KINDS = ("softmax", "sigmoid", "logits")


_ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "HardSigmoid": "sigmoid"}


#: Operators that move scores about without making others of them.
_PASSING = frozenset(
    {
        "Cast",
        "Clip",
        "DequantizeLinear",
        "Dropout",
        "Flatten",
        "Identity",
        "Pad",
        "QuantizeLinear",
        "Reshape",
        "Resize",
        "Slice",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "Upsample",
    }
)


#: Operators that decide by a score; what they read is the score.
_DECIDING = frozenset(
    {
        "ArgMax",
        "Greater",
        "GreaterOrEqual",
        "Hardmax",
        "Less",
        "LessOrEqual",
        "LogSoftmax",
        "ReduceMax",
        "Round",
        "TopK",
    }
)


@dataclass(frozen=True)
class ScoreCandidate:
    """A tensor that may hold a network's class scores.

    Attributes:
        logits: the tensor before the softmax or sigmoid, or the one that ends the network.
        score: the tensor after it, or None where the network has neither.
        kind: ``"softmax"``, ``"sigmoid"``, or None where the network has neither.
        axis: the class axis of both tensors.
        found_from: the output (or the tensor that the user named) that led here.
    """

    logits: ir.Value
    score: ir.Value | None
    kind: str | None
    axis: int
    found_from: str

    @property
    def name(self) -> str:
        """Its name, as ``reduction_layer`` takes it."""
        return (self.score or self.logits).name or ""

    @property
    def classes(self) -> int | None:
        """The number of classes that it scores, or None if unknown."""
        extent = None if self.logits.shape is None else self.logits.shape[self.axis]
        return extent if isinstance(extent, int) else None


def choose_score(
    network: PreparedNetwork, *, reduction_layer: str | None = None, score: str | None = None
) -> Score:
    """Finds or appends the score.

    Args:
        network: a prepared network; a softmax or sigmoid may be appended to its graph.
        reduction_layer: the name of a tensor or node, instead of the choice.
        score: one of :data:`KINDS`, instead of what the network ends in.

    Raises:
        LayerError: there is no such layer, or no tensor that could be a score.
        InputError: ``score`` is none of :data:`KINDS`.
    """
    candidate = find_score(network, reduction_layer=reduction_layer, score=score)
    return take_score(network, candidate, score=score)


def find_score(
    network: PreparedNetwork, *, reduction_layer: str | None = None, score: str | None = None
) -> ScoreCandidate:
    """Finds where the scores are, and changes nothing; see :func:`choose_score`."""
    if score is not None and score not in KINDS:
        raise InputError(f"score is {score!r}; it is softmax, sigmoid or logits")
    if reduction_layer is None:
        candidate, *others = score_candidates(network)
        _refuse_apart(network, [candidate, *others])
        _note_choice(candidate, others, network.notes)
        return candidate
    named = find(network.model, reduction_layer)
    candidate = _trace(named, network.axes, keep=True)
    return candidate if score in (None, candidate.kind) else _trace(named, network.axes)


def take_score(
    network: PreparedNetwork, candidate: ScoreCandidate, *, score: str | None = None
) -> Score:
    """The score of a candidate, appended where the network has it not; see :func:`choose_score`."""
    wanted = score or candidate.kind or ("sigmoid" if candidate.classes == 1 else "softmax")
    if wanted == "softmax" and candidate.classes == 1:
        raise LayerError(
            f"a softmax over the one channel of {candidate.logits.name!r} is always 1; ask for ",
            Option("score", "sigmoid"),
            " or ",
            Option("score", "logits"),
        )
    if wanted == "logits":
        return Score(name=candidate.logits.name or "", class_axis=candidate.axis, kind="logits")
    if wanted == candidate.kind and candidate.score is not None:
        return Score(name=candidate.name, class_axis=candidate.axis, kind=wanted)
    appended = _append(network.model, candidate, wanted)
    network.notes.append(
        Message(
            f"appended a {wanted} to {candidate.logits.name!r} as the score, which changes every "
            "map; ",
            Option("score", "logits"),
            " explains the logits as they stand",
        )
    )
    return Score(name=appended, class_axis=candidate.axis, kind=wanted)


def score_candidates(network: PreparedNetwork) -> list[ScoreCandidate]:
    """One candidate for each output that has a score, the best first.

    Scores with space come before those without, and tokens, which are features as a rule, behind
    both; those after a softmax or sigmoid before logits, earlier outputs before later ones.

    Raises:
        LayerError: no output has a score; the message tells why.
    """
    found: dict[ir.Value, ScoreCandidate] = {}
    reasons: list[LayerError] = []
    for output in network.model.graph.outputs:
        try:
            candidate = _trace(output, network.axes)
        except LayerError as error:
            reasons.append(error)
            continue
        known = found.get(candidate.logits)
        if known is None or (candidate.kind and not known.kind):
            found[candidate.logits] = candidate
    if not found:
        raise reasons[0]
    grids = token_grids(network.model, network.axes)

    def order(candidate: ScoreCandidate) -> tuple[bool, bool, bool]:
        logits = candidate.logits
        return logits in grids, not is_spatial(logits, candidate.axis), candidate.kind is None

    return sorted(found.values(), key=order)


def _refuse_apart(network: PreparedNetwork, candidates: Sequence[ScoreCandidate]) -> None:
    """Reject heads that output classes and locations separately: no output scores a class by place.

    A YOLO's output holds boxes, classes and mask coefficients of its anchors, one after the other;
    a Mask2Former's are the classes of its queries and the masks of the same queries.

    Raises:
        LayerError: the best of the candidates is one of these.
    """
    inputs = network.model.graph.inputs
    if candidates[0].kind is not None or all(rank(value) < 4 for value in inputs):
        return
    tokens = token_grids(network.model, network.axes)
    flat = [c.logits for c in candidates if rank(c.logits) == 3 and c.logits not in tokens]
    maps = [c.logits for c in candidates if rank(c.logits) == 4]
    listed = next((value for value in flat if _is_concatenated(value)), None)
    if listed is not None:
        masks = ", and its masks are prototypes without classes" if maps else ""
        names = " or ".join(repr(value.name) for value in _class_convolutions(listed))
        raise LayerError(
            f"the output {_shaped(listed)} is a detector's list of anchors, boxes beside classes"
            f"{masks}; what scores classes by place is the last convolution of their branch at "
            f"one scale: name it{f' ({names})' if names else ''} by ",
            Option("reduction_layer"),
            ", with ",
            Option("score", "sigmoid"),
        )
    for value in flat:
        for mask in maps:
            if extents(value)[1] == extents(mask)[1]:
                raise LayerError(
                    f"the outputs {_shaped(value)} and {_shaped(mask)} hold the classes and the "
                    "masks of queries apart, so none scores a class by place; add their product, "
                    "the sum over queries of class probability times mask probability, to the "
                    "network, and name it by ",
                    Option("reduction_layer"),
                    ", with ",
                    Option("score", "logits"),
                )


def _class_convolutions(listed: ir.Value) -> list[ir.Value]:
    """The convolutions behind the sigmoid in a list of anchors that give as many channels."""
    found: dict[ir.Value, None] = {}
    stack: list[tuple[ir.Value, int | str | None]] = [(listed, None)]
    seen = {listed}
    while stack:
        value, classes = stack.pop()
        node = value.producer()
        if node is None:
            continue
        if node.op_type in CONVOLUTIONS:
            if classes is not None and extents(value)[1:2] == (classes,):
                found[value] = None
        elif node.op_type in _PASSING | {"Concat", "Sigmoid", "Split"}:
            if node.op_type == "Sigmoid":
                classes = extents(value)[1]
            read = [v for v in node.inputs if v is not None and v not in seen]
            seen.update(read)
            stack.extend((v, classes) for v in reversed(read))
    return list(found)


def _shaped(value: ir.Value) -> str:
    return f"{value.name!r} [{', '.join(map(str, extents(value)))}]"


def _is_concatenated(value: ir.Value) -> bool:
    node = value.producer()
    while node is not None and node.op_type in _PASSING and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node is not None and node.op_type == "Concat"


def _note_choice(
    chosen: ScoreCandidate, others: Sequence[ScoreCandidate], notes: list[str]
) -> None:
    what = f"the {chosen.kind}" if chosen.kind else "the logits"
    output = chosen.found_from
    where = f" behind the output {output!r}" if output != chosen.name else ""
    notes.append(f"reduction layer {chosen.name!r}, {what}{where}")
    if others:
        listed = ", ".join(repr(other.name) for other in others)
        notes.append(
            Message(
                f"other outputs have scores too: {listed}; choose by ", Option("reduction_layer")
            )
        )


def _trace(end: ir.Value, axes: Axes, *, keep: bool = False) -> ScoreCandidate:
    """Walks back from a tensor to the scores in it.

    Args:
        end: an output, or the tensor that the user named.
        axes: the channels' axes.
        keep: the user named ``end``: it is the score itself where it holds scores, though it be
            a resized softmax.
    """
    value, logits, axis, decided = end, end, None, None
    while (node := value.producer()) is not None and node.domain == "" and node.inputs:
        read = node.inputs[0]
        if read is None:
            break
        if node.op_type in _ACTIVATIONS:
            return _activation(end, value, node, axes, keep and decided is None)
        if node.op_type in _DECIDING:
            decided, logits, axis = node, read, _decided_axis(node, rank(read))
        elif node.op_type not in _PASSING:
            break
        value = read
    _refuse_no_score(end, logits, decided, axis)
    if axis is None:
        logits, axis = _with_class_axis(logits, axes)
    return ScoreCandidate(logits, None, None, axis, end.name or "")


def _activation(
    end: ir.Value, value: ir.Value, node: ir.Node, axes: Axes, keep: bool
) -> ScoreCandidate:
    """Return the candidate behind a softmax or sigmoid on the way back from ``end``."""
    logits, kind = node.inputs[0], _ACTIVATIONS[node.op_type]
    assert logits is not None  # its caller has looked
    if keep and end is not value and end.dtype in FLOATS:
        axis = axes.get(end.name or "")
        if axis:
            return ScoreCandidate(end, end, kind, axis, end.name or "")
    if kind == "softmax":
        axis = (node.attributes.get_int("axis", -1) or 0) % max(rank(value), 1)
        if axis == 0:
            raise LayerError(
                f"the softmax {value.name!r} runs over the batch (axis 0), so it scores no "
                "classes; name another reduction layer"
            )
        return ScoreCandidate(logits, value, kind, axis, end.name or "")
    before, axis = _with_class_axis(logits, axes)
    if before is not logits:  # the sigmoid itself has no class axis, so one is appended before
        return ScoreCandidate(before, None, kind, axis, end.name or "")
    return ScoreCandidate(logits, value, kind, axis, end.name or "")


def _decided_axis(node: ir.Node, of: int) -> int | None:
    """The class axis by the operator that decides along it."""
    if node.op_type in ("ArgMax", "TopK", "Hardmax", "LogSoftmax"):
        default = 0 if node.op_type == "ArgMax" else -1
        return (node.attributes.get_int("axis", default) or 0) % max(of, 1)
    if node.op_type == "ReduceMax":
        reduced = constant_ints(node.inputs[1]) if len(node.inputs) > 1 else None
        reduced = reduced or list(node.attributes.get_ints("axes") or ())
        return reduced[0] % max(of, 1) if len(reduced) == 1 else None
    return None


def _refuse_no_score(
    end: ir.Value, logits: ir.Value, decided: ir.Node | None, axis: int | None
) -> None:
    where = f"the output {end.name!r}" if end.is_graph_output() else repr(end.name)
    if decided is not None:
        where += f" is the {decided.op_type} of {logits.name!r}, which"
    ask = "so it holds no score; name the tensor that does as reduction layer"
    if logits.dtype not in FLOATS:
        kind = "of unknown type" if logits.dtype is None else logits.dtype.name.lower()
        raise LayerError(f"{where} is {kind}, {ask}")
    if logits.shape is not None and rank(logits) < 2:
        raise LayerError(f"{where} has {rank(logits)} axes where a score has [N, C, ...], {ask}")
    if axis == 0:
        raise LayerError(f"{where} is decided along the batch (axis 0), {ask}")
    if axis is not None and logits.shape is not None and logits.shape[axis] == 1:
        raise LayerError(f"{where} has one channel to decide among, {ask}")


def _with_class_axis(value: ir.Value, axes: Axes) -> tuple[ir.Value, int]:
    """The tensor, or the last one before it whose channels still have an axis of their own."""
    walk: ir.Value | None = value
    while walk is not None:
        axis = axes.get(walk.name or "")
        if axis:
            return walk, axis
        node = walk.producer()
        shape_only = node is not None and node.op_type in ("Cast", "Identity", "Reshape", "Squeeze")
        walk = node.inputs[0] if node is not None and shape_only else None
    raise LayerError(
        f"{value.name!r} has no axis of classes beside its batch, so it holds no score; "
        "name the tensor that does as reduction layer"
    )


def _append(model: ir.Model, candidate: ScoreCandidate, kind: str) -> str:
    """Appends a softmax or sigmoid, in float32 where the network runs in half precision."""
    logits = candidate.logits
    if logits.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16):
        to = ir.AttrInt64("to", ir.DataType.FLOAT.value)
        logits = _add_node(model, "Cast", logits, [to], f"{logits.name}.float32")
        logits.type = ir.TensorType(ir.DataType.FLOAT)
    attributes = [ir.AttrInt64("axis", candidate.axis)] if kind == "softmax" else []
    name = f"{candidate.logits.name}.{kind}"
    return _add_node(model, kind.capitalize(), logits, attributes, name).name or ""


def _add_node(
    model: ir.Model, op_type: str, read: ir.Value, attributes: Sequence[ir.Attr], name: str
) -> ir.Value:
    name = unused(model, name)
    node = ir.Node("", op_type, [read], attributes, name=name)
    value = node.outputs[0]
    value.name, value.type, value.shape = name, read.type, read.shape
    model.graph.append(node)
    return value
