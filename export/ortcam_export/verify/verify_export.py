"""Verification of an export: it is valid, it runs, and its gradient is right."""

from __future__ import annotations

import dataclasses

from ortcam.errors import ModelError
from ortcam.inference.two_part import Runs
from ortcam.messages import Message
from ortcam.methods.registry import GRADIENTS, METHODS, PIXELS
from ortcam_export.append.append import append
from ortcam_export.append.parts import open_parts, parts
from ortcam_export.export_state import ExportState
from ortcam_export.graph.model_io import opset
from ortcam_export.prepare.qdq import to_pairs
from ortcam_export.prepare.shape_inference import infer
from ortcam_export.verify.central_differences import (
    GradientError,
    PictureGradientError,
    WholeGradientError,
)
from ortcam_export.verify.checkable_form import CheckableForm
from ortcam_export.verify.gradient import verify
from ortcam_export.verify.onnx_checker import check

__all__ = ["verify_export"]

_NAMES = ", ".join(name for name, method in METHODS.items() if method.needs == GRADIENTS)


def verify_export(state: ExportState) -> None:
    """Check that the model is valid and runs; on request measure its gradient's error.

    If only the picture's gradient, or the whole one of a layer, cannot be verified, the methods
    that need it are left out.

    Raises:
        ModelError: onnx's checker rejects the model, or onnxruntime cannot load it.
        VerificationError: the gradient disagrees with central differences.
    """
    for part in parts(state):
        check(part)
    runs = _open(state)
    if not state.contents.verify:
        return
    try:
        _measure(state, runs)
    except PictureGradientError as error:
        words = "the methods about the picture itself are left out, as their gradient"
        _leave_out(state, PIXELS, words, error)
        several = len(state.artifact.layers) > 1
        mask = state.artifact.mask if several and not state.contents.static else None
        state.artifact = dataclasses.replace(state.artifact, pixels=None, mask=mask)
    except WholeGradientError as error:
        _leave_out(state, GRADIENTS, f"{_NAMES} are left out, as their gradient", error)
        layers = tuple(dataclasses.replace(x, grad=None) for x in state.artifact.layers)
        state.artifact = dataclasses.replace(state.artifact, layers=layers)
    else:
        return
    _append_again(state)
    verify_export(state)


def _leave_out(state: ExportState, need: str, words: str, error: GradientError) -> None:
    """Leave out the methods with a need, whose gradient could not be verified."""
    state.notes.append(Message(f"{words} could not be verified: ", error.message))
    state.needs = {other: by_name for other, by_name in state.needs.items() if other != need}


def _append_again(state: ExportState) -> None:
    """Append the gradient again, with what is still needed."""
    state.model = state.plain.clone()
    append(state)


def _open(state: ExportState) -> Runs:
    numbers = state.artifact.numbers
    # a training build has kernels on CUDA that it lacks on the CPU
    providers = "cpu" if state.contents.engine == "ortcam" else None
    try:
        return open_parts(parts(state), providers)
    except ModelError as error:
        if not numbers.startswith(("bfloat16", "float64")):
            raise
        raise ModelError(
            error.message, f"; the network computes in {numbers}: convert it to float32"
        ) from error


def _measure(state: ExportState, runs: Runs) -> None:
    """Put the errors that verification measures into the metadata."""
    plain, model = state.plain, state.model
    raised_from = state.source if opset(state.source) < opset(plain) else None
    form = CheckableForm(plain)
    if form.description:
        plain, model = form(plain).model, form(model).model
        if raised_from is not None:
            to_pairs(raised_from)
            infer(raised_from)
            raised_from = form(raised_from).model
        runs = open_parts(parts(state, model))
    verification = verify(plain, runs, state.artifact, raised_from)
    verification = dataclasses.replace(verification, form=form.description)
    state.artifact = dataclasses.replace(state.artifact, verification=verification)
