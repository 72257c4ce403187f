"""The choice of an export: its score, its feature layers, and what it expects of a picture."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from ortcam.artifact import CLASS_WEIGHTS, LAYERS, REGION, Artifact, Expectations, Layer, Score
from ortcam.errors import InputError
from ortcam.messages import Message, Option
from ortcam_export.choosing.features import choose_features
from ortcam_export.choosing.head_score import head_score
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.scales import note_scales
from ortcam_export.choosing.scores import choose_score
from ortcam_export.choosing.tokens import fold, token_grids
from ortcam_export.export_state import ExportState
from ortcam_export.gradient import reachable
from ortcam_export.graph.names import UnusedNames, find
from ortcam_export.graph.number_formats import number_format
from ortcam_export.graph.values import rank
from ortcam_export.reading.class_statements import class_statements
from ortcam_export.reading.expectations import expectations, find_picture, input_layouts
from ortcam_export.trials.divisor import find_divisor

__all__ = ["choose"]


def choose(state: ExportState) -> None:
    """Choose all that the artifact's metadata say but what is appended and verified.

    A score may be appended to the network, and layers of tokens are folded.

    Raises:
        InputError: an option does not fit the network.
        LayerError: there is no such layer, or none that can be chosen.
    """
    selection, model = state.selection, state.model
    picture = find_picture(model, selection.picture_input)
    layouts = input_layouts(state.network, picture, state.expected)
    network = PreparedNetwork(model, state.notes, layouts)
    score = _score(state, network, picture)
    layers = _feature_layers(state, network, score, picture)
    expects = _expectations(state, score, picture)
    _refuse_single_axis(picture, expects)
    unused = UnusedNames(model)
    can_mask = state.contents.engine == "ortcam" and not state.contents.static and len(layers) > 1
    state.artifact = Artifact(
        layers=layers,
        score=score,
        picture=picture.name or "",
        expects=expects,
        class_weights=unused(CLASS_WEIGHTS),
        region=unused(REGION),
        mask=unused(LAYERS) if can_mask else None,
        numbers=number_format(model),
        engine=state.contents.engine,
        source_sha256=state.network.sha256,
    )
    state.plain = model.clone()


def _score(state: ExportState, network: PreparedNetwork, picture: ir.Value) -> Score:
    """Return the head's score, or choose one."""
    selection = state.selection
    if selection.head is not None and selection.reduction_layer is not None:
        return head_score(
            network,
            selection.reduction_layer,
            picture,
            score=selection.score,
            class_axis=selection.class_axis,
        )
    return choose_score(
        network,
        reduction_layer=selection.reduction_layer,
        score=selection.score,
        class_axis=selection.class_axis,
        statements=class_statements(state.network, state.expected),
        picture=picture,
    )


def _feature_layers(
    state: ExportState, network: PreparedNetwork, score: Score, picture: ir.Value
) -> tuple[Layer, ...]:
    """Choose the feature layers, and fold those of tokens if the input is a picture's."""
    selection = state.selection
    grids = token_grids(network.model, network.axes)
    layers = choose_features(
        network,
        score,
        reachable(network.model, score.name),
        grids,
        feature_layers=selection.feature_layers,
        picture=picture,
    )
    for layer in layers:
        note_scales(network, score, layer)
    if rank(picture) <= 3:
        return layers
    return tuple(
        fold(
            network,
            layer,
            grids,
            token_grid=selection.token_grid,
            leading_tokens=selection.leading_tokens,
        )
        if rank(find(network.model, layer.name)) == 3
        else layer
        for layer in layers
    )


def _refuse_single_axis(picture: ir.Value, expects: Expectations) -> None:
    """Refuse an input over which no maps can be drawn, before an artifact is made.

    Raises:
        InputError: the input is a signal, or which of its axes are places is not known.
    """
    if rank(picture) != 3 or expects.input_layout in ("NFT", "NTF"):
        return
    if expects.input_layout is None:
        raise InputError(
            f"which axes of the input {picture.name!r} {picture.shape} are places is not known; "
            "say it by ",
            Option("layout"),
        )
    raise InputError(
        f"the input {picture.name!r} {picture.shape} is a signal, and maps along a single axis are "
        "not made; if it is a spectrogram, say so by ",
        Option("layout", "NFT"),
        " or ",
        Option("layout", "NTF"),
    )


def _expectations(state: ExportState, score: Score, picture: ir.Value) -> Expectations:
    """Return what the network expects, with what its sides must be multiples of."""
    shape = find(state.model, score.name).shape
    classes = None if shape is None else shape[score.class_axis]
    options = state.expected
    if state.selection.head is not None and classes == 1 and options.classes is None:
        options = dataclasses.replace(options, classes=(state.selection.reduction_layer or "",))
    expects = expectations(
        state.network,
        picture,
        options,
        classes=classes if isinstance(classes, int) else None,
        notes=state.notes,
    )
    preprocess = expects.preprocess
    if state.expected.divisor is not None or preprocess is None or preprocess.divisor > 1:
        return expects
    divisor = find_divisor(state.model, picture, preprocess)
    if divisor == 1:
        return expects
    state.notes.append(
        Message(
            f"trial runs show that width and height must be multiples of {divisor}; ",
            Option("divisor"),
            " overrides this",
        )
    )
    preprocess = dataclasses.replace(preprocess, divisor=divisor)
    return dataclasses.replace(expects, preprocess=preprocess)
