"""The export step: a trained network in, the artifact that explains itself out.

read -> prepare -> choose -> append -> verify -> write
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ortcam.artifact import Artifact
from ortcam.deprecated import renamed
from ortcam_export.append.append import append, find_needs
from ortcam_export.choosing.choose import choose
from ortcam_export.export_state import Contents, ExportState, Selection
from ortcam_export.prepare.fixed_size import make_static
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.expectations import Options, expectations, find_picture
from ortcam_export.reading.model_file import ModelLike, read
from ortcam_export.verify.add_ablations import add_ablations
from ortcam_export.verify.verify_export import verify_export
from ortcam_export.write_artifact import check_paths, write_artifact

__all__ = ["Exported", "export"]


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        artifact: the artifact's metadata.
        model: the artifact, serialised; without its weights if these exceed 2 GB. If it is split
            in two, the first part.
        notes: what was chosen, appended or assumed, one sentence each.
        path: the file that was written, or None.
        gradient: the second part of a split artifact, serialised likewise, or None.
    """

    artifact: Artifact
    model: bytes
    notes: tuple[str, ...]
    path: Path | None = None
    gradient: bytes | None = None


def export(
    model: ModelLike,
    path: str | os.PathLike[str] | None = None,
    *,
    feature_layers: Sequence[str] | None = None,
    reduction_layer: str | None = None,
    score: str | None = None,
    picture_input: str | None = None,
    classes: Sequence[str] | str | os.PathLike[str] | None = None,
    colors: Sequence[Sequence[int]] | str | os.PathLike[str] | None = None,
    color_order: str | None = None,
    layout: str | None = None,
    rescale: float | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    size: tuple[int, int] | None = None,
    divisor: int | None = None,
    token_grid: tuple[int, int] | None = None,
    leading_tokens: int | None = None,
    engine: str = "ortcam",
    split: bool = False,
    static: bool = False,
    maps: bool = False,
    methods: Sequence[str] | str = (),
    verify: bool = True,
    picture: str | None = None,
    scale: float | None = None,
) -> Exported:
    """Makes an artifact of a network: the network with its gradient appended.

    Args:
        model: the network: a path, its bytes, or a model of onnx or onnx-ir; it is not changed.
        path: where to write the artifact; None keeps it in memory.
        feature_layers: names of tensors or nodes [N, C, *space], or of tokens [N, tokens, C]. By
            default the last ReLU-like output of a convolution with an extent of space above 1
            before the scorer, or where its branch meets the others, or of a transformer what its
            blocks hand on there.
        reduction_layer: the tensor or node whose channels are the classes' scores. By default the
            softmax or sigmoid that feeds an output.
        score: ``"softmax"``, ``"sigmoid"`` or ``"logits"``: what the score shall be. By default
            what the network ends in; of logits a softmax, or of one channel a sigmoid.
        picture_input: the input that takes the picture, where several could.
        classes: class names in the order of the score's channels, or a label file: a name a line,
            or JSON.
        colors: a label colour (r, g, b) for each class, or a file: ``r,g,b [name]`` a line, or
            JSON.
        color_order: ``"RGB"``, ``"BGR"`` or ``"L"``.
        layout: ``"NCHW"`` or ``"NHWC"``.
        rescale: what pixels of 0 to 255 are multiplied by before ``mean`` and ``std``.
        mean: subtracted from scaled pixels, one number or one a channel.
        std: divided by after that, one number or one a channel.
        size: the working size (width, height).
        divisor: what the width and height of the input are multiples of; by default found by
            trying, where the input is of no fixed size.
        token_grid: the (width, height) that layers of tokens are folded to, instead of that of
            the convolution whose cells the tokens are.
        leading_tokens: how many class and register tokens stand before the picture's; by default
            all that are more than the grid has cells.
        engine: what builds the gradient graph: ``"ortcam"``, in standard operators, or
            ``"ort-training"``, ONNX Runtime's own gradient builder, as a second opinion: it takes
            an installed training build of onnxruntime, and so does its artifact.
        split: whether the artifact comes in two parts, so that a picture is run through the network
            once and asked about as often as wanted: the network, and beside it, as
            ``NAME.grad.onnx`` for ``NAME.onnx``, the gradient.
        static: whether the artifact takes one picture of the working size alone, and all its layers
            are asked together: then every shape but the number of questions is known beforehand,
            as CUDA graphs need it (:mod:`ortcam.inference.cuda_graphs`).
        maps: whether each feature layer L gets a further output ``L.map`` [K, N, *space], the maps
            on the layer's own grid: for programs without this runtime, and so that features need
            not leave a GPU.
        methods: methods other than Grad-CAM that the artifact shall serve, by their names (see
            :data:`ortcam.methods.registry.METHODS`), or ``"all"``. What they need is computed with
            every
            question: for most, the features' whole gradients ``L.grad`` [K, N, C, *space].
        verify: whether the gradient is checked against central differences through the network
            (one of half precision is checked in float32).
        picture: the old name of ``picture_input``.
        scale: the old name of ``rescale``.

    Returns:
        The artifact. Its inputs are the network's own, ``class_weights`` [K, N or 1, C] and
        ``region`` [K or 1, N or 1, *space]; its outputs the network's own, the score, and for
        each feature layer L the features and ``L.weights`` [K, N, C], all float32 (see
        :mod:`ortcam.artifact`).

    Raises:
        DependencyError: the engine's build of onnxruntime is not installed.
        ModelError: the network cannot be read or raised to opset 18, or does not run.
        ArtifactError: the network is an artifact already.
        LayerError: a layer is not there, is no score or no features, or no gradient reaches it.
        OperatorError: an operator on the gradient's way has no rule, or the engine no gradient.
        InputError: an option does not fit the network.
        VerificationError: the gradient disagrees with central differences; nothing is written.
        OutputError: ``path`` cannot be written, which is found before the work.
    """
    picture_input = renamed("picture", picture, "picture_input", picture_input)
    rescale = renamed("scale", scale, "rescale", rescale)
    state = ExportState(
        expected=Options(
            classes=classes,
            colors=colors,
            color_order=color_order,
            layout=layout,
            rescale=rescale,
            mean=mean,
            std=std,
            size=size,
            divisor=divisor,
        ),
        selection=Selection(
            feature_layers=feature_layers,
            reduction_layer=reduction_layer,
            score=score,
            picture_input=picture_input,
            token_grid=token_grid,
            leading_tokens=leading_tokens,
        ),
        contents=Contents(
            engine=engine, split=split, static=static, maps=maps, methods=methods, verify=verify
        ),
    )
    find_needs(state)
    check_paths(state, path)
    _read(state, model)
    choose(state)
    append(state)
    verify_export(state)
    add_ablations(state)
    serialised, target = write_artifact(state, path)
    return Exported(state.artifact, serialised[0], tuple(state.notes), target, *serialised[1:])


def _read(state: ExportState, model: ModelLike) -> None:
    """Read and prepare the network, of a fixed size on request."""
    state.network = read(model)
    state.source = state.network.model.clone()
    state.model = prepare(state.network.model)
    if state.contents.static:
        value = find_picture(state.model, state.selection.picture_input)
        expects = expectations(state.network, value, state.expected)
        make_static(state.model, value, expects.preprocess)
