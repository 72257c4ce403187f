"""Shapes and types, inferred by onnx and corrected where ONNX Runtime computes others."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir
from onnx import shape_inference

from ortcam.errors import ModelError
from ortcam_export.graph.model_io import skeleton
from ortcam_export.prepare.onnxruntime_shapes import better
from ortcam_export.prepare.opset import _names
from ortcam_export.prepare.shape_arithmetic import fold

__all__ = ["infer", "shape_inputs"]

#: The operators through which onnx propagates data: the elements of what may be a shape.
_PROPAGATING = frozenset(
    schema.name
    for schema in onnx.defs.get_all_schemas_with_history()
    if not schema.domain and schema.has_data_propagation_function and schema.name != "Shape"
)


#: No shape has more elements.
_LONGEST = 1024


#: A domain of which onnx knows no operator.
_UNKNOWN = "ortcam.held"


#: How many operators in a row, whose shapes onnx's inference does not find, are followed.
_ROUNDS = 64


#: How the names begin that onnx's inference gives to extents that it does not know.
_MADE_UP = "unk__"


def shape_inputs(model: ir.Model) -> None:
    """An input of undeclared shape has as many axes and channels as a convolution reads of it."""
    for value in model.graph.inputs:
        for node in value.consumers() if value.shape is None else ():
            weights = node.inputs[1] if node.op_type == "Conv" else None
            if weights is not None and weights.const_value is not None:
                channels, *kernel = weights.const_value.shape.numpy()[1:]
                group = node.attributes.get_int("group", 1)
                value.shape = ir.Shape([None, channels * group, *[None] * len(kernel)])


def infer(model: ir.Model) -> None:
    """Infers types and shapes afresh, and falls back on the file's own where that finds none.

    A file's own shapes are often stale: of one batch or size, in a network whose inputs were made
    dynamic later. So they count only where inference finds no rank, and for a single extent only
    in a network whose inputs are all of fixed shape. Where onnxruntime computes another shape than
    onnx's inference finds, its own counts; integers that follow from known shapes become
    initializers.
    """
    declared = _forget_shapes(model)
    _infer_once(model)
    fixed = all(value.shape is not None and value.shape.is_static() for value in model.graph.inputs)
    told: dict[ir.Value, ir.Shape] = {}
    for value, (dtype, shape) in declared.items():
        if value.dtype is None and dtype is not None:
            value.dtype = dtype
        merged = _merge(value.shape, shape, fixed)
        if merged is not None and merged != value.shape:
            told[value] = merged
    for _ in range(_ROUNDS):
        for node in model.graph:
            for value, shape in zip(node.outputs, better(node), strict=False):
                told[value] = shape
                if value.dtype is None and node.inputs[0] is not None:
                    value.type = node.inputs[0].type
        if all(_tells(value.shape, shape) for value, shape in told.items()) and not fold(model):
            break
        _forget_shapes(model)
        for value, shape in told.items():
            value.shape = shape
        _infer_once(model)


def _tells(inferred: ir.Shape | None, told: ir.Shape) -> bool:
    """Whether a shape has the rank, the numbers and the named extents of another."""
    return (
        inferred is not None
        and len(inferred) == len(told)
        and all(
            own == dim or not _is_named(dim) or (isinstance(own, int) and not isinstance(dim, int))
            for own, dim in zip(inferred.dims, told.dims, strict=True)
        )
    )


def _is_named(dim: int | ir.SymbolicDim) -> bool:
    """Whether an extent is known or has a name; each run of inference makes up new unk__1s."""
    return isinstance(dim, int) or not (dim.value or _MADE_UP).startswith(_MADE_UP)


def _forget_shapes(
    model: ir.Model,
) -> dict[ir.Value, tuple[ir.DataType | None, ir.Shape | None]]:
    declared = {}
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                declared[value] = (value.dtype, value.shape)
                value.shape = None
    return declared


def _merge(inferred: ir.Shape | None, declared: ir.Shape | None, fixed: bool) -> ir.Shape | None:
    if declared is None or (inferred is not None and len(inferred) != len(declared)):
        return inferred
    if inferred is None:
        return declared
    known = [
        theirs if fixed and not isinstance(ours, int) else ours
        for ours, theirs in zip(inferred.dims, declared.dims, strict=True)
    ]
    return ir.Shape(known)


def _infer_once(model: ir.Model) -> None:
    """Onnx's shape inference with data propagation, merged into the model.

    What the propagation learns may make more of it possible.
    """
    proto = _merge_inferred(model, skeleton(model), data_prop=False)
    for _ in range(_ROUNDS):
        held = _held(model)
        if not held:
            _merge_inferred(model, proto, data_prop=True)
            break
        proto = skeleton(model)
        _make_unknown(proto.graph, {name for node in held for name in _names(node)})
        proto.opset_import.add(domain=_UNKNOWN, version=1)
        _merge_inferred(model, proto, data_prop=True)
        # the held ones' shapes, by what is now known
        proto = _merge_inferred(model, skeleton(model), data_prop=False)
        if _held(model) == held:
            break


def _held(model: ir.Model) -> list[ir.Node]:
    """The nodes through which onnx must not propagate data.

    Of a vector of known extent it makes as many symbols: of a Range up to 10^12, until the memory
    is full.
    """
    return [
        node
        for node in model.graph.all_nodes()
        if not node.domain and node.op_type in _PROPAGATING and any(map(_may_be_long, node.inputs))
    ]


def _may_be_long(value: ir.Value | None) -> bool:
    if value is None:
        return False
    if value.shape is None:
        return True
    if len(value.shape) != 1:  # of scalars it takes one, and of others none
        return False
    return not isinstance(extent := value.shape[0], int) or extent > _LONGEST


def _merge_inferred(model: ir.Model, proto: onnx.ModelProto, data_prop: bool) -> onnx.ModelProto:
    """One run of onnx's shape inference on a model's skeleton, merged into the model."""
    try:
        proto = shape_inference.infer_shapes(proto, data_prop=data_prop)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ModelError(f"the network's shapes do not fit together: {reason}") from error
    for ours, theirs in zip(model.graphs(), _graphs(proto.graph), strict=True):
        types = {info.name: info.type for info in (*theirs.value_info, *theirs.output)}
        for node in ours:
            for value in node.outputs:
                if value.name in types:
                    _merge_type(value, types[value.name])
    return proto


def _merge_type(value: ir.Value, inferred: onnx.TypeProto) -> None:
    shape = ir.serde.deserialize_type_proto_for_shape(inferred)
    kind = ir.serde.deserialize_type_proto_for_type(inferred)
    if shape is not None:
        value.shape = shape
    if kind is not None:
        value.dtype = kind.dtype


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes, in the order of :meth:`ir.Model.graphs`."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for held in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(held)


def _make_unknown(graph: onnx.GraphProto, outputs: set[str]) -> None:
    """Makes the nodes of these outputs such as onnx infers nothing of."""
    for node in graph.node:
        if not outputs.isdisjoint(node.output):
            node.domain = _UNKNOWN
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _make_unknown(attribute.g, outputs)
