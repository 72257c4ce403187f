"""The export step: a trained network in, the artifact that explains itself out.

read -> prepare -> choose -> append -> verify -> write
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ortcam.artifact import Artifact
from ortcam.deprecated import renamed
from ortcam.errors import InputError
from ortcam.messages import Option
from ortcam_export.append.append import append, find_needs
from ortcam_export.choosing.choose import choose
from ortcam_export.export_state import Contents, ExportState, Selection
from ortcam_export.prepare.fixed_size import make_static
from ortcam_export.prepare.join_head import join_head
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
    class_axis: int | None = None,
    head: ModelLike | None = None,
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
    """Make an artifact of a network: the network with its gradient appended.

    Args:
        model: the network: a path, its bytes, or a model of onnx or onnx-ir; it is not changed.
        path: the file to write the artifact to; None keeps it in memory.
        feature_layers: names of tensors or nodes [N, C, *space], or of tokens [N, tokens, C].
            Default: the last ReLU-like output of a convolution with more than one spatial position
            before the scorer, or the tensor in which parallel branches meet; of a transformer, the
            output of the last block whose patch tokens affect the score.
        reduction_layer: the tensor or node whose channels are the class scores. Default: the
            softmax or sigmoid that feeds an output.
        score: ``"softmax"``, ``"sigmoid"`` or ``"logits"``: the score that is explained. Default:
            the network's own; to logits a softmax is appended, to a single channel a sigmoid.
        class_axis: the axis of the reduction layer that holds the classes, if it is not known.
        head: a small network (a path, its bytes or a model) that computes the score. Its inputs
            bear the names of tensors of the network; one that bears another name is a further input
            of the artifact. Its only output, [N], [N, C] or [N, C, ...], is the reduction layer.
        picture_input: the input that takes the picture, if several could.
        classes: class names in the order of the score's channels, or a label file: one name per
            line, or JSON.
        colors: a label colour (r, g, b) per class, or a file: ``r,g,b [name]`` per line, or JSON.
        color_order: ``"RGB"``, ``"BGR"`` or ``"L"``.
        layout: the axes of the input, one of :data:`ortcam.artifact.LAYOUTS`, such as ``"NHWC"``.
        rescale: the factor applied to pixels of 0 to 255 before ``mean`` and ``std``.
        mean: subtracted from rescaled pixels; one number, or one per channel.
        std: divides the result; one number, or one per channel.
        size: the working size (width, height).
        divisor: the number that the input's width and height must be multiples of. Default: found
            by trial runs, unless the input has a fixed size.
        token_grid: the (width, height) that layers of tokens are folded to. Default: the grid of
            the convolution that made the tokens.
        leading_tokens: the number of class and register tokens before the patch tokens. Default:
            tokens minus grid cells.
        engine: the builder of the gradient graph: ``"ortcam"``, in standard operators, or
            ``"ort-training"``, ONNX Runtime's own gradient builder, as a second opinion. The
            latter needs a training build of onnxruntime, and so does its artifact.
        split: True writes two files: the network, which runs once per picture, and the gradient,
            which runs for each question; ``NAME.grad.onnx`` beside ``NAME.onnx``.
        static: True fixes the artifact to one picture of the working size, and asks all layers
            together, so that only the number of questions is dynamic, as CUDA graphs require
            (:mod:`ortcam.inference.cuda_graphs`).
        maps: True adds an output ``L.map`` [K, N, *space] for each feature layer L, the map at the
            layer's size: for programs without this runtime, and to keep features on the GPU.
        methods: the names of the methods beside Grad-CAM that the artifact supports (see
            :data:`ortcam.methods.registry.METHODS`), or ``"all"``. Their requirements are computed
            with every question: for most, the gradients ``L.grad`` [K, N, C, *space].
        verify: True compares the gradient with central differences through the network; a network
            of half precision is compared in float32.
        picture: the old name of ``picture_input``.
        scale: the old name of ``rescale``.

    Returns:
        The artifact. Its inputs are the network's, ``class_weights`` [K, N or 1, C] and ``region``
        [K or 1, N or 1, *space]. Its outputs are the network's, the score, and for each feature
        layer L the features and ``L.weights`` [K, N, C], all float32 (see
        :mod:`ortcam.artifact`).

    Raises:
        DependencyError: the engine needs a build of onnxruntime that is not installed.
        ModelError: the network cannot be read, cannot be raised to opset 18, or does not run.
        ArtifactError: the network is an artifact already.
        LayerError: a layer is missing, is not a score or a feature map, or the gradient does not
            reach it.
        OperatorError: an operator between the feature layer and the score has no gradient.
        InputError: an option does not fit the network.
        VerificationError: the gradient disagrees with central differences; nothing is written.
        OutputError: ``path`` cannot be written; this is checked before the work begins.

    Example:
        >>> exported = export("network.onnx", "made.cam.onnx", feature_layers=["mid_relu"])
        >>> [layer.name for layer in exported.artifact.layers], exported.artifact.score.kind
        (['mid_relu'], 'softmax')
        >>> exported.artifact.verification.error < 1e-2
        True
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
            class_axis=class_axis,
            head=head,
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
    """Read and prepare the network, with its head if it has one, of a fixed size on request."""
    state.network = read(model)
    state.source = state.network.model.clone()
    state.model = prepare(state.network.model)
    if state.selection.head is not None:
        _join(state, state.selection.head)
    if state.contents.static:
        value = find_picture(state.model, state.selection.picture_input)
        expects = expectations(state.network, value, state.expected)
        make_static(state.model, value, expects.preprocess)


def _join(state: ExportState, head: ModelLike) -> None:
    """Join a head to the network; its output is the reduction layer.

    Raises:
        InputError: the user names another reduction layer besides.
    """
    selection = state.selection
    if selection.reduction_layer is not None:
        raise InputError(
            "the output of ",
            Option("head"),
            " is the reduction layer; leave ",
            Option("reduction_layer"),
            " out",
        )
    # the head's further inputs take no picture
    picture = find_picture(state.model, selection.picture_input).name
    output = join_head(state.model, head, state.notes)
    state.selection = replace(selection, reduction_layer=output, picture_input=picture)
