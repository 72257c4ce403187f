"""An artifact in two parts: the same answers, few bytes handed over, files that match."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

import ortcam
from ortcam.artifact import METADATA_KEY
from ortcam.errors import ArtifactError, OutputError, ProviderError
from ortcam.inference.session import Session
from ortcam_export import Exported, export
from ortcam_export.append.two_parts import _Flow

Array = NDArray[Any]

FAST: dict[str, Any] = {"size": (96, 64), "verify": False}

NETWORKS: list[tuple[Callable[..., onnx.ModelProto], tuple[str, ...]]] = [
    (networks.unet, ("enc1_relu", "cat2", "dec1_relu")),
    (networks.unet, ("dec1_relu",)),
    (networks.unet_sigmoid, ("mid_relu", "dec1_relu")),
    (networks.unet_argmax, ("dec1_relu",)),
    (networks.unet_two_heads, ("dec2_relu",)),
    (networks.channels_last, ("stem_relu", "head_relu")),
    (networks.classifier, ("a_relu", "b_relu")),
    (networks.half_precision, ("a_relu", "b_relu")),
]


def both(make: Callable[..., onnx.ModelProto], layers: tuple[str, ...]) -> list[Exported]:
    return [export(make(), feature_layers=layers, split=split, **FAST) for split in (False, True)]


def opened(exported: Exported) -> ortcam.Cam:
    return ortcam.load(exported.model, "cpu", gradient=exported.gradient)


def picture(height: int = 31, width: int = 45) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 5 + c) * np.cos(y / 4 - c) for c in range(3)]
    return np.asarray(np.rint(127 + 120 * np.stack(waves, axis=-1)), np.uint8)


def same(one: ortcam.Explanation, other: ortcam.Explanation) -> None:
    assert (one.classes, one.layers, one.notes) == (other.classes, other.layers, other.notes)
    for layer in one.layers:
        for actual, expected in zip(
            (one.weights[layer], one.raw[layer]),
            (other.weights[layer], other.raw[layer]),
            strict=True,
        ):
            size = np.abs(expected).max()
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * size)


@pytest.mark.parametrize(("make", "layers"), NETWORKS)
def test_two_parts_answer_as_one(
    make: Callable[..., onnx.ModelProto], layers: tuple[str, ...]
) -> None:
    whole, parts = map(opened, both(make, layers))
    rgb = picture()
    region = np.zeros(rgb.shape[:2], bool)
    region[8:20, 10:] = True
    view = parts.open(rgb)
    classes = (0,) if make is networks.unet_sigmoid else (2, 0, 1)
    regions = (None,) if make is networks.classifier else (None, region)
    for question, names, where in product((None, classes), (None, layers[:1]), regions):
        expected = whole.explain(rgb, question, names, where)
        same(parts.explain(rgb, question, names, where), expected)
        same(view.explain(question, names, where), expected)
    if make is not networks.classifier:
        labels = whole.segment(rgb).labels
        np.testing.assert_array_equal(parts.segment(rgb).labels, labels)
        np.testing.assert_array_equal(view.segment().labels, labels)


def test_a_view_runs_the_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cam = opened(both(networks.unet, ("enc1_relu", "dec1_relu"))[1])
    runs: list[tuple[Session, list[str]]] = []
    there = Session.run_on_device

    def counted(self: Session, outputs: Any, feeds: Any) -> Any:
        runs.append((self, list(outputs)))
        return there(self, outputs, feeds)

    monkeypatch.setattr(Session, "run_on_device", counted)
    view = cam.open(picture())
    assert len(runs) == 1
    for classes in (None, 1, [0, 2]):
        view.explain(classes, "dec1_relu")
        assert view.segmentation is view.segment()
    assert len(runs) == 4
    assert {session for session, _ in runs[1:]} == {runs[1][0]} != {runs[0][0]}
    assert runs[-1][1] == ["dec1_relu.weights"]
    assert not any(name.endswith("weights") for name in runs[0][1])


def test_what_is_handed_over_is_small() -> None:
    """Masks instead of activations, and neither the score nor the features twice."""
    exported = both(networks.unet, ("mid_relu", "dec1_relu"))[1]
    assert exported.gradient is not None
    gradient = onnx.load_from_string(exported.gradient)
    network = onnx.load_from_string(exported.model)
    large = {
        value.name: value.type.tensor_type.elem_type
        for value in gradient.graph.input
        if len(value.type.tensor_type.shape.dim) == 4
    }
    floats = {name for name, kind in large.items() if kind == TensorProto.FLOAT}
    # the score and the features are outputs anyway
    assert floats <= {"region", "probabilities", "mid_relu", "dec1_relu"}
    assert [kind for name, kind in large.items() if name not in floats] == [TensorProto.BOOL]
    own = {tensor.name for tensor in network.graph.initializer}
    weights = [t.name for t in gradient.graph.initializer if t.name in own and len(t.dims) == 4]
    # the adjoint of a transposed convolution reads its weights unchanged
    assert sorted(weights) == ["up1.weight", "up2.weight"]
    onnx.checker.check_model(gradient, full_check=True)
    onnx.checker.check_model(network, full_check=True)


def test_pairs_are_verified() -> None:
    options: dict[str, Any] = {"feature_layers": ["cat2", "dec1_relu"], "size": (96, 64)}
    verified = [export(networks.unet(), split=s, **options).artifact for s in (True, False)]
    assert verified[0].verification == verified[1].verification
    assert verified[0].verification is not None
    half = export(networks.half_precision(), split=True, size=(64, 64)).artifact
    assert half.verification is not None
    assert half.verification.error < 1e-2


# ---- Files -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact in two files, ``net.cam.onnx`` and ``net.cam.grad.onnx``."""
    path = tmp_path_factory.mktemp("pair") / "net.cam.onnx"
    exported = export(networks.unet(), path, split=True, **FAST)
    assert exported.artifact.gradient is not None
    assert exported.artifact.gradient.file == "net.cam.grad.onnx"
    assert path.read_bytes() == exported.model
    assert path.with_name("net.cam.grad.onnx").read_bytes() == exported.gradient
    return path


def refusal(model: Any, **options: Any) -> str:
    with pytest.raises(ArtifactError) as caught:
        ortcam.load(model, "cpu", **options)
    return str(caught.value)


def test_the_first_file_finds_the_second(pair: Path, tmp_path: Path) -> None:
    cam = ortcam.load(pair, "cpu")
    expected = cam.explain(picture(), 1)
    moved = tmp_path / "elsewhere.onnx"
    moved.write_bytes(pair.with_name("net.cam.grad.onnx").read_bytes())
    for second in (moved, moved.read_bytes()):
        same(ortcam.load(pair.read_bytes(), "cpu", gradient=second).explain(picture(), 1), expected)
    alone = tmp_path / "net.cam.onnx"
    alone.write_bytes(pair.read_bytes())
    message = refusal(alone)
    assert message.startswith(f"{alone} needs its second part, {tmp_path / 'net.cam.grad.onnx'}")
    assert "No such file" in message
    assert "pass the second part too, as gradient=" in refusal(pair.read_bytes())


def test_a_foreign_second_file_is_refused(pair: Path, tmp_path: Path) -> None:
    target = tmp_path / "net.cam.onnx"
    target.write_bytes(pair.read_bytes())
    other = export(networks.unet(seed=1), split=True, **FAST).gradient
    assert other is not None
    target.with_name("net.cam.grad.onnx").write_bytes(other)
    assert "is not the gradient that" in refusal(target)
    assert "keep both files of one export together" in refusal(pair.read_bytes(), gradient=other)
    whole = export(networks.unet(), **FAST)
    assert "takes no second part" in refusal(whole.model, gradient=other)


def test_two_parts_are_no_cuda_graph(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "replays", True)
    with pytest.raises(ProviderError, match=r"is in two parts.*split=True, or leave out enable"):
        ortcam.load(pair, "cpu")


def test_a_second_part_alone_is_no_artifact(pair: Path) -> None:
    second = pair.with_name("net.cam.grad.onnx")
    message = refusal(second)
    assert message.startswith(
        f"{second} is the second part, the gradient, of a split artifact; open"
    )
    for part in (pair, second):
        with pytest.raises(ArtifactError, match="artifact"):
            export(part)


@pytest.mark.parametrize(
    "file", ["../net.cam.grad.onnx", "/etc/passwd", "a/b", "a\\b", "c:x", "..", ".", "", "a\0b", 5]
)
def test_a_second_file_elsewhere_is_never_read(pair: Path, file: Any) -> None:
    proto = onnx.load_from_string(pair.read_bytes())
    (entry,) = (e for e in proto.metadata_props if e.key == METADATA_KEY)
    metadata = json.loads(entry.value)
    metadata["gradient"]["file"] = file
    entry.value = json.dumps(metadata)
    (pair.parent / "net.cam.onnx.changed").write_bytes(proto.SerializeToString())
    assert "damaged metadata" in refusal(pair.parent / "net.cam.onnx.changed")


def test_a_tensor_that_the_first_part_lacks(pair: Path) -> None:
    network = onnx.load_from_string(pair.read_bytes())
    second = pair.with_name("net.cam.grad.onnx")
    inputs = {value.name for value in onnx.load(second).graph.input}
    handed = next(value for value in network.graph.output if value.name in inputs)
    network.graph.output.remove(handed)
    message = refusal(network.SerializeToString(), gradient=second)
    assert f"reads a tensor {handed.name!r} that the first part lacks" in message


def test_one_graph_is_not_opened() -> None:
    cam = opened(both(networks.unet, ("dec1_relu",))[0])
    with pytest.raises(ArtifactError, match=r"is one graph.*with split=True"):
        cam.open(picture())


def test_a_second_file_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "net.cam.grad.onnx").mkdir()
    with pytest.raises(OutputError, match=r"net\.cam\.grad\.onnx is a folder"):
        export(networks.unet(), tmp_path / "net.cam.onnx", split=True, **FAST)
    assert [p.name for p in tmp_path.iterdir()] == ["net.cam.grad.onnx"]


def test_the_metadata_come_back(pair: Path) -> None:
    artifact = ortcam.load(pair, "cpu").artifact
    again = type(artifact).from_json(artifact.to_json(), source="x")
    assert again == artifact
    assert dataclasses.replace(again, gradient=None) != artifact


# ---- The cut ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_the_cut_is_the_least_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    vertices = ["source", *"abcde", "sink"]
    edges = {
        (a, b): int(random.integers(0, 9))
        for a, b in product(vertices, vertices)
        if a != b and random.random() < 0.5
    }
    flow = _Flow()
    for (a, b), capacity in edges.items():
        flow.add(a, b, capacity)

    def cost(side: set[object]) -> int:
        return sum(c for (a, b), c in edges.items() if a in side and b not in side)

    sides: list[set[object]] = [
        {"source", *(v for v, on in zip("abcde", choice, strict=True) if on)}
        for choice in product([False, True], repeat=5)
    ]
    assert cost(flow.cut("source", "sink")) == min(map(cost, sides))


def test_a_view_that_remembers_asks_once_for_methods_that_need_the_same() -> None:
    options: dict[str, Any] = {
        **FAST,
        "feature_layers": ["dec1_relu"],
        "methods": ["hires-cam"],
        "split": True,
    }
    cam = opened(export(networks.unet(), **options))
    view, plain = cam.open(picture()), cam.open(picture())
    view.remember()
    forward_pass: Any = view._picture.batch._forward_pass
    gradient = forward_pass._gradient
    runs, run = [], gradient.run_on_device

    def spy(*arguments: Any) -> Any:
        runs.append(arguments)
        return run(*arguments)

    gradient.run_on_device = spy
    for count, (cls, method) in enumerate(
        [(0, "hires-cam"), (0, "layer-cam"), (1, "layer-cam"), (1, "grad-cam"), (0, "grad-cam++")]
    ):
        remembered = view.explain(cls, method=method).raw["dec1_relu"]
        assert len(runs) == (1, 1, 2, 3, 4)[count]
        ran = len(runs)
        expected = plain.explain(cls, method=method).raw["dec1_relu"]
        del runs[ran:]  # both share one session
        np.testing.assert_array_equal(remembered, expected)
