"""Candidate scores: what each output of a network leads to, and what it is taken for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx_ir as ir

from ortcam.errors import LayerError
from ortcam_export.choosing.channel_axes import Axes
from ortcam_export.choosing.operator_kinds import FLOATS, complemented, is_constant
from ortcam_export.graph.values import constant_ints, extents, rank

__all__ = [
    "ACTIVATIONS",
    "PASSING",
    "THRESHOLDS",
    "Rows",
    "ScoreCandidate",
    "quoted",
    "refuse_no_score",
    "trace",
]

ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "HardSigmoid": "sigmoid"}


#: Operators that move scores about without making others of them.
PASSING = frozenset(
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


#: Operators that compare a score with a threshold.
THRESHOLDS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})


#: Operators that decide by a score; what they read is the score.
_DECIDING = THRESHOLDS | {"ArgMax", "Hardmax", "LogSoftmax", "ReduceMax", "Round", "TopK"}


#: Operators that change shapes alone: the tensor before one has the same numbers.
_RESHAPING = ("Cast", "Identity", "Reshape", "Squeeze")


@dataclass(frozen=True)
class Rows:
    """The class scores among the rows of a detector's list.

    Attributes:
        start, stop: the rows of the classes.
        objectness: the row whose probability multiplies theirs, or None.
    """

    start: int
    stop: int
    objectness: int | None = None


@dataclass(frozen=True)
class ScoreCandidate:
    """A tensor that may hold a network's class scores.

    Attributes:
        end: the output, or the tensor that the user named, that leads here.
        logits: the tensor before the softmax or sigmoid, or the one that ends the network.
        score: the tensor after it, or None where the network has neither.
        kind: ``"softmax"``, ``"sigmoid"``, or None where the network has neither.
        axis: the class axis of both tensors, or None where they have none.
        decided: the operator that decides by the score, or "".
        rows: the class scores among the rows of ``logits``, or None where all are.
        appended: the kind of score to append to ``logits``, ``"logits"`` or ``"linear"`` to append
            none, where the network has neither softmax nor sigmoid.
        taken_for: what the tensor holds, in words.
        reason: why it is taken for that, in words.
        refusal: why it cannot be explained, or None where it can.
        is_score: True if there is evidence that it scores classes.
        fits: True if it has as many channels as the network's metadata name classes.
    """

    end: ir.Value
    logits: ir.Value
    score: ir.Value | None = None
    kind: str | None = None
    axis: int | None = None
    decided: str = ""
    rows: Rows | None = None
    appended: str = "linear"
    taken_for: str = "values"
    reason: str = ""
    refusal: LayerError | None = None
    is_score: bool = False
    fits: bool = False

    @property
    def value(self) -> ir.Value:
        """The tensor that is explained where nothing is appended."""
        return self.score or self.logits

    @property
    def name(self) -> str:
        """Its name, as ``reduction_layer`` takes it."""
        return self.value.name or ""

    @property
    def classes(self) -> int | None:
        """The number of classes that it scores, or None if unknown."""
        if self.rows is not None:
            return self.rows.stop - self.rows.start
        if self.axis is None:
            return 1
        extent = None if self.logits.shape is None else self.logits.shape[self.axis]
        return extent if isinstance(extent, int) else None


def quoted(value: ir.Value) -> str:
    """A tensor's name and extents for a sentence."""
    return f"{value.name!r} [{', '.join(map(str, extents(value)))}]"


def trace(end: ir.Value, axes: Axes, *, keep: bool = False) -> ScoreCandidate:
    """Walk back from a tensor to the scores in it.

    Args:
        end: an output, or the tensor that the user named.
        axes: the channels' axes.
        keep: True if the user named ``end``: it is the score itself if it holds scores, even a
            resized softmax.

    Returns:
        The candidate, without a class axis where ``axes`` has none.

    Raises:
        LayerError: the tensor holds no scores.
    """
    value, logits, axis, decided = end, end, None, None
    while (node := value.producer()) is not None and node.domain == "" and node.inputs:
        read = node.inputs[0]
        if read is None:
            break
        if node.op_type in ACTIVATIONS:
            operator = "" if decided is None else decided.op_type
            candidate = _activation(end, value, node, axes, keep and decided is None)
            return replace(candidate, decided=operator)
        if (certainty := complemented(value)) is not None:
            return _complement(end, value, certainty, axes, keep and decided is None)
        if node.op_type in _DECIDING:
            decided, logits, axis = node, read, _decided_axis(node, rank(read))
        elif node.op_type not in PASSING:
            break
        value = read
    refuse_no_score(end, logits, decided, axis)
    if axis is None:
        logits, axis = _with_class_axis(logits, axes)
    operator = "" if decided is None else decided.op_type
    return ScoreCandidate(end, logits, axis=axis, decided=operator)


def _activation(
    end: ir.Value, value: ir.Value, node: ir.Node, axes: Axes, keep: bool
) -> ScoreCandidate:
    """Return the candidate behind a softmax or sigmoid on the way back from ``end``."""
    logits, kind = node.inputs[0], ACTIVATIONS[node.op_type]
    assert logits is not None  # its caller has looked
    if keep and end is not value and end.dtype in FLOATS:
        axis = axes.get(end.name or "")
        if axis:
            return ScoreCandidate(end, end, end, kind, axis)
    if kind == "softmax":
        axis = (node.attributes.get_int("axis", -1) or 0) % max(rank(value), 1)
        if axis == 0:
            raise LayerError(
                f"the softmax {value.name!r} runs over the batch (axis 0), so it scores no "
                "classes; name another reduction layer"
            )
        return ScoreCandidate(end, logits, value, kind, axis)
    before, axis = _with_class_axis(logits, axes)
    if before is not logits and axis is not None:
        # the sigmoid itself has no class axis, so one is appended before
        return ScoreCandidate(end, before, None, kind, axis)
    return ScoreCandidate(end, logits, value, kind, axes.get(value.name or "") or axis)


def _complement(
    end: ir.Value, value: ir.Value, certainty: ir.Value, axes: Axes, keep: bool
) -> ScoreCandidate:
    """Return the candidate of a probability p that stands beside 1 - p: a softmax as it is."""
    node = value.producer()
    assert node is not None
    axis = (node.attributes.get_int("axis", 0) or 0) % max(rank(value), 1)
    result = end if keep and end.dtype in FLOATS and rank(end) == rank(value) else value
    reason = f"the probability {certainty.name!r} and its complement"
    candidate = ScoreCandidate(end, result, result, "softmax", axis, reason=reason)
    if result is end and end is not value:
        return replace(candidate, axis=axes.get(end.name or "") or axis)
    return candidate


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


def refuse_no_score(
    end: ir.Value, logits: ir.Value, decided: ir.Node | None = None, axis: int | None = None
) -> None:
    """Check that a tensor may hold scores.

    Raises:
        LayerError: it is of whole numbers or has no axis to decide among.
    """
    where = f"the output {end.name!r}" if end.is_graph_output() else repr(end.name)
    if decided is not None:
        where += f" is the {decided.op_type} of {logits.name!r}, which"
    ask = "so it holds no score; name the tensor that does as reduction layer"
    if logits.dtype not in FLOATS:
        kind = "of unknown type" if logits.dtype is None else logits.dtype.name.lower()
        raise LayerError(f"{where} is {kind}, {ask}")
    if logits.shape is not None and rank(logits) < 1:
        raise LayerError(f"{where} is one number for all pictures, {ask}")
    if axis == 0:
        raise LayerError(f"{where} is decided along the batch (axis 0), {ask}")
    if axis is not None and logits.shape is not None and logits.shape[axis] == 1:
        raise LayerError(f"{where} has one channel to decide among, {ask}")


def _with_class_axis(value: ir.Value, axes: Axes) -> tuple[ir.Value, int | None]:
    """Return the tensor, or the last before it whose channels still have an axis of their own.

    A Reshape that groups its elements anew, such as [N, 24] to [N, 6, 4], has other channels.
    """
    walk: ir.Value | None = value
    while walk is not None:
        axis = axes.get(walk.name or "")
        if axis:
            return walk, axis
        node = walk.producer()
        if node is None or node.op_type not in _RESHAPING or is_constant(node.inputs[0]):
            break
        if _regroups(node):
            break
        walk = node.inputs[0]
    return value, None


def _regroups(node: ir.Node) -> bool:
    """True if a node's output has other axes than its input, but for axes of extent 1."""
    before, after = node.inputs[0], node.outputs[0]
    if before is None or rank(after) < 2:
        return False
    old, new = ([extent for extent in extents(v) if extent != 1] for v in (before, after))
    return len(old) != len(new) or any(
        a != b for a, b in zip(old, new, strict=True) if isinstance(a, int) and isinstance(b, int)
    )
