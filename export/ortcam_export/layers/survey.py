"""A network's layers on a picture: the map that each would give, and what can be measured of it.

The maps come from artifacts in memory, of as many layers at once as memory allows; their gradients
are not verified, as those of an artifact to keep are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ortcam import metrics
from ortcam.cam import Cam, load
from ortcam.errors import InputError, LayerError, ModelError, OrtcamError, nearest
from ortcam.inference.providers import Providers
from ortcam.messages import Message, Option
from ortcam.pictures import read as pictures
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
    inputs: Mapping[str, ArrayLike] | None = None,
    providers: Providers | None = None,
    memory: int = MEMORY,
    progress: Callable[[int, int], None] | None = None,
    **expected: Unpack[Expected],
) -> Survey:
    """Makes the map of one class at every layer that a network offers, and measures it.

    Args:
        model: the network, as for :func:`ortcam_export.layers`; or the path or bytes of an
            artifact, of which its own layers are looked at.
        picture: a path, a PIL image, or an array [H, W, 3] uint8 in RGB order.
        question: a class by name or 0-based index, a question, or its text (``"Car - Road"``);
            None for the class that the network sees most of in the picture.
        feature_layers: of the listed layers these alone.
        reduction_layer: as for :func:`ortcam_export.layers`.
        score: as for :func:`ortcam_export.layers`.
        class_axis: as for :func:`ortcam_export.layers`.
        picture_input: the input that takes the picture, where several could.
        inputs: the network's further inputs, by name.
        providers: as for :func:`ortcam.load`.
        memory: bytes that the features of the layers in one artifact may take, by an estimate.
        progress: is told how many of how many layers are done.
        expected: what the network expects and means, as for :func:`ortcam_export.export`.

    Raises:
        ArtifactError, ModelError, DependencyError: as for :func:`ortcam_export.export` and
            :func:`ortcam.load`.
        ClassError: there is no such class.
        InputError: an option does not fit, or is one of the network's where an artifact is given.
        LayerError: there is no such layer, or none that a gradient reaches.
        PictureError: the picture cannot be read, or the network does not run on it.

    Example:
        >>> result = survey("network.onnx", "street.png", 1)
        >>> min(c.rank for c in result.candidates if c.rank)
        1
    """
    rgb = pictures.read(picture)
    _, artifact = read_either(model)
    given: dict[str, Any] = {name: value for name, value in expected.items() if value is not None}
    if artifact is not None and (given or picture_input is not None):
        raise InputError(
            "an artifact says itself what it expects of a picture; leave out what describes the "
            "network (",
            *_listed(given or ["picture_input"]),
            ")",
        )
    listed = layers(
        model,
        reduction_layer=reduction_layer,
        score=score,
        class_axis=class_axis,
        picture_input=picture_input,
    )
    features = _chosen(listed, feature_layers)
    if artifact is None:
        given |= {
            "reduction_layer": reduction_layer,
            "score": score,
            "class_axis": class_axis,
            "picture_input": picture_input,
        }
        opening: _Opening = _Exporter(model, given, providers)
    else:
        opening = _Opened(load(_path_or_bytes(model), providers))
    look = _Look(opening, rgb, question, inputs)
    done = 0
    for group in _groups(features, rgb.shape[0] * rgb.shape[1], memory):
        look.at(group)
        done += len(group)
        if progress is not None:
            progress(done, len(features))
    return look.survey(listed)


def _listed(names: Iterable[str]) -> list[str | Option]:
    """Options, separated by commas, as parts of a message."""
    parts: list[str | Option] = []
    for name in names:
        parts += [", ", Option(name)]
    return parts[1:]


def _chosen(listed: Sequence[Candidate], names: Sequence[str] | None) -> list[Candidate]:
    features = {c.name: c for c in listed if c.kind == "feature"}
    for name in names or ():
        if name not in features:
            raise LayerError(f"no layer {name!r} is listed{nearest(name, features)}")
    chosen = [c for c in features.values() if c.reached and (names is None or c.name in names)]
    if not chosen:
        raise LayerError("no gradient of the score reaches a layer, so there is no map to show")
    return chosen


def _groups(features: Sequence[Candidate], pixels: int, memory: int) -> Iterator[list[str]]:
    """Layers in groups whose features fit in the memory, by channels and stride."""
    group: list[str] = []
    taken = 0.0
    for candidate in features:
        size = 4.0 * (candidate.channels or 1) * pixels / (candidate.stride or 1) ** 2
        if group and taken + size > memory:
            yield group
            group, taken = [], 0.0
        group.append(candidate.name)
        taken += size
    yield group


def _path_or_bytes(model: ModelLike) -> str | os.PathLike[str] | bytes:
    if isinstance(model, (str, os.PathLike, bytes)):
        return model
    raise InputError("an artifact is looked at by its path or its bytes, as ortcam.load takes it")


class _Opening(Protocol):
    """Opens an artifact that has some layers."""

    notes: tuple[str, ...]

    def __call__(self, names: Sequence[str]) -> Cam:
        """One with the layers of these names."""


class _Opened:
    """An artifact that has all the layers there are."""

    def __init__(self, cam: Cam) -> None:
        self._cam = cam
        self.notes: tuple[str, ...] = ()

    def __call__(self, names: Sequence[str]) -> Cam:
        return self._cam


class _Exporter:
    """A network, of which an artifact is made for each group of layers."""

    def __init__(
        self, model: ModelLike, options: dict[str, Any], providers: Providers | None
    ) -> None:
        self._model, self._options, self._providers = model, options, providers
        self.notes: tuple[str, ...] = ()

    def __call__(self, names: Sequence[str]) -> Cam:
        exported = export(self._model, feature_layers=names, verify=False, **self._options)
        self.notes = self.notes or exported.notes
        preprocess = exported.artifact.expects.preprocess
        if preprocess is not None and preprocess.divisor > 1:  # not to be found by trying again
            self._options["divisor"] = preprocess.divisor
        return load(exported.model, self._providers)


class _Look:
    """A picture, looked at layer by layer."""

    def __init__(
        self,
        opening: _Opening,
        rgb: NDArray[np.uint8],
        question: str | int | Question | None,
        inputs: Mapping[str, ArrayLike] | None,
    ) -> None:
        self._opening, self._rgb, self._inputs = opening, rgb, inputs
        self._question = question
        self._predicted: NDArray[np.bool_] | None = None
        self._name = ""
        self._maps: dict[str, NDArray[np.float32]] = {}
        self._measured: dict[str, dict[str, Any]] = {}
        self._notes: list[str] = []
        self._failures: list[OrtcamError] = []

    def at(self, names: Sequence[str]) -> None:
        """Measures at some layers; one that gives no map is left out, and noted."""
        try:
            cam = self._opening(names)
            question = self._asked(cam)
            explanation = cam.explain(self._rgb, question, names, inputs=self._inputs)
            features = cam.features(self._rgb, names, inputs=self._inputs)
        except (LayerError, ModelError) as error:
            if len(names) > 1:
                half = len(names) // 2
                self.at(names[:half])
                self.at(names[half:])
            else:
                self._failures.append(error)
                self._notes.append(Message(f"{names[0]} gives no map: ", error.message))
            return
        for name in names:
            self._measure(name, explanation, features.pop(name))

    def survey(self, listed: Sequence[Candidate]) -> Survey:
        """Return the survey of the layers measured, with their ranks.

        Raises:
            OrtcamError: no layer gave a map; it is the first one's.
        """
        if not self._maps:
            raise self._failures[0]
        found = [replace(c, **self._measured.get(c.name, {})) for c in listed]
        features = [c for c in found if c.kind == "feature"]
        placed = [replace(c, rank=rank) for c, rank in zip(features, ranks(features), strict=True)]
        return Survey(
            question=self._name,
            candidates=(*placed, *(c for c in found if c.kind != "feature")),
            maps=self._maps,
            picture=self._rgb,
            predicted=self._predicted,
            notes=(*self._opening.notes, *self._notes),
        )

    def _asked(self, cam: Cam) -> str | int | Question:
        """Return the question, the same at all layers; its predicted pixels are found once."""
        if self._name:
            assert self._question is not None
            return self._question
        asked = self._question
        if isinstance(asked, str):
            asked = parse(asked, cam.classes)
        first = cam.explain(self._rgb, asked, cam.layers[0], inputs=self._inputs)
        if asked is None:
            asked = first.indices[0]
            assert asked is not None  # classes that are seen are asked about by themselves
        (row,) = rows(asked, cam.classes)
        if first.segmentation is not None:
            self._predicted = first.segmentation.labels == row.subject
            share = float(self._predicted.mean())
            self._notes.append(
                f"{cam.classes[row.subject]} is predicted on {100 * share:.1f} % of the picture: a "
                "map that is the same everywhere has that share inside"
                if share
                else f"no pixel is labelled {cam.classes[row.subject]}, so no map lies inside"
            )
        self._question, self._name = asked, row.name
        return asked

    def _measure(self, name: str, explanation: Explanation, features: NDArray[np.float32]) -> None:
        plane = explanation.raw[name][0]
        self._maps[name] = plane
        concentration = metrics.concentration(plane)
        inside = None
        if self._predicted is not None and self._predicted.any():
            inside = metrics.energy(explanation.map(layer=name), self._predicted)
        alive = features.reshape(len(features), -1).any(axis=1)
        self._measured[name] = {
            "is_empty": not (np.isfinite(plane).all() and plane.max(initial=0) > 0),
            "dead": float(1 - alive.mean()),
            "concentration": _number(concentration),
            "inside": None if inside is None else _number(inside),
        }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
