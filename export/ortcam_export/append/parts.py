"""The parts of an artifact's model: one, or two where it is split."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.artifact import Artifact
from ortcam.inference.providers import Providers
from ortcam.inference.two_part import Runs, TwoPartSession
from ortcam_export.append.two_parts import split
from ortcam_export.export_state import ExportState
from ortcam_export.graph.model_io import open_session

__all__ = ["open_parts", "parts"]


def parts(
    state: ExportState, model: ir.Model | None = None, artifact: Artifact | None = None
) -> tuple[ir.Model, ...]:
    """Return the parts of a model, by default those of the export as it stands."""
    model = state.model if model is None else model
    artifact = state.artifact if artifact is None else artifact
    return split(model, artifact) if state.contents.split else (model,)


def open_parts(models: tuple[ir.Model, ...], providers: Providers | None = "cpu") -> Runs:
    """Open one part or two in onnxruntime, as one session.

    Raises:
        ModelError: onnxruntime cannot load one.
    """
    sessions = [open_session(model, providers) for model in models]
    return TwoPartSession(*sessions) if len(sessions) == 2 else sessions[0]
