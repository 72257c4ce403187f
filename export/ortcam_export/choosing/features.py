"""Choosing the reduction layer and the feature layers where nobody names them.

The reduction layer is the softmax or sigmoid that feeds an output, found also behind what a
network does with its scores afterwards (a Resize, a Transpose, an ArgMax...). A network that ends
in logits gets a softmax appended, or a sigmoid where it has one channel.

The feature layer is the last ReLU-like output of a convolution with a spatial extent above 1
before the scorer, the last convolution or dense layer on the way to the score. "Last" is by
the longest path from the inputs, so that it does not hang on the order of the file's nodes.
Where such an output is one branch of several (of a residual sum, of a concatenation), it does not
hold what the scorer sees: then the last tensor is taken that every path to the score runs through.

Where that would be the hidden activation of a perceptron inside a block (a transformer's, or
ConvNeXt's), it is the last normalisation or sum of a block instead: what the blocks hand on.
Behind the last attention of a transformer that reads its class token the picture's tokens have no
gradient, so there it is the normalisation before that attention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from ortcam.artifact import Layer, Score, weights_name
from ortcam.errors import InputError, LayerError
from ortcam_export.choosing.channel_axes import Axes, channel_axes, constant_ints, extents, rank
from ortcam_export.choosing.tokens import Grids, reach_picture, token_grids
from ortcam_export.gradient.rules.quantization import representable
from ortcam_export.graph.names import find, unused
from ortcam_export.prepare.control_flow import reads

__all__ = [
    "CONVOLUTIONS",
    "FLOATS",
    "GATES",
    "KINDS",
    "QUANTIZERS",
    "ScoreCandidate",
    "before_quantization",
    "before_scorer",
    "choose_features",
    "choose_score",
    "find_score",
    "is_handed_on",
    "is_relu_like",
    "is_spatial",
    "operator",
    "score_candidates",
    "take_score",
]

#: What a score can be: after a softmax, after a sigmoid, or before either.
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

FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "DeformConv"})
QUANTIZERS = frozenset({"DynamicQuantizeLinear", "QuantizeLinear"})
_SCORERS = CONVOLUTIONS | {"Gemm", "MatMul"}
_RELU_LIKE = frozenset(
    {
        "Celu",
        "Elu",
        "Gelu",
        "HardSwish",
        "LeakyRelu",
        "Mish",
        "PRelu",
        "Relu",
        "Selu",
        "Softplus",
        "Swish",
        "ThresholdedRelu",
    }
)

_NORMALIZATIONS = frozenset({"LayerNormalization", "RMSNormalization"})
#: What computes a tensor of either sign, into whose quantizer a ReLU may be folded.
_LINEAR = CONVOLUTIONS | {"Add", "BatchNormalization"}

#: What makes a gate of a tensor, in an activation written out: x * sigmoid(x) and its like.
GATES = frozenset({"Clip", "Erf", "HardSigmoid", "Relu", "Sigmoid", "Softplus", "Tanh"})
_BY_CONSTANT = frozenset({"Add", "DequantizeLinear", "Div", "Mul", "QuantizeLinear", "Sub"})

#: What can hold the features of several branches, or goes on from these.
_JOINING = CONVOLUTIONS | {
    "Add",
    "BatchNormalization",
    "Concat",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "Mul",
    "ReduceMean",
    "ReduceSum",
    "Sum",
}


#: What puts windows together.
_REARRANGING = frozenset({"Reshape", "Transpose"})


# ---- The reduction layer --------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreCandidate:
    """Where a network's scores are.

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
        """What to call it as ``reduction_layer``."""
        return (self.score or self.logits).name or ""

    @property
    def classes(self) -> int | None:
        """How many classes it scores, where that is known."""
        extent = None if self.logits.shape is None else self.logits.shape[self.axis]
        return extent if isinstance(extent, int) else None


def choose_score(
    model: ir.Model,
    *,
    reduction_layer: str | None = None,
    score: str | None = None,
    axes: Axes | None = None,
    notes: list[str] | None = None,
) -> Score:
    """Finds or appends the score.

    Args:
        model: a prepared network; a softmax or sigmoid may be appended to its graph.
        reduction_layer: the name of a tensor or node, instead of the choice.
        score: one of :data:`KINDS`, instead of what the network ends in.
        axes: what :func:`ortcam_export.choosing.channel_axes.channel_axes` found.
        notes: takes a sentence on each thing chosen or appended.

    Raises:
        LayerError: there is no such layer, or no tensor that could be a score.
        InputError: ``score`` is none of :data:`KINDS`.
    """
    axes = channel_axes(model) if axes is None else axes
    candidate = find_score(model, axes, reduction_layer=reduction_layer, score=score, notes=notes)
    return take_score(model, candidate, score=score, notes=notes)


def find_score(
    model: ir.Model,
    axes: Axes,
    *,
    reduction_layer: str | None = None,
    score: str | None = None,
    notes: list[str] | None = None,
) -> ScoreCandidate:
    """Finds where the scores are, and changes nothing; see :func:`choose_score`."""
    if score is not None and score not in KINDS:
        raise InputError(f"score is {score!r}; it is softmax, sigmoid or logits")
    if reduction_layer is None:
        candidate, *others = score_candidates(model, axes)
        _refuse_apart(model, [candidate, *others], axes)
        if notes is not None:
            _note_choice(candidate, others, notes)
        return candidate
    named = find(model, reduction_layer)
    candidate = _trace(named, axes, keep=True)
    return candidate if score in (None, candidate.kind) else _trace(named, axes)


def take_score(
    model: ir.Model,
    candidate: ScoreCandidate,
    *,
    score: str | None = None,
    notes: list[str] | None = None,
) -> Score:
    """The score of a candidate, appended where the network has it not; see :func:`choose_score`."""
    wanted = score or candidate.kind or ("sigmoid" if candidate.classes == 1 else "softmax")
    if wanted == "softmax" and candidate.classes == 1:
        raise LayerError(
            f"a softmax over the one channel of {candidate.logits.name!r} is always 1; "
            "ask for score='sigmoid' or score='logits'"
        )
    if wanted == "logits":
        return Score(name=candidate.logits.name or "", class_axis=candidate.axis, kind="logits")
    if wanted == candidate.kind and candidate.score is not None:
        return Score(name=candidate.name, class_axis=candidate.axis, kind=wanted)
    appended = _append(model, candidate, wanted)
    if notes is not None:
        notes.append(
            f"appended a {wanted} to {candidate.logits.name!r} as the score, which changes every "
            "map; score='logits' explains the logits as they stand"
        )
    return Score(name=appended, class_axis=candidate.axis, kind=wanted)


def score_candidates(model: ir.Model, axes: Axes) -> list[ScoreCandidate]:
    """One candidate for each output that has a score, the best first.

    Scores with space come before those without, and tokens, which are features as a rule, behind
    both; those after a softmax or sigmoid before logits, earlier outputs before later ones.

    Raises:
        LayerError: no output has a score; the message tells why.
    """
    found: dict[ir.Value, ScoreCandidate] = {}
    reasons: list[LayerError] = []
    for output in model.graph.outputs:
        try:
            candidate = _trace(output, axes)
        except LayerError as error:
            reasons.append(error)
            continue
        known = found.get(candidate.logits)
        if known is None or (candidate.kind and not known.kind):
            found[candidate.logits] = candidate
    if not found:
        raise reasons[0]
    grids = token_grids(model, axes)

    def order(candidate: ScoreCandidate) -> tuple[bool, bool, bool]:
        logits = candidate.logits
        return logits in grids, not is_spatial(logits, candidate.axis), candidate.kind is None

    return sorted(found.values(), key=order)


def _refuse_apart(model: ir.Model, candidates: Sequence[ScoreCandidate], axes: Axes) -> None:
    """Refuses heads that keep what and where apart, so that no output scores a class by place.

    A YOLO's output holds boxes, classes and mask coefficients of its anchors, one after the other;
    a Mask2Former's are the classes of its queries and the masks of the same queries.

    Raises:
        LayerError: the best of the candidates is one of these.
    """
    if candidates[0].kind is not None or all(rank(value) < 4 for value in model.graph.inputs):
        return
    tokens = token_grids(model, axes)
    flat = [c.logits for c in candidates if rank(c.logits) == 3 and c.logits not in tokens]
    maps = [c.logits for c in candidates if rank(c.logits) == 4]
    listed = next((value for value in flat if _is_concatenated(value)), None)
    if listed is not None:
        masks = ", and its masks are prototypes without classes" if maps else ""
        names = " or ".join(repr(value.name) for value in _class_convolutions(listed))
        raise LayerError(
            f"the output {_shaped(listed)} is a detector's list of anchors, boxes beside classes"
            f"{masks}; what scores classes by place is the last convolution of their branch at "
            f"one scale: name it{f' ({names})' if names else ''} by reduction_layer=, with "
            "score='sigmoid'"
        )
    for value in flat:
        for mask in maps:
            if extents(value)[1] == extents(mask)[1]:
                raise LayerError(
                    f"the outputs {_shaped(value)} and {_shaped(mask)} hold the classes and the "
                    "masks of queries apart, so none scores a class by place; add their product, "
                    "the sum over queries of class probability times mask probability, to the "
                    "network, and name it by reduction_layer=, with score='logits'"
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
        notes.append(f"other outputs have scores too: {listed}; choose by reduction_layer=")


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
    """What follows from a softmax or sigmoid on the way back from ``end``."""
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


# ---- Feature layers -------------------------------------------------------------------------


def choose_features(
    model: ir.Model,
    score: Score,
    reached: Iterable[str],
    *,
    feature_layers: Sequence[str] | None = None,
    axes: Axes | None = None,
    grids: Grids | None = None,
    notes: list[str] | None = None,
) -> tuple[Layer, ...]:
    """Finds the feature layers, from early to late.

    Args:
        model: a prepared network that has its score.
        score: the reduction layer.
        reached: names of the tensors that have a gradient path to the score; the choice is
            among these (a named layer that has none is refused when the gradient is built).
        feature_layers: names of tensors or nodes, instead of the choice.
        axes: what :func:`ortcam_export.choosing.channel_axes.channel_axes` found.
        grids: what :func:`ortcam_export.choosing.tokens.token_grids` found.
        notes: takes a sentence on what was chosen.

    Raises:
        LayerError: there is no such layer, or it cannot be one.
    """
    axes = channel_axes(model) if axes is None else axes
    grids = token_grids(model, axes) if grids is None else grids
    if feature_layers:
        values = dict.fromkeys(find(model, name) for name in feature_layers)
        for value in values:
            _refuse_no_feature(value)
            if notes is not None:
                _note_quantized(value, notes)
    else:
        chosen, described = _last_feature(model, score, set(reached), axes, grids)
        values = {chosen: None}
        if notes is not None:
            notes.append(f"feature layer {chosen.name!r}, {described}")
    depth = _depths(model)
    return tuple(
        Layer(
            name=value.name or "",
            weights=unused(model, weights_name(value.name or "")),
            channel_axis=_feature_axis(value, axes),
        )
        for value in sorted(values, key=lambda value: depth[value])
    )


def _note_quantized(value: ir.Value, notes: list[str]) -> None:
    """Says what becomes of a tensor that goes into a quantizer alone.

    The names of the network before it was quantized are those of such tensors.
    """
    goes_on = [
        output.name
        for quantizer in value.consumers()
        for dequantizer in quantizer.outputs[0].consumers()
        for output in dequantizer.outputs
        if before_quantization(output) is value
    ]
    if goes_on and all(node.op_type in QUANTIZERS for node in value.consumers()):
        notes.append(
            f"{value.name!r} is quantized before the network goes on with it, and cut off to the "
            f"quantizer's range, which a ReLU may be part of; after that it is {goes_on[0]!r}"
        )


def is_spatial(value: ir.Value, axis: int | None) -> bool:
    """Whether a tensor has axes beside its batch and channels, not all of extent 1."""
    if value.shape is None or axis is None:
        return False
    space = [extent for i, extent in enumerate(value.shape) if i not in (0, axis)]
    return any(extent != 1 for extent in space)


def before_quantization(value: ir.Value) -> ir.Value:
    """The tensor that this one is the dequantized form of; itself where it is none's."""
    node = value.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return value
    quantizer = node.inputs[0].producer()
    if quantizer is None or quantizer.op_type not in QUANTIZERS or quantizer.inputs[0] is None:
        return value
    return quantizer.inputs[0]


def operator(value: ir.Value) -> str:
    """What computes a tensor; of a dequantized one also what was quantized."""
    node, before = value.producer(), before_quantization(value).producer()
    name = "" if node is None else node.op_type
    return name if before is node or before is None else f"{name} of {before.op_type}"


def is_relu_like(value: ir.Value) -> bool:
    """Whether a tensor is the output of a ReLU or of an activation that serves as one.

    Activations that an exporter writes out are known as a product whose factors come from one
    tensor, one of them through a gate: SiLU as x * sigmoid(x), and so HardSwish, Mish, GELU. A
    quantizer whose range begins at 0 is the ReLU of what it reads.
    """
    node = value.producer()
    if node is None:
        return False
    before = before_quantization(value)
    if before is not value:
        return is_relu_like(before) or (_is_linear(before) and _from_zero(node))
    if node.op_type in _RELU_LIKE:
        return True
    if node.op_type == "Clip":  # ReLU6
        low = node.inputs[1] if len(node.inputs) > 1 else None
        return low is not None and low.const_value is not None and not low.const_value.numpy().any()
    if node.op_type not in ("Mul", "Div") or len(node.inputs) != 2:
        return False
    first, second = node.inputs
    if first is None or second is None:
        return False
    for one, other in ((first, second), (second, first)):
        if other.const_value is not None:  # GELU's half, HardSwish's sixth
            return _is_product(one) and is_relu_like(one)
    (a, gated_a), (b, gated_b) = _origin(first), _origin(second)
    return a is b and (gated_a or gated_b)


def _from_zero(dequantizer: ir.Node) -> bool:
    """Whether the least number that a tensor can hold is 0."""
    quantized = dequantizer.inputs[0]
    zero = dequantizer.inputs[2] if len(dequantizer.inputs) > 2 else None
    if quantized is None or quantized.dtype is None:
        return False
    if zero is None:
        return not quantized.dtype.is_signed()
    least, _ = representable(quantized.dtype)
    return zero.const_value is not None and bool((zero.const_value.numpy() == least).all())


def _is_product(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "Mul"


def _origin(value: ir.Value) -> tuple[ir.Value, bool]:
    """The tensor that a factor is computed from elementwise, and whether through a gate."""
    gated = False
    while (node := value.producer()) is not None:
        variable = [v for v in node.inputs if v is not None and v.const_value is None]
        gate = node.op_type in GATES
        if len(variable) != 1 or not (gate or node.op_type in _BY_CONSTANT):
            break
        if node.op_type == "Relu" and not gated:
            break  # a product with what a ReLU gave is no gate of that ReLU's input
        gated, value = gated or gate, variable[0]
    return value, gated


def _refuse_no_feature(value: ir.Value) -> None:
    if value.dtype not in FLOATS or rank(value) < 3:
        kind = "unknown" if value.dtype is None else value.dtype.name.lower()
        raise LayerError(
            f"{value.name!r} is {kind} of shape {value.shape}; a feature layer is a float tensor "
            "with channels and space, [N, C, ...]"
        )


def _feature_axis(value: ir.Value, axes: Axes) -> int:
    axis = axes.get(value.name or "")
    if not axis:
        raise LayerError(
            f"{value.name!r} has no axis of channels beside its batch; choose another layer"
        )
    return axis


def _last_feature(
    model: ir.Model, score: Score, reached: set[str], axes: Axes, grids: Grids
) -> tuple[ir.Value, str]:
    """The feature layer to take where none is named, and what it is, for a note."""
    depth = _depths(model)
    convolved = _behind_convolution(model)
    before = before_scorer(model, score)
    pictured = reach_picture(model, grids, reached)
    flat = any(rank(value) > 3 for value in model.graph.inputs)
    possible = [
        value
        for value in depth
        if value.name in reached
        and value in convolved
        and value.name != score.name
        and is_spatial(value, axes.get(value.name or ""))
        and (value in pictured if value in grids else not flat or rank(value) > 3)
    ]
    active = [value for value in possible if value in before and is_relu_like(value)]
    handed_on = [value for value in possible if value in before and is_handed_on(value)]
    wishes = (
        [value for value in active if not is_hidden(value)],
        [value for value in possible if value in before and _is_linear(value)],
        [value for value in possible if _is_linear(value)],
    )

    def last(values: Sequence[ir.Value]) -> ir.Value:
        return max(reversed(values), key=lambda value: depth[value])

    if handed_on and (not active or is_hidden(last(active))):
        chosen = last([*handed_on, *wishes[0]])
        whole = chosen if chosen in grids else _put_together(chosen)
        if whole is not chosen and whole in possible:
            return whole, f"{_describe(chosen)}, its windows put together"
        return chosen, _describe(chosen)
    for wish in wishes:
        if wish:
            chosen = last(wish)
            joined = _joined(model, score, reached, axes)
            behind = [v for v in possible if v in joined & before and depth[v] > depth[chosen]]
            if chosen in joined or not behind:
                return chosen, _describe(chosen)
            met = last(behind)
            return met, f"where the last branches before the scorer meet ({operator(met)})"
    raise LayerError(
        "no convolution with a spatial extent above 1 leads to the score "
        f"{score.name!r}; name a feature layer"
    )


def _put_together(value: ir.Value) -> ir.Value:
    """The same numbers in rows and columns of the picture, where they stand window by window.

    That is what a chain of Reshape and Transpose ends in, if it gives space other extents.
    """
    whole = value
    while len(nodes := tuple(whole.consumers())) == 1 and nodes[0].op_type in _REARRANGING:
        whole = nodes[0].outputs[0]
    same = sorted(map(str, extents(whole))) == sorted(map(str, extents(value)))
    return value if same or rank(whole) != rank(value) else whole


def is_hidden(value: ir.Value) -> bool:
    """Whether a dense layer reads a tensor of channels and space: it is inside a perceptron."""
    return any(
        use.node.op_type == "MatMul" and use.idx == 0 and _is_constant(use.node.inputs[1])
        for use in value.uses()
    )


def is_handed_on(value: ir.Value) -> bool:
    """Whether a tensor is what a transformer's block gives: a sum of two, or its normalisation."""
    node = value.producer()
    if node is None:
        return False
    if node.op_type in _NORMALIZATIONS:
        return True
    return node.op_type == "Add" and not any(_is_constant(v) for v in node.inputs)


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _joined(model: ir.Model, score: Score, reached: set[str], axes: Axes) -> set[ir.Value]:
    """The activations, sums and their like that every path from the inputs to the score crosses.

    In the order of the graph a tensor is one of these where, once it is computed, nothing else
    that was computed before is still to be read. Tensors of as many channels as there are classes
    may hold scores already, and do not count; nor do those of more axes than the network's inputs,
    such as branches that are stacked for their sum.
    """
    scored = find(model, score.name)
    classes = None if scored.shape is None else scored.shape[score.class_axis]
    last_read: dict[ir.Value, int] = {}
    follows = {value for value in model.graph.inputs if value.name in reached}
    order = [node for node in model.graph if any(v.name in reached for v in node.outputs)]
    for index, node in enumerate(order):
        read = [value for value in reads(node) if value in follows]
        last_read.update((value, index) for value in read)
        if read:
            follows.update(value for value in node.outputs if value.name in reached)
    joined: set[ir.Value] = set()
    axes_most = max(rank(value) for value in model.graph.inputs)
    open_until = max((last_read.get(value, -1) for value in model.graph.inputs), default=-1)
    for index, node in enumerate(order):
        made = [value for value in node.outputs if value in last_read]
        if len(made) == 1 and open_until <= index:
            value, axis = made[0], axes.get(made[0].name or "")
            origin = before_quantization(value).producer() or node
            features = origin.op_type in _JOINING or is_relu_like(value)
            extents = () if value.shape is None else value.shape.dims
            if features and axis and len(extents) <= axes_most and extents[axis] != classes:
                joined.add(value)
        open_until = max([open_until, *(last_read[value] for value in made)])
    return joined


def _is_linear(value: ir.Value) -> bool:
    node = before_quantization(value).producer()
    return node is not None and node.op_type in _LINEAR


def _describe(value: ir.Value) -> str:
    by = operator(value)
    if is_relu_like(value):
        return f"the last activation ({by}) of a convolution before the scorer"
    if is_handed_on(value):
        return f"the last sum or normalisation of a block ({by}) before the scorer"
    return f"the last convolution's output ({by}), as no ReLU stands before the scorer"


def _computed(node: ir.Node) -> Iterator[ir.Value]:
    yield from (value for value in node.outputs if value.name)


def _depths(model: ir.Model) -> dict[ir.Value, int]:
    """Each computed tensor's longest path from an input, in operators, in the graph's order."""
    depth: dict[ir.Value, int] = {}
    for node in model.graph:
        longest = max((depth.get(v, 0) for v in reads(node)), default=0)
        depth.update((value, longest + 1) for value in _computed(node))
    return depth


def _behind_convolution(model: ir.Model) -> set[ir.Value]:
    """The tensors that a convolution leads to."""
    behind: set[ir.Value] = set()
    for node in model.graph:
        if node.op_type in CONVOLUTIONS or any(value in behind for value in reads(node)):
            behind.update(_computed(node))
    return behind


def before_scorer(model: ir.Model, score: Score) -> set[ir.Value]:
    """The tensors that lead to the score through a convolution or dense layer, the scorer."""
    scored = find(model, score.name)
    leads, before = {scored}, set[ir.Value]()
    for node in reversed(model.graph):
        read = list(reads(node))
        if any(value in before for value in node.outputs):
            before.update(read)
            leads.update(read)
        elif any(value in leads for value in node.outputs):
            leads.update(read)
            if node.op_type in _SCORERS:
                before.update(read)
    return before
