"""Choosing the feature layers that the user does not name.

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

All of these depend on the picture that is asked about: of a network with a backbone for each of two
pictures, the layers of the other one's backbone show nothing of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx_ir as ir

from ortcam.artifact import Layer, Score, weights_name
from ortcam.errors import LayerError
from ortcam.messages import Option
from ortcam_export.choosing.operator_kinds import (
    CONVOLUTIONS,
    FLOATS,
    QUANTIZERS,
    RECURRENCES,
    SCORERS,
    SHAPE_READERS,
    attention_tables,
    before_quantization,
    is_handed_on,
    is_hidden,
    is_linear,
    is_relu_like,
    is_spatial,
    operator,
)
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.tokens import Grids, reach_picture
from ortcam_export.graph.names import UnusedNames, find
from ortcam_export.graph.traversal import reads
from ortcam_export.graph.values import extents, rank

__all__ = ["before_scorer", "choose_features", "dependents"]

#: Operators whose output can hold the features of several branches, or continues from them.
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


#: Operators that reassemble windows.
_REARRANGING = frozenset({"Reshape", "Transpose"})


def choose_features(
    network: PreparedNetwork,
    score: Score,
    reached: Iterable[str],
    grids: Grids,
    *,
    feature_layers: Sequence[str] | None = None,
    picture: ir.Value | None = None,
) -> tuple[Layer, ...]:
    """Finds the feature layers, from early to late.

    Args:
        network: a prepared network that has its score.
        score: the reduction layer.
        reached: names of the tensors that have a gradient path to the score; the choice is
            among these (a named layer that has none is refused when the gradient is built).
        grids: the result of :func:`ortcam_export.choosing.tokens.token_grids`.
        feature_layers: names of tensors or nodes, instead of the choice.
        picture: the input that is asked about: only layers that depend on it count. By default
            those of any input do.

    Raises:
        LayerError: there is no such layer, or it cannot be one.
    """
    model = network.model
    inputs = model.graph.inputs if picture is None else [picture]
    reached = set(reached)
    if feature_layers:
        values = dict.fromkeys(find(model, name) for name in feature_layers)
        dependent = dependents(model, inputs)
        for value in values:
            _refuse_no_feature(value)
            _refuse_no_map(network, value, dependent, picture)
            if value.name not in reached:
                _refuse_before_recurrence(model, score, value)
            _note_quantized(value, network.notes)
    else:
        value, description = _last_feature(network, score, reached, grids, inputs)
        values = {value: None}
        network.notes.append(f"feature layer {value.name!r}, {description}")
    depth = _depths(model)
    unused = UnusedNames(model)
    return tuple(
        Layer(
            name=value.name or "",
            weights=unused(weights_name(value.name or "")),
            channel_axis=_feature_axis(value, network),
            frames=value.name in network.frames,
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


def _refuse_no_feature(value: ir.Value) -> None:
    if value.dtype not in FLOATS or rank(value) < 3:
        kind = "unknown" if value.dtype is None else value.dtype.name.lower()
        raise LayerError(
            f"{value.name!r} is {kind} of shape {value.shape}; a feature layer is a float tensor "
            "with channels and space, [N, C, ...]"
        )


def _refuse_no_map(
    network: PreparedNetwork,
    value: ir.Value,
    dependent: set[ir.Value],
    picture: ir.Value | None,
) -> None:
    """Refuse a named layer of which no cell is a place of a picture that is asked about."""
    if value not in dependent and picture is not None:
        raise LayerError(
            f"{value.name!r} does not depend on the picture {picture.name!r}, so no map over that "
            "can be made from it; choose a layer that it leads to, or another picture by ",
            Option("picture_input"),
        )
    first = network.kinds.get(value.name or "", (None,))[0]
    if first not in ("batch", None):
        kind = {"class": "its channels", "list": "a list", "space": "places"}.get(first, first)
        raise LayerError(
            f"the first axis of {value.name!r} [{', '.join(map(str, extents(value)))}] is {kind}, "
            "where a feature layer has the batch; choose another layer"
        )


def _refuse_before_recurrence(model: ir.Model, score: Score, value: ir.Value) -> None:
    """Refuse a named layer from which a recurrence alone leads to the score."""
    between = _recurrences(model, score, dependents(model, [value]))
    if between:
        raise LayerError(
            f"between {value.name!r} and the score {score.name!r} stands a recurrence, "
            f"{_named(between)}, through which no gradient is computed yet; behind it no cell is "
            "a place of the picture, so no other layer helps"
        )


def _recurrences(model: ir.Model, score: Score, read: set[ir.Value]) -> list[ir.Node]:
    """The recurrences that read one of these tensors and that the score depends on."""
    leads = {find(model, score.name)}
    for node in reversed(model.graph):
        if any(value in leads for value in node.outputs):
            leads.update(reads(node))
    return [
        node
        for node in model.graph
        if node.op_type in RECURRENCES
        and any(value in read for value in reads(node))
        and any(value in leads for value in node.outputs)
    ]


def _named(nodes: Sequence[ir.Node]) -> str:
    """Nodes for a reader, two of them by name."""
    names = " and ".join(f"the {node.op_type} {node.name!r}" for node in nodes[:2])
    return f"{names} and {len(nodes) - 2} more" if len(nodes) > 2 else names


def _feature_axis(value: ir.Value, network: PreparedNetwork) -> int:
    kinds = network.kinds.get(value.name or "", ())
    axis = network.axes.get(value.name or "")
    if axis is None and kinds.count(None) == 1 and set(kinds) <= {"batch", None, "space"}:
        axis = kinds.index(None)  # nothing else is left
    if axis:
        return axis
    if None in kinds[1:]:
        raise LayerError(
            f"which axis of {value.name!r} [{', '.join(map(str, extents(value)))}] holds its "
            "channels is not known; choose another layer, or say how the input lies by ",
            Option("layout"),
        )
    raise LayerError(
        f"{value.name!r} has no axis of channels beside its batch; choose another layer"
    )


def _last_feature(
    network: PreparedNetwork,
    score: Score,
    reached: set[str],
    grids: Grids,
    inputs: Sequence[ir.Value],
) -> tuple[ir.Value, str]:
    """The feature layer to take where none is named, and what it is, for a note."""
    model, axes = network.model, network.axes
    dependent, tables = dependents(model, inputs), attention_tables(model)
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
        and value in dependent - tables
        and network.kinds.get(value.name or "", (None,))[0] in ("batch", None)
        and value.name != score.name
        and is_spatial(value, axes.get(value.name or ""))
        and (value in pictured if value in grids else not flat or rank(value) > 3)
    ]
    active = [value for value in possible if value in before and is_relu_like(value)]
    handed_on = [value for value in possible if value in before and is_handed_on(value)]
    wishes = (
        [value for value in active if not is_hidden(value)],
        [value for value in possible if value in before and is_linear(value)],
        [value for value in possible if is_linear(value)],
    )

    def last(values: Sequence[ir.Value]) -> ir.Value:
        return max(reversed(values), key=lambda value: depth[value])

    if handed_on and (not active or is_hidden(last(active))):
        choice = last([*handed_on, *wishes[0]])
        whole = choice if choice in grids else _put_together(choice)
        if whole is not choice and whole in possible:
            return whole, f"{_describe(choice)}, its windows put together"
        return choice, _describe(choice)
    for wish in wishes:
        if wish:
            choice = last(wish)
            joined = _joined(network, score, reached, inputs)
            behind = [v for v in possible if v in joined & before and depth[v] > depth[choice]]
            if choice in joined or not behind:
                return choice, _describe(choice)
            junction = last(behind)
            return (
                junction,
                f"where the last branches before the scorer meet ({operator(junction)})",
            )
    between = _recurrences(model, score, convolved & dependent)
    if between:
        raise LayerError(
            f"between the convolutions and the score {score.name!r} stands a recurrence, "
            f"{_named(between)}, through which no gradient is computed yet, so there is no "
            "feature layer to choose"
        )
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


def _joined(
    network: PreparedNetwork, score: Score, reached: set[str], inputs: Sequence[ir.Value]
) -> set[ir.Value]:
    """The activations, sums and their like that every path from the inputs to the score crosses.

    In the order of the graph a tensor is one of these where, once it is computed, nothing else
    that was computed before is still to be read. Tensors of as many channels as there are classes
    may hold scores already, and do not count; nor do those of more axes than the network's inputs,
    such as branches that are stacked for their sum.
    """
    graph = network.model.graph
    scored = find(network.model, score.name)
    classes = None if scored.shape is None else scored.shape[score.class_axis]
    last_read: dict[ir.Value, int] = {}
    follows = {value for value in inputs if value.name in reached}
    order = [node for node in graph if any(v.name in reached for v in node.outputs)]
    for index, node in enumerate(order):
        read = [value for value in reads(node) if value in follows]
        last_read.update((value, index) for value in read)
        if read:
            follows.update(value for value in node.outputs if value.name in reached)
    joined: set[ir.Value] = set()
    axes_most = max(rank(value) for value in graph.inputs)
    open_until = max((last_read.get(value, -1) for value in inputs), default=-1)
    for index, node in enumerate(order):
        outputs = [value for value in node.outputs if value in last_read]
        if len(outputs) == 1 and open_until <= index:
            value, axis = outputs[0], network.axes.get(outputs[0].name or "")
            origin = before_quantization(value).producer() or node
            features = origin.op_type in _JOINING or is_relu_like(value)
            extents = () if value.shape is None else value.shape.dims
            if features and axis and len(extents) <= axes_most and extents[axis] != classes:
                joined.add(value)
        open_until = max([open_until, *(last_read[value] for value in outputs)])
    return joined


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


def dependents(model: ir.Model, inputs: Iterable[ir.Value]) -> set[ir.Value]:
    """The tensors whose numbers depend on those of some inputs, and not on their shapes alone."""
    dependent = set(inputs)
    for node in model.graph:
        if node.op_type not in SHAPE_READERS and any(v in dependent for v in reads(node)):
            dependent.update(_computed(node))
    return dependent


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
            if node.op_type in SCORERS:
                before.update(read)
    return before
