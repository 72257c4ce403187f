"""The artifact's graph: it is asked questions, and answers score, features and weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.artifact import Artifact, Layer
from ortcam.errors import ArtifactError, LayerError, PictureError
from ortcam.inference.answer import Answer, Formula
from ortcam.inference.ort_errors import RunError
from ortcam.inference.two_part import ForwardPass, Runs, TwoPartSession
from ortcam.messages import Option
from ortcam.pictures.network_inputs import Feeds, varied

__all__ = ["Graph", "PictureBatch"]

_UNTRIED = 4
"""Questions asked at once before the tensors' sizes have been seen: little beside inference."""


_WINDOWS = 9
"""Contractions of a cotangent that a pooled layer's way asks for: those of a 3 x 3 scorer."""


_LIVE = 2
"""Cotangents of a tensor's size alive at once: what a step of the sweep reads, and writes."""


_EARLY = 16
"""Elements of an early layer for one of the picture: as 64 channels at its size, less a little."""


class Graph:
    """An artifact's graph in a session, or in the two of a pair.

    Attributes:
        session, artifact: what it was made of.
        classes: how many the score has.
        space_rank: how many axes of space the score has: 2, 3 of volumes, or 0 of a classifier.
    """

    def __init__(self, session: Runs, artifact: Artifact) -> None:
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
        self.seen: dict[tuple[Any, ...], tuple[int, ...]] = {}  # tensors' shapes, by the feeds'

    def open(self, feeds: Feeds) -> PictureBatch:
        """Pictures to ask about; a pair runs them through the network now.

        Raises:
            PictureError: the network does not run on this input.
        """
        return PictureBatch(self, feeds)


class PictureBatch:
    """Pictures of one size, [N, ...], in the graph."""

    def __init__(self, graph: Graph, feeds: Feeds) -> None:
        """See :meth:`Graph.open`."""
        self._graph = graph
        self._feeds = feeds
        self._score: NDArray[np.float32] | None = None
        self._kept: ForwardPass | None = None
        if isinstance(graph.session, TwoPartSession):
            layers = graph.artifact.layers
            keep = [graph.artifact.score.name, *(layer.name for layer in layers)]
            with self._described():
                self._kept = graph.session.open(feeds.arrays, keep)

    @property
    def pictures(self) -> int:
        """How many there are."""
        return len(self._feeds.arrays[self._graph.artifact.picture])

    @property
    def artifact(self) -> Artifact:
        """The graph's."""
        return self._graph.artifact

    def picture(self, n: int) -> NDArray[Any]:
        """What enters of picture n, as the network takes it."""
        picture: NDArray[Any] = self._feeds.arrays[self._graph.artifact.picture][n]
        return picture

    @property
    def takes_several(self) -> bool:
        """Whether several pictures may enter together."""
        slot = self._graph.session.inputs[self._graph.artifact.picture]
        return not isinstance(slot.shape[0], int)

    def varied(self, n: int, inputs: NDArray[Any]) -> PictureBatch:
        """Picture n with other inputs [B, ...] in its place, as so many pictures.

        Raises:
            PictureError: the network does not run on them.
        """
        slots, picture = self._graph.session.inputs, self._graph.artifact.picture
        return PictureBatch(self._graph, varied(self._feeds, n, inputs, slots, picture))

    def remember(self) -> None:
        """Keeps the gradient's last answer, where pictures went through a pair."""
        if self._kept is not None:
            self._kept.remembers = True

    @property
    def score(self) -> NDArray[np.float32]:
        """The score [N, C, *space]; unless it is known, by a run at the price of inference.

        Raises:
            PictureError: the network does not run on this input.
        """
        if self._score is None:
            nothing = np.zeros((0, 1, self._graph.classes), np.float32)
            name = self._graph.artifact.score.name
            self._take_score(self._run([name], nothing, None, ())[name])
        assert self._score is not None
        return self._score

    @property
    def score_space(self) -> tuple[int, ...]:
        """The score's extents in space: from the graph's own shapes, else as a run shows them.

        Raises:
            PictureError: the network does not run on this input.
        """
        score = self._graph.artifact.score
        shape = self._graph.session.outputs[score.name].shape
        found = [self._feeds.extents.get(e) if isinstance(e, str) else e for e in shape]
        if len(found) == self._graph.space_rank + 2:
            space = [e for axis, e in enumerate(found) if axis not in (0, score.class_axis)]
            if None not in space:
                return tuple(e for e in space if e is not None)
        if (self._feeds.shapes, score.name) not in self._graph.seen:
            return self.score.shape[2:]
        return self._graph.seen[self._feeds.shapes, score.name][2:]

    def ask(
        self,
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None = None,
        layers: Sequence[Layer] = (),
        memory: float = math.inf,
    ) -> list[Answer]:
        """Asks questions, in as few runs as the memory allows.

        Args:
            rows: class weights, [questions, N or 1, C].
            cells: the region, [questions or 1, N or 1, *space]; None for everywhere.
            layers: whose features and weights are wanted.
            memory: bytes that the questions asked at once may take, by an estimate.

        Returns:
            The answer for each picture.

        Raises:
            LayerError: a layer's features are no maps.
            PictureError: the network does not run on this input.
        """
        features: dict[str, NDArray[np.float32]] = {}
        parts: dict[str, list[NDArray[np.float32]]] = {
            name: [] for layer in layers for name in (layer.weights, layer.map) if name
        }
        own = [layer for layer in layers if not layer.map]
        for outputs in self._in_parts(rows, cells, layers, list(parts), own, memory):
            for layer in own if not features else ():
                features[layer.name] = self._features(layer, outputs)
            for name, found in parts.items():
                found.append(outputs[name].astype(np.float32, copy=False))
        whole = {name: np.concatenate(found) for name, found in parts.items()}
        weights = {layer.name: whole[layer.weights] for layer in layers}
        made = {layer.name: whole[layer.map] for layer in layers if layer.map}
        asked = np.any(rows, axis=2)  # fewer questions, maybe, about one picture than about another
        blank = [layer for layer in layers if layer.map and _blank(made[layer.name], asked)]
        if blank:  # the features tell why
            features |= self.features(blank)
            for layer in blank:
                del made[layer.name]
        for layer in layers:
            if layer.name in made:
                _, pictures, *space = made[layer.name].shape
                self._see(layer, (pictures, weights[layer.name].shape[2], *space))
        return [
            Answer(
                self.score[n],
                {name: values[n] for name, values in features.items()},
                {name: values[:, n] for name, values in weights.items()},
                {name: values[:, n] for name, values in made.items()},
            )
            for n in range(self.pictures)
        ]

    def apply(
        self,
        formula: Formula,
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None,
        layers: Sequence[Layer],
        memory: float = math.inf,
    ) -> list[Answer]:
        """What a formula makes of features and whole gradients, of these as few as memory holds.

        The arguments are those of :meth:`ask`, and so are the errors.
        """
        features: dict[str, NDArray[np.float32]] = {}
        found: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in layers}
        slopes: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in layers}
        wanted = [layer.grad for layer in layers if layer.grad is not None]
        for outputs in self._in_parts(rows, cells, layers, wanted, layers, memory):
            for layer, grad in zip(layers, wanted, strict=True):
                if layer.name not in features:
                    features[layer.name] = self._features(layer, outputs)
                a = features[layer.name]
                g = outputs[grad].astype(np.float32, copy=False)
                # NaN and infinity are looked for in the result, where why_blank tells of them.
                with np.errstate(all="ignore"):
                    each = [formula(a[n], g[:, n]) for n in range(len(a))]
                    slopes[layer.name].append(np.abs(g).max(axis=tuple(range(3, g.ndim))))
                found[layer.name].append(np.stack(each, axis=1))
        whole = {name: np.concatenate(parts) for name, parts in found.items()}
        steep = {name: np.concatenate(parts) for name, parts in slopes.items()}
        return [
            Answer(
                self.score[n],
                {name: values[n] for name, values in features.items()},
                found={name: values[:, n] for name, values in whole.items()},
                slopes={name: values[:, n] for name, values in steep.items()},
            )
            for n in range(self.pictures)
        ]

    def features(self, layers: Sequence[Layer]) -> dict[str, NDArray[np.float32]]:
        """The features of layers, [N, C, *space], at the price of inference.

        Raises:
            LayerError: a layer's features are no maps.
            PictureError: the network does not run on this input.
        """
        nothing = np.zeros((0, 1, self._graph.classes), np.float32)
        outputs = self._run([layer.name for layer in layers], nothing, None, ())
        return {layer.name: self._features(layer, outputs) for layer in layers}

    def drops(
        self,
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None,
        layer: Layer,
        keep: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """By how much the answers drop where the features of a layer are multiplied.

        Args:
            rows: class weights, [questions, N or 1, C].
            cells: the region, [questions or 1, N or 1, *space]; None for everywhere.
            layer: one that says how this is asked.
            keep: what each channel is multiplied by in each ablation, [B, C_L].

        Returns:
            [questions, B, N].

        Raises:
            PictureError: the network does not run on this input.
        """
        assert layer.keep is not None
        assert layer.drops is not None
        outputs = self._run([layer.drops], rows, cells, (), {layer.keep: keep})
        return outputs[layer.drops].astype(np.float32, copy=False)

    def _channels(self, layer: Layer) -> int:
        """How many a layer has; 0 where the graph does not tell and no run has."""
        extent = self._graph.session.outputs[layer.name].shape[layer.channel_axis]
        if isinstance(extent, int):
            return extent
        seen = self._graph.seen.get((self._feeds.shapes, layer.name))
        return 0 if seen is None else seen[1]

    def _in_parts(
        self,
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None,
        layers: Sequence[Layer],
        outputs: Sequence[str],
        features: Sequence[Layer],
        memory: float,
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """These outputs, for as many questions at once as the memory holds.

        The features of the layers that are named are among those of the first part.
        """
        score = self._graph.artifact.score.name
        done = 0
        while not done or done < len(rows):
            part = slice(done, done + self._at_once(layers, cells, memory))
            own = cells if cells is None or len(cells) == 1 else cells[part]
            wanted = list(outputs)
            if not done:
                wanted += [] if self._score is not None else [score]
                wanted += [x.name for x in features if x.name not in self._feeds.arrays]
            found = self._run(wanted, rows[part], own, layers)
            if score in found:
                self._take_score(found[score])
            yield found
            done = part.stop

    def _run(
        self,
        outputs: Sequence[str],
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None,
        layers: Sequence[Layer],
        kept: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> dict[str, NDArray[Any]]:
        session, artifact = self._graph.session, self._graph.artifact
        question: dict[str, NDArray[Any]] = {artifact.class_weights: rows}
        if artifact.region in session.inputs:
            one = (1, 1, *[1] * self._graph.space_rank)
            question[artifact.region] = np.ones(one, np.float32) if cells is None else cells
        for layer in artifact.layers:
            if layer.keep is not None:
                question[layer.keep] = np.zeros((0, self._channels(layer)), np.float32)
        if artifact.mask is not None:
            names = {layer.name for layer in layers}
            question[artifact.mask] = np.array([x.name in names for x in artifact.targets])
        for name, value in (question | dict(kept or {})).items():
            question[name] = value.astype(session.inputs[name].dtype or np.float32, copy=False)
        with self._described():
            if self._kept is None:
                return session.run(outputs, self._feeds.arrays | question)
            asked = [name for name in outputs if name in artifact.answers]
            found = self._kept.ask(asked, question) if asked else {}
            return {o: found[o] if o in found else self._kept.array(o) for o in outputs}

    @contextmanager
    def _described(self) -> Iterator[None]:
        try:
            yield
        except RunError as error:
            shape = list(self._feeds.arrays[self._graph.artifact.picture].shape)
            raise PictureError(
                error.message, f" (on an input of {shape}; another ", Option("size"), " may fit)"
            ) from error

    def _take_score(self, values: NDArray[Any]) -> None:
        score = self._graph.artifact.score
        self._score = _channels_second(values, score.class_axis)
        self._graph.seen[self._feeds.shapes, score.name] = self._score.shape

    def _features(self, layer: Layer, outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """[N, C, *space]; those of the picture as a layer are what enters."""
        values = outputs[layer.name] if layer.name in outputs else self._feeds.arrays[layer.name]
        features = _channels_second(values, layer.channel_axis)
        self._see(layer, features.shape)
        return features

    def _see(self, layer: Layer, shape: tuple[int, ...]) -> None:
        """Notes the shape of a layer's features, [N, C, *space].

        Raises:
            LayerError: they are no maps.
        """
        if len(shape) != 2 + len(self._feeds.grid):
            what = "a volume" if len(self._feeds.grid) == 3 else "a picture"
            raise LayerError(
                f"layer {layer.name!r} has features of {list(shape)}, "
                f"which are no maps over {what}; choose a layer with rows and columns"
            )
        self._graph.seen[self._feeds.shapes, layer.name] = shape

    def _at_once(
        self, layers: Sequence[Layer], cells: NDArray[np.float32] | None, memory: float
    ) -> int:
        """How many questions' cotangents the memory holds, by the sizes of score and features."""
        artifact = self._graph.artifact
        if all(layer.pooled for layer in layers) and (cells is None or len(cells) == 1):
            pairs = _WINDOWS * self.pictures * self._graph.classes**2
            return int(min(max(1.0, memory / (4 * _LIVE * pairs)), 2**31))
        names = [artifact.score.name, *(layer.name for layer in layers)]
        names += [layer.name for layer in layers if layer.grad]  # these leave the graph too
        seen = [self._graph.seen.get((self._feeds.shapes, name)) for name in names]
        elements = sum(math.prod(shape) for shape in seen if shape is not None)
        if artifact.pixels in layers:
            elements += _EARLY * self._feeds.arrays[artifact.picture].size
        if seen[0] is None:  # a score is as large as the picture that enters, or smaller
            elements += self._graph.classes * math.prod(self._feeds.arrays[artifact.picture].shape)
        fit = max(1.0, memory / (4 * _LIVE * elements))
        return int(min(fit, _UNTRIED if None in seen else 2**31))


def _blank(maps: NDArray[np.float32], asked: Any) -> bool:
    """Whether one of the maps [K, N, *space] that were asked for shows nothing."""
    flat = maps.reshape(*maps.shape[:2], -1)
    with np.errstate(invalid="ignore"):
        shows = np.isfinite(flat).all(axis=2) & (flat.max(axis=2, initial=0) > 0)
    return not (shows | ~asked).all()


def _channels_second(values: NDArray[Any], axis: int) -> NDArray[np.float32]:
    """[N, ..., C, ...] to [N, C, ...], whatever the layout."""
    second: NDArray[np.float32] = np.moveaxis(values, axis, 1).astype(np.float32, copy=False)
    return second


def _check_names(session: Runs, artifact: Artifact) -> None:
    if not artifact.layers:
        raise ArtifactError(f"{session.source} has no feature layer; export the network again")
    region = [] if artifact.region in session.inputs else [artifact.region]  # a score may have none
    inputs = [artifact.picture, *(name for name in artifact.question if name not in region)]
    outputs = [artifact.score.name, *(layer.name for layer in artifact.layers), *artifact.answers]
    if artifact.pixels is not None and artifact.pixels.name != artifact.picture:
        raise ArtifactError(
            f"{session.source} is damaged: its metadata take {artifact.pixels.name!r} for the "
            f"picture, which enters as {artifact.picture!r}; export the network again"
        )
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


def _check_axes(session: Runs, artifact: Artifact) -> None:
    score = artifact.score
    axes = {score.name: score.class_axis} | {a.name: a.channel_axis for a in artifact.targets}
    slots = session.inputs | session.outputs
    for name, axis in axes.items():
        rank = len(slots[name].shape)
        if not 0 < axis < max(rank, 2):
            raise ArtifactError(
                f"{session.source} is damaged: its metadata find the channels of {name!r} in "
                f"axis {axis}, and it has {rank} axes; export the network again"
            )


def _class_count(session: Runs, artifact: Artifact) -> int:
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
        f"{artifact.score.name!r} has; export the network again with ",
        Option("classes"),
    )
