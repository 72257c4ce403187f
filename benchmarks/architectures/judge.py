"""Read a network without an option, make a map, and judge what its output is taken for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import ortcam
import ortcam_export
from ortcam.artifact import Artifact, Score
from ortcam.errors import OrtcamError

__all__ = ["Architecture", "Truth", "judge"]


@dataclass(frozen=True)
class Truth:
    """A right reading of a network.

    Attributes:
        kinds: the kinds of score that are right, of :data:`ortcam.artifact.SCORES`.
        classes: the number of classes.
        axes: the kind of each axis of the score, of :data:`ortcam.artifact.AXES`.
        grid: the extents of a map: the picture's (height, width), or those of a volume or clip.
    """

    kinds: tuple[str, ...]
    classes: int
    axes: tuple[str, ...]
    grid: tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """One row of the table.

    Attributes:
        name: the library and the architecture.
        output: what its outputs mean, in words.
        truths: the right readings.
        write: exports it, with random weights, to a file.
    """

    name: str
    output: str
    truths: tuple[Truth, ...]
    write: Callable[[Path], None]

    @property
    def slug(self) -> str:
        """The name of its files, without a suffix."""
        return self.name.replace(" ", "_").replace("'", "").lower()


def judge(path: Path, truths: tuple[Truth, ...]) -> dict[str, Any]:
    """Read a network, and return a row of the table.

    Returns:
        ``outputs``: the network's own. ``verdict``: ``"right"``, ``"wrong"``, ``"refused"``, or
        ``"crash"`` if anything but a sentence came. ``sentence``: the refusal. If it was not
        refused: ``score``, ``kind``, ``axes``, ``classes``, ``reason``, ``layer``, ``notes``,
        ``grid`` (of a map; None if none can be made, and ``no_map`` says why) and ``error``.
    """
    row: dict[str, Any] = {"outputs": _outputs(path)}
    try:
        row["layers"] = [c.name for c in ortcam_export.layers(path) if c.chosen]
        exported = ortcam_export.export(path)
    except OrtcamError as error:
        return {**row, "verdict": "refused", "sentence": str(error)}
    except Exception as error:
        return {**row, "verdict": "crash", "sentence": f"{type(error).__name__}: {error}"}
    artifact = exported.artifact
    verification = artifact.verification
    row |= {
        "score": artifact.score.name,
        "kind": artifact.score.kind,
        "axes": _axes(artifact.score, exported.model),
        "classes": _classes(artifact, exported.model),
        "reason": artifact.score.reason,
        "layer": artifact.layers[0].name,
        "notes": [str(note) for note in exported.notes],
        "error": None if verification is None else verification.error,
    }
    row |= _map(exported.model, artifact)
    return {**row, "verdict": "right" if any(_fits(row, t) for t in truths) else "wrong"}


def _fits(row: dict[str, Any], truth: Truth) -> bool:
    return (
        row["kind"] in truth.kinds
        and row["classes"] == truth.classes
        and row["axes"] == list(truth.axes)
        and row["grid"] in (None, list(truth.grid))
    )


def _outputs(path: Path) -> list[str]:
    """The outputs of a network with their shapes, in words."""
    graph = onnx.load(path, load_external_data=False).graph
    return [f"{value.name} {_extents(value)}" for value in graph.output]


def _extents(value: onnx.ValueInfoProto) -> list[int | str]:
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims]


def _values(model: bytes) -> dict[str, list[int | str]]:
    graph = onnx.load_from_string(model).graph
    return {value.name: _extents(value) for value in (*graph.input, *graph.output)}


def _axes(score: Score, model: bytes) -> list[str]:
    """The kinds of the score's axes, in artifacts that do not keep them too."""
    if score.axes:
        return list(score.axes)
    count = len(_values(model)[score.name])
    return [
        "batch" if i == 0 else "class" if i == score.class_axis else "space" for i in range(count)
    ]


def _classes(artifact: Artifact, model: bytes) -> int | str:
    return _values(model)[artifact.class_weights][2]


def _map(model: bytes, artifact: Artifact) -> dict[str, Any]:
    """The grid of a map of class 0 on noise, at the size that the network takes."""
    values = _values(model)
    random = np.random.default_rng(0)

    def noise(name: str) -> NDArray[Any]:
        shape = [extent if isinstance(extent, int) else 1 for extent in values[name]]
        return random.random(shape, np.float32)

    cam = ortcam.load(model)
    types = {
        value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for value in onnx.load_from_string(model).graph.input
    }
    further = {
        name: noise(name).astype(dtype)
        for name, dtype in types.items()
        if name not in (artifact.picture, *artifact.question)
    }
    try:
        explanation = cam.explain(tensor=noise(artifact.picture), classes=0, inputs=further or None)
    except OrtcamError as error:
        return {"grid": None, "no_map": str(error)}
    except Exception as error:
        return {"grid": None, "no_map": f"{type(error).__name__}: {error}"}
    return {"grid": list(explanation.map().shape)}
