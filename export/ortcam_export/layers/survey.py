"""A network's layers on a picture: the map of each, and its measurements.

The maps come from artifacts in memory, each of as many layers as memory allows. Their gradients are
not verified, unlike those of an artifact that is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from ortcam import metrics
from ortcam.cam import Cam, load
from ortcam.errors import InputError, LayerError, ModelError, OrtcamError, nearest
from ortcam.inference.providers import Providers
from ortcam.messages import Message, Option
from ortcam.pictures import read as pictures
from ortcam.pictures.further_inputs import FurtherInputs
from ortcam.questions.question import Question, parse, rows
from ortcam.results.explanation import Explanation
from ortcam_export.export import export
from ortcam_export.layers.candidate import Candidate
from ortcam_export.layers.listing import layers
from ortcam_export.layers.ranking import ranks
from ortcam_export.layers.survey_result import Survey
from ortcam_export.reading.model_file import ModelLike, read_either

__all__ = ["MEMORY", "Expected", "survey"]

MEMORY = 2**28
"""Bytes that the features of the layers in one artifact may take, by an estimate."""


class Expected(TypedDict, total=False):
    """The preprocessing and classes of a network, as :func:`ortcam_export.export` takes them."""

    classes: Sequence[str] | str | os.PathLike[str] | None
    colors: Sequence[Sequence[int]] | str | os.PathLike[str] | None
    color_order: str | None
    layout: str | None
    rescale: float | None
    scale: float | None
    mean: Sequence[float] | float | None
    std: Sequence[float] | float | None
    size: tuple[int, int] | None
    divisor: int | None
    token_grid: tuple[int, int] | None
    leading_tokens: int | None


def survey(
    model: ModelLike,
    picture: pictures.Picture,
    question: str | int | Question | None = None,
    *,
    feature_layers: Sequence[str] | None = None,
    reduction_layer: str | None = None,
    score: str | None = None,
    class_axis: int | None = None,
    picture_input: str | None = None,
    inputs: FurtherInputs | None = None,
    providers: Providers | None = None,
    memory: int = MEMORY,
    progress: Callable[[int, int], None] | None = None,
    **expected: Unpack[Expected],
) -> Survey:
    """Make and measure the map of one class at every layer that a network offers.

    Args:
        model: the network, as for :func:`ortcam_export.layers`; or the path or bytes of an
            artifact, whose layers are measured.
        picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
        question: a class by name or 0-based index, a question, or its text (``"Car - Road"``);
            None for the class that covers most of the picture.
        feature_layers: the names of the listed layers to measure; None for all.
        reduction_layer: as for :func:`ortcam_export.layers`.
        score: as for :func:`ortcam_export.layers`.
        class_axis: as for :func:`ortcam_export.layers`.
        picture_input: the input that takes the picture, if several could.
        inputs: the network's further inputs, by name.
        providers: as for :func:`ortcam.load`.
        memory: bytes that the features of the layers in one artifact may take, by an estimate.
        progress: called with the number of layers done, and the number of all.
        expected: the network's preprocessing and classes, as for :func:`ortcam_export.export`.

    Raises:
        ArtifactError, ModelError, DependencyError: as for :func:`ortcam_export.export` and
            :func:`ortcam.load`.
        ClassError: there is no such class.
        InputError: an option does not fit, or describes a network although ``model`` is an
            artifact.
        LayerError: there is no such layer, or none that a gradient reaches.
        PictureError: the picture cannot be read, or the network does not run on it.

    Example:
        >>> result = survey("network.onnx", "street.png", 1)
        >>> min(c.rank for c in result.candidates if c.rank)
        1
    """
    rgb = pictures.read(picture)
    _, artifact = read_either(model)
    options: dict[str, Any] = {name: value for name, value in expected.items() if value is not None}
    if artifact is not None and (options or picture_input is not None):
        raise InputError(
            "an artifact contains the description of its network; leave out ",
            *_separated(options or ["picture_input"]),
        )
    candidates = layers(
        model,
        reduction_layer=reduction_layer,
        score=score,
        class_axis=class_axis,
        picture_input=picture_input,
    )
    features = _selection(candidates, feature_layers)
    if artifact is None:
        options |= {
            "reduction_layer": reduction_layer,
            "score": score,
            "class_axis": class_axis,
            "picture_input": picture_input,
        }
        artifacts: _Artifacts = _Exporter(model, options, providers)
    else:
        artifacts = _SameArtifact(load(_path_or_bytes(model), providers))
    measurements = _Measurements(artifacts, rgb, question, inputs)
    count = 0
    for group in _groups(features, rgb.shape[0] * rgb.shape[1], memory):
        measurements.measure(group)
        count += len(group)
        if progress is not None:
            progress(count, len(features))
    return measurements.survey(candidates)


def _separated(names: Iterable[str]) -> list[str | Option]:
    """Options, separated by commas, as parts of a message."""
    parts: list[str | Option] = []
    for name in names:
        parts += [", ", Option(name)]
    return parts[1:]


def _selection(candidates: Sequence[Candidate], names: Sequence[str] | None) -> list[Candidate]:
    """Return the feature layers that a gradient reaches, of these names if there are any."""
    features = {c.name: c for c in candidates if c.kind == "feature"}
    for name in names or ():
        if name not in features:
            raise LayerError(f"no layer {name!r} is listed{nearest(name, features)}")
    selection = [c for c in features.values() if c.reached and (names is None or c.name in names)]
    if not selection:
        raise LayerError("no gradient of the score reaches a layer, so there is no map to show")
    return selection


def _groups(features: Sequence[Candidate], pixels: int, memory: int) -> Iterator[list[str]]:
    """Yield layers in groups whose features fit in the memory, by channels and stride."""
    group: list[str] = []
    total = 0.0
    for candidate in features:
        size = 4.0 * (candidate.channels or 1) * pixels / (candidate.stride or 1) ** 2
        if group and total + size > memory:
            yield group
            group, total = [], 0.0
        group.append(candidate.name)
        total += size
    yield group


def _path_or_bytes(model: ModelLike) -> str | os.PathLike[str] | bytes:
    if isinstance(model, (str, os.PathLike, bytes)):
        return model
    raise InputError("give an artifact by its path or its bytes, as ortcam.load takes it")


class _Artifacts(Protocol):
    """Open artifacts, by their layers."""

    notes: tuple[str, ...]

    def __call__(self, names: Sequence[str]) -> Cam:
        """Return one with the layers of these names."""


class _SameArtifact:
    """One artifact with all layers."""

    def __init__(self, cam: Cam) -> None:
        self._cam = cam
        self.notes: tuple[str, ...] = ()

    def __call__(self, names: Sequence[str]) -> Cam:
        return self._cam


class _Exporter:
    """An artifact of a network for each group of layers."""

    def __init__(
        self, model: ModelLike, options: dict[str, Any], providers: Providers | None
    ) -> None:
        self._model, self._options, self._providers = model, options, providers
        self.notes: tuple[str, ...] = ()

    def __call__(self, names: Sequence[str]) -> Cam:
        exported = export(self._model, feature_layers=names, verify=False, **self._options)
        self.notes = self.notes or exported.notes
        preprocess = exported.artifact.expects.preprocess
        if preprocess is not None and preprocess.divisor > 1:  # saves the trials of later groups
            self._options["divisor"] = preprocess.divisor
        return load(exported.model, self._providers)


class _Measurements:
    """The layers measured on one picture."""

    def __init__(
        self,
        artifacts: _Artifacts,
        rgb: NDArray[np.uint8],
        question: str | int | Question | None,
        inputs: FurtherInputs | None,
    ) -> None:
        self._artifacts, self._rgb, self._inputs = artifacts, rgb, inputs
        self._question = question
        self._predicted: NDArray[np.bool_] | None = None
        self._name = ""
        self._maps: dict[str, NDArray[np.float32]] = {}
        self._values: dict[str, dict[str, Any]] = {}
        self._notes: list[str] = []
        self._failures: list[OrtcamError] = []

    def measure(self, names: Sequence[str]) -> None:
        """Measure at some layers; a layer without a map is left out, with a note."""
        try:
            cam = self._artifacts(names)
            question = self._resolved_question(cam)
            explanation = cam.explain(self._rgb, question, names, inputs=self._inputs)
            features = cam.features(self._rgb, names, inputs=self._inputs)
        except (LayerError, ModelError) as error:
            if len(names) > 1:
                half = len(names) // 2
                self.measure(names[:half])
                self.measure(names[half:])
            else:
                self._failures.append(error)
                self._notes.append(Message(f"{names[0]} gives no map: ", error.message))
            return
        for name in names:
            self._measure(name, explanation, features.pop(name))

    def survey(self, candidates: Sequence[Candidate]) -> Survey:
        """Return the survey of the measured layers, with their ranks.

        Raises:
            OrtcamError: no layer gave a map; the error is that of the first layer.
        """
        if not self._maps:
            raise self._failures[0]
        rows = [replace(c, **self._values.get(c.name, {})) for c in candidates]
        features = [c for c in rows if c.kind == "feature"]
        ranked = [replace(c, rank=rank) for c, rank in zip(features, ranks(features), strict=True)]
        return Survey(
            question=self._name,
            candidates=(*ranked, *(c for c in rows if c.kind != "feature")),
            maps=self._maps,
            picture=self._rgb,
            predicted=self._predicted,
            notes=(*self._artifacts.notes, *self._notes),
        )

    def _resolved_question(self, cam: Cam) -> str | int | Question:
        """Return the question, the same at all layers; its predicted pixels are computed once."""
        if self._name:
            assert self._question is not None
            return self._question
        question = self._question
        if isinstance(question, str):
            question = parse(question, cam.classes)
        first = cam.explain(self._rgb, question, cam.layers[0], inputs=self._inputs)
        if question is None:
            question = first.indices[0]
            assert question is not None  # a default question is about a single class
        (row,) = rows(question, cam.classes)
        if first.segmentation is not None:
            self._predicted = first.segmentation.labels == row.subject
            share = float(self._predicted.mean())
            self._notes.append(
                f"{cam.classes[row.subject]} is predicted on {100 * share:.1f} % of the picture: a "
                "map that is the same everywhere has that share inside"
                if share
                else f"no pixel is labelled {cam.classes[row.subject]}, so no map lies inside"
            )
        self._question, self._name = question, row.name
        return question

    def _measure(self, name: str, explanation: Explanation, features: NDArray[np.float32]) -> None:
        plane = explanation.raw[name][0]
        self._maps[name] = plane
        concentration = metrics.concentration(plane)
        inside = None
        if self._predicted is not None and self._predicted.any():
            inside = metrics.energy(explanation.map(layer=name), self._predicted)
        alive = features.reshape(len(features), -1).any(axis=1)
        self._values[name] = {
            "is_empty": not (np.isfinite(plane).all() and plane.max(initial=0) > 0),
            "dead": float(1 - alive.mean()),
            "concentration": _number(concentration),
            "inside": None if inside is None else _number(inside),
        }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
