"""The model by onnx's own checker."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir

from ortcam.errors import ModelError
from ortcam_export.graph.model_io import is_large, save_large, serialise

__all__ = ["check"]


def check(model: ir.Model) -> None:
    """Run onnx's checker on a model.

    Raises:
        ModelError: the checker rejects it.
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
        raise ModelError(f"onnx's checker rejects the exported network: {reason}") from error
