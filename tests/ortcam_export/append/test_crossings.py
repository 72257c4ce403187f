"""Copies between a GPU and its host, by sessions that behave as if they ran on one.

Everything runs on the CPU; the copies that a session on CUDA would make are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

import ortcam
from ortcam.inference.session import DeviceTensor, Session
from ortcam_export import Exported, export

LAYERS = ("enc1_relu", "dec1_relu")
QUESTION = ["class_weights", "region"]


@dataclass
class Crossings:
    """The names of copied tensors, in order."""

    up: list[str] = field(default_factory=list)
    down: list[str] = field(default_factory=list)
    runs: int = 0

    def since(self, act: Callable[[], object]) -> Crossings:
        before = len(self.up), len(self.down), self.runs
        act()
        return Crossings(
            sorted(self.up[before[0] :]), sorted(self.down[before[1] :]), self.runs - before[2]
        )


@dataclass
class Value:
    """An OrtValue, and the device that would hold it."""

    real: Any
    name: str
    device: str
    crossings: Crossings

    def numpy(self) -> NDArray[Any]:
        if self.device == "cuda":
            self.crossings.down.append(self.name)
        return np.asarray(self.real.numpy())


class Binding:
    def __init__(self, real: Any, crossings: Crossings) -> None:
        self.real, self.crossings = real, crossings
        self.places: dict[str, str] = {}

    def bind_cpu_input(self, name: str, array: NDArray[Any]) -> None:
        self.crossings.up.append(name)
        self.real.bind_cpu_input(name, array)

    def bind_ortvalue_input(self, name: str, value: Value) -> None:
        if value.device == "cpu":  # a shape is read there
            assert value.real.data_type() == "tensor(int64)"
        self.real.bind_ortvalue_input(name, value.real)

    def bind_output(self, name: str, device: str, number: int) -> None:
        self.places[name] = device
        self.real.bind_output(name, "cpu", 0)

    def get_outputs(self) -> list[Value]:
        pairs = list(zip(self.places.items(), self.real.get_outputs(), strict=True))
        for (name, device), real in pairs:  # a shape is computed on the host
            if device == "cuda" and real.data_type() == "tensor(int64)" and len(real.shape()) < 2:
                self.crossings.up.append(name)
        return [Value(real, name, device, self.crossings) for (name, device), real in pairs]


class OnDevice:
    """onnxruntime's session, as if on CUDA."""

    def __init__(self, real: Any, crossings: Crossings) -> None:
        self.real, self.crossings = real, crossings

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        self.crossings.runs += 1
        self.crossings.up += feeds
        self.crossings.down += names
        return list(self.real.run(names, feeds))

    def io_binding(self) -> Binding:
        return Binding(self.real.io_binding(), self.crossings)

    def run_with_iobinding(self, binding: Binding) -> None:
        self.crossings.runs += 1
        self.real.run_with_iobinding(binding.real)


@pytest.fixture
def crossings(monkeypatch: pytest.MonkeyPatch) -> Crossings:
    """The copies of all sessions that open from now on."""
    counted = Crossings()
    opening = Session.__init__

    def opened(self: Session, *args: Any) -> None:
        opening(self, *args)
        self._session = OnDevice(self._session, counted)

    def put(self: Session, array: NDArray[Any]) -> DeviceTensor:
        counted.up.append("put")
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        return DeviceTensor(Value(value, "put", "cuda", counted))

    monkeypatch.setattr(Session, "__init__", opened)
    monkeypatch.setattr(Session, "to_device", put)
    monkeypatch.setattr(Session, "_device", ("cuda", 0))
    return counted


@cache
def exported(maps: bool, split: bool) -> Exported:
    options: dict[str, Any] = {"maps": maps, "split": split, "size": (96, 64)}
    return export(networks.unet(), feature_layers=LAYERS, verify=False, **options)


def load(*, maps: bool, split: bool) -> ortcam.Cam:
    artifact = exported(maps, split)
    return ortcam.load(artifact.model, "cpu", gradient=artifact.gradient)


def rgb(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (64, 96, 3)).astype(np.uint8)


def answers(cam: ortcam.Cam, *names: str) -> list[str]:
    """The layers' tensors that depend on the question."""
    layers = [layer for layer in cam.artifact.layers if layer.name in (names or LAYERS)]
    return sorted(
        name for layer in layers for name in (layer.weights, *([layer.map] if layer.map else []))
    )


def features(cam: ortcam.Cam, *names: str) -> list[str]:
    """The layers' features, if NumPy computes the maps."""
    layers = [layer for layer in cam.artifact.layers if layer.name in (names or LAYERS)]
    return [layer.name for layer in layers if not layer.map]


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("classes", [None, [1, 2]], ids=str)
def test_a_picture_explained(
    crossings: Crossings, maps: bool, split: bool, classes: list[int] | None
) -> None:
    cam = load(maps=maps, split=split)
    score = cam.artifact.score.name
    for count in (1, 3):
        pictures = [rgb(i) for i in range(count)]
        copies = crossings.since(partial(cam.explain_batch, pictures, classes))
        assert copies.down == sorted([score, *features(cam), *answers(cam)])
        once = copies.runs if not split else 1  # the pair keeps the first part's results
        question = [*QUESTION, "layers"] * (copies.runs - (1 if split else 0))
        assert copies.up == sorted([*["input"] * once, *question])
        assert copies.runs == (2 if split or classes is None else 1)


@pytest.mark.parametrize("maps", [False, True])
def test_a_further_question_takes_its_answer_alone(crossings: Crossings, maps: bool) -> None:
    cam = load(maps=maps, split=True)
    score, last = cam.artifact.score.name, LAYERS[-1]
    view = None

    def look() -> None:
        nonlocal view
        view = cam.open(rgb())
        assert view.segment().labels.any()

    copies = crossings.since(look)
    assert (copies.up, copies.down) == (["input"], [score])
    assert view is not None
    first = crossings.since(lambda: view.explain([1, 2], last))
    assert first.up == sorted([*QUESTION, "layers"])
    assert first.down == sorted([*features(cam, last), *answers(cam, last)])
    for classes in ([2], [1], None):
        more = crossings.since(partial(view.explain, classes, last))
        assert more.up == sorted([*QUESTION, "layers"])
        assert more.down == answers(cam, last)


def test_what_an_empty_map_needs_more_are_that_layers_features(crossings: Crossings) -> None:
    cam = load(maps=True, split=True)
    view = cam.open(rgb())
    assert view.segment().labels.any()
    session: Any = cam._graph.session
    run = session._gradient.run_on_device

    def blank(outputs: Any, feeds: Any) -> Any:
        results = run(outputs, feeds)
        for name, value in results.items():
            if name.endswith(".map"):
                value.value.real.update_inplace(np.zeros_like(value.value.real.numpy()))
        return results

    session._gradient.run_on_device = blank
    copies = crossings.since(lambda: view.explain([1], LAYERS[-1]))
    assert copies.down == sorted([*answers(cam, LAYERS[-1]), LAYERS[-1]])
    assert copies.runs == 1  # the features were kept on the device


def scaled() -> onnx.ModelProto:
    """A network with a further input [1, 6, 1, 1] that the gradient reads directly."""
    g = networks.Builder(0)
    x = g.node("Mul", [g.block("input", 3, 6, "a"), "scale"], "scaled")
    g.node("Softmax", [g.conv(g.block(x, 6, 6, "b"), 6, 4, "logits", k=1)], "score", axis=1)
    shapes: dict[str, networks.Shape] = {"input": ["N", 3, "H", "W"], "scale": [1, 6, 1, 1]}
    inputs = {name: (int(onnx.TensorProto.FLOAT), shape) for name, shape in shapes.items()}
    return g.model({"score": (onnx.TensorProto.FLOAT, ["N", 4, "H", "W"])}, inputs)


def test_an_input_that_the_gradient_reads_goes_up_once(crossings: Crossings) -> None:
    options: dict[str, Any] = {"picture_input": "input", "size": (96, 64), "verify": False}
    artifact = export(scaled(), feature_layers=["a_relu"], split=True, **options)
    cam = ortcam.load(artifact.model, "cpu", gradient=artifact.gradient)
    scale = np.linspace(-1, 1, 6, dtype=np.float32).reshape(1, 6, 1, 1)
    before = len(crossings.up)
    view = cam.open(rgb(), inputs={"scale": scale})
    assert sorted(crossings.up[before:]) == ["input", "put", "scale"]
    for _ in range(2):
        assert crossings.since(lambda: view.explain([1])).up == sorted(QUESTION)
