"""Join a head to a network: a small network that computes from its tensors what is explained.

The head's inputs are named after tensors of the network. Inside the network its own tensors and
nodes are called ``head.NAME``; its output keeps its name, unless the network has that name too.
"""

from __future__ import annotations

import onnx_ir as ir

from ortcam.errors import InputError, LayerError, nearest
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import UnusedNames
from ortcam_export.graph.rewriting import rewrite
from ortcam_export.graph.values import extents, rank
from ortcam_export.prepare.opset import RaiseOpset
from ortcam_export.prepare.prepare import prepare, settle
from ortcam_export.reading.model_file import ModelLike, read

__all__ = ["join_head"]

_FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)

#: The prefix of the names of a head's tensors and nodes.
_PREFIX = "head."


def join_head(model: ir.Model, head: ModelLike, notes: list[str]) -> str:
    """Append a head's nodes to a prepared network.

    An input of the head that names no tensor of the network becomes an input of the network. The
    lower of the two opsets is raised. A float tensor is cast to the float type that the head takes.

    Args:
        model: a prepared network, changed in place.
        head: the head: a path, its bytes, or a model of onnx or onnx-ir; it is not changed.
        notes: takes a sentence on each input of the head that names no tensor.

    Returns:
        The name of the head's output in the network.

    Raises:
        ModelError, ArtifactError: the head cannot be read or prepared.
        InputError: no input names a tensor, a type or shape differs, or the outputs are not one
            tensor of floats.
        LayerError: the output has no axis of pictures.
    """
    network = read(head)
    prepared = prepare(network.model)
    _refuse_apart(prepared, _tensors(model), network.name)
    _same_opsets(model, prepared, network.name)
    output = _only_output(prepared, network.name)
    tensors = _tensors(model)
    _rename(prepared, model, output)
    further: list[ir.Value] = []
    extents_of: dict[str, int | ir.SymbolicDim] = {}
    for value in list(prepared.graph.inputs):
        prepared.graph.inputs.remove(value)
        tensor = tensors.get(value.name or "")
        if tensor is None:
            further.append(value)
        else:
            _check_shape(value, tensor)
            extents_of |= _named_extents(value, tensor)
            value.replace_all_uses_with(_cast(model, tensor, value))
    for value in further:
        _bind(value, extents_of)
        model.graph.inputs.append(value)
        notes.append(_note_further(value, tensors))
    declared = output.shape
    _move(prepared.graph, model.graph)
    settle(model)
    output.shape = output.shape or declared  # behind an operator whose shapes nothing infers
    _check_rows(output)
    return output.name or ""


def _only_output(head: ir.Model, name: str) -> ir.Value:
    outputs = head.graph.outputs
    if len(outputs) != 1:
        names = ", ".join(repr(value.name) for value in outputs)
        raise InputError(
            f"the head {name} has {len(outputs)} outputs ({names}); it must have one, the score"
        )
    output = outputs[0]
    if output.producer() is None:
        raise InputError(f"the head {name} computes nothing: its output is an input or a constant")
    if output.dtype not in _FLOATS:
        kind = "of unknown type" if output.dtype is None else output.dtype.name.lower()
        raise InputError(
            f"the head's output {output.name!r} is {kind}; a score that has a gradient is float32"
        )
    return output


def _tensors(model: ir.Model) -> dict[str, ir.Value]:
    """All tensors of the network's own graph by name, those that it computes last."""
    graph = model.graph
    values = [*graph.inputs, *graph.initializers.values()]
    values += [value for node in graph for value in node.outputs]
    return {value.name: value for value in values if value.name}


def _refuse_apart(head: ir.Model, tensors: dict[str, ir.Value], name: str) -> None:
    """Reject a head that reads nothing of the network."""
    inputs = [value.name or "" for value in head.graph.inputs]
    if any(value in tensors for value in inputs):
        return
    if not inputs:
        raise InputError(f"the head {name} has no inputs; name one after a tensor of the network")
    raise InputError(
        f"no input of the head {name} has the name of a tensor of the network: "
        f"it has no {inputs[0]!r}{nearest(inputs[0], tensors)}"
    )


def _same_opsets(model: ir.Model, head: ir.Model, name: str) -> None:
    """Raise the lower opset, and take over the head's imports of other domains."""
    newest = max(opset(model), opset(head))
    for each in (model, head):
        rewrite(each, RaiseOpset(newest))
    for domain, version in head.opset_imports.items():
        network_version = model.opset_imports.setdefault(domain, version)
        if network_version != version:
            raise InputError(
                f"the head {name} uses version {version} of the operators of {domain!r} and the "
                f"network version {network_version}; export both with the same"
            )


def _rename(head: ir.Model, model: ir.Model, output: ir.Value) -> None:
    """Give names that the network does not have to all that the head computes and holds."""
    unused = UnusedNames(model)
    output.name = unused(output.name or "score")
    for graph in head.graphs():
        inner = [*graph.initializers.values(), *(v for node in graph for v in node.outputs)]
        inner.extend([] if graph is head.graph else graph.inputs)
        for value in inner:
            if value is not output and value.name:
                value.name = unused(_PREFIX + value.name)
        for node in graph:
            node.name = unused(_PREFIX + (node.name or node.op_type))


def _note_further(value: ir.Value, tensors: dict[str, ir.Value]) -> str:
    name = value.name or ""
    return (
        f"the head's input {_shaped(value)} has the name of no tensor of the network"
        f"{nearest(name, tensors, most=1)}; so it is a further input, to be given with each picture"
    )


def _check_shape(value: ir.Value, tensor: ir.Value) -> None:
    """Compare what the head declares of an input with the network's tensor."""
    if value.shape is None or tensor.shape is None:
        return
    same_rank = len(value.shape) == len(tensor.shape)
    pairs = zip(value.shape, tensor.shape, strict=False)
    if not same_rank or any(
        isinstance(a, int) and isinstance(b, int) and a != b and a > 0 for a, b in pairs
    ):
        raise InputError(
            f"the head takes {_shaped(value)}, and the network's tensor is {_shaped(tensor)}; "
            "declare the head's input with the same extents"
        )


def _named_extents(value: ir.Value, tensor: ir.Value) -> dict[str, int | ir.SymbolicDim]:
    """Return the extents of the network's tensor under the names that the head has for them."""
    if value.shape is None or tensor.shape is None:
        return {}
    return {
        str(dim.value): extent
        for dim, extent in zip(value.shape, tensor.shape, strict=True)
        if isinstance(dim, ir.SymbolicDim) and dim.value is not None
    }


def _bind(value: ir.Value, extents_of: dict[str, int | ir.SymbolicDim]) -> None:
    """Give a further input the network's extents where the head has the same name for them."""
    if value.shape is not None:
        value.shape = ir.Shape(
            dim if isinstance(dim, int) else extents_of.get(str(dim.value), dim)
            for dim in value.shape
        )


def _shaped(value: ir.Value) -> str:
    return f"{value.name!r} [{', '.join(map(str, extents(value)))}]"


def _cast(model: ir.Model, tensor: ir.Value, value: ir.Value) -> ir.Value:
    """Return the network's tensor in the type that the head takes.

    Raises:
        InputError: one is a float and the other is not.
    """
    if value.dtype is None or value.dtype is tensor.dtype:
        return tensor
    if tensor.dtype is not None and not {value.dtype, tensor.dtype} <= _FLOATS:
        raise InputError(
            f"the head takes {value.name!r} as {value.dtype.name.lower()}, and the network's "
            f"tensor is {tensor.dtype.name.lower()}; declare the head's input as that"
        )
    name = UnusedNames(model)(f"{_PREFIX}{tensor.name}.{value.dtype.name.lower()}")
    node = ir.Node("", "Cast", [tensor], [ir.AttrInt64("to", value.dtype.value)], name=name)
    node.outputs[0].name, node.outputs[0].type = name, value.type
    model.graph.append(node)
    return node.outputs[0]


def _move(head: ir.Graph, graph: ir.Graph) -> None:
    """Move initializers and nodes; what they declare of shapes is inferred anew."""
    head.outputs.clear()
    for name in list(head.initializers):
        graph.register_initializer(head.initializers.pop(name))
    nodes = list(head)
    head.remove(nodes)
    for node in nodes:
        for value in node.outputs:
            value.shape = None
    graph.extend(nodes)


def _check_rows(output: ir.Value) -> None:
    """Check that a head's output has an axis of pictures.

    Raises:
        LayerError: it has none, or its rank is unknown.
    """
    if rank(output) == 0:
        shape = "is a single number" if output.shape is not None else "is of unknown rank"
        raise LayerError(
            f"the head's output {output.name!r} {shape}, where a score has one row for each "
            "picture: [N], [N, C] or [N, C, ...]"
        )
