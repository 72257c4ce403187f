"""The plain network and ortcam, as things to be timed.

All take a preprocessed array and give raw maps, before their upsampling. The unit is
``session.run`` of the plain network, its score fetched. What ortcam is timed at is its own way to
the same session: the run of the artifact, score, features and weights fetched, then Grad-CAM's
weighted sum and ReLU in NumPy. The rows "as called" time ``Cam.explain`` whole, with what it looks
up, checks and notes besides.
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
from benchmarks.measure import Contestant
from benchmarks.networks import Network, artifact, rewritten, tensor
from ortcam.artifact import METADATA_KEY, Artifact
from ortcam.cam import MEMORY
from ortcam.inference.artifact_graph import ArtifactGraph
from ortcam.inference.providers import Providers
from ortcam.inference.session import Session
from ortcam.methods import grad_cam as maps
from ortcam.pictures.network_inputs import feeds

__all__ = ["Maps", "Plain", "Row", "rows"]

Maps = dict[str, NDArray[np.float32]]
"""[questions, h, w] for each layer."""

BATCH = 8
QUESTIONS = 16
"""How many questions the rows go round in that ask a new one in every iteration."""

_OPENED = ("opened-1", "opened-2-early")


class Plain:
    """The unmodified network in onnxruntime."""

    def __init__(self, network: Path, x: NDArray[np.float32], provider: Providers) -> None:
        session = Session(network, provider, THREADS)
        (name,), score = session.inputs, next(iter(session.outputs))
        self.score: NDArray[Any] = session.run([score], {name: x})[score]
        self._run: Callable[[], object] = lambda: session.run([score], {name: x})

    def __call__(self, _iteration: int = 0) -> object:
        """One inference."""
        return self._run()


class Asked:
    """An artifact in onnxruntime, asked by ortcam's own means."""

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
        chosen = tuple(layer for layer in self.artifact.layers if layer.name in layers)
        own = None if cells is None else cells[:, None]
        (answer,) = self._graph.open(self._feeds).ask(rows[:, None], own, chosen, MEMORY)
        return answer.maps | {
            name: maps.rectified(maps.weighted_sums(features, answer.weights[name]))
            for name, features in answer.features.items()
        }

    @property
    def space(self) -> tuple[int, int]:
        """The score's (rows, columns)."""
        height, width = self._graph.open(self._feeds).score_space
        return height, width

    def look(self) -> object:
        """What ``segment`` runs."""
        return self._graph.open(self._feeds).score

    def batch(self, classes: list[int], layer: str, together: int = BATCH) -> NDArray[np.float32]:
        """The raw maps of all pictures of the batch, [classes, pictures, h, w].

        Args:
            classes: what is asked about.
            layer: where.
            together: how many pictures enter the network in one run.
        """
        a = self.artifact
        chosen = next(one for one in a.layers if one.name == layer)
        rows = np.eye(self._graph.classes, dtype=np.float32)[classes]
        question = {
            a.class_weights: rows[:, None],
            a.region: np.ones((1, 1, 1, 1), np.float32),
        }
        sums = []
        for start in range(0, len(self._x), together):
            part = {a.picture: self._x[start : start + together]}
            out = self.session.run([a.score.name, chosen.name, chosen.weights], part | question)
            each = zip(out[chosen.name], out[chosen.weights].swapaxes(0, 1), strict=True)
            sums += [maps.weighted_sums(features, weights) for features, weights in each]
        return maps.rectified(np.stack(sums, 1))


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        contestant: what is timed; None where it is not to be had.
        maps: makes the maps that it is compared by, those of the network's two classes.
        missing: why there is no contestant.
        coarse: whether it computes in fewer digits than float32 has.
    """

    contestant: Contestant | None = None
    maps: Callable[[], Maps] | None = None
    missing: str = ""
    coarse: bool = False


def rows(
    network: Network, plain: Path, folder: Path, provider: Providers, unit: Plain
) -> dict[str, Row]:
    """The rows of one network by their names; its artifacts are left in the folder.

    Args:
        network: which.
        plain: its file.
        folder: for the artifacts.
        provider: of onnxruntime.
        unit: the plain network, in its session.
    """
    x = tensor(network)
    two, everything = list(network.asked), list(range(network.classes))
    last = network.layers[-1:]
    last_file = artifact(plain, last, folder / f"{network.name}.last.cam.onnx")
    four_file = artifact(plain, network.layers, folder / f"{network.name}.four.cam.onnx")
    one, four = Asked(last_file, x, provider), Asked(four_file, x, provider)
    cam = ortcam.Cam(one.session, one.artifact)
    news = _questions(network, one.space)

    def row(run: Callable[[int], object], maps: Callable[[], Maps] | None = None) -> Row:
        return Row(Contestant(run, unit), maps)

    def new(count: int) -> Callable[[int], object]:
        def ask(iteration: int) -> Maps:
            first, cells = news[iteration % len(news)]
            return one.maps([(first + k) % network.classes for k in range(count)], last, cells)

        return ask

    softmax = Plain(rewritten(plain, folder / f"{network.name}.softmax.onnx"), x, provider)
    found = {
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
        "four-segment": row(lambda _: four.look()),
        **_opened(network, plain, folder, provider, unit),
    }
    if network.batches:
        eight = tensor(network, batch=BATCH)
        many = Asked(last_file, eight, provider)
        found["batch-2"] = Row(
            Contestant(lambda _: many.batch(two, last[0]), Plain(plain, eight, provider)),
            lambda: {last[0]: many.batch(two, last[0])[:, 0]},
        )
        found["batch-2-single"] = Row(
            Contestant(
                lambda _: many.batch(two, last[0]), lambda _: many.batch(two, last[0], together=1)
            ),
            lambda: {last[0]: many.batch(two, last[0], together=1)[:, 0]},
        )
    return found


def _opened(
    network: Network, plain: Path, folder: Path, provider: Providers, unit: Plain
) -> dict[str, Row]:
    """New questions on a picture that was run once, by a pair of artifacts."""
    if not hasattr(ortcam.Cam, "open"):
        return {name: Row(missing="this ortcam opens no pictures") for name in _OPENED}
    two, last, early = network.asked, network.layers[-1:], network.layers[:1]
    x, found = tensor(network), {}
    pixels = [
        (first, cells[0])
        for first, cells in _questions(network, (network.size[1], network.size[0]))
    ]
    for name, layers, count in (("opened-1", last, 1), ("opened-2-early", early, 2)):
        pair = artifact(plain, layers, folder / f"{network.name}.{name}.cam.onnx", split=True)
        cam: Any = ortcam.load(pair, provider, threads=THREADS)  # one without `open` too
        view = cam.open(tensor=x)

        def ask(iteration: int, view: Any = view, count: int = count) -> object:
            first, region = pixels[iteration % len(pixels)]
            classes = [(first + k) % network.classes for k in range(count)]
            return view.explain(classes=classes, region=region, upsample="none")

        def raw(view: Any = view) -> Maps:
            answer: Maps = view.explain(classes=list(two), upsample="none").raw
            return answer

        found[name] = Row(Contestant(ask, unit), raw)
    return found


def _questions(network: Network, space: tuple[int, int]) -> list[tuple[int, NDArray[np.float32]]]:
    """Another class and another rectangle each, [1, rows, columns] of zeros and ones."""
    draw = np.random.default_rng(0)
    questions = []
    for _ in range(QUESTIONS):
        (top, bottom), (left, right) = (
            np.sort(draw.choice(n + 1, 2, replace=False)) for n in space
        )
        cells = np.zeros((1, *space), np.float32)
        cells[:, top:bottom, left:right] = 1
        questions.append((int(draw.integers(network.classes)), cells))
    return questions
