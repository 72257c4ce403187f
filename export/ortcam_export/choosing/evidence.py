"""The evidence that a tensor scores classes: names, decisions, and what the exporter states.

A softmax or sigmoid is appended on such evidence alone. Without it a tensor is explained as it
stands, which is right for a depth, an embedding or a flow too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

import onnx_ir as ir

from ortcam_export.choosing.candidates import PASSING, ScoreCandidate
from ortcam_export.choosing.operator_kinds import SCORERS, is_constant
from ortcam_export.reading.class_statements import Statements

__all__ = ["class_evidence", "has_class_words", "is_never_negative", "name_words", "names_fit"]

#: Words in the name of a tensor, of its operator or of that operator's weights that speak for
#: class scores.
_CLASS_WORDS = frozenset(
    {
        "category",
        "class",
        "classes",
        "classification",
        "classifier",
        "cls",
        "label",
        "labels",
        "logit",
        "logits",
        "prob",
        "probabilities",
        "probability",
        "probs",
        "score",
        "scores",
        "seg",
        "segmentation",
        "semantic",
        "softmax",
    }
)


#: Words of a score of one channel: a lone "score" may be a quality or a similarity.
_BINARY_WORDS = _CLASS_WORDS - {"score", "scores"}


#: Words that speak against class scores, whatever stands beside them.
_OTHER_WORDS = frozenset(
    {
        "age",
        "alpha",
        "anchor",
        "anchors",
        "angle",
        "bbox",
        "bboxes",
        "box",
        "boxes",
        "centerness",
        "coord",
        "coordinates",
        "coords",
        "corners",
        "density",
        "depth",
        "disparity",
        "embedding",
        "embeddings",
        "flow",
        "heatmap",
        "heatmaps",
        "height",
        "hidden",
        "iou",
        "joints",
        "keypoint",
        "keypoints",
        "kpt",
        "kpts",
        "landmark",
        "landmarks",
        "matte",
        "normals",
        "obj",
        "objectness",
        "offset",
        "offsets",
        "pose",
        "proto",
        "protos",
        "prototypes",
        "quality",
        "reg",
        "regression",
        "scale",
        "similarity",
        "size",
        "token",
        "tokens",
        "width",
    }
)


#: Names of channels that are no classes.
_CHANNEL_NAMES = _OTHER_WORDS | frozenset(
    {
        "b",
        "blue",
        "channel",
        "dim",
        "dx",
        "dy",
        "feature",
        "g",
        "gray",
        "green",
        "grey",
        "heat",
        "infrared",
        "intensity",
        "nir",
        "quantile",
        "r",
        "red",
        "temperature",
        "u",
        "v",
        "w",
        "x",
        "y",
        "z",
    }
)


#: The operators whose values are never negative, as no logits are.
_NEVER_NEGATIVE = frozenset({"Abs", "Exp", "Relu", "Softplus"})


def names_fit(statements: Statements, classes: int | None) -> bool:
    """True if there are names of classes, as many as these channels."""
    names = statements.names
    return names is not None and classes == len(names) and not name_no_classes(names)


def name_no_classes(names: Sequence[str]) -> bool:
    """True if names are those of channels that are no classes, such as ``red`` and ``green``."""
    words = [{w for w in name_words(name) if not w.isdigit()} for name in names]
    return all(of_name and of_name <= _CHANNEL_NAMES for of_name in words)


def class_evidence(candidate: ScoreCandidate, statements: Statements) -> str:
    """Return the evidence that a candidate's logits score classes, in words, or ""."""
    if names_fit(statements, candidate.classes):
        return f"{statements.source} {_count(candidate.classes or 0)}"
    if candidate.decided and candidate.decided != "Round":
        return f"the {candidate.decided} that decides by it"
    if is_never_negative(candidate.logits):
        return ""
    if statements.task in ("classification", "segmentation"):
        return f"the task, {statements.task}, in {statements.task_source}"
    if statements.task:
        return ""
    words = _BINARY_WORDS if candidate.classes == 1 else _CLASS_WORDS
    for name, tail in _names(candidate):
        if name == candidate.end.name and set(name_words(tail)) & _OTHER_WORDS:
            return ""
        if has_class_words(tail, words):
            return f"the name {name!r}"
    return ""


def has_class_words(name: str, words: Set[str] = _CLASS_WORDS) -> bool:
    """True if a word in a name speaks for class scores, and none against them."""
    of_name = set(name_words(name))
    return bool(of_name & words) and not of_name & _OTHER_WORDS


def _count(classes: int) -> str:
    return "names one class" if classes == 1 else f"names {classes} classes"


def is_never_negative(value: ir.Value) -> bool:
    """True if a tensor ends in an operator whose values are never negative, such as a depth's."""
    node = value.producer()
    while node is not None and node.op_type in PASSING and node.inputs[0] is not None:
        if node.op_type == "Clip":
            return False
        node = node.inputs[0].producer()
    return node is not None and node.op_type in _NEVER_NEGATIVE


def name_words(name: str) -> Iterator[str]:
    """The words of a name, in lower case: of ``/segHead/out_logits.1`` seg, head, out, logits, 1.

    Example:
        >>> list(name_words("/segHead/out_logits.1"))
        ['seg', 'head', 'out', 'logits', '1']
    """
    for part in re.findall(r"[A-Za-z]+|[0-9]+", name):
        yield from (w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", part))


def _names(candidate: ScoreCandidate) -> Iterator[tuple[str, str]]:
    """Names from the output back to the operator that scores, each with the part that counts."""
    value: ir.Value | None = candidate.end
    while value is not None:
        node = value.producer()
        if value.name:
            yield value.name, _tail(value.name, "/")
        if node is None:
            return
        constants = [v for v in node.inputs if v is not None and is_constant(v)]
        if node.name:
            yield node.name, _tail(node.name, "/", beside=node.op_type)
        if node.op_type in SCORERS | {"Add", "Mul"}:
            for weight in constants:
                if weight.name:
                    yield weight.name, _tail(weight.name.rpartition(".")[0], ".")
        if node.op_type in SCORERS or node.op_type not in PASSING | _BEHIND_SCORERS:
            return
        value = next((v for v in node.inputs if v is not None and not is_constant(v)), None)


#: Operators behind the one that scores: they decide, average, or add and scale.
_BEHIND_SCORERS = frozenset(
    {
        "Add",
        "ArgMax",
        "AveragePool",
        "GlobalAveragePool",
        "LogSoftmax",
        "Mul",
        "ReduceMax",
        "ReduceMean",
        "Relu",
        "TopK",
    }
)


def _tail(name: str, separator: str, beside: str = "") -> str:
    """The last three parts of a path, without the name of the operator itself."""
    parts = [part for part in name.split(separator) if part and part != beside]
    return separator.join(parts[-3:])
