"""Append to a network its gradient, the tensors that methods need, and maps."""

from __future__ import annotations

import dataclasses

from ortcam.artifact import grad_name, map_name
from ortcam.errors import InputError
from ortcam.messages import Option
from ortcam.methods.registry import ABLATIONS, GRADIENTS, METHODS, PIXELS, names_of_methods
from ortcam_export.append import ort_training
from ortcam_export.append.fast_softmax import DecomposeSoftmax
from ortcam_export.append.gradient import append_gradient, is_pooled
from ortcam_export.append.maps import AppendMaps
from ortcam_export.append.picture_gradient import with_pixels
from ortcam_export.export_state import ExportState
from ortcam_export.graph.model_io import portable_ir
from ortcam_export.graph.names import UnusedNames

__all__ = ["append", "find_needs"]

#: The builder of the gradient graph, by the engine's name.
_ENGINES = {"ortcam": append_gradient, "ort-training": ort_training.append_gradient}


def find_needs(state: ExportState) -> None:
    """Find what methods need of the artifact, before any work.

    Raises:
        DependencyError: the engine's build of onnxruntime is not installed.
        InputError: there is no such engine or method, or they do not fit together.
    """
    contents = state.contents
    if contents.engine not in _ENGINES:
        raise InputError(
            f"engine must be {' or '.join(map(repr, _ENGINES))}, got {contents.engine!r}"
        )
    if contents.engine == "ort-training":
        ort_training.require()
    by_name = contents.methods not in ("all", ["all"])
    needs = {METHODS[name].needs: by_name for name in names_of_methods(contents.methods)}
    needs.pop("", None)
    if contents.static and ABLATIONS in needs:
        reason = "ablation-cam needs a branch, which CUDA graphs do not support"
        if needs.pop(ABLATIONS):
            raise InputError(
                f"{reason}; export without ", Option("static", True), ", or without that method"
            )
        state.notes.append(f"{reason}, so it is left out")
    if needs and contents.engine != "ortcam":
        raise InputError(
            f"engine {contents.engine!r} builds pooled gradients only, and ",
            Option("methods"),
            " needs more; export with ",
            Option("engine", "ortcam"),
        )
    state.needs = needs


def append(state: ExportState) -> None:
    """Append the gradient, whole where a method needs it, and the maps.

    Raises:
        LayerError: no gradient of the score reaches a layer.
        OperatorError: an operator on the gradient's way has no rule, or the engine no gradient.
    """
    _name_gradients(state)
    artifact = state.artifact
    inputs = {"class_weights": artifact.class_weights, "region": artifact.region}
    if artifact.mask is not None:
        inputs["mask"] = artifact.mask
    engine = _ENGINES[state.contents.engine]
    state.model = engine(state.model, artifact.score, artifact.targets, **inputs)
    if state.contents.maps:
        _append_maps(state)
    else:  # maps in the graph have space
        layers = (
            dataclasses.replace(layer, pooled=is_pooled(state.model, layer))
            for layer in artifact.layers
        )
        state.artifact = dataclasses.replace(artifact, layers=tuple(layers))
    DecomposeSoftmax()(state.model)
    state.model.ir_version = portable_ir(state.model)


def _name_gradients(state: ExportState) -> None:
    """Name the whole gradients that methods need; the picture's makes it one more layer."""
    if GRADIENTS in state.needs:
        unused = UnusedNames(state.model)
        layers = (
            dataclasses.replace(layer, grad=unused(grad_name(layer.name)))
            for layer in state.artifact.layers
        )
        state.artifact = dataclasses.replace(state.artifact, layers=tuple(layers))
    if PIXELS in state.needs:
        state.artifact = with_pixels(
            state.artifact,
            state.model,
            required=state.needs[PIXELS],
            masked=not state.contents.static,
            notes=state.notes,
            layout=state.expected.layout,
        )


def _append_maps(state: ExportState) -> None:
    unused = UnusedNames(state.model)
    layers = tuple(
        dataclasses.replace(layer, map=unused(map_name(layer.name)))
        for layer in state.artifact.layers
    )
    state.artifact = dataclasses.replace(state.artifact, layers=layers)
    AppendMaps(layers)(state.model)
