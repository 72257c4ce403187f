"""Read a network from a path, bytes or a proto, without trusting it.

Nothing here runs what a file holds. One sentence refuses a file that is no ONNX network, is cut
short, is an artifact already, claims tensors that its data do not fill, was compiled for one kind
of processor, or has weights anywhere but inside its own folder.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from ortcam.artifact import METADATA_KEY, Artifact, is_artifact
from ortcam.errors import ArtifactError, ModelError

__all__ = ["ModelLike", "Network", "load", "read", "read_artifact", "read_either"]

ModelLike = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model

#: Protobuf's own limit for one message: no ONNX file is larger, its weights lie beside it.
LARGEST_FILE = 2**31 - 1

#: Files passed by mistake: an offset, the bytes at it, and a description.
MISTAKES = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file; fetch it: git lfs pull"),
    (0, b"PK\x03\x04", "a ZIP archive, such as a PyTorch checkpoint; export it to ONNX first"),
    (0, b"\x80\x02", "a Python pickle, which is never opened; export the network to ONNX first"),
    (0, b"\x89HDF", "an HDF5 file, such as Keras weights; export the network to ONNX first"),
    (4, b"ORTM", "in ONNX Runtime's own format, .ort; give the ONNX file that it was made from"),
    (4, b"TFL3", "a TensorFlow Lite file; convert the network to ONNX first (tf2onnx)"),
)

#: Domains of operators that ONNX Runtime's optimizer writes for one kind of processor.
PROCESSOR_DOMAINS = ("com.microsoft.nchwc", "com.ms.internal.nhwc")


@dataclass(frozen=True)
class Network:
    """A network as it was read.

    Attributes:
        model: the network; the caller's own to change.
        name: its name in a sentence.
        sha256: of the file's or proto's bytes, in hexadecimal (without weights that lie beside the
            file as external data).
        folder: the folder of its file, or None if it came from memory.
    """

    model: ir.Model
    name: str
    sha256: str
    folder: Path | None = None


def load(model: ModelLike) -> ir.Model:
    """Return a network's model; see :func:`read`, which also returns where it came from."""
    return read(model).model


def read(model: ModelLike) -> Network:
    """Read a network.

    Args:
        model: a path, the bytes of a file, or a model in memory, which is not changed.

    Returns:
        The network, every extent of 0 or less in its declared shapes unknown.

    Raises:
        ModelError: it is no usable ONNX network.
        ArtifactError: it is an artifact.
    """
    network = _read(model)
    if is_artifact(network.model.metadata_props):
        raise ArtifactError(
            f"{network.name} is an artifact already; run it (ortcam explain), "
            "or give the network that it was exported from"
        )
    return network


def read_either(model: ModelLike) -> tuple[Network, Artifact | None]:
    """Read a network or an artifact; see :func:`read`.

    Returns:
        The network, and the metadata of an artifact.

    Raises:
        ModelError: it is no usable ONNX network.
        ArtifactError: its metadata are damaged, or it is the second part of an artifact.
    """
    network = _read(model)
    metadata = network.model.metadata_props
    if not is_artifact(metadata):
        return network, None
    return network, Artifact.from_json(metadata[METADATA_KEY], source=network.name)


def _read(model: ModelLike) -> Network:
    if isinstance(model, ir.Model):
        return _from_ir(model)
    if isinstance(model, onnx.ModelProto):
        # parsed anew: a tensor of the IR writes its new name into the proto that it stands for
        data = model.SerializeToString(deterministic=True)
        return _from_proto(_parse(data, "the model"), "the model", data, None)
    if isinstance(model, bytes):
        return _from_proto(_parse(model, "the model"), "the model", model, None)
    path = Path(model)
    data = _read_file(path)
    return _from_proto(_parse(data, path.name), path.name, data, path.resolve().parent)


def read_artifact(path: Path) -> ir.Model:
    """Read the graph of an artifact, or of a part of one, without its metadata.

    Raises:
        ModelError: it is no usable ONNX file.
    """
    data = _read_file(path)
    proto = _parse(data, path.name)
    others = [entry for entry in proto.metadata_props if entry.key != METADATA_KEY]
    del proto.metadata_props[:]
    proto.metadata_props.extend(others)
    return _from_proto(proto, path.name, data, path.resolve().parent).model


def _read_file(path: Path) -> bytes:
    if not path.exists():
        raise ModelError(f"there is no file {path}")
    if not path.is_file():  # a folder, a pipe, a device that never ends
        raise ModelError(f"{path} is not a file; give an ONNX file")
    if path.stat().st_size > LARGEST_FILE:
        raise ModelError(
            f"{path.name} is larger than the 2 GB that an ONNX file can be; "
            "save the network with external data"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    if not data:
        raise ModelError(f"{name} is empty; give an ONNX file")
    for offset, signature, description in MISTAKES:
        if data.startswith(signature, offset):
            raise ModelError(f"{name} is {description}")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            f"{name} is not an ONNX file, or it is cut short; export or copy it again"
        ) from error
    return proto


def _from_ir(model: ir.Model) -> Network:
    try:
        data = ir.to_proto(model).SerializeToString(deterministic=True)
    except (ir.serde.SerdeError, ValueError, TypeError) as error:
        raise ModelError(f"the model cannot be written as ONNX: {_first_line(error)}") from error
    try:
        copy = model.clone()
    except RuntimeError as error:
        raise ModelError(
            "the model's nodes are not in an order in which they can run; "
            "sort them (model.graph.sort())"
        ) from error
    for tensor in _external_tensors(copy):
        if not str(tensor.base_dir):
            raise ModelError(
                f"the model's tensor {tensor.name!r} lies in external data of no known folder; "
                "load the model from its path"
            )
        _check_external(tensor, Path(tensor.base_dir), "the model")
    _check_operators(copy, "the model")
    _forget_empty_extents(copy)
    return Network(copy, "the model", hashlib.sha256(data).hexdigest())


def _from_proto(proto: onnx.ModelProto, name: str, data: bytes, folder: Path | None) -> Network:
    if not proto.ir_version or not proto.opset_import or not proto.graph.node:
        raise ModelError(
            f"{name} is not an ONNX network, or it is cut short; export or copy it again"
        )
    if not proto.graph.output:
        raise ModelError(f"{name} has no outputs; export the network again")
    for tensor in _tensors(proto):
        _check_tensor(tensor, name)
    try:
        model = ir.from_proto(proto)
    except (ir.serde.SerdeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{name} is not a valid ONNX network: {_first_line(error)}") from error
    try:
        model.graph.sort()
    except ValueError as error:
        raise ModelError(f"{name} is no network: its nodes form a circle") from error
    for external in _external_tensors(model):
        if folder is None:
            raise ModelError(
                f"{name}'s tensor {external.name!r} lies in external data, "
                "which only a path can find; give the network's path"
            )
        _check_external(external, folder, name)
        external.base_dir = folder
    _check_operators(model, name)
    _forget_empty_extents(model)
    return Network(model, name, hashlib.sha256(data).hexdigest(), folder)


def _check_operators(model: ir.Model, name: str) -> None:
    """Refuse a network that ONNX Runtime's optimizer compiled for one kind of processor."""
    for node in _nodes(model):
        if node.domain in PROCESSOR_DOMAINS:
            raise ModelError(
                f"{name} was saved by ONNX Runtime for one kind of processor (its node "
                f"{node.name or node.op_type!r} is of the domain {node.domain}); "
                "save it at optimization level EXTENDED or below"
            )


def _forget_empty_extents(model: ir.Model) -> None:
    """Make extents of 0 or less unknown: some exporters write a dynamic batch as -1 or 0."""
    for graph in model.graphs():
        for value in (*graph.inputs, *(output for node in graph for output in node.outputs)):
            if value.const_value is None and value.shape is not None:
                dims = value.shape.dims
                if any(isinstance(dim, int) and dim <= 0 for dim in dims):
                    value.shape = ir.Shape(
                        None if isinstance(dim, int) and dim <= 0 else dim for dim in dims
                    )


def _nodes(model: ir.Model) -> list[ir.Node]:
    """Every node of a model, in subgraphs and functions too."""
    functions = model.functions.values()
    return [*model.graph.all_nodes(), *(node for f in functions for node in f.all_nodes())]


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: initializers and attributes, in subgraphs and functions too."""
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    if graph.sparse_initializer:
        raise ModelError(
            f"initializer {graph.sparse_initializer[0].values.name!r} is sparse, "
            "which is not supported; export the network with dense weights"
        )
    yield from graph.initializer
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterator[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graph_tensors(graph)


def _check_tensor(tensor: onnx.TensorProto, name: str) -> None:
    """Check that a tensor inside the file has as many elements as its shape."""
    if any(extent < 0 for extent in tensor.dims):
        raise ModelError(f"{name}'s tensor {tensor.name!r} has a negative extent")
    try:
        dtype = ir.DataType(tensor.data_type)
        bits = dtype.bitwidth if dtype is not ir.DataType.STRING else 0
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{name}'s tensor {tensor.name!r} is of the unknown type {tensor.data_type}"
        ) from error
    if tensor.data_location == onnx.TensorProto.EXTERNAL or not tensor.HasField("raw_data"):
        return
    size = (math.prod(tensor.dims) * bits + 7) // 8
    if len(tensor.raw_data) != size:
        raise ModelError(
            f"{name} is damaged: tensor {tensor.name!r} has {len(tensor.raw_data)} bytes "
            f"where its shape {list(tensor.dims)} takes {size}"
        )


def _external_tensors(model: ir.Model) -> Iterator[ir.ExternalTensor]:
    """Every tensor outside the file, in subgraphs and functions too."""
    for graph in (*model.graphs(), *(g for f in model.functions.values() for g in f.subgraphs())):
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                yield value.const_value
    for node in _nodes(model):
        for attribute in node.attributes.values():
            content = attribute.value
            items = content if isinstance(content, (tuple, list)) else (content,)
            yield from (tensor for tensor in items if isinstance(tensor, ir.ExternalTensor))


def _check_external(tensor: ir.ExternalTensor, folder: Path, name: str) -> None:
    """Check that external data lie inside the network's folder, to the last byte."""
    where = f"{name}'s tensor {tensor.name!r} lies in external data {str(tensor.location)!r}"
    root = folder.resolve()
    location = Path(str(tensor.location))
    path = (root / location).resolve()
    if location.is_absolute() or ".." in location.parts or not path.is_relative_to(root):
        raise ModelError(f"{where}, which is outside the network's own folder; move it there")
    if not path.is_file():
        raise ModelError(f"{where}, which is not in {folder}; copy it beside the network")
    if path.stat().st_nlink > 1:  # onnx-ir does not read it: the other name may lie anywhere
        raise ModelError(f"{where}, which has several hard links; put a copy in its place")
    offset, length = tensor.offset or 0, tensor.length or tensor.nbytes
    if length != tensor.nbytes:
        raise ModelError(f"{where} with {length} bytes where its shape takes {tensor.nbytes}")
    if offset < 0 or offset + length > path.stat().st_size:
        raise ModelError(f"{where}, which is cut short; copy it again")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
