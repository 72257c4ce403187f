"""The layers that a network offers: features to explain by, and scores to explain."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

import onnx_ir as ir

from ortcam.artifact import Artifact, Score
from ortcam.errors import InputError, LayerError
from ortcam.messages import Option
from ortcam_export.append.strip import RemoveGradient
from ortcam_export.choosing.candidates import ScoreCandidate
from ortcam_export.choosing.channel_axes import Axes
from ortcam_export.choosing.features import before_scorer, choose_features, dependents
from ortcam_export.choosing.operator_kinds import (
    CONVOLUTIONS,
    FLOATS,
    GATES,
    QUANTIZERS,
    before_quantization,
    is_handed_on,
    is_relu_like,
    is_spatial,
    operator,
)
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.scores import ScoreChoice
from ortcam_export.choosing.tokens import Grids, reach_picture, token_grids
from ortcam_export.gradient import reachable
from ortcam_export.graph.names import find
from ortcam_export.graph.values import extents, rank
from ortcam_export.layers.candidate import Candidate, Shape
from ortcam_export.layers.cost import Cost, gradient_costs
from ortcam_export.layers.ranking import ranks
from ortcam_export.layers.receptive_field import Field, ReceptiveFields
from ortcam_export.layers.strides import place_axes, strides
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.class_statements import class_statements
from ortcam_export.reading.expectations import Options, find_picture, input_layouts
from ortcam_export.reading.model_file import ModelLike, read_either
from ortcam_export.trials.size import at_trial_size

__all__ = ["layers"]

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


#: Operators that merely continue their input: a convolution, sum or normalisation before it is not
#: offered beside it.
_CONTINUING = {
    "Add",
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "Transpose",
}


def layers(
    model: ModelLike,
    *,
    reduction_layer: str | None = None,
    score: str | None = None,
    class_axis: int | None = None,
    picture_input: str | None = None,
    layout: str | None = None,
) -> list[Candidate]:
    """List candidate feature layers, then candidate scores.

    Feature layers come from early to late: the outputs of convolutions, activations, poolings,
    normalisations, sums, concatenations and resizings that have an extent of space above 1, where
    one of these merely goes on with another only the last. A tensor that is not listed can be
    named all the same.

    Args:
        model: the network: a path, its bytes, or a model of onnx or onnx-ir; it is not changed. Or
            an artifact, of which its own layers are listed.
        reduction_layer: the score's tensor or node, instead of the choice.
        score: one of :data:`ortcam.artifact.SCORES`, instead of what the network ends in.
        class_axis: the axis of the score's classes, if it is not known.
        picture_input: the input that takes the picture, if several could; strides and fields are
            those of this picture.
        layout: the axes of that input, one of :data:`ortcam.artifact.LAYOUTS`, as in an export.

    Raises:
        ModelError: the model is not a network that can be read.
        LayerError: ``reduction_layer`` is not there, or which tensor is the score is not known; its
            ``candidates`` are those for the score, with what they are taken for and why.
        InputError: an option is passed with an artifact, whose score and picture are fixed, or
            ``picture_input``, ``class_axis`` or ``layout`` does not fit the network.

    Example:
        >>> candidates = layers("network.onnx")
        >>> [c.name for c in candidates if c.chosen]
        ['dec1_relu', 'probabilities']
    """
    network, artifact = read_either(model)
    if artifact is None:
        prepared = prepare(network.model)
        picture = _picture(prepared, picture_input, layout)
        layouts = {} if picture is None else input_layouts(network, picture, Options(layout=layout))
        ready = PreparedNetwork(prepared, layouts=layouts)
        choice = ScoreChoice(ready, statements=class_statements(network), picture=picture)
        computed = _computed(prepared)
        try:
            candidate = choice.find(
                reduction_layer=reduction_layer, score=score, class_axis=class_axis
            )
            decision = choice.take(candidate, score=score)
        except LayerError as error:
            error.candidates = tuple(_unplaced(c) for c in choice.candidates)
            raise
        scores = choice.candidates if reduction_layer is None else []
        return _Listing(ready, decision, candidate, scores, computed, picture).candidates()
    if (reduction_layer, score, class_axis, picture_input, layout) != (None,) * 5:
        raise InputError(
            f"{network.name} is an artifact, whose score is {artifact.score.name!r}; export the "
            "network again to choose another by ",
            Option("reduction_layer"),
            " or ",
            Option("score"),
        )
    return _of_artifact(artifact, prepare(RemoveGradient(artifact)(network.model).model))


def _picture(model: ir.Model, name: str | None, layout: str | None) -> ir.Value | None:
    """Return the input that takes the picture; None if several could and nothing depends on it."""
    try:
        return find_picture(model, name)
    except InputError:
        if (name, layout) != (None, None):
            raise
        return None


def _of_artifact(artifact: Artifact, prepared: ir.Model) -> list[Candidate]:
    """The layers of an artifact, and its score."""
    picture, layout = find_picture(prepared, artifact.picture), artifact.expects.input_layout
    layouts = None if layout is None else {picture.name or "": layout}
    network = PreparedNetwork(prepared, layouts=layouts)
    computed, score = _computed(prepared), artifact.score
    choice = ScoreChoice(network, picture=picture)
    as_it_stands = {"score": "linear"}
    candidate = choice.find(reduction_layer=score.name, class_axis=score.class_axis, **as_it_stands)
    decision = choice.take(candidate, **as_it_stands)
    names = [layer.name for layer in artifact.layers]
    listing = _Listing(network, decision, candidate, [], computed, picture, only=names)
    return listing.candidates()


def _computed(model: ir.Model) -> set[str | None]:
    """The names of the tensors that a graph computes."""
    return {value.name for node in model.graph for value in node.outputs}


class _Listing:
    """A prepared network with its score, and the layers and scores that it offers."""

    def __init__(
        self,
        network: PreparedNetwork,
        score: Score,
        candidate: ScoreCandidate,
        others: Sequence[ScoreCandidate],
        computed: Set[str | None],
        picture: ir.Value | None,
        only: Sequence[str] | None = None,
    ) -> None:
        """Choose the layers to list.

        Args:
            network: a prepared network.
            score: its score, which may be appended to it.
            candidate: the candidate that gave the score.
            others: all candidates, or none.
            computed: the names of the tensors that the network itself computes.
            picture: the input that takes the picture, or None if none is named.
            only: the names of the feature layers, or None for all that the network offers.
        """
        model = network.model
        self.axes = network.axes
        self.score = score
        self.reached = reachable(model, score.name)
        self.grids = token_grids(model, self.axes)
        pictured = reach_picture(model, self.grids, self.reached)
        self.reached -= {v.name for v in self.grids if v not in pictured and v.name is not None}
        if picture is not None:
            self.reached &= {v.name or "" for v in dependents(model, [picture])}
        self.before = before_scorer(model, score)
        self.trial = _Trial(network, picture)
        self.explained = (
            candidate
            if score.name not in computed
            else replace(candidate, score=find(model, score.name))
        )
        self.suffix = _suffix(score, candidate) if score.name not in computed else ""
        self.scores = {c.name: c for c in others} | {self.explained.name: self.explained}
        try:
            choice = choose_features(network, score, self.reached, self.grids, picture=picture)
            self.chosen = {choice[0].name}
        except LayerError:  # a network without convolutions has layers all the same
            self.chosen = set()
        if only is not None:
            self.chosen = set(only)
            self.features = [find(model, name) for name in only]
            return
        self.features = [
            value
            for value in _offered(model, self.axes, self.grids)
            if value.name in computed
            and (value.name not in self.scores or value.name in self.chosen)
        ]

    def candidates(self) -> list[Candidate]:
        features = self._with_costs([self._feature(value) for value in self.features])
        ranked = [replace(f, rank=r) for f, r in zip(features, ranks(features), strict=True)]
        return [*ranked, *(self._score(candidate) for candidate in self.scores.values())]

    def _score(self, candidate: ScoreCandidate) -> Candidate:
        is_chosen = candidate is self.explained
        row = self._row(candidate.value, "reduction", self.suffix if is_chosen else "")
        return replace(
            row,
            channels=row.channels if candidate.axis is None else candidate.classes,
            chosen=is_chosen,
            taken_for=candidate.taken_for,
            reason=_reason(candidate),
        )

    def _feature(self, value: ir.Value) -> Candidate:
        row = self._row(value, "feature")
        grid = self.grids.get(value)
        trailing = 0 if grid is None else grid.trailing or 0
        cell = _central_cell(
            self.trial.shape(value), self.axes.get(row.name), self._tokens(value), trailing
        )
        return replace(
            row,
            receptive_field=None if cell is None else self.trial.field(row.name, cell),
            is_score=value not in self.before,
        )

    def _row(self, value: ir.Value, kind: str, appended: str = "") -> Candidate:
        name, axis = value.name or "", self.axes.get(value.name or "")
        shape, tokens = self.trial.shape(value), self._tokens(value)
        grid = None if tokens is None else tokens[1:]
        channels = shape[axis] if axis is not None and axis < len(shape) else None
        cells = [extent for i, extent in enumerate(shape) if i not in (0, axis)]
        steps = self.trial.strides(cells if grid is None else grid)
        return Candidate(
            name=name,
            operator=operator(value) + appended,
            shape=extents(value),
            channels=channels if isinstance(channels, int) else None,
            stride=steps[0] if steps else None,
            strides=steps,
            reached=name in self.reached,
            chosen=kind == "feature" and name in self.chosen,
            kind=kind,
            grid=grid,
        )

    def _tokens(self, value: ir.Value) -> tuple[int, int | str, int | str] | None:
        """Of tokens their axis, and the rows and columns, of the trial size as far as it goes."""
        grid = self.grids.get(value)
        if grid is None:
            return None
        space = self.trial.shape(grid.space)
        return grid.axis, space[grid.rows], space[grid.columns]

    def _with_costs(self, features: Sequence[Candidate]) -> list[Candidate]:
        """The same with what their gradients cost; one that is refused does not reach its layer."""
        reached = [f for f in features if f.reached]
        requests = [(f.name, self.axes.get(f.name) or 1) for f in reached]
        costs = self.trial.costs(self.score, requests)
        if costs is None:
            return list(features)
        by_name = dict(zip((f.name for f in reached), costs, strict=True))
        return [
            replace(f, cost=cost.share, pooled=cost.pooled)
            if (cost := by_name.get(f.name)) is not None
            else replace(f, reached=False)
            for f in features
        ]


class _Trial:
    """A network with the shapes for one picture; nothing is known where it takes none such."""

    def __init__(self, network: PreparedNetwork, picture: ir.Value | None) -> None:
        self._model: ir.Model | None = None
        self._values: dict[str, ir.Value] = {}
        self._kinds: tuple[str | None, ...] = ()
        self._pixels: Shape = ()
        if picture is None:  # several inputs could be it: shapes are as they are
            return
        self._model = at_trial_size(network.model, picture)
        if self._model is None:
            return
        graph = self._model.graph
        values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
        self._values = {value.name or "": value for value in values}
        pixels = self._values[picture.name or ""]
        self._kinds = network.kinds[picture.name or ""]
        self._pixels = extents(pixels)
        self._fields = ReceptiveFields(self._model, pixels, self._kinds)

    def strides(self, cells: Sequence[int | str]) -> tuple[float, ...]:
        """The pixels for each cell of a layer that has these extents of space."""
        axes = place_axes(self._kinds, len(cells))
        return strides([self._pixels[axis] for axis in axes], cells)

    def shape(self, value: ir.Value) -> Shape:
        """A tensor's extents, as far as they can be inferred."""
        return extents(self._values.get(value.name or "", value))

    def field(self, name: str, cell: Sequence[int | None]) -> Field | None:
        """The receptive field of a cell of a tensor."""
        if self._model is None:
            return None
        return self._fields.of(self._values[name], cell)

    def costs(self, score: Score, layers: Sequence[tuple[str, int]]) -> list[Cost | None] | None:
        """Return the cost of each layer's gradient, by name and channel axis; call this last."""
        return None if self._model is None else gradient_costs(self._model, score, layers)


def _unplaced(candidate: ScoreCandidate) -> Candidate:
    """A candidate score of a network whose score is not known, so that nothing leads to it."""
    return Candidate(
        name=candidate.name,
        operator=operator(candidate.value),
        shape=extents(candidate.value),
        channels=candidate.classes,
        stride=None,
        reached=False,
        chosen=False,
        kind="reduction",
        taken_for=candidate.taken_for,
        reason=_reason(candidate),
    )


def _reason(candidate: ScoreCandidate) -> str:
    """Why a candidate is taken for what it is, or why it cannot be explained."""
    return candidate.reason if candidate.refusal is None else str(candidate.refusal)


def _suffix(score: Score, candidate: ScoreCandidate) -> str:
    """The operator that was appended, for a reader."""
    return "" if score.kind == "linear" else f" + {score.kind.capitalize()}"


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
    """True if a tensor is another one plus a constant, such as a dense layer's with its bias."""
    node = value.producer()
    return node is not None and node.op_type == "Add" and not is_handed_on(value)


def _central_cell(
    shape: Shape,
    channel_axis: int | None,
    tokens: tuple[int, int | str, int | str] | None,
    trailing: int = 0,
) -> list[int | None] | None:
    """The index of the cell, or token, in the middle; None where a size is not known."""
    cell: list[int | None] = []
    for axis, extent in enumerate(shape):
        if not isinstance(extent, int):
            return None
        cell.append(0 if axis == 0 else None if axis == channel_axis else extent // 2)
    if tokens is not None:
        axis, rows, columns = tokens
        if not isinstance(rows, int) or not isinstance(columns, int):
            return None
        leading = int(shape[axis]) - rows * columns - trailing
        cell[axis] = leading + rows // 2 * columns + columns // 2
    return cell


def _is_continued(value: ir.Value) -> bool:
    """True if every consumer only quantizes it, or continues a convolution's output.

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
