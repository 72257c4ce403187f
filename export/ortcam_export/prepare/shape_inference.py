"""Shapes and types, inferred by onnx and corrected where ONNX Runtime computes others."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir
from onnx import shape_inference

from ortcam.errors import ModelError
from ortcam_export.graph.model_io import skeleton
from ortcam_export.graph.values import output_names
from ortcam_export.prepare.onnxruntime_shapes import better
from ortcam_export.prepare.shape_arithmetic import FoldShapes

__all__ = ["DeclareInputShapes", "infer"]

#: The operators through which onnx propagates data: the elements of possible shapes.
_PROPAGATING = frozenset(
    schema.name
    for schema in onnx.defs.get_all_schemas_with_history()
    if not schema.domain and schema.has_data_propagation_function and schema.name != "Shape"
)


#: No shape has more elements.
_LONGEST = 1024


#: A domain of which onnx knows no operator.
_UNKNOWN = "ortcam.barrier"


#: The most operators in a row, whose shapes onnx's inference does not find, that are followed.
_ROUNDS = 64


#: Begins the names that onnx's inference gives to unknown extents.
_MADE_UP = "unk__"


class DeclareInputShapes(ir.passes.InPlacePass):
    """An input of undeclared shape -> one with the rank and channels that a convolution reads."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Declare the shapes of the network's inputs."""
        modified = False
        for value in model.graph.inputs:
            for node in value.consumers() if value.shape is None else ():
                weights = node.inputs[1] if node.op_type == "Conv" else None
                if weights is not None and weights.const_value is not None:
                    channels, *kernel = weights.const_value.shape.numpy()[1:]
                    group = node.attributes.get_int("group", 1)
                    value.shape = ir.Shape([None, channels * group, *[None] * len(kernel)])
                    modified = True
        return ir.passes.PassResult(model, modified)


def infer(model: ir.Model) -> None:
    """Infer types and shapes afresh, and fall back on those in the file where that finds none.

    The shapes in a file are often stale: those of one batch or size, in a network whose inputs were
    made dynamic later. So they count only where inference finds no rank, and for a single extent
    only in a network whose inputs all have fixed shapes. Where ONNX Runtime computes another shape
    than onnx's inference finds, ONNX Runtime's counts; integers that follow from known shapes
    become initializers. A function, not a pass: it mainly annotates the graph.
    """
    declared = _forget_shapes(model)
    _infer_once(model)
    fixed = all(value.shape is not None and value.shape.is_static() for value in model.graph.inputs)
    corrections: dict[ir.Value, ir.Shape] = {}
    for value, (dtype, shape) in declared.items():
        if value.dtype is None and dtype is not None:
            value.dtype = dtype
        merged = _merge(value.shape, shape, fixed)
        if merged is not None and merged != value.shape:
            corrections[value] = merged
    for _ in range(_ROUNDS):
        for node in model.graph:
            for value, shape in zip(node.outputs, better(node), strict=False):
                corrections[value] = shape
                if value.dtype is None and node.inputs[0] is not None:
                    value.type = node.inputs[0].type
        if (
            all(_covers(value.shape, shape) for value, shape in corrections.items())
            and not FoldShapes()(model).modified
        ):
            break
        _forget_shapes(model)
        for value, shape in corrections.items():
            value.shape = shape
        _infer_once(model)


def _covers(inferred: ir.Shape | None, correction: ir.Shape) -> bool:
    """True if a shape has the rank, the numbers and the named extents of a correction."""
    return (
        inferred is not None
        and len(inferred) == len(correction)
        and all(
            ours == dim
            or not _is_named(dim)
            or (isinstance(ours, int) and not isinstance(dim, int))
            for ours, dim in zip(inferred.dims, correction.dims, strict=True)
        )
    )


def _is_named(dim: int | ir.SymbolicDim) -> bool:
    """True if an extent is known or has a name of the file; inference invents new ones each run."""
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
    return ir.Shape(
        theirs if fixed and not isinstance(ours, int) else ours
        for ours, theirs in zip(inferred.dims, declared.dims, strict=True)
    )


def _infer_once(model: ir.Model) -> None:
    """Run onnx's shape inference with data propagation, and merge the result into the model.

    New shapes may allow more propagation, so it is repeated.
    """
    proto = _merge_inferred(model, skeleton(model), data_prop=False)
    for _ in range(_ROUNDS):
        barriers = _barriers(model)
        if not barriers:
            _merge_inferred(model, proto, data_prop=True)
            break
        proto = skeleton(model)
        _make_unknown(proto.graph, {name for node in barriers for name in output_names(node)})
        proto.opset_import.add(domain=_UNKNOWN, version=1)
        _merge_inferred(model, proto, data_prop=True)
        # the barriers' shapes, by what is now known
        proto = _merge_inferred(model, skeleton(model), data_prop=False)
        if _barriers(model) == barriers:
            break


def _barriers(model: ir.Model) -> list[ir.Node]:
    """The nodes through which onnx must not propagate data.

    It makes a symbol for each element of a vector: for a Range up to 10^12, until memory is full.
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
    if len(value.shape) != 1:  # it makes one symbol for a scalar, and none for matrices
        return False
    return not isinstance(extent := value.shape[0], int) or extent > _LONGEST


def _merge_inferred(model: ir.Model, proto: onnx.ModelProto, data_prop: bool) -> onnx.ModelProto:
    """Run onnx's shape inference once on a skeleton, and merge the result into the model."""
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
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _make_unknown(graph: onnx.GraphProto, outputs: set[str]) -> None:
    """Move the nodes of these outputs to a domain of which onnx infers nothing."""
    for node in graph.node:
        if not outputs.isdisjoint(node.output):
            node.domain = _UNKNOWN
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _make_unknown(attribute.g, outputs)
