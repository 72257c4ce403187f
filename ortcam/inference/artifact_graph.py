"""An artifact's graph, and pictures in it that questions are asked about.

:class:`ArtifactGraph` checks a session against the artifact's metadata. :class:`PictureBatch` runs
it on pictures of one size: for their score, for features, and for the answers to questions.
"""

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
from ortcam.inference.memory import pooled_questions_that_fit, questions_that_fit
from ortcam.inference.ort_errors import RunError
from ortcam.inference.two_part import ForwardPass, Runs, TwoPartSession
from ortcam.messages import Option
from ortcam.pictures.network_inputs import Feeds, varied

__all__ = ["ArtifactGraph", "PictureBatch"]

Arrays = dict[str, NDArray[np.float32]]


class ArtifactGraph:
    """An artifact's graph in one session, or in the two sessions of a split artifact.

    Attributes:
        session: what runs it.
        artifact: its metadata.
        classes: the number of the score's classes.
        space_rank: the number of the score's axes of space: 2, 3 for volumes, 0 for a classifier.
        known_shapes: the shapes of tensors in earlier runs, by the shapes of the inputs and the
            tensor's name.
    """

    def __init__(self, session: Runs, artifact: Artifact) -> None:
        """Checks the graph against the metadata.

        Raises:
            ArtifactError: they disagree.
        """
        self.session = session
        self.artifact = artifact
        _check_names(session, artifact)
        _check_axes(session, artifact)
        self.classes = _class_count(session, artifact)
        region = session.inputs.get(artifact.region)
        self.space_rank = 0 if region is None else max(len(region.shape) - 2, 0)
        self.known_shapes: dict[tuple[Any, ...], tuple[int, ...]] = {}

    def open(self, feeds: Feeds) -> PictureBatch:
        """Return pictures to ask about; a split artifact runs its network on them now.

        Raises:
            PictureError: the network does not run on this input.
        """
        return PictureBatch(self, feeds)


class PictureBatch:
    """Pictures of one size that enter an artifact's graph together, [N, ...]."""

    def __init__(self, graph: ArtifactGraph, feeds: Feeds) -> None:
        """See :meth:`ArtifactGraph.open`."""
        self._graph = graph
        self._feeds = feeds
        self._score: NDArray[np.float32] | None = None
        self._forward_pass: ForwardPass | None = None
        if isinstance(graph.session, TwoPartSession):
            layers = graph.artifact.layers
            keep = [graph.artifact.score.name, *(layer.name for layer in layers)]
            with self._picture_errors():
                self._forward_pass = graph.session.open(feeds.arrays, keep)

    @property
    def graph(self) -> ArtifactGraph:
        """The graph that the pictures enter."""
        return self._graph

    @property
    def pictures(self) -> int:
        """The number of pictures."""
        return len(self._feeds.arrays[self._graph.artifact.picture])

    def picture(self, n: int) -> NDArray[Any]:
        """Picture n as it enters the network."""
        picture: NDArray[Any] = self._feeds.arrays[self._graph.artifact.picture][n]
        return picture

    @property
    def takes_several(self) -> bool:
        """True if several pictures may enter together."""
        spec = self._graph.session.inputs[self._graph.artifact.picture]
        return not isinstance(spec.shape[0], int)

    def varied(self, n: int, inputs: NDArray[Any]) -> PictureBatch:
        """The inputs [B, ...] in the place of picture n, as B pictures.

        Raises:
            PictureError: the network does not run on them.
        """
        specs, picture = self._graph.session.inputs, self._graph.artifact.picture
        return PictureBatch(self._graph, varied(self._feeds, n, inputs, specs, picture))

    def remember(self) -> None:
        """Keeps the last answer of a split artifact's gradient, for the same question again."""
        if self._forward_pass is not None:
            self._forward_pass.remembers = True

    # The network alone

    @property
    def score(self) -> NDArray[np.float32]:
        """The score [N, C, *space]; the first access may run the network.

        Raises:
            PictureError: the network does not run on this input.
        """
        if self._score is None:
            name = self._graph.artifact.score.name
            self._set_score(self._run([name], self._no_question)[name])
        assert self._score is not None
        return self._score

    @property
    def score_space(self) -> tuple[int, ...]:
        """The score's extents in space, from the graph's shapes or else from a run.

        Raises:
            PictureError: the network does not run on this input.
        """
        score = self._graph.artifact.score
        shape = self._graph.session.outputs[score.name].shape
        extents = [self._feeds.extents.get(e) if isinstance(e, str) else e for e in shape]
        if len(extents) == self._graph.space_rank + 2:
            space = [e for axis, e in enumerate(extents) if axis not in (0, score.class_axis)]
            if None not in space:
                return tuple(e for e in space if e is not None)
        known = self._known_shape(score.name)
        return self.score.shape[2:] if known is None else known[2:]

    def features(self, layers: Sequence[Layer]) -> Arrays:
        """The features of layers, [N, C, *space], at the price of inference.

        Raises:
            LayerError: a layer's features are no maps.
            PictureError: the network does not run on this input.
        """
        outputs = self._run([layer.name for layer in layers], self._no_question)
        return {layer.name: self._features(layer, outputs) for layer in layers}

    # The answers to questions

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
            layers: the layers whose features and weights are returned.
            memory: bytes for the questions of one run, by the estimate of
                :mod:`ortcam.inference.memory`.

        Returns:
            The answer for each picture.

        Raises:
            LayerError: a layer's features are no maps.
            PictureError: the network does not run on this input.
        """
        features: Arrays = {}
        parts: dict[str, list[NDArray[np.float32]]] = {
            name: [] for layer in layers for name in (layer.weights, layer.map) if name
        }
        without_map = [layer for layer in layers if not layer.map]
        for outputs in self._in_parts(rows, cells, layers, list(parts), without_map, memory):
            for layer in without_map if not features else ():
                features[layer.name] = self._features(layer, outputs)
            for name, arrays in parts.items():
                arrays.append(outputs[name].astype(np.float32, copy=False))
        whole = _joined(parts)
        weights = {layer.name: whole[layer.weights] for layer in layers}
        maps = {layer.name: whole[layer.map] for layer in layers if layer.map}
        questions = np.any(rows, axis=2)  # a picture with fewer than another has rows of zeros
        blank = [layer for layer in layers if layer.map and _blank(maps[layer.name], questions)]
        if blank:  # the features tell why
            features |= self.features(blank)
            for layer in blank:
                del maps[layer.name]
        for layer in layers:
            if layer.name in maps:
                _, pictures, *space = maps[layer.name].shape
                self._note_shape(layer, (pictures, weights[layer.name].shape[2], *space))
        return [
            Answer(_of_picture(features, n), _of_questions(weights, n), _of_questions(maps, n))
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
        """Applies a formula to features and whole gradients, of which it holds one run's at a time.

        The other arguments, and the errors, are those of :meth:`ask`.
        """
        features: Arrays = {}
        results: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in layers}
        slopes: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in layers}
        grads = [layer.grad for layer in layers if layer.grad is not None]
        for outputs in self._in_parts(rows, cells, layers, grads, layers, memory):
            for layer, grad in zip(layers, grads, strict=True):
                if layer.name not in features:
                    features[layer.name] = self._features(layer, outputs)
                a = features[layer.name]
                g = outputs[grad].astype(np.float32, copy=False)
                # NaN and infinity are looked for in the result, and explained by why_blank.
                with np.errstate(all="ignore"):
                    each = [formula(a[n], g[:, n]) for n in range(len(a))]
                    slopes[layer.name].append(np.abs(g).max(axis=tuple(range(3, g.ndim))))
                results[layer.name].append(np.stack(each, axis=1))
        whole, steepest = _joined(results), _joined(slopes)
        return [
            Answer(
                _of_picture(features, n),
                results=_of_questions(whole, n),
                slopes=_of_questions(steepest, n),
            )
            for n in range(self.pictures)
        ]

    def drops(
        self,
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None,
        layer: Layer,
        keep: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """The drops of the answers where a layer's features are multiplied.

        Args:
            rows: class weights, [questions, N or 1, C].
            cells: the region, [questions or 1, N or 1, *space]; None for everywhere.
            layer: a layer with ``keep`` and ``drops``.
            keep: the factor of each channel in each ablation, [B, C_L].

        Returns:
            [questions, B, N].

        Raises:
            PictureError: the network does not run on this input.
        """
        assert layer.keep is not None
        assert layer.drops is not None
        outputs = self._run([layer.drops], rows, cells, keep={layer.keep: keep})
        return outputs[layer.drops].astype(np.float32, copy=False)

    # Runs

    def _in_parts(
        self,
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None,
        layers: Sequence[Layer],
        outputs: Sequence[str],
        features: Sequence[Layer],
        memory: float,
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """The outputs for as many questions at a time as fit into memory.

        The first part also has the ``features`` of layers; the score is kept from it.
        """
        score = self._graph.artifact.score.name
        done = 0
        while not done or done < len(rows):
            part = slice(done, done + self._questions_at_once(layers, cells, memory))
            part_cells = cells if cells is None or len(cells) == 1 else cells[part]
            names = list(outputs)
            if not done:
                names += [] if self._score is not None else [score]
                names += [x.name for x in features if x.name not in self._feeds.arrays]
            arrays = self._run(names, rows[part], part_cells, layers)
            if score in arrays:
                self._set_score(arrays[score])
            yield arrays
            done = part.stop

    def _questions_at_once(
        self, layers: Sequence[Layer], cells: NDArray[np.float32] | None, memory: float
    ) -> int:
        artifact, classes = self._graph.artifact, self._graph.classes
        if all(layer.pooled for layer in layers) and (cells is None or len(cells) == 1):
            return pooled_questions_that_fit(memory, pictures=self.pictures, classes=classes)
        names = [artifact.score.name, *(layer.name for layer in layers)]
        names += [layer.name for layer in layers if layer.grad]  # these leave the graph too
        return questions_that_fit(
            memory,
            [self._known_shape(name) for name in names],
            picture=self._feeds.arrays[artifact.picture].shape,
            classes=classes,
            to_picture=artifact.pixels in layers,
        )

    @property
    def _no_question(self) -> NDArray[np.float32]:
        return np.zeros((0, 1, self._graph.classes), np.float32)

    def _run(
        self,
        outputs: Sequence[str],
        rows: NDArray[np.float32],
        cells: NDArray[np.float32] | None = None,
        layers: Sequence[Layer] = (),
        keep: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> dict[str, NDArray[Any]]:
        session, artifact = self._graph.session, self._graph.artifact
        question: dict[str, NDArray[Any]] = {artifact.class_weights: rows}
        if artifact.region in session.inputs:
            everywhere = np.ones((1, 1, *[1] * self._graph.space_rank), np.float32)
            question[artifact.region] = everywhere if cells is None else cells
        for layer in artifact.layers:
            if layer.keep is not None:
                question[layer.keep] = np.zeros((0, self._channels(layer)), np.float32)
        if artifact.mask is not None:
            names = {layer.name for layer in layers}
            question[artifact.mask] = np.array([x.name in names for x in artifact.targets])
        for name, value in (question | dict(keep or {})).items():
            question[name] = value.astype(session.inputs[name].dtype or np.float32, copy=False)
        with self._picture_errors():
            if self._forward_pass is None:
                return session.run(outputs, self._feeds.arrays | question)
            answers = [name for name in outputs if name in artifact.answers]
            arrays = self._forward_pass.ask(answers, question) if answers else {}
            return {o: arrays[o] if o in arrays else self._forward_pass.array(o) for o in outputs}

    @contextmanager
    def _picture_errors(self) -> Iterator[None]:
        """Raises a failed run as an error of the picture."""
        try:
            yield
        except RunError as error:
            shape = list(self._feeds.arrays[self._graph.artifact.picture].shape)
            raise PictureError(
                error.message, f" (on an input of {shape}; another ", Option("size"), " may fit)"
            ) from error

    # Shapes, as runs show them

    def _set_score(self, values: NDArray[Any]) -> None:
        score = self._graph.artifact.score
        self._score = _channels_second(values, score.class_axis)
        self._graph.known_shapes[self._feeds.shapes, score.name] = self._score.shape

    def _features(self, layer: Layer, outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """[N, C, *space]; those of the picture as a layer are the input itself."""
        values = outputs[layer.name] if layer.name in outputs else self._feeds.arrays[layer.name]
        features = _channels_second(values, layer.channel_axis)
        self._note_shape(layer, features.shape)
        return features

    def _note_shape(self, layer: Layer, shape: tuple[int, ...]) -> None:
        """Stores the shape of a layer's features, [N, C, *space].

        Raises:
            LayerError: they are no maps.
        """
        if len(shape) != 2 + len(self._feeds.grid):
            what = "a volume" if len(self._feeds.grid) == 3 else "a picture"
            raise LayerError(
                f"layer {layer.name!r} has features of {list(shape)}, "
                f"which are no maps over {what}; choose a layer with rows and columns"
            )
        self._graph.known_shapes[self._feeds.shapes, layer.name] = shape

    def _known_shape(self, name: str) -> tuple[int, ...] | None:
        return self._graph.known_shapes.get((self._feeds.shapes, name))

    def _channels(self, layer: Layer) -> int:
        """The number of a layer's channels; 0 where neither the graph nor a run has shown it."""
        extent = self._graph.session.outputs[layer.name].shape[layer.channel_axis]
        if isinstance(extent, int):
            return extent
        known = self._known_shape(layer.name)
        return 0 if known is None else known[1]


def _joined(parts: Mapping[str, Sequence[NDArray[np.float32]]]) -> Arrays:
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _of_picture(arrays: Arrays, n: int) -> Arrays:
    """Picture n of arrays [N, ...]."""
    return {name: values[n] for name, values in arrays.items()}


def _of_questions(arrays: Arrays, n: int) -> Arrays:
    """Picture n of arrays [questions, N, ...]."""
    return {name: values[:, n] for name, values in arrays.items()}


def _blank(maps: NDArray[np.float32], questions: Any) -> bool:
    """True if a map [K, N, *space] shows nothing where there is a question [K, N]."""
    flat = maps.reshape(*maps.shape[:2], -1)
    with np.errstate(invalid="ignore"):
        shows = np.isfinite(flat).all(axis=2) & (flat.max(axis=2, initial=0) > 0)
    return not (shows | ~questions).all()


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
    for kind, names, specs in (
        ("input", inputs, session.inputs),
        ("output", outputs, session.outputs),
    ):
        for name in names:
            if name not in specs:
                raise ArtifactError(
                    f"{session.source} is damaged: its metadata name {name!r} and the graph has "
                    f"no such {kind}; export the network again"
                )


def _check_axes(session: Runs, artifact: Artifact) -> None:
    score = artifact.score
    axes = {score.name: score.class_axis} | {a.name: a.channel_axis for a in artifact.targets}
    specs = session.inputs | session.outputs
    for name, axis in axes.items():
        rank = len(specs[name].shape)
        if not 0 < axis < max(rank, 2):
            raise ArtifactError(
                f"{session.source} is damaged: its metadata put the channels of {name!r} in "
                f"axis {axis}, and it has {rank} axes; export the network again"
            )


def _class_count(session: Runs, artifact: Artifact) -> int:
    """The number of classes, from the graph where it is fixed there, else from the class names."""
    weights = session.inputs[artifact.class_weights].shape
    score = session.outputs[artifact.score.name].shape
    axis = artifact.score.class_axis
    names = artifact.expects.classes
    for count in (
        weights[-1] if weights else None,
        score[axis] if len(score) > axis else None,
        len(names) if names else None,
    ):
        if isinstance(count, int):
            return count
    raise ArtifactError(
        f"{session.source}: cannot determine the number of classes of its score "
        f"{artifact.score.name!r}; export the network again with ",
        Option("classes"),
    )
