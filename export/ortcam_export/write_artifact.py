"""The artifact as a file: metadata, checks, and a file that is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir

import ortcam
from ortcam.artifact import METADATA_KEY, Artifact, gradient_json
from ortcam.errors import ModelError, OutputError
from ortcam.files.atomic import check_writable, write_whole
from ortcam.inference.session import Providers, Session
from ortcam_export.prepare.prepare import IR_VERSION, opset

__all__ = [
    "check",
    "open_session",
    "portable_ir",
    "serialise",
    "stamp",
    "stamp_gradient",
    "write",
]

#: Weights beyond this lie beside the model: a protobuf message ends at 2 GB, and the graph and
#: the metadata take their part.
LARGEST_IN_ONE = 2**31 - 2**26

#: The last opset that IR version 10 can hold.
_LAST_OPSET_OF_IR = 23


def stamp(model: ir.Model, artifact: Artifact) -> None:
    """Writes an artifact's metadata, producer and IR version into its model."""
    _stamp(model, artifact.to_json())


def stamp_gradient(model: ir.Model, artifact: Artifact) -> None:
    """The same for the second part of an artifact that is split in two."""
    _stamp(model, gradient_json(artifact))


def _stamp(model: ir.Model, metadata: str) -> None:
    model.metadata_props[METADATA_KEY] = metadata
    model.producer_name, model.producer_version = "ortcam", ortcam.__version__
    model.ir_version = portable_ir(model)


def portable_ir(model: ir.Model) -> int:
    """The IR version that the most runtimes read a model in."""
    return IR_VERSION if opset(model) <= _LAST_OPSET_OF_IR else model.ir_version


def serialise(model: ir.Model) -> bytes:
    """The model in one piece, or without its weights where these exceed 2 GB."""
    if not _is_large(model):
        model = _with_weights_inside(model)
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def check(model: ir.Model) -> None:
    """Lets onnx's checker read the model.

    Raises:
        ModelError: it finds fault with it.
    """
    try:
        if _is_large(model):
            with tempfile.TemporaryDirectory() as folder:
                path = _save_large(model, Path(folder) / "model.onnx")
                onnx.checker.check_model(path)
        else:
            onnx.checker.check_model(serialise(model))
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"onnx's checker refuses the exported network: {reason}") from error


def open_session(model: ir.Model, providers: Providers | None = "cpu") -> Session:
    """A model in onnxruntime, on the CPU unless said otherwise.

    Raises:
        ModelError: onnxruntime cannot load it.
    """
    if not _is_large(model):
        return Session(serialise(model), providers)
    with tempfile.TemporaryDirectory() as folder:
        return Session(_save_large(model, Path(folder) / "model.onnx"), providers)


def write(model: ir.Model, path: str | os.PathLike[str]) -> Path:
    """Writes a model whole or not at all; weights beyond 2 GB as ``<name>.data`` beside it.

    Returns:
        Where it was written.

    Raises:
        OutputError: it cannot be written; what was there before still is.
    """
    target = check_writable(path)
    if _is_large(model):
        try:
            _save_large(model, target)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    else:
        write_whole(target, serialise(model))
    return target


def _is_large(model: ir.Model) -> bool:
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None) > LARGEST_IN_ONE


def _with_weights_inside(model: ir.Model) -> ir.Model:
    """A copy whose external data are read into it; the weights of ``model`` stay where they are."""
    copy = model.clone()
    for graph in copy.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
    return copy


def _save_large(model: ir.Model, target: Path) -> Path:
    """Saves a model with external data; onnx-ir replaces the data's file in one step."""
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
