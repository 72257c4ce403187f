"""The export step: a trained network in, the artifact that explains itself out.

load -> prepare -> choose layers -> differentiate -> verify -> write
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import onnx_ir as ir

from ortcam.artifact import (
    CLASS_WEIGHTS,
    LAYERS,
    REGION,
    Artifact,
    Expectations,
    Gradient,
    drops_name,
    grad_name,
    keep_name,
    map_name,
)
from ortcam.deprecated import renamed
from ortcam.errors import InputError, ModelError, VerificationError
from ortcam.files.atomic import check_writable
from ortcam.inference.providers import Providers
from ortcam.inference.two_part import Runs, TwoPartSession
from ortcam.messages import Message, Option
from ortcam.methods.registry import ABLATIONS, GRADIENTS, METHODS, PIXELS, names_of_methods
from ortcam_export.append import ort_training as training
from ortcam_export.append.ablations import append_ablations, may_stand_together
from ortcam_export.append.fast_softmax import faster
from ortcam_export.append.gradient import append_gradient, is_pooled
from ortcam_export.append.maps import append_maps
from ortcam_export.append.picture_gradient import with_pixels
from ortcam_export.append.two_parts import split as split_artifact
from ortcam_export.choosing.channel_axes import channel_axes
from ortcam_export.choosing.features import choose_features
from ortcam_export.choosing.scores import choose_score
from ortcam_export.choosing.tokens import fold as fold_tokens
from ortcam_export.choosing.tokens import token_grids
from ortcam_export.gradient import reachable
from ortcam_export.graph.model_io import open_session, opset, serialise
from ortcam_export.graph.names import find, unused
from ortcam_export.graph.number_formats import number_format
from ortcam_export.graph.values import rank
from ortcam_export.prepare.fixed_size import make_static
from ortcam_export.prepare.prepare import prepare
from ortcam_export.prepare.qdq import to_pairs
from ortcam_export.prepare.shape_inference import infer
from ortcam_export.reading.expectations import Options, expectations, find_picture
from ortcam_export.reading.model_file import ModelLike, Network, read
from ortcam_export.trials.divisor import find_divisor
from ortcam_export.verify.ablations import verify_ablations
from ortcam_export.verify.central_differences import GradientError
from ortcam_export.verify.checkable_form import form_to_check
from ortcam_export.verify.gradient import verify as verify_artifact
from ortcam_export.verify.with_small_biases import biased, lacks_biases
from ortcam_export.write_artifact import check, stamp, stamp_gradient, write

__all__ = ["Exported", "export"]

Parts: TypeAlias = "Callable[[ir.Model, Artifact], tuple[ir.Model, ...]]"
"""Makes one part of an artifact's model, or two."""


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes:
        artifact: the artifact's metadata.
        model: the artifact, serialised; without its weights where these exceed 2 GB. Where it is
            split in two, the first part.
        notes: what was chosen, appended or assumed where nobody said, a sentence each.
        path: where it was written, or None.
        gradient: the second part of an artifact that is split, serialised likewise, or None.
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
    _check_engine(engine)
    notes: list[str] = []
    needs = _needs(methods, engine, static=static, notes=notes)
    target = None if path is None else check_writable(path)
    if split and target is not None:
        check_writable(target.with_name(gradient_name(target)))
    options = Options(
        classes=classes,
        colors=colors,
        color_order=color_order,
        layout=layout,
        rescale=rescale,
        mean=mean,
        std=std,
        size=size,
        divisor=divisor,
    )
    network = read(model)
    source = network.model.clone()
    prepared = prepare(network.model)
    if static:
        taken = find_picture(prepared, picture_input)
        make_static(prepared, taken, expectations(network, taken, options).preprocess)
    artifact = _choose(
        network,
        prepared,
        options,
        notes,
        picture_input=picture_input,
        reduction_layer=reduction_layer,
        score=score,
        feature_layers=feature_layers,
        token_grid=token_grid,
        leading_tokens=leading_tokens,
        engine=engine,
        masked=not static,
    )
    plain = prepared.clone()
    artifact = _with_needs(artifact, prepared, needs, masked=not static, notes=notes)
    asked = {"class_weights": artifact.class_weights, "region": artifact.region}
    if artifact.mask is not None:
        asked["mask"] = artifact.mask
    explained = _APPEND[engine](prepared, artifact.score, artifact.targets, **asked)
    pooled = [  # a map in the graph has space
        dataclasses.replace(layer, pooled=not maps and is_pooled(explained, layer))
        for layer in artifact.layers
    ]
    artifact = dataclasses.replace(artifact, layers=tuple(pooled))
    if maps:
        named = [
            dataclasses.replace(layer, map=unused(explained, map_name(layer.name)))
            for layer in artifact.layers
        ]
        artifact = dataclasses.replace(artifact, layers=tuple(named))
        append_maps(explained, artifact.layers)
    faster(explained)
    parts = split_artifact if split else _whole
    stamp(explained, artifact)
    for part in parts(explained, artifact):
        check(part)
    # A training build has kernels on CUDA that it lacks on the CPU.
    try:
        opened = _open(parts(explained, artifact), "cpu" if engine == "ortcam" else None)
    except ModelError as error:
        if not artifact.numbers.startswith(("bfloat16", "float64")):
            raise
        raise ModelError(
            error.message,
            f"; the network computes in {artifact.numbers}: convert it to float32",
        ) from error
    if verify:
        artifact = _verified(artifact, plain, explained, opened, source, parts)
    if ABLATIONS in needs:
        artifact, explained = _with_ablations(artifact, plain, explained, parts, verify=verify)
    model, *second = parts(explained, artifact)
    for gradient in second:
        beside = None if target is None else target.with_name(gradient_name(target))
        artifact = _with_second(artifact, gradient, beside)
    stamp(model, artifact)
    if target is not None:
        target = write(model, target)
    serialised = [serialise(part) for part in (model, *second)]
    return Exported(artifact, serialised[0], tuple(notes), target, *serialised[1:])


def gradient_name(path: Path) -> str:
    """The name of an artifact's second part beside its first."""
    return f"{path.stem}.grad{path.suffix}"


def _whole(model: ir.Model, artifact: Artifact) -> tuple[ir.Model, ...]:
    return (model,)


def _open(parts: Sequence[ir.Model], providers: Providers | None = "cpu") -> Runs:
    sessions = [open_session(part, providers) for part in parts]
    return TwoPartSession(*sessions) if len(sessions) == 2 else sessions[0]


def _with_second(artifact: Artifact, gradient: ir.Model, beside: Path | None) -> Artifact:
    """The metadata with the second part, which is written first: it is named by its content."""
    stamp_gradient(gradient, artifact)
    if beside is None:
        sha256 = hashlib.sha256(serialise(gradient)).hexdigest()
        return dataclasses.replace(artifact, gradient=Gradient(sha256=sha256))
    sha256 = hashlib.sha256(write(gradient, beside).read_bytes()).hexdigest()
    return dataclasses.replace(artifact, gradient=Gradient(sha256=sha256, file=beside.name))


#: What builds the gradient graph, by the engine's name.
_APPEND = {"ortcam": append_gradient, "ort-training": training.append_gradient}


def _check_engine(engine: str) -> None:
    if engine not in _APPEND:
        raise InputError(f"engine is {engine!r}; it is {' or '.join(map(repr, _APPEND))}")
    if engine == "ort-training":
        training.require()


def _needs(
    methods: Sequence[str] | str, engine: str, *, static: bool, notes: list[str]
) -> dict[str, bool]:
    """What methods need of an artifact, and whether it was asked for by a method's name."""
    named = methods not in ("all", ["all"])
    needs = {METHODS[name].needs: named for name in names_of_methods(methods)}
    needs.pop("", None)
    if static and ABLATIONS in needs:
        why = "ablation-cam takes a branch, which a CUDA graph has not"
        if needs.pop(ABLATIONS):
            raise InputError(
                f"{why}; export without ", Option("static", True), ", or without that method"
            )
        notes.append(f"{why}, so it is left out")
    if needs and engine != "ortcam":
        raise InputError(
            f"engine {engine!r} gives pooled gradients alone, and ",
            Option("methods"),
            " asks for more; export with ",
            Option("engine", "ortcam"),
        )
    return needs


def _with_needs(
    artifact: Artifact,
    prepared: ir.Model,
    needs: Mapping[str, bool],
    *,
    masked: bool,
    notes: list[str],
) -> Artifact:
    """The metadata with what methods need."""
    if GRADIENTS in needs:
        layers = [
            dataclasses.replace(layer, grad=unused(prepared, grad_name(layer.name)))
            for layer in artifact.layers
        ]
        artifact = dataclasses.replace(artifact, layers=tuple(layers))
    if PIXELS in needs:
        artifact = with_pixels(
            artifact, prepared, required=needs[PIXELS], masked=masked, notes=notes
        )
    return artifact


def _with_ablations(
    artifact: Artifact, plain: ir.Model, explained: ir.Model, parts: Parts, *, verify: bool
) -> tuple[Artifact, ir.Model]:
    """The artifact whose layers tell what the answers drop by where channels are left out.

    Several ablations at once where a run shows that they stand together as pictures do, else one
    by one.

    Raises:
        ModelError, VerificationError: also one by one they are not the network's.
    """
    rewritten, _ = form_to_check(plain)
    for several in (True, False):
        layers = [
            dataclasses.replace(
                layer,
                keep=unused(explained, keep_name(layer.name)),
                drops=unused(explained, drops_name(layer.name)),
                together=several and may_stand_together(explained, artifact, layer),
            )
            for layer in artifact.layers
        ]
        found = dataclasses.replace(artifact, layers=tuple(layers))
        model = explained.clone()
        append_ablations(model, found)
        try:
            for part in parts(model, found):
                check(part)
            verify_ablations(rewritten(plain), _open(parts(rewritten(model), found)), found)
        except (ModelError, VerificationError):
            if verify and not several:
                raise
        else:
            break
    return found, model


def _divided(
    prepared: ir.Model, picture: ir.Value, expects: Expectations, notes: list[str]
) -> Expectations:
    """What is expected of a picture, with what its sides are to be multiples of."""
    if expects.preprocess is None or expects.preprocess.divisor > 1:
        return expects
    divisor = find_divisor(prepared, picture, expects.preprocess)
    if divisor == 1:
        return expects
    notes.append(
        Message(
            f"the network runs on widths and heights that are multiples of {divisor}, by trying: ",
            Option("divisor"),
            " says it otherwise",
        )
    )
    preprocess = dataclasses.replace(expects.preprocess, divisor=divisor)
    return dataclasses.replace(expects, preprocess=preprocess)


def _verified(
    artifact: Artifact,
    plain: ir.Model,
    explained: ir.Model,
    opened: Runs,
    source: ir.Model,
    parts: Parts,
) -> Artifact:
    """The metadata with what the verification measured."""
    raised_from = source if opset(source) < opset(plain) else None
    rewritten, form = form_to_check(plain)
    if form:
        plain, explained = rewritten(plain), rewritten(explained)
        if raised_from is not None:
            to_pairs(raised_from)
            infer(raised_from)
            raised_from = rewritten(raised_from)
        opened = _open(parts(explained, artifact))
    try:
        measured = verify_artifact(plain, opened, artifact, raised_from)
    except GradientError:
        if not lacks_biases(plain):
            raise
        opened = _open(parts(biased(explained), artifact))
        measured = verify_artifact(biased(plain), opened, artifact)
    measured = dataclasses.replace(measured, form=form)
    return dataclasses.replace(artifact, verification=measured)


def _choose(
    network: Network,
    prepared: ir.Model,
    options: Options,
    notes: list[str],
    *,
    picture_input: str | None,
    reduction_layer: str | None,
    score: str | None,
    feature_layers: Sequence[str] | None,
    token_grid: tuple[int, int] | None,
    leading_tokens: int | None,
    engine: str,
    masked: bool,
) -> Artifact:
    """Everything that an artifact says but its verification.

    A score may be appended, and layers of tokens are folded.
    """
    taken = find_picture(prepared, picture_input)
    axes = channel_axes(prepared)
    chosen = choose_score(
        prepared, reduction_layer=reduction_layer, score=score, axes=axes, notes=notes
    )
    grids = token_grids(prepared, axes)
    layers = choose_features(
        prepared,
        chosen,
        reachable(prepared, chosen.name),
        feature_layers=feature_layers,
        axes=axes,
        grids=grids,
        notes=notes,
    )
    if rank(taken) > 3:
        fold = partial(fold_tokens, prepared, grids=grids, notes=notes)
        layers = tuple(
            fold(layer, token_grid=token_grid, leading_tokens=leading_tokens)
            if rank(find(prepared, layer.name)) == 3
            else layer
            for layer in layers
        )
    shape = find(prepared, chosen.name).shape
    classes = None if shape is None else shape[chosen.class_axis]
    expects = expectations(
        network,
        taken,
        options,
        classes=classes if isinstance(classes, int) else None,
        notes=notes,
    )
    if options.divisor is None:
        expects = _divided(prepared, taken, expects, notes)
    return Artifact(
        layers=layers,
        score=chosen,
        picture=taken.name or "",
        expects=expects,
        class_weights=unused(prepared, CLASS_WEIGHTS),
        region=unused(prepared, REGION),
        mask=unused(prepared, LAYERS)
        if masked and engine == "ortcam" and len(layers) > 1
        else None,
        numbers=number_format(prepared),
        engine=engine,
        source_sha256=network.sha256,
    )
