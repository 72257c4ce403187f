"""Bringing a network into the one form that the later steps read.

After :func:`prepare` a model has no functions of its own, opset 18 or later, constants as
initializers (``Value.const_value``) and none of them among its inputs, unique names, a name for
every node, and every shape that onnx's inference finds. Nothing is fused or simplified: every
tensor that a user may name is still there under its name.
"""

from __future__ import annotations

from collections import defaultdict

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnx import shape_inference, version_converter

from ortcam.errors import ModelError
from ortcam_export.graph.expansion import Parts
from ortcam_export.prepare.contrib_ops import unfuse
from ortcam_export.prepare.control_flow import unfold
from ortcam_export.prepare.onnxruntime_shapes import better
from ortcam_export.prepare.qdq import needs_opset_21, to_pairs
from ortcam_export.prepare.shape_arithmetic import fold

__all__ = [
    "IR_VERSION",
    "OPSET",
    "infer",
    "opset",
    "prepare",
    "put_back_weights",
    "settle",
    "skeleton",
]

#: Artifacts have this opset or a later one.
OPSET = 18

#: IR version of opset 18 and the first that all its runtimes read; never lowered here.
IR_VERSION = 10

#: Initializers above this are weights, which neither conversion nor inference looks into.
_SMALL = 1024

_PASS_ERRORS = (ir.passes.InvariantError, ir.passes.PassError, ValueError)

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


def prepare(model: ir.Model) -> ir.Model:
    """Prepares a network; see this module's description.

    Args:
        model: a network, changed in place where that is possible.

    Returns:
        The prepared network, which may be another object.

    Raises:
        ModelError: the network is not valid, or cannot be raised to opset 18.
    """
    _name_default_domain(model)
    _inline(model)
    passes.RemoveInitializersFromInputsPass()(model)
    needed = 21 if needs_opset_21(model) else OPSET
    if opset(model) < needed:
        model = _raise_opset(model, needed)
    unfuse(model)
    model.ir_version = max(model.ir_version or 0, IR_VERSION)
    _lift_constants(model)
    to_pairs(model)
    model.graph.sort()  # the bodies of functions may stand in any order
    passes.NameFixPass(_Names())(model)
    _shape_inputs(model)
    settle(model)
    return model


def settle(model: ir.Model) -> None:
    """Infers shapes, and decides the control flow that they decide.

    Raises:
        ModelError: the shapes do not fit together.
    """
    infer(model)
    while unfold(model):  # what was inside may be decided now
        _lift_constants(model)
        infer(model)


def opset(model: ir.Model) -> int:
    """The version of the ai.onnx operators that a model imports.

    Raises:
        ModelError: it imports none.
    """
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx"))
    if version is None:
        raise ModelError("the network imports no ONNX operators; export it again")
    return version


def _name_default_domain(model: ir.Model) -> None:
    """``ai.onnx`` is another name of the default domain; later steps know only the empty one."""
    version = model.opset_imports.pop("ai.onnx", None)
    if version is not None:
        model.opset_imports.setdefault("", version)


def _inline(model: ir.Model) -> None:
    for function in model.functions.values():
        # whatever versions a function imports, onnxruntime reads its body by the network's
        own = set(function.opset_imports)
        function.opset_imports.update((d, v) for d, v in model.opset_imports.items() if d in own)
    try:
        passes.InlinePass()(model)
        model.functions.clear()
    except _PASS_ERRORS as error:
        cause = error.__cause__ or error
        raise ModelError(f"the network's functions cannot be inlined: {cause}") from error


def _lift_constants(model: ir.Model) -> None:
    try:
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    except _PASS_ERRORS as error:
        cause = error.__cause__ or error
        raise ModelError(f"the network has a constant that cannot be read: {cause}") from error


class _Names(passes.naming.SimpleNameGenerator):
    """A node without a name is called after the first tensor that it computes."""

    def generate_node_name(self, node: ir.Node) -> str:
        named = (value.name for value in node.outputs if value.name)
        return node.name or next(named, node.op_type)


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """The model without its weights, which stand as inputs: for C++, which copies it.

    Small constants stay, as shapes and scales are computed from them.
    """
    skeleton = model.clone()
    graph = skeleton.graph
    for value in tuple(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or value.name is None:
            continue
        value.shape, value.dtype = ir.Shape(tensor.shape.numpy()), tensor.dtype
        if tensor.nbytes > _SMALL:
            del graph.initializers[value.name]
            graph.inputs.append(value)
        elif isinstance(tensor, ir.ExternalTensor):
            value.const_value = ir.tensor(tensor.numpy().copy(), name=value.name)
    return ir.to_proto(skeleton)


# ---- Opset ----------------------------------------------------------------------------------


def _raise_opset(model: ir.Model, needed: int) -> ir.Model:
    """Raises the opset with onnx's converter, and puts back what that drops."""
    before = opset(model)
    if before < 9 and any(node.op_type == "Scan" for node in model.graph.all_nodes()):
        raise ModelError(  # the converter would take the batch's axis out of the whole network
            "the network has a Scan of opset 8, which scans each picture of a batch by itself; "
            "export it again with opset 9 or later"
        )
    if before < 13:
        _flatten_hardmax(model)
    model.ir_version = max(model.ir_version or 0, IR_VERSION)  # IR 3 wants weights as inputs
    try:
        converted = ir.from_proto(version_converter.convert_version(skeleton(model), needed))
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ModelError(
            f"the network has opset {before} and cannot be raised to {needed} ({reason}); "
            f"export it again with opset {needed} or later"
        ) from error
    put_back_weights(model, converted)
    _put_back_names(model, converted)
    if before < 11:
        _keep_asymmetric(converted)
    _put_back_metadata(model, converted)
    return converted


def _flatten_hardmax(model: ir.Model) -> None:
    """Below opset 13 a Hardmax ran over all axes from its own on; the converter leaves it so."""
    for node in list(model.graph.all_nodes()):
        if node.op_type == "Hardmax" and not node.domain:
            parts = Parts(node)
            flat = parts.op("Flatten", parts.input(0), axis=parts.attribute("axis", 1))
            hard = parts.op("Hardmax", flat, axis=1)
            parts.replace([parts.op("Reshape", hard, parts.op("Shape", parts.input(0)))])


def put_back_weights(model: ir.Model, converted: ir.Model) -> None:
    """Makes initializers again of the inputs for which :func:`skeleton` left them out."""
    graph = converted.graph
    own = {value.name for value in model.graph.inputs}
    for value in tuple(graph.inputs):
        weights = model.graph.initializers.get(value.name or "")
        if value.name not in own and weights is not None:
            graph.inputs.remove(value)
            value.const_value = weights.const_value
            graph.register_initializer(value)


def _put_back_names(model: ir.Model, converted: ir.Model) -> None:
    """Renames what the converter renamed: it gives an Upsample's output a name of its own.

    The n-th node of an operator is the n-th node of what the converter makes of it.
    """
    after = _by_operator(converted)
    there = {name for node in converted.graph for name in _names(node)}
    for operator, nodes in _by_operator(model).items():
        others = after[operator]
        if len(nodes) != len(others):
            continue
        for node, other in zip(nodes, others, strict=True):
            for value, renamed in zip(node.outputs, other.outputs, strict=False):
                if value.name and value.name not in there:
                    renamed.name = value.name


def _by_operator(model: ir.Model) -> dict[str, list[ir.Node]]:
    nodes: dict[str, list[ir.Node]] = defaultdict(list)
    for node in model.graph:
        nodes["Resize" if node.op_type == "Upsample" else node.op_type].append(node)
    return nodes


def _keep_asymmetric(converted: ir.Model) -> None:
    """Below opset 11 pixels were resized by ``x_in = floor(x_out / scale)``.

    The converter leaves the later default, half_pixel, where an Upsample stood.
    """
    for node in converted.graph.all_nodes():
        if node.op_type == "Resize" and "coordinate_transformation_mode" not in node.attributes:
            node.attributes.add(ir.AttrString("coordinate_transformation_mode", "asymmetric"))
            node.attributes.add(ir.AttrString("nearest_mode", "floor"))


def _put_back_metadata(model: ir.Model, converted: ir.Model) -> None:
    converted.metadata_props.update(model.metadata_props)
    converted.graph.metadata_props.update(model.graph.metadata_props)
    converted.producer_name = model.producer_name
    converted.producer_version = model.producer_version
    computed_by = {name: node for node in converted.graph for name in _names(node)}
    for node in model.graph:
        for name in _names(node):
            if name in computed_by:
                computed_by[name].metadata_props.update(node.metadata_props)


def _names(node: ir.Node) -> list[str]:
    return [value.name for value in node.outputs if value.name]


# ---- Shapes ---------------------------------------------------------------------------------


def _shape_inputs(model: ir.Model) -> None:
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
            own == dim or not _is_named(dim)
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
    _merge_inferred(model, [], data_prop=False)
    for _ in range(_ROUNDS):
        held = _held(model)
        _merge_inferred(model, held, data_prop=True)
        if not held:
            break
        _merge_inferred(model, [], data_prop=False)  # the held ones' shapes, by what is now known
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


def _merge_inferred(model: ir.Model, held: list[ir.Node], data_prop: bool) -> None:
    """One run of onnx's shape inference; the held nodes keep the shapes that are known."""
    proto = skeleton(model)
    if held:
        _make_unknown(proto.graph, {name for node in held for name in _names(node)})
        proto.opset_import.add(domain=_UNKNOWN, version=1)
    try:
        proto = shape_inference.infer_shapes(proto, data_prop=data_prop)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ModelError(f"the network's shapes do not fit together: {reason}") from error
    inferred = ir.from_proto(proto)
    for ours, theirs in zip(model.graphs(), inferred.graphs(), strict=True):
        found = ir.convenience.create_value_mapping(theirs)
        for node in ours:
            for value in node.outputs:
                other = found.get(value.name or "")
                if other is None:
                    continue
                if other.shape is not None:
                    value.shape = other.shape
                if other.dtype is not None:
                    value.dtype = other.dtype


def _make_unknown(graph: onnx.GraphProto, outputs: set[str]) -> None:
    """Makes the nodes of these outputs such as onnx infers nothing of."""
    for node in graph.node:
        if not outputs.isdisjoint(node.output):
            node.domain = _UNKNOWN
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _make_unknown(attribute.g, outputs)
