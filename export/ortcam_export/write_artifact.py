"""The artifact as a file: metadata, checks, and a file that is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir

from ortcam.artifact import METADATA_KEY, Artifact, gradient_json
from ortcam.errors import ModelError, OutputError
from ortcam.files.atomic import check_writable, write_whole
from ortcam.version import __version__
from ortcam_export.graph.model_io import is_large, portable_ir, save_large, serialise

__all__ = ["check", "stamp", "stamp_gradient", "write"]


def stamp(model: ir.Model, artifact: Artifact) -> None:
    """Writes an artifact's metadata, producer and IR version into its model."""
    _stamp(model, artifact.to_json())


def stamp_gradient(model: ir.Model, artifact: Artifact) -> None:
    """The same for the second part of an artifact that is split in two."""
    _stamp(model, gradient_json(artifact))


def _stamp(model: ir.Model, metadata: str) -> None:
    model.metadata_props[METADATA_KEY] = metadata
    model.producer_name, model.producer_version = "ortcam", __version__
    model.ir_version = portable_ir(model)


def check(model: ir.Model) -> None:
    """Lets onnx's checker read the model.

    Raises:
        ModelError: it finds fault with it.
    """
    try:
        if is_large(model):
            with tempfile.TemporaryDirectory() as folder:
                path = save_large(model, Path(folder) / "model.onnx")
                onnx.checker.check_model(path)
        else:
            onnx.checker.check_model(serialise(model))
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"onnx's checker refuses the exported network: {reason}") from error


def write(model: ir.Model, path: str | os.PathLike[str]) -> Path:
    """Writes a model whole or not at all; weights beyond 2 GB as ``<name>.data`` beside it.

    Returns:
        Where it was written.

    Raises:
        OutputError: it cannot be written; what was there before still is.
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
