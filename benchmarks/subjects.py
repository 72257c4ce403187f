"""The plain network and ortcam, as subjects.

All take a preprocessed array and return raw maps, before upsampling. The unit is ``session.run`` of
the plain network, which returns its score. ortcam's time is that of the same for the artifact,
which returns score, features and weights, followed by the weighted sum and the ReLU of Grad-CAM in
NumPy. The rows "as called" time ``Cam.explain`` with all its checks and notes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ortcam
from benchmarks.machine import THREADS
from benchmarks.measure import Subject
from benchmarks.networks import Network, artifact, tensor, with_fast_softmax
from ortcam.artifact import METADATA_KEY, Artifact
from ortcam.cam import MEMORY
from ortcam.inference.artifact_graph import ArtifactGraph
from ortcam.inference.providers import Providers
from ortcam.inference.session import Session
from ortcam.methods import grad_cam
from ortcam.pictures.network_inputs import feeds
from ortcam.view import View

__all__ = ["ArtifactRun", "Maps", "PlainInference", "Row", "rows"]

Maps = dict[str, NDArray[np.float32]]
"""[questions, h, w] by layer."""

BATCH = 8
QUESTIONS = 16
"""The number of questions that rows with a new question in every iteration cycle through."""


class PlainInference:
    """The unmodified network in onnxruntime."""

    def __init__(self, network: Path, x: NDArray[np.float32], provider: Providers) -> None:
        session = Session(network, provider, THREADS)
        (name,), score = session.inputs, next(iter(session.outputs))
        self.score: NDArray[Any] = session.run([score], {name: x})[score]
        self._run: Callable[[], object] = lambda: session.run([score], {name: x})

    def __call__(self, _iteration: int = 0) -> object:
        """Run the network once."""
        return self._run()


class ArtifactRun:
    """An artifact in onnxruntime, run by ortcam."""

    def __init__(self, path: Path, x: NDArray[np.float32], provider: Providers) -> None:
        self.session = Session(path, provider, THREADS)
        self.artifact = Artifact.from_json(self.session.metadata[METADATA_KEY], source=str(path))
        self._graph = ArtifactGraph(self.session, self.artifact)
        self._x = x
        self._feeds = feeds(self.artifact, self.session.inputs, None, x[:1], None, None)

    def maps(
        self,
        classes: list[int],
        layers: tuple[str, ...],
        cells: NDArray[np.float32] | None = None,
    ) -> Maps:
        """The raw maps of one picture."""
        rows = np.eye(self._graph.classes, dtype=np.float32)[classes]
        selection = tuple(layer for layer in self.artifact.layers if layer.name in layers)
        region = None if cells is None else cells[:, None]
        (answer,) = self._graph.open(self._feeds).ask(rows[:, None], region, selection, MEMORY)
        return answer.maps | {
            name: grad_cam.rectified(grad_cam.weighted_sums(features, answer.weights[name]))
            for name, features in answer.features.items()
        }

    @property
    def space(self) -> tuple[int, int]:
        """The (rows, columns) of the score."""
        height, width = self._graph.open(self._feeds).score_cells
        return height, width

    def score(self) -> object:
        """The score alone, as for ``segment``."""
        return self._graph.open(self._feeds).score

    def batch(self, classes: list[int], layer: str, together: int = BATCH) -> NDArray[np.float32]:
        """The raw maps of all pictures of the batch, [classes, pictures, h, w].

        Args:
            classes: the classes.
            layer: the feature layer.
            together: the number of pictures per run of the network.
        """
        a = self.artifact
        features = next(one for one in a.layers if one.name == layer)
        rows = np.eye(self._graph.classes, dtype=np.float32)[classes]
        question = {
            a.class_weights: rows[:, None],
            a.region: np.ones((1, 1, 1, 1), np.float32),
        }
        sums = []
        for start in range(0, len(self._x), together):
            part = {a.picture: self._x[start : start + together]}
            out = self.session.run([a.score.name, features.name, features.weights], part | question)
            pairs = zip(out[features.name], out[features.weights].swapaxes(0, 1), strict=True)
            sums += [grad_cam.weighted_sums(planes, weights) for planes, weights in pairs]
        return grad_cam.rectified(np.stack(sums, 1))


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        subject: the subject; None if it is not available.
        maps: computes its maps of the network's two classes, for the comparison.
        missing: why there is no subject.
        coarse: True if its precision is lower than float32.
    """

    subject: Subject | None = None
    maps: Callable[[], Maps] | None = None
    missing: str = ""
    coarse: bool = False


def rows(
    network: Network, plain: Path, folder: Path, provider: Providers, unit: PlainInference
) -> dict[str, Row]:
    """The rows of one network, by name; its artifacts are written to the folder.

    Args:
        network: the network.
        plain: the file of the plain network.
        folder: the folder for the artifacts.
        provider: the execution provider.
        unit: the plain network in its session.
    """
    x = tensor(network)
    two, everything = list(network.two_classes), list(range(network.classes))
    last = network.layers[-1:]
    last_file = artifact(plain, last, folder / f"{network.name}.last.cam.onnx")
    four_file = artifact(plain, network.layers, folder / f"{network.name}.four.cam.onnx")
    one, four = ArtifactRun(last_file, x, provider), ArtifactRun(four_file, x, provider)
    cam = ortcam.Cam(one.session, one.artifact)
    questions = _questions(network, one.space)

    def row(run: Callable[[int], object], maps: Callable[[], Maps] | None = None) -> Row:
        return Row(Subject(run, unit), maps)

    def new(count: int) -> Callable[[int], object]:
        def ask(iteration: int) -> Maps:
            first, cells = questions[iteration % len(questions)]
            return one.maps([(first + k) % network.classes for k in range(count)], last, cells)

        return ask

    softmax = PlainInference(
        with_fast_softmax(plain, folder / f"{network.name}.softmax.onnx"), x, provider
    )
    table = {
        "plain": row(unit),
        "plain-softmax": row(softmax),
        "last-1": row(lambda _: one.maps(two[:1], last)),
        "last-2": row(lambda _: one.maps(two, last), lambda: one.maps(two, last)),
        "last-all": row(lambda _: one.maps(everything, last)),
        "last-2-new": row(new(2)),
        "last-all-new": row(new(network.classes)),
        "last-2-called": row(
            lambda _: cam.explain(tensor=x, classes=two, upsample="none"),
            lambda: dict(cam.explain(tensor=x, classes=two, upsample="none").raw),
        ),
        "four-2": row(
            lambda _: four.maps(two, network.layers), lambda: four.maps(two, network.layers)
        ),
        "four-2-last": row(lambda _: four.maps(two, last), lambda: four.maps(two, last)),
        "four-segment": row(lambda _: four.score()),
        **_opened(network, plain, folder, provider, unit),
    }
    if network.batches:
        eight = tensor(network, batch=BATCH)
        many = ArtifactRun(last_file, eight, provider)
        table["batch-2"] = Row(
            Subject(lambda _: many.batch(two, last[0]), PlainInference(plain, eight, provider)),
            lambda: {last[0]: many.batch(two, last[0])[:, 0]},
        )
        table["batch-2-single"] = Row(
            Subject(
                lambda _: many.batch(two, last[0]), lambda _: many.batch(two, last[0], together=1)
            ),
            lambda: {last[0]: many.batch(two, last[0], together=1)[:, 0]},
        )
    return table


def _opened(
    network: Network, plain: Path, folder: Path, provider: Providers, unit: PlainInference
) -> dict[str, Row]:
    """New questions on an opened picture, by artifacts in two parts."""
    two, last, early = network.two_classes, network.layers[-1:], network.layers[:1]
    table = {}
    pixels = [
        (first, cells[0])
        for first, cells in _questions(network, (network.size[1], network.size[0]))
    ]
    for name, layers, count in (("opened-1", last, 1), ("opened-2-early", early, 2)):
        pair = artifact(plain, layers, folder / f"{network.name}.{name}.cam.onnx", split=True)
        view = ortcam.load(pair, provider, threads=THREADS).open(tensor=tensor(network))

        def ask(iteration: int, view: View = view, count: int = count) -> object:
            first, region = pixels[iteration % len(pixels)]
            classes = [(first + k) % network.classes for k in range(count)]
            return view.explain(classes=classes, region=region, upsample="none")

        def raw(view: View = view) -> Maps:
            return dict(view.explain(classes=list(two), upsample="none").raw)

        table[name] = Row(Subject(ask, unit), raw)
    return table


def _questions(network: Network, space: tuple[int, int]) -> list[tuple[int, NDArray[np.float32]]]:
    """Random classes, each with a random rectangle [1, rows, columns] of zeros and ones."""
    random = np.random.default_rng(0)
    questions = []
    for _ in range(QUESTIONS):
        (top, bottom), (left, right) = (
            np.sort(random.choice(n + 1, 2, replace=False)) for n in space
        )
        cells = np.zeros((1, *space), np.float32)
        cells[:, top:bottom, left:right] = 1
        questions.append((int(random.integers(network.classes)), cells))
    return questions
