"""A model's versions, its serialised form, and sessions of it."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir

from ortcam.errors import ModelError
from ortcam.inference.providers import Providers
from ortcam.inference.session import Session

__all__ = [
    "IR_VERSION",
    "OPSET",
    "is_large",
    "open_session",
    "opset",
    "portable_ir",
    "put_back_weights",
    "save_large",
    "serialise",
    "skeleton",
]

#: The lowest opset of artifacts.
OPSET = 18

#: The IR version of opset 18, which all its runtimes read; never lowered here.
IR_VERSION = 10

#: Initializers of more bytes are weights, whose values conversion and inference do not need.
_SMALL = 1024

#: Larger weights lie beside the model: a protobuf message, graph and metadata included, ends at
#: 2 GB.
LARGEST_IN_ONE = 2**31 - 2**26


#: The last opset that IR version 10 can hold.
_LAST_OPSET_OF_IR = 23


def portable_ir(model: ir.Model) -> int:
    """Return the IR version that most runtimes read a model in."""
    return IR_VERSION if opset(model) <= _LAST_OPSET_OF_IR else model.ir_version


def serialise(model: ir.Model) -> bytes:
    """Serialise a model; without its weights where these exceed 2 GB."""
    if not is_large(model):
        model = _with_weights_inside(model)
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def open_session(model: ir.Model, providers: Providers | None = "cpu") -> Session:
    """Open a model in ONNX Runtime, on the CPU by default.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
    """
    if not is_large(model):
        return Session(serialise(model), providers)
    with tempfile.TemporaryDirectory() as folder:
        return Session(save_large(model, Path(folder) / "model.onnx"), providers)


def is_large(model: ir.Model) -> bool:
    """True if a model's weights exceed one protobuf message."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None) > LARGEST_IN_ONE


def save_large(model: ir.Model, target: Path) -> Path:
    """Save a model with external data; onnx-ir replaces the data file in one step."""
    data = target.with_name(f"{target.name}.data")
    was_there = data.exists()
    temporary = target.with_name(f".ortcam-{secrets.token_hex(6)}.tmp")
    try:
        ir.save(model, temporary, format="protobuf", external_data=data.name)
        temporary.replace(target)
    except BaseException:
        if not was_there:
            with contextlib.suppress(OSError):
                data.unlink(missing_ok=True)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _with_weights_inside(model: ir.Model) -> ir.Model:
    """A copy that holds its external data; the weights of ``model`` stay outside."""
    copy = model.clone()
    for graph in copy.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
    return copy


def opset(model: ir.Model) -> int:
    """Return the opset: the version of ai.onnx that a model imports.

    Raises:
        ModelError: the model imports none.
    """
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx"))
    if version is None:
        raise ModelError("the network imports no ONNX operators; export it again")
    return version


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """Return a model with inputs in place of its weights, which is cheap to copy.

    Small constants stay: shapes and scales are computed from them.
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


def put_back_weights(model: ir.Model, converted: ir.Model) -> None:
    """Turn the inputs that :func:`skeleton` made of weights into initializers again."""
    graph = converted.graph
    names = {value.name for value in model.graph.inputs}
    for value in tuple(graph.inputs):
        weights = model.graph.initializers.get(value.name or "")
        if value.name not in names and weights is not None:
            graph.inputs.remove(value)
            value.const_value = weights.const_value
            graph.register_initializer(value)
