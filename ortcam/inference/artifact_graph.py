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
        axes: the kinds of the score's axes beside batch and classes, which are the region's.
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
        self.axes = _region_axes(session, artifact)
        self.known_shapes: dict[tuple[Any, ...], tuple[int, ...]] = {}

    @property
    def space_rank(self) -> int:
        """The number of the score's axes of space: 2, 3 for volumes, 0 for a classifier."""
        return self.axes.count("space")

    @property
    def has_list(self) -> bool:
        """True if the score has an axis that is neither a place nor a class, such as queries."""
        return self.space_rank < len(self.axes)

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
        """The score [N, C, *axes]; the first access may run the network.

        Raises:
            LayerError: its rows are not the pictures.
            PictureError: the network does not run on this input.
        """
        if self._score is None:
            name = self._graph.artifact.score.name
            self._set_score(self._run([name], self._no_question)[name])
        assert self._score is not None
        return self._score

    @property
    def score_cells(self) -> tuple[int, ...]:
        """The score's extents beside batch and classes, by the graph's shapes or else a run.

        Raises:
            LayerError, PictureError: as for :attr:`score`.
        """
        score = self._graph.artifact.score
        shape = self._graph.session.outputs[score.name].shape
        extents = [self._feeds.extents.get(e) if isinstance(e, str) else e for e in shape]
        if len(extents) == len(self._graph.axes) + 2:
            cells = [e for axis, e in enumerate(extents) if axis not in (0, score.class_axis)]
            if None not in cells:
                return tuple(e for e in cells if e is not None)
        known = self._known_shape(score.name)
        return self.score.shape[2:] if known is None else known[2:]

    @property
    def list_extents(self) -> tuple[int, ...]:
        """The extents of the score's list; () if it is no list.

        Raises:
            LayerError, PictureError: as for :attr:`score`.
        """
        if not self._graph.has_list:
            return ()
        cells = zip(self._graph.axes, self.score_cells, strict=True)
        return tuple(extent for kind, extent in cells if kind != "space")

    def features(self, layers: Sequence[Layer]) -> Arrays:
        """The features of layers, [N, C, *space], at the price of inference.

        The frames of a picture are the first axis of space, as a volume's slices are.

        Raises:
            LayerError: a layer's features are no maps, or their rows are not the pictures.
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
            cells: the region, [questions or 1, N or 1, *axes]; None for everywhere.
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
        weights = {x.name: self._by_picture(x, whole[x.weights]) for x in layers}
        maps = {x.name: self._by_picture(x, whole[x.map]) for x in layers if x.map}
        questions = np.any(rows, axis=2)  # a picture with fewer than another has rows of zeros
        blank = [layer for layer in layers if layer.map and _blank(maps[layer.name], questions)]
        if blank:  # the features tell why
            features |= self.features(blank)
            for layer in blank:
                del maps[layer.name]
        for layer in layers:
            if layer.name in maps:
                _, pictures, *space = maps[layer.name].shape
                self._note_shape(layer, (pictures, weights[layer.name].shape[-1], *space))
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
                g = self._by_picture(layer, outputs[grad].astype(np.float32, copy=False))
                # NaN and infinity are looked for in the result, and explained by why_blank.
                with np.errstate(all="ignore"):
                    of_picture = _of_frames(formula) if layer.frames else formula
                    each = [of_picture(a[n], g[:, n]) for n in range(len(a))]
                    space = tuple(axis for axis in range(2, g.ndim) if axis != 2 + layer.frames)
                    slopes[layer.name].append(np.abs(g).max(axis=space))
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
            cells: the region, [questions or 1, N or 1, *axes]; None for everywhere.
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
            everywhere = np.ones((1, 1, *[1] * len(self._graph.axes)), np.float32)
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
        if len(values) != self.pictures:
            raise LayerError(
                f"the score {score.name!r} is {list(values.shape)}, so its rows are not the "
                f"{self.pictures} picture{'s'[: self.pictures - 1]} that entered; export the "
                "network again"
            )
        self._score = _channels_second(values, score.class_axis)
        self._graph.known_shapes[self._feeds.shapes, score.name] = self._score.shape

    def _features(self, layer: Layer, outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """[N, C, *space]; those of the picture as a layer are the input itself."""
        values = outputs[layer.name] if layer.name in outputs else self._feeds.arrays[layer.name]
        features = _channels_second(values, layer.channel_axis)
        features = self._by_picture(layer, features[None])[0]
        if layer.frames:
            features = np.moveaxis(features, 1, 2)
        self._note_shape(layer, features.shape)
        return features

    def _by_picture(self, layer: Layer, values: NDArray[Any]) -> NDArray[Any]:
        """[K, rows, ...] to [K, N, ...], or [K, N, frames, ...] of a layer of frames.

        Raises:
            LayerError: the rows are not the pictures, or not their frames.
        """
        rows, pictures = values.shape[1], self.pictures
        if layer.frames and rows % pictures == 0:
            return values.reshape(len(values), pictures, rows // pictures, *values.shape[2:])
        if rows != pictures:
            raise LayerError(
                f"layer {layer.name!r} has {rows} rows for {pictures} "
                f"picture{'s'[: pictures - 1]}, and which belongs to which is unknown; export the "
                "network again, or choose another layer"
            )
        return values

    def _note_shape(self, layer: Layer, shape: tuple[int, ...]) -> None:
        """Stores the shape of a layer's features, [N, C, *space].

        Raises:
            LayerError: they are no maps.
        """
        grid = self._feeds.grid
        if len(shape) == 5 and len(grid) == 2 and layer.frames:
            raise LayerError(
                f"layer {layer.name!r} has {shape[2]} maps for a picture, and where these lie in "
                "it is unknown; choose a layer before the picture is cut, or behind which its "
                "parts are joined"
            )
        if len(shape) != 2 + len(grid):
            what = "a volume" if len(grid) == 3 else "a picture"
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


def _of_frames(formula: Formula) -> Formula:
    """A formula for each frame of features [C, T, *space]: results [questions, T, ...]."""

    def each(features: NDArray[np.float32], gradients: NDArray[np.float32]) -> NDArray[np.float32]:
        """The gradients are [questions, T, C, *space], as the graph has them."""
        frames = range(features.shape[1])
        return np.stack([formula(features[:, t], gradients[:, t]) for t in frames], axis=1)

    return each


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


def _region_axes(session: Runs, artifact: Artifact) -> tuple[str, ...]:
    """The kinds of the region's axes, which are the score's beside batch and classes."""
    region, score = session.inputs.get(artifact.region), artifact.score
    rank = 0 if region is None else max(len(region.shape) - 2, 0)
    if not score.axes:  # before the kinds were kept
        return ("space",) * rank
    kinds = tuple(k for axis, k in enumerate(score.axes) if axis not in (0, score.class_axis))
    if region is not None and len(kinds) != rank:
        raise ArtifactError(
            f"{session.source} is damaged: its metadata list {len(kinds)} axes of the score "
            f"{score.name!r} beside batch and classes, and its region has {rank}; export the "
            "network again"
        )
    return kinds if rank else ()


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
