"""Detectors' and transformers' outputs, recognised by their structure, shapes and names.

A detector gives boxes, classes, objectness and mask coefficients, each over a list of anchors or
queries: side by side in one tensor, or in an output each. What a list scores classes with is a
score over that list; the rest is no score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import onnx_ir as ir

from ortcam.errors import LayerError
from ortcam.messages import Option
from ortcam_export.choosing.candidates import PASSING, Rows, ScoreCandidate, quoted
from ortcam_export.choosing.evidence import has_class_words, is_never_negative, name_words
from ortcam_export.choosing.operator_kinds import CONVOLUTIONS, SCORERS, is_constant
from ortcam_export.choosing.parts import BOX, Part, parts_of_list, sigmoid_of
from ortcam_export.choosing.tokens import Grids
from ortcam_export.graph.values import extents, rank
from ortcam_export.reading.class_statements import Statements

__all__ = ["recognised"]

_BOXES = frozenset({"bbox", "bboxes", "box", "boxes", "coord", "coords", "rois"})


def recognised(
    candidates: Sequence[ScoreCandidate], statements: Statements, tokens: Grids
) -> list[ScoreCandidate]:
    """Return the candidates, each with what it is taken for and why.

    Args:
        candidates: one for each output of the network.
        statements: what is stated about the classes.
        tokens: the tensors of tokens.
    """
    judged = [_alone(candidate, statements, tokens) for candidate in candidates]
    judged = _boxes_and_classes(judged, statements)
    judged = _prototypes(judged)
    return _queries(judged, statements)


def _alone(candidate: ScoreCandidate, statements: Statements, tokens: Grids) -> ScoreCandidate:
    """Return what an output is taken for by itself."""
    end = candidate.end
    entries = _list(candidate, statements) or _behind_selection(candidate, statements)
    if entries is not None:
        return entries
    if _is_attention(candidate):
        reason = "a softmax of it weights a product, as attention does"
        return replace(candidate, taken_for="attention", reason=reason)
    if candidate.refusal is not None:
        return candidate
    if candidate.logits in tokens and candidate.kind is None:
        return replace(candidate, taken_for="tokens", reason="one for each patch of the picture")
    if candidate.kind is not None:
        what = "class scores" if candidate.kind == "softmax" else "probabilities"
        return replace(candidate, taken_for=what, reason=candidate.reason or _after(candidate))
    if is_never_negative(candidate.logits):
        reason = "it is never negative, as a depth or density is"
        return replace(candidate, taken_for="amounts", reason=reason)
    if set(name_words(end.name or "")) & _BOXES and extents(end)[-1:] == (BOX,):
        return replace(candidate, taken_for="boxes", reason=f"the name {end.name!r}")
    return candidate


def _after(candidate: ScoreCandidate) -> str:
    return f"the {candidate.kind} at its end"


# ---- Lists in one output --------------------------------------------------------------------


def _list(candidate: ScoreCandidate, statements: Statements) -> ScoreCandidate | None:
    """Return the class scores of an output that lists boxes beside classes."""
    end = candidate.end
    layout = parts_of_list(end)
    if layout is None:
        return None
    parts = layout.parts
    scored = [part for part in parts if part.sigmoid is not None]
    rows = _class_rows(parts, scored, statements)
    reason = f"{quoted(end)} lists {_in_words(parts, rows)} side by side"
    if rows is None:
        sources = " or ".join(repr(part.value.name) for part in scored)
        refusal = LayerError(
            f"{reason}, and none of its parts has as many rows as {statements.source} "
            f"names classes, {len(statements.names or ())}; name the tensor of the classes"
            f"{f' ({sources})' if sources else ''} by ",
            Option("reduction_layer"),
        )
        return replace(candidate, taken_for="a list", reason=reason, refusal=refusal, fits=True)
    entries = replace(
        candidate,
        taken_for="class scores of a list",
        reason=f"{reason}{_sources(parts, rows)}",
        refusal=None,
        is_score=True,
        decided="",
    )
    scores = next((p for p in scored if (p.start, p.stop) == (rows.start, rows.stop)), None)
    if (
        scores is not None
        and rows.objectness is None
        and scores.sigmoid is scores.value
        and layout.whole
    ):
        node = scores.value.producer()
        if node is not None and node.inputs[0] is not None and rank(scores.value) == rank(end):
            logits, axis = node.inputs[0], layout.own_axis
            return replace(entries, logits=logits, score=scores.value, kind="sigmoid", axis=axis)
    return replace(entries, logits=end, score=None, kind="sigmoid", axis=layout.axis, rows=rows)


def _class_rows(
    parts: Sequence[Part], scored: Sequence[Part], statements: Statements
) -> Rows | None:
    """Return the rows of the classes behind those of the box; None if the names fit no part."""
    first = scored[0]
    whole = Rows(first.start, first.stop)
    split = Rows(first.start + 1, first.stop, first.start)
    options = [split, whole] if first.of_all_rows and first.rows > 1 else [whole]
    if first.rows == 1 and len(scored) > 1:
        options.insert(0, Rows(scored[1].start, scored[1].stop, first.start))
    if statements.names is None:
        return options[0]
    names = len(statements.names)
    return next((rows for rows in options if rows.stop - rows.start == names), None)


def _in_words(parts: Sequence[Part], rows: Rows | None) -> str:
    words = ["boxes"]
    if rows is not None:
        if rows.objectness is not None:
            words.append("objectness")
        classes = rows.stop - rows.start
        words.append("1 class" if classes == 1 else f"{classes} classes")
        if rows.stop < parts[-1].stop:
            words.append(f"{parts[-1].stop - rows.stop} further rows")
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "boxes and scores"


def _sources(parts: Sequence[Part], rows: Rows) -> str:
    """The convolutions of each kind of row, for those who ask about one scale alone."""
    kinds: dict[str, list[str]] = {}
    for part in parts:
        if part.start <= rows.start < part.stop:
            kind = "classes"
        elif part.start == rows.objectness:
            kind = "objectness"
        elif part.start < BOX:
            kind = "boxes"
        else:
            continue
        kinds.setdefault(kind, []).extend(_convolutions(part))
    sources = [
        f"{kind} by {' and '.join(map(repr, names))}" for kind, names in kinds.items() if names
    ]
    return f" ({', '.join(sources)})" if sources else ""


def _convolutions(part: Part) -> list[str]:
    """The convolutions that give a part's rows and no others, one for each scale."""
    names: dict[str, None] = {}
    stack, visited = [part.value], {part.value}
    while stack:
        value = stack.pop()
        node = value.producer()
        if node is None:
            continue
        if node.op_type in CONVOLUTIONS:
            if extents(value)[1:2] == (part.rows,):
                names[value.name or ""] = None
        elif node.op_type in PASSING | {"Concat", "Sigmoid", "Split"}:
            read = [v for v in node.inputs if v is not None and v not in visited]
            visited.update(read)
            stack.extend(reversed(read))
    return list(names)


# ---- Lists behind a selection ---------------------------------------------------------------


def _behind_selection(candidate: ScoreCandidate, statements: Statements) -> ScoreCandidate | None:
    """Return the class scores of the list that a NonMaxSuppression or TopK selects from."""
    end = candidate.end
    operators, scores = _selection(end)
    if not operators or (operators == {"TopK"} and rank(end) != 3):
        return None
    if operators == {"TopK"} and candidate.refusal is None and candidate.decided == "TopK":
        return None
    operator = "NonMaxSuppression" if "NonMaxSuppression" in operators else "TopK"
    reason = f"{quoted(end)} holds what a {operator} selects of a list of detections"
    lists = [v for v in scores if rank(v) == 3 and BOX not in extents(v)[1:]] or [
        v for v in scores if rank(v) == 3
    ]
    classes = None if statements.names is None else len(statements.names)
    fitting = [v for v in lists if classes is None or classes in extents(v)[1:]]
    axis = _listed_axis(fitting[0], classes) if len(fitting) == 1 else None
    if axis is None:
        sources = " or ".join(quoted(v) for v in lists)
        refusal = LayerError(
            f"{reason}; the score is what scores the classes before it: name that tensor"
            f"{f' ({sources})' if sources else ''} by ",
            Option("reduction_layer"),
            *(
                ()
                if classes is None or not lists
                else (", and its classes by ", Option("class_axis"))
            ),
        )
        return replace(candidate, taken_for="detections", reason=reason, refusal=refusal, fits=True)
    score = fitting[0]
    node = score.producer()
    assert node is not None
    logits = node.inputs[0]
    assert logits is not None
    return replace(
        candidate,
        logits=logits,
        score=score,
        kind=node.op_type.lower(),
        axis=axis,
        decided="",
        taken_for="class scores of a list",
        reason=f"{reason}; {score.name!r} is the {node.op_type.lower()} before it",
        refusal=None,
        is_score=True,
    )


def _listed_axis(score: ir.Value, classes: int | None) -> int | None:
    """The class axis of a list's score: as many channels as names, or what a maximum is over."""
    axes = [a for a in (1, 2) if classes is not None and extents(score)[a] == classes]
    if len(axes) == 1:
        return axes[0]
    node = score.producer()
    if node is not None and node.op_type == "Softmax":
        return (node.attributes.get_int("axis", -1) or 0) % 3 or None
    for consumer in score.consumers():
        if consumer.op_type == "ReduceMax":
            difference = {
                i for i, e in enumerate(extents(score)) if e not in extents(consumer.outputs[0])
            }
            if len(difference) == 1:
                return difference.pop() or None
    return None


def _selection(end: ir.Value) -> tuple[set[str], list[ir.Value]]:
    """The operators that select an output's rows, and the sigmoids and softmaxes before them."""
    operators: set[str] = set()
    scores: dict[ir.Value, None] = {}
    stack, visited = [end], {end}
    while stack:
        value = stack.pop()
        node = value.producer()
        if node is None or (node.op_type in SCORERS and not _is_product(node)):
            continue
        if node.op_type in ("NonMaxSuppression", "TopK"):
            operators.add(node.op_type)
        if node.op_type in ("Sigmoid", "Softmax"):
            scores[value] = None
            continue
        read = [v for v in node.inputs if v is not None and v not in visited and not is_constant(v)]
        visited.update(read)
        stack.extend(reversed(read))
    return operators, list(scores)


def _is_product(node: ir.Node) -> bool:
    return node.op_type == "MatMul" and not any(is_constant(v) for v in node.inputs)


# ---- Outputs beside each other --------------------------------------------------------------


def _boxes_and_classes(
    candidates: Sequence[ScoreCandidate], statements: Statements
) -> list[ScoreCandidate]:
    """Tell the classes [N, Q, C] of queries or anchors from their boxes [N, Q, 4]."""
    result = list(candidates)
    for i, boxes in enumerate(candidates):
        beside = [
            j
            for j, classes in enumerate(candidates)
            if j != i and _are_boxes_of(boxes, classes) and not _are_boxes_of(classes, boxes)
        ]
        if not beside:
            continue
        j = max(beside, key=lambda j: _likeness(candidates[j], statements))
        classes = candidates[j]
        reason = f"four numbers for each row of {classes.end.name!r}"
        refusal = LayerError(f"{boxes.end.name!r} holds boxes, {reason}, so it scores no classes")
        result[i] = replace(boxes, taken_for="boxes", reason=reason, refusal=refusal)
        reason = f"one row for each box of {boxes.end.name!r}"
        result[j] = replace(
            _probabilities(classes),
            taken_for="class scores of a list",
            reason=reason,
            refusal=None,
            is_score=True,
        )
    return result


def _likeness(candidate: ScoreCandidate, statements: Statements) -> tuple[bool, bool, bool]:
    """How much an output beside boxes looks like their classes, not like the queries' features."""
    names = None if statements.names is None else len(statements.names)
    rows = extents(candidate.end)[-1]
    fits = names is not None and rows in (names, names + 1)
    return fits, has_class_words(candidate.end.name or ""), candidate.kind is not None


def _probabilities(classes: ScoreCandidate) -> ScoreCandidate:
    """Return the classes [N, Q, C] of queries, as logits or after their softmax or sigmoid."""
    end = classes.end
    if classes.kind == "softmax" and classes.score is end:
        return classes
    sigmoid, node = sigmoid_of(end), end.producer()
    if sigmoid is None:
        kind = classes.kind  # a softmax whose numbers were moved about
        return replace(classes, logits=end, score=end if kind else None, kind=kind, axis=2)
    logits = node.inputs[0] if node is not None and sigmoid is end else end
    assert logits is not None
    return replace(classes, logits=logits, score=end, kind="sigmoid", axis=2)


def _are_boxes_of(boxes: ScoreCandidate, classes: ScoreCandidate) -> bool:
    """True if an output has four numbers for each row of another, and looks like boxes."""
    one, other = extents(boxes.end), extents(classes.end)
    if len(one) != 3 or len(other) != 3 or one[-1] != BOX or one[:2] != other[:2]:
        return False
    if boxes.kind == "softmax" or classes.taken_for in ("boxes", "attention"):
        return False
    if classes.taken_for == "tokens" and not has_class_words(classes.end.name or ""):
        return False
    if set(name_words(boxes.end.name or "")) & _BOXES:
        return True
    if set(name_words(classes.end.name or "")) & _BOXES:
        return False
    return other[-1] != BOX or (sigmoid_of(boxes.end) is not None and classes.kind is None)


def _prototypes(candidates: Sequence[ScoreCandidate]) -> list[ScoreCandidate]:
    """Take the maps beside a detector's list for the prototypes of its masks."""
    lists = [c for c in candidates if c.taken_for in ("class scores of a list", "a list")]
    if not any(c.rows is not None or rank(c.end) == 3 for c in lists):
        return list(candidates)
    return [
        replace(
            c,
            taken_for="prototypes",
            reason=f"maps without classes beside the list {lists[0].end.name!r}",
            refusal=c.refusal
            or LayerError(f"{c.end.name!r} holds mask prototypes, so it scores no classes"),
        )
        if rank(c.end) == 4
        and c.kind is None
        and not c.decided
        and c not in lists
        and not has_class_words(c.end.name or "")
        else c
        for c in candidates
    ]


def _queries(candidates: Sequence[ScoreCandidate], statements: Statements) -> list[ScoreCandidate]:
    """Refuse the classes and masks of queries that are outputs apart, as a Mask2Former's are.

    Such a pair is evidence: the score is its product, and no other output's values.
    """
    result = list(candidates)
    values = [i for i, c in enumerate(candidates) if c.taken_for == "values" and c.kind is None]
    for j in values:
        mask = candidates[j]
        beside = [i for i in values if _are_masks_of(mask.end, candidates[i].end)]
        if not beside:
            continue
        i = max(beside, key=lambda i: _likeness(candidates[i], statements))
        one = candidates[i]
        refusal = LayerError(
            f"the outputs {quoted(one.end)} and {quoted(mask.end)} hold the classes and the "
            "masks of queries apart, so none scores a class by place; add their product, "
            "the sum over queries of class probability times mask probability, to the "
            "network, and name it by ",
            Option("reduction_layer"),
            ", with ",
            Option("score", "logits"),
        )
        reason = f"as many rows as {mask.end.name!r} has maps"
        apart = replace(one, refusal=refusal, is_score=True)
        result[i] = replace(apart, taken_for="queries", reason=reason)
        reason = f"a map for each row of {one.end.name!r}"
        apart = replace(mask, refusal=refusal, is_score=True)
        result[j] = replace(apart, taken_for="masks", reason=reason)
    return result


def _are_masks_of(masks: ir.Value, classes: ir.Value) -> bool:
    """True if an output [N, Q, h, w] has a map for each row of another, [N, Q, C]."""
    if rank(classes) != 3 or rank(masks) != 4:
        return False
    queries = extents(masks)[1]
    return queries != "?" and queries == extents(classes)[1]


def _is_attention(candidate: ScoreCandidate) -> bool:
    """True if a softmax of a tensor, or the softmax that it is, weights a computed product."""
    if candidate.score is not None and candidate.kind == "softmax":
        softmaxes = [candidate.score]
    else:
        softmaxes = [
            node.outputs[0] for node in candidate.logits.consumers() if node.op_type == "Softmax"
        ]
    return any(_weights_product(softmax) for softmax in softmaxes)


def _weights_product(softmax: ir.Value) -> bool:
    return any(
        use.node.op_type == "MatMul" and not is_constant(other)
        for use in softmax.uses()
        for other in _others(use.node, softmax)
    )


def _others(node: ir.Node, value: ir.Value) -> Iterator[ir.Value]:
    yield from (v for v in node.inputs if v is not None and v is not value)
