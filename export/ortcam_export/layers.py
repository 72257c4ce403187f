"""The layers that a network offers: features to explain by, and scores to explain."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from ortcam.errors import InputError, LayerError, ModelError
from ortcam_export.choose import (
    CONVOLUTIONS,
    FLOATS,
    GATES,
    QUANTIZERS,
    before_quantization,
    choose_features,
    find_score,
    is_handed_on,
    is_relu_like,
    is_spatial,
    operator,
    score_candidates,
    take_score,
)
from ortcam_export.expects import find_picture, picture_layout
from ortcam_export.gradient import reachable
from ortcam_export.layout import Axes, channel_axes, extents, rank
from ortcam_export.load import ModelLike, load
from ortcam_export.names import find
from ortcam_export.prepare import infer, prepare
from ortcam_export.tokens import Grid, Grids, token_grids

__all__ = ["Candidate", "layers"]

#: Operators whose outputs are offered as feature layers, beside those that serve as a ReLU.
_OFFERED = CONVOLUTIONS | {
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Concat",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LpPool",
    "MaxPool",
    "MaxUnpool",
    "RMSNormalization",
    "Resize",
    "Sum",
    "Upsample",
}

#: What merely goes on with what it reads: a convolution, sum or normalisation before it is not
#: offered beside it.
_CONTINUING = {
    "Add",
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "Transpose",
}

#: The side of the square picture at which strides are counted, where the network leaves a choice.
_TRIAL_EXTENT = 512


Shape = tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A layer that a network offers.

    Attributes:
        name: of its tensor; what to give as feature or reduction layer.
        operator: what computes it.
        shape: its extents; an open one is its name, or ``"?"``.
        channels: how many channels (of a score: classes) it has, or None where that is open.
        stride: how many pixels of the input's height one of its cells stands for, or None where
            that cannot be told.
        reached: whether the gradient of the chosen score reaches it.
        chosen: whether the export would take it.
        kind: ``"feature"`` or ``"reduction"``.
        grid: of a layer of tokens the (height, width) that it is folded to, else None.
    """

    name: str
    operator: str
    shape: tuple[int | str, ...]
    channels: int | None
    stride: float | None
    reached: bool
    chosen: bool
    kind: str
    grid: tuple[int | str, int | str] | None = None


def layers(
    model: ModelLike, *, reduction_layer: str | None = None, score: str | None = None
) -> list[Candidate]:
    """Lists the layers of a network that can be explained by, then those that can be explained.

    Feature layers come from early to late: the outputs of convolutions, activations, poolings,
    normalisations, sums, concatenations and resizings that have an extent of space above 1, where
    one of these merely goes on with another only the last. A tensor that is not listed can be
    named all the same.

    Args:
        model: the network: a path, its bytes, or a model of onnx or onnx-ir; it is not changed.
        reduction_layer: the score's tensor or node, instead of the choice.
        score: ``"softmax"``, ``"sigmoid"`` or ``"logits"``, instead of what the network ends in.

    Raises:
        ModelError: the model is not a network that can be read.
        LayerError: ``reduction_layer`` is not there, or nothing in the network is a score.
    """
    prepared = prepare(load(model))
    axes = channel_axes(prepared)
    own = {value.name for node in prepared.graph for value in node.outputs}
    candidates = score_candidates(prepared, axes) if reduction_layer is None else []
    candidate = find_score(prepared, axes, reduction_layer=reduction_layer, score=score)
    taken = take_score(prepared, candidate, score=score)
    reached = reachable(prepared, taken.name)
    grids = token_grids(prepared, axes)
    try:
        chosen = choose_features(prepared, taken, reached, axes=axes, grids=grids)[0].name
    except LayerError:  # a network without convolutions has layers all the same
        chosen = ""
    sizes, height = _trial_shapes(prepared)

    def row(value: ir.Value, kind: str, appended: str = "") -> Candidate:
        name, axis = value.name or "", axes.get(value.name or "")
        sized = sizes.get(name, extents(value))
        channels = sized[axis] if axis is not None and axis < len(sized) else None
        grid = _grid(grids.get(value), sizes)
        return Candidate(
            name=name,
            operator=operator(value) + appended,
            shape=extents(value),
            channels=channels if isinstance(channels, int) else None,
            stride=_stride(height, sized if grid is None else (0, *grid), axis),
            reached=name in reached,
            chosen=name == (chosen if kind == "feature" else explained),
            kind=kind,
            grid=grid,
        )

    appended = taken.name not in own
    explained = candidate.logits.name if appended else taken.name
    scores = {c.name: find(prepared, c.name) for c in candidates}
    scores[explained or ""] = find(prepared, explained or "")
    features = [
        value
        for value in _offered(prepared, axes, grids)
        if value.name in own and (value.name not in scores or value.name == chosen)
    ]
    suffix = f" + {taken.kind.capitalize()}" if appended else ""
    return [
        *(row(value, "feature") for value in features),
        *(row(v, "reduction", suffix if name == explained else "") for name, v in scores.items()),
    ]


def _offered(model: ir.Model, axes: Axes, grids: Grids) -> list[ir.Value]:
    flat = any(rank(value) > 3 for value in model.graph.inputs)
    return [
        value
        for node in model.graph
        for value in node.outputs[:1]
        if (_operator(before_quantization(value)) in _OFFERED or is_relu_like(value))
        and value.dtype in FLOATS
        and is_spatial(value, axes.get(value.name or ""))
        and (value in grids or rank(value) > 3 or not flat)
        and not _is_continued(value)
        and not _is_shifted(value)
    ]


def _is_shifted(value: ir.Value) -> bool:
    """Whether a tensor is another one and a constant, such as a dense layer's with its bias."""
    node = value.producer()
    return node is not None and node.op_type == "Add" and not is_handed_on(value)


def _grid(grid: Grid | None, sizes: dict[str, Shape]) -> tuple[int | str, int | str] | None:
    """The rows and columns of tokens, at the trial size where they hang on the picture's."""
    if grid is None:
        return None
    sized = sizes.get(grid.space.name or "", extents(grid.space))
    return sized[grid.rows], sized[grid.columns]


def _is_continued(value: ir.Value) -> bool:
    """Whether every consumer only quantizes it, or works on a convolution's output.

    Such work is to normalise, add to or activate it.
    """
    consumers = value.consumers()
    if consumers and all(consumer.op_type in QUANTIZERS for consumer in consumers):
        return True
    if _operator(before_quantization(value)) not in CONVOLUTIONS | _CONTINUING:
        return False
    return bool(consumers) and all(
        consumer.op_type in _CONTINUING | GATES or is_relu_like(consumer.outputs[0])
        for consumer in consumers
    )


def _operator(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None else node.op_type


def _stride(height: int | str | None, shape: Shape, channel_axis: int | None) -> float | None:
    """Pixels of the picture's height for each cell of a tensor of this shape."""
    space = [extent for i, extent in enumerate(shape) if i not in (0, channel_axis)]
    if not isinstance(height, int) or not space or not isinstance(space[0], int) or not space[0]:
        return None
    stride = round(height / space[0], 2)
    return int(stride) if stride == int(stride) else stride


def _trial_shapes(model: ir.Model) -> tuple[dict[str, Shape], int | str | None]:
    """The shapes of all tensors for one picture of a fixed size, as far as they can be inferred.

    Returns:
        Shapes by name, and the picture's height.
    """
    try:
        picture = find_picture(model)
    except InputError:  # several inputs could be it: shapes are as they are, strides not known
        return {}, None
    trial = model.clone()
    fixed: dict[str, int] = {}
    for value in sorted(trial.graph.inputs, key=lambda value: value.name != picture.name):
        dims = () if value.shape is None else value.shape.dims
        fill = _TRIAL_EXTENT if value.name == picture.name else 1
        value.shape = ir.Shape(
            dim if isinstance(dim, int) else fixed.setdefault(str(dim.value), fill if axis else 1)
            for axis, dim in enumerate(dims)
        )
    try:
        infer(trial)
    except ModelError:  # the network takes no picture of that size
        return {}, None
    values = [*trial.graph.inputs, *(value for node in trial.graph for value in node.outputs)]
    shapes = {value.name or "": extents(value) for value in values}
    height = 1 if picture_layout(picture) == "NHWC" else 2
    return shapes, (*shapes[picture.name or ""], None, None, None)[height]
