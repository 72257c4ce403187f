"""The ablations of an export, which need a run to tell whether pictures may stand together."""

from __future__ import annotations

import dataclasses

from ortcam.artifact import drops_name, keep_name
from ortcam.errors import ModelError, VerificationError
from ortcam.methods.registry import ABLATIONS
from ortcam_export.append.ablations import AppendAblations, may_stand_together
from ortcam_export.append.parts import open_parts, parts
from ortcam_export.export_state import ExportState
from ortcam_export.graph.names import UnusedNames
from ortcam_export.verify.ablations import verify_ablations
from ortcam_export.verify.checkable_form import CheckableForm
from ortcam_export.verify.onnx_checker import check

__all__ = ["add_ablations"]


def add_ablations(state: ExportState) -> None:
    """Append the ablations of every layer, if a method needs them.

    Several ablations run at once if a run shows that they may stand together in one batch, else
    one after the other.

    Raises:
        ModelError, VerificationError: even one after the other they are not the network's.
    """
    if ABLATIONS not in state.needs:
        return
    try:
        _append(state, together=True)
    except (ModelError, VerificationError):
        _append(state, together=False)


def _append(state: ExportState, *, together: bool) -> None:
    """Append and verify the ablations; the last resort is kept unverified if none is wanted."""
    unused = UnusedNames(state.model)
    layers = (
        dataclasses.replace(
            layer,
            keep=unused(keep_name(layer.name)),
            drops=unused(drops_name(layer.name)),
            together=together and may_stand_together(state.model, state.artifact, layer),
        )
        for layer in state.artifact.layers
    )
    artifact = dataclasses.replace(state.artifact, layers=tuple(layers))
    model = state.model.clone()
    AppendAblations(artifact)(model)
    form = CheckableForm(state.plain)
    try:
        for part in parts(state, model, artifact):
            check(part)
        runs = open_parts(parts(state, form(model).model, artifact))
        verify_ablations(form(state.plain).model, runs, artifact)
    except (ModelError, VerificationError):
        if together or state.contents.verify:
            raise
    state.artifact, state.model = artifact, model
