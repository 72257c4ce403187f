"""The artifact's graph: it is asked questions, and answers score, features and weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Artifact, Layer
from ortcam.errors import ArtifactError, LayerError, PictureError
from ortcam.feeds import Feeds
from ortcam.session import RunError, Session

__all__ = ["Answer", "Graph"]

_UNTRIED = 4
"""Questions asked at once before the tensors' sizes have been seen: little beside inference."""

_LIVE = 2
"""Cotangents of a tensor's size alive at once: what a step of the sweep reads, and writes."""


@dataclass(frozen=True)
class Answer:
    """What the graph says of one picture.

    Attributes:
        score: float32 [C, *space].
        features: float32 [C_L, h, w], or [C_L, d, h, w], for each layer.
        weights: float32 [questions, C_L] for each layer.
    """

    score: NDArray[np.float32]
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    weights: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class Graph:
    """An artifact's graph in a session.

    Attributes:
        session, artifact: what it was made of.
        classes: how many the score has.
        space_rank: how many axes of space the score has: 2, 3 of volumes, or 0 of a classifier.
    """

    def __init__(self, session: Session, artifact: Artifact) -> None:
        """Checks that the graph is as the metadata say.

        Raises:
            ArtifactError: it is not.
        """
        self.session = session
        self.artifact = artifact
        _check_names(session, artifact)
        _check_axes(session, artifact)
        self.classes = _class_count(session, artifact)
        region = session.inputs.get(artifact.region)
        self.space_rank = 0 if region is None else max(len(region.shape) - 2, 0)
        self._seen: dict[tuple[Any, ...], tuple[int, ...]] = {}  # tensors' shapes, by the feeds'

    def look(self, feeds: Feeds) -> NDArray[np.float32]:
        """The score [C, *space] of a run without a question, at the price of inference.

        Raises:
            PictureError: the network does not run on this input.
        """
        return self.ask(feeds, np.zeros((0, self.classes), np.float32)).score

    def ask(
        self,
        feeds: Feeds,
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None = None,
        layers: Sequence[Layer] = (),
        memory: float = math.inf,
    ) -> Answer:
        """Asks questions, in as few runs as the memory allows.

        Args:
            feeds: the network's own inputs.
            rows: class weights, [questions, C].
            cells: the region, [1 or questions, *space]; None for everywhere.
            layers: whose features and weights are wanted.
            memory: bytes that the questions asked at once may take, by an estimate.

        Raises:
            LayerError: a layer's features are no maps.
            PictureError: the network does not run on this input.
        """
        answer: Answer | None = None
        parts: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in layers}
        done = 0
        while answer is None or done < len(rows):
            part = slice(done, done + self._at_once(feeds, layers, memory))
            own = cells if cells is None or len(cells) == 1 else cells[part]
            wanted = [layer.weights for layer in layers]
            if answer is None:
                wanted += [self.artifact.score.name, *parts]
            outputs = self._run(feeds, wanted, rows[part], own, layers)
            if answer is None:
                answer = self._first(feeds, outputs, layers)
            for layer in layers:
                parts[layer.name].append(outputs[layer.weights][:, 0].astype(np.float32))
            done = part.stop
        answer.weights.update((name, np.concatenate(w)) for name, w in parts.items())
        return answer

    def score_space(self, feeds: Feeds) -> tuple[int, ...]:
        """The score's extents in space: from the graph's own shapes, else as a run shows them.

        Raises:
            PictureError: the network does not run on this input.
        """
        score = self.artifact.score
        shape = self.session.outputs[score.name].shape
        found = [feeds.extents.get(e) if isinstance(e, str) else e for e in shape]
        if len(found) == self.space_rank + 2:
            space = [e for axis, e in enumerate(found) if axis not in (0, score.class_axis)]
            if None not in space:
                return tuple(e for e in space if e is not None)
        if (feeds.shapes, score.name) not in self._seen:
            self.look(feeds)
        return self._seen[feeds.shapes, score.name][1:]

    def _run(
        self,
        feeds: Feeds,
        outputs: Sequence[str],
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None,
        layers: Sequence[Layer],
    ) -> dict[str, NDArray[Any]]:
        question: dict[str, NDArray[Any]] = {self.artifact.class_weights: rows[:, None]}
        if self.artifact.region in self.session.inputs:
            everywhere = np.ones((min(len(rows), 1), *[1] * self.space_rank), np.float32)
            question[self.artifact.region] = (everywhere if cells is None else cells)[:, None]
        if self.artifact.mask is not None:
            question[self.artifact.mask] = np.array([x in layers for x in self.artifact.layers])
        for name, value in question.items():
            question[name] = value.astype(self.session.inputs[name].dtype or np.float32)
        try:
            return self.session.run(outputs, feeds.arrays | question)
        except RunError as error:
            shape = list(feeds.arrays[self.artifact.picture].shape)
            raise PictureError(
                f"{error} (on an input of {shape}; another size= may fit)"
            ) from error

    def _first(
        self, feeds: Feeds, outputs: dict[str, NDArray[Any]], layers: Sequence[Layer]
    ) -> Answer:
        """The parts of the answer that are the same for every question."""
        score = self.artifact.score
        answer = Answer(_channels_first(outputs[score.name], score.class_axis))
        self._seen[feeds.shapes, score.name] = answer.score.shape
        for layer in layers:
            features = _channels_first(outputs[layer.name], layer.channel_axis)
            if features.ndim != 1 + len(feeds.grid):
                what = "a volume" if len(feeds.grid) == 3 else "a picture"
                raise LayerError(
                    f"layer {layer.name!r} has features of {list(outputs[layer.name].shape)}, "
                    f"which are no maps over {what}; choose a layer with rows and columns"
                )
            answer.features[layer.name] = features
            self._seen[feeds.shapes, layer.name] = features.shape
        return answer

    def _at_once(self, feeds: Feeds, layers: Sequence[Layer], memory: float) -> int:
        """How many questions' cotangents the memory holds, by the sizes of score and features."""
        names = [self.artifact.score.name, *(layer.name for layer in layers)]
        seen = [self._seen.get((feeds.shapes, name)) for name in names]
        elements = sum(math.prod(shape) for shape in seen if shape is not None)
        if seen[0] is None:  # a score is as large as the picture that enters, or smaller
            elements += self.classes * math.prod(feeds.arrays[self.artifact.picture].shape[1:])
        fit = max(1.0, memory / (4 * _LIVE * elements))
        return int(min(fit, _UNTRIED if None in seen else 2**31))


def _channels_first(values: NDArray[Any], axis: int) -> NDArray[np.float32]:
    """[1, ..., C, ...] to [C, ...]: the only picture's, whatever the layout."""
    first: NDArray[np.float32] = np.moveaxis(values, axis, 1)[0].astype(np.float32)
    return first


def _check_names(session: Session, artifact: Artifact) -> None:
    if not artifact.layers:
        raise ArtifactError(f"{session.source} has no feature layer; export the network again")
    inputs = [artifact.picture, artifact.class_weights]
    inputs += [] if artifact.mask is None else [artifact.mask]
    outputs = [artifact.score.name]
    outputs += [name for layer in artifact.layers for name in (layer.name, layer.weights)]
    for kind, names, there in (
        ("input", inputs, session.inputs),
        ("output", outputs, session.outputs),
    ):
        for name in names:
            if name not in there:
                raise ArtifactError(
                    f"{session.source} is damaged: its metadata name {name!r} and the graph has "
                    f"no such {kind}; export the network again"
                )


def _check_axes(session: Session, artifact: Artifact) -> None:
    score = artifact.score
    axes = {score.name: score.class_axis} | {a.name: a.channel_axis for a in artifact.layers}
    for name, axis in axes.items():
        rank = len(session.outputs[name].shape)
        if not 0 < axis < max(rank, 2):
            raise ArtifactError(
                f"{session.source} is damaged: its metadata find the channels of {name!r} in "
                f"axis {axis}, and it has {rank} axes; export the network again"
            )


def _class_count(session: Session, artifact: Artifact) -> int:
    """From the graph where it is fixed there, else from the class names."""
    weights = session.inputs[artifact.class_weights].shape
    score = session.outputs[artifact.score.name].shape
    axis = artifact.score.class_axis
    named = artifact.expects.classes
    for count in (
        weights[-1] if weights else None,
        score[axis] if len(score) > axis else None,
        len(named) if named else None,
    ):
        if isinstance(count, int):
            return count
    raise ArtifactError(
        f"{session.source} tells nowhere how many classes its score "
        f"{artifact.score.name!r} has; export the network again with --labels"
    )
