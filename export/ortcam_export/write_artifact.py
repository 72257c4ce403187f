"""The artifact as a file, or two: written completely or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import onnx_ir as ir

from ortcam.artifact import METADATA_KEY, Artifact, Gradient, gradient_json
from ortcam.errors import OutputError
from ortcam.files.atomic import check_writable, write_whole
from ortcam.version import __version__
from ortcam_export.append.parts import parts
from ortcam_export.export_state import ExportState
from ortcam_export.graph.model_io import is_large, portable_ir, save_large, serialise

__all__ = ["check_paths", "stamp", "write", "write_artifact"]

PathLike = str | os.PathLike[str]


def check_paths(state: ExportState, path: PathLike | None) -> None:
    """Check, before the work, that the artifact's files can be written.

    Raises:
        OutputError: one cannot.
    """
    if path is not None:
        target = check_writable(path)
        if state.contents.split:
            check_writable(_gradient_path(target))


def write_artifact(state: ExportState, path: PathLike | None) -> tuple[list[bytes], Path | None]:
    """Write the artifact with its metadata; the second part of one that is split first.

    Returns:
        The serialised parts, and the path of the first if it was written.

    Raises:
        OutputError: a file cannot be written; the one that was there before remains.
    """
    model, *rest = parts(state)
    for gradient in rest:  # written first, as the metadata name it by its content
        state.artifact = dataclasses.replace(
            state.artifact, gradient=_write_gradient(gradient, state.artifact, path)
        )
    stamp(model, state.artifact)
    target = None if path is None else write(model, path)
    return [serialise(part) for part in (model, *rest)], target


def _write_gradient(model: ir.Model, artifact: Artifact, path: PathLike | None) -> Gradient:
    _stamp(model, gradient_json(artifact))
    if path is None:
        return Gradient(sha256=hashlib.sha256(serialise(model)).hexdigest())
    target = _gradient_path(check_writable(path))
    data = write(model, target).read_bytes()
    return Gradient(sha256=hashlib.sha256(data).hexdigest(), file=target.name)


def _gradient_path(path: Path) -> Path:
    """Return the path of an artifact's second part beside its first."""
    return path.with_name(f"{path.stem}.grad{path.suffix}")


def stamp(model: ir.Model, artifact: Artifact) -> None:
    """Write an artifact's metadata, producer and IR version into its model."""
    _stamp(model, artifact.to_json())


def _stamp(model: ir.Model, metadata: str) -> None:
    model.metadata_props[METADATA_KEY] = metadata
    model.producer_name, model.producer_version = "ortcam", __version__
    model.ir_version = portable_ir(model)


def write(model: ir.Model, path: PathLike) -> Path:
    """Write a model completely or not at all; weights beyond 2 GB as ``<name>.data`` beside it.

    Returns:
        The path of the file.

    Raises:
        OutputError: the file cannot be written; the one that was there before remains.
    """
    target = check_writable(path)
    if is_large(model):
        try:
            save_large(model, target)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    else:
        write_whole(target, serialise(model))
    return target
