"""Score-CAM and Ablation-CAM: against a modified network, and against pytorch-grad-cam."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import ortcam
from ortcam.errors import ArtifactError, InputError, VerificationError
from ortcam.inference.session import Session
from ortcam.pictures.network_inputs import Feeds, feeds
from ortcam_export import Exported, export
from ortcam_export.append.ablations import RemoveAblations, _Ablation

Array = NDArray[Any]

FAST: dict[str, Any] = {"size": (48, 32), "rescale": 1 / 255, "mean": 0.5, "std": 0.25}
METHODS = ("score-cam", "ablation-cam")
CLASSES = (2, 0, 1)

#: A network, its score, a layer, and the axis of their channels.
CASES: dict[str, tuple[Callable[[], onnx.ModelProto], str, tuple[str, ...], int]] = {
    "unet": (networks.unet, "probabilities", ("mid_relu", "dec1_relu"), 1),
    "beside skips": (networks.unet, "probabilities", ("enc1_relu",), 1),
    "logits": (networks.unet_logits, "logits", ("dec2_relu",), 1),
    "channels last": (networks.channels_last, "probabilities", ("stem_relu", "head_relu"), 3),
    "classifier": (networks.classifier, "probabilities", ("a_relu", "b_relu"), 1),
}


def rgb(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (32, 48, 3)).astype(np.uint8)


def load(exported: Exported) -> ortcam.Cam:
    return ortcam.load(exported.model, "cpu", gradient=exported.gradient)


@cache
def network(case: str) -> onnx.ModelProto:
    return CASES[case][0]()


@cache
def made(case: str = "unet", split: bool = False) -> ortcam.Cam:
    score = "logits" if case == "logits" else None
    options = {"feature_layers": CASES[case][2], "score": score, "split": split, "verify": False}
    return load(export(network(case), methods=["ablation-cam"], **FAST | options))


def close(actual: Array, expected: Array, tolerance: float = 1e-4) -> None:
    """Assert that the largest error is within a fraction of the largest value."""
    assert actual.shape == expected.shape
    size = np.abs(expected).max()
    assert size > 0
    assert np.abs(actual - expected).max() <= tolerance * size


def changed(model: onnx.ModelProto, layer: str, keep: Array) -> Session:
    """The network with a layer's features multiplied."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.initializer.append(numpy_helper.from_array(keep.astype(np.float32), "kept"))
    at, node = next((i, n) for i, n in enumerate(copy.graph.node) if layer in n.output)
    node.output[0] = "before"
    copy.graph.node.insert(at + 1, helper.make_node("Mul", ["before", "kept"], [layer]))
    return Session(copy.SerializeToString(), "cpu")


def answers(score: Array, axis: int, region: Array | None = None) -> Array:
    """The scores y of the classes, in float64."""
    s = np.moveaxis(score, axis, 1)[0, list(CLASSES)].astype(np.float64)
    s = s if region is None else s * region
    return np.asarray(s.reshape(len(CLASSES), -1).sum(axis=1))


def region_for(case: str) -> Array | None:
    """A part of the picture, if the score has spatial axes."""
    if case == "classifier":
        return None
    region = np.zeros((32, 48), bool)
    region[4:28, 8:40] = True
    return region


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_ablation_cam_is_the_network_with_a_channel_less(case: str, split: bool) -> None:
    cam = made(case, split)
    _, name, layers, axis = CASES[case]
    x, region = cam.preprocess(rgb()), region_for(case)
    actual = cam.explain(rgb(), CLASSES, region=region, method="ablation-cam")
    for layer in layers:
        channels = actual.weights[layer].shape[1]
        y = []
        for keep in (np.ones(channels), *(1 - np.eye(channels))):
            spread = keep.reshape([-1 if i == axis else 1 for i in range(4)])
            session = changed(network(case), layer, spread)
            y.append(answers(session.run([name], {"input": x})[name], axis, region))
        whole, *rest = y
        close(actual.weights[layer], ((whole - np.stack(rest)) / np.abs(whole)).T)


def interpolated(plane: Array, grid: tuple[int, int]) -> Array:
    """Bilinear interpolation between cell centres, with the edges repeated."""
    for axis, extent in enumerate(grid):
        size = plane.shape[axis]
        at = np.clip((np.arange(extent) + 0.5) * size / extent - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(2)])
        high = np.minimum(low + 1, size - 1)
        plane = plane.take(low, axis) * (1 - share) + plane.take(high, axis) * share
    return plane


@pytest.mark.parametrize("case", CASES)
def test_score_cam_is_the_network_on_masked_pictures(case: str) -> None:
    cam = made(case)
    _, name, layers, axis = CASES[case]
    plain = Session(network(case).SerializeToString(), "cpu")
    x, region = cam.preprocess(rgb()), region_for(case)
    explained = cam.explain(rgb(), CLASSES, region=region, method="score-cam")
    softmax = cam.explain(rgb(), CLASSES, region=region, method="score-cam:weights=softmax")
    features = cam._graph.open(feeds_of(cam)).features(cam.artifact.layers)

    def y(mask: Array) -> Array:
        spread = np.expand_dims(mask.astype(np.float32), (0, axis))
        return answers(plain.run([name], {"input": x * spread})[name], axis, region)

    for layer in layers:
        increases = []
        for plane in features[layer][0].astype(np.float64):
            up = interpolated(plane, (32, 48))
            span = np.ptp(up)
            mask = (up - up.min()) / span if span else np.zeros_like(up)
            increases.append(y(mask) - y(np.zeros((32, 48))))
        expected = np.stack(increases, axis=1)
        close(explained.weights[layer], expected)
        exponential = np.exp(expected - expected.max(axis=1, keepdims=True))
        actual = softmax.weights[layer]
        np.testing.assert_allclose(
            actual, exponential / exponential.sum(axis=1, keepdims=True), atol=2e-3
        )


def feeds_of(cam: ortcam.Cam) -> Feeds:
    slots = cam._graph.session.inputs
    return feeds(cam.artifact, slots, rgb(), None, None, None)


@pytest.fixture
def torch_network(pytorch_grad_cam: Any) -> Any:
    """The classifier as a PyTorch module in float64, cut at ``layer``."""
    from reference import cut

    return cut(network("classifier"), "b_relu", "probabilities")


def peers(cls: Any, model: Any, x: Array, **options: Any) -> Array:
    """The weights [classes, C] of a pytorch-grad-cam method at the layer."""
    import torch

    tensor = torch.tensor(x, dtype=torch.float64)
    with torch.no_grad():
        features = model.front(tensor).numpy()
    weights = []
    for c in CLASSES:
        method = cls(model, [model.layer], **options)
        targets = [lambda output, c=c: output[c]]
        with torch.no_grad():
            row = method.get_cam_weights(tensor, model.layer, targets, features, None)
        method.activations_and_grads.release()
        weights.append(np.asarray(row)[0])
    return np.stack(weights)


@pytest.mark.torch
def test_ablation_cam_is_pytorch_grad_cams(pytorch_grad_cam: Any, torch_network: Any) -> None:
    cam = made("classifier")
    expected = peers(
        pytorch_grad_cam.AblationCAM, torch_network, cam.preprocess(rgb()), batch_size=3
    )
    actual = cam.explain(rgb(), CLASSES, "b_relu", method="ablation-cam")
    close(actual.weights["b_relu"], expected)


@pytest.mark.torch
def test_score_cam_is_pytorch_grad_cams(
    pytorch_grad_cam: Any, torch_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bilinear filter aligns corners, which the authors' own code does not."""
    import torch

    def halves(size: Any) -> Any:
        return torch.nn.Upsample(size=tuple(size), mode="bilinear", align_corners=False)

    monkeypatch.setattr(torch.nn, "UpsamplingBilinear2d", halves)
    cam = made("classifier")
    expected = peers(pytorch_grad_cam.ScoreCAM, torch_network, cam.preprocess(rgb()))
    actual = cam.explain(rgb(), CLASSES, "b_relu", method="score-cam:weights=softmax")
    close(actual.weights["b_relu"], expected)
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("split", [False, True])
def test_little_memory_and_a_batch_change_nothing(method: str, split: bool) -> None:
    cam = made("unet", split)
    pictures, classes = [rgb(0), rgb(1)], [[2, 0, 1], [3]]
    regions = [None, region_for("unet")]
    together = cam.explain_batch(pictures, classes, regions=regions, method=method)
    for picture, question, region, one in zip(pictures, classes, regions, together, strict=True):
        alone = cam.explain(picture, question, region=region, method=method, memory=1)
        assert one.notes == alone.notes
        for layer in cam.layers:
            close(one.weights[layer], alone.weights[layer])
            close(one.raw[layer] + 1e-6, alone.raw[layer] + 1e-6)


def test_questions_have_places_of_their_own() -> None:
    cam = made()
    car, road = ortcam.about(2), ortcam.about(0)
    questions = [(car - road).at(20, 10), road.over(ortcam.Box(4, 4, 30, 20))]
    for method in METHODS:
        actual = cam.explain(rgb(), questions, method=method)
        for k, one in enumerate(questions):
            alone = cam.explain(rgb(), one, method=method)
            for layer in cam.layers:
                close(actual.weights[layer][[k]], alone.weights[layer])


def of_one_picture() -> onnx.ModelProto:
    model = networks.unet()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return model


def mixing_shapes() -> onnx.ModelProto:
    """A network that reads a shape, including N, from before the layer."""
    g = networks.Builder(0)
    a = g.block("input", 3, 6, "a")
    b = g.block(a, 6, 6, "b")
    shape = g.node("Shape", [a], "a_shape")
    c = g.node("Reshape", [b, shape], "b_again")
    g.node("Softmax", [g.conv(c, 6, 4, "logits", k=1)], "probabilities", axis=1)
    return g.model({"probabilities": (onnx.TensorProto.FLOAT, ["N", 4, "H", "W"])})


@pytest.mark.parametrize("model", [of_one_picture, mixing_shapes])
def test_ablations_that_cannot_stand_together_go_one_by_one(
    model: Callable[[], onnx.ModelProto],
) -> None:
    layer, together = ("b_relu", True) if model is mixing_shapes else ("dec1_relu", False)
    options = {"feature_layers": [layer], "methods": ["ablation-cam"]}
    cam = load(export(model(), **FAST | options))
    assert [one.together for one in cam.artifact.layers] == [together]
    progress: list[tuple[int, int]] = []
    actual = cam.explain(
        rgb(), CLASSES, method="ablation-cam", progress=lambda *counts: progress.append(counts)
    )
    assert progress[-1][0] == progress[-1][1] > 3
    assert len(progress) == (2 if together else progress[-1][1] + 1)
    x = cam.preprocess(rgb())
    keep = np.ones((1, 6, 1, 1))
    name = "probabilities"
    whole = answers(changed(model(), layer, keep).run([name], {"input": x})[name], 1)
    keep[0, 3] = 0
    rest = answers(changed(model(), layer, keep).run([name], {"input": x})[name], 1)
    assert actual.weights[layer][:, 3].any()
    np.testing.assert_allclose(
        actual.weights[layer][:, 3], (whole - rest) / whole, rtol=1e-3, atol=1e-6
    )
    assert cam.explain(rgb(), CLASSES, method="score-cam").maps.shape == (1, 3, 32, 48)


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (networks.half_precision, ["a_relu"]),
        (networks.deployed, None),
        (networks.volumes, None),
        (networks.transformer, None),
        (networks.opset_11, None),
    ],
)
def test_networks_of_every_kind(make: Callable[[], onnx.ModelProto], layers: Any) -> None:
    """The export verifies the drops against the network's own tail."""
    options = {} if make is networks.volumes else FAST
    cam = load(export(make(), feature_layers=layers, methods=["ablation-cam"], **options))
    if make is networks.volumes:
        x = np.random.default_rng(0).normal(size=(1, 2, 8, 16, 16)).astype(np.float32)
        inputs: dict[str, Any] = {"tensor": x}
    else:
        inputs = {"picture": rgb()}
    for method in METHODS:
        actual = cam.explain(**inputs, classes=[1, 2], method=method)
        assert actual.weights[cam.layers[-1]].any()


def test_an_artifact_does_not_grow_by_the_weights() -> None:
    """Its other answers stay the same too."""
    plain = export(networks.unet(width=24), feature_layers=["mid_relu"], verify=False)
    exported = export(
        networks.unet(width=24), feature_layers=["mid_relu"], verify=False, methods=["ablation-cam"]
    )
    assert len(exported.model) < 1.1 * len(plain.model)
    close(
        load(exported).explain(rgb(), 2).weights["mid_relu"],
        load(plain).explain(rgb(), 2).weights["mid_relu"],
    )


def _record(passes: list[tuple[int, int]], *counts: int) -> None:
    done, total = counts
    passes.append((done, total))


def test_dead_channels_take_no_pass() -> None:
    model = networks.unet()
    for name in ("dec1_norm.scale", "dec1_norm.bias"):
        tensor = next(t for t in model.graph.initializer if t.name == name)
        values = numpy_helper.to_array(tensor).copy()
        values[:2] = 0
        tensor.CopyFrom(numpy_helper.from_array(values, name))
    layers = ["dec1_relu"]
    cam = load(
        export(model, feature_layers=layers, methods=["ablation-cam"], verify=False, size=(48, 32))
    )
    totals = {}
    for method in METHODS:
        passes: list[tuple[int, int]] = []
        record = partial(_record, passes)
        actual = cam.explain(rgb(), 2, method=method, progress=record)
        assert not actual.weights["dec1_relu"][0, :2].any()
        assert actual.weights["dec1_relu"][0, 2:].any()
        totals[method] = passes[-1]
    assert totals == {"score-cam": (5, 5), "ablation-cam": (4, 4)}


def test_a_method_that_an_artifact_lacks_is_an_error() -> None:
    cam = load(export(networks.unet(), verify=False, size=(48, 32)))
    assert cam.explain(rgb(), 2, method="score-cam").maps.any()
    message = r"Ablation-CAM needs the score without a channel.*methods='ablation-cam'"
    with pytest.raises(ArtifactError, match=message):
        cam.explain(rgb(), 2, method="ablation-cam")


def test_a_static_artifact_has_no_branch() -> None:
    with pytest.raises(InputError, match=r"ablation-cam needs a branch.*without static=True"):
        export(networks.unet(), static=True, methods=["ablation-cam"], **FAST)
    exported = export(networks.unet(), static=True, methods="all", **FAST | {"verify": False})
    assert exported.artifact.layers[0].keep is None
    assert any("ablation-cam" in note for note in exported.notes)


def test_removing_ablations_leaves_the_plain_artifact() -> None:
    options = FAST | {"verify": False, "feature_layers": ["dec1_relu"], "split": True}
    plain, exported = (
        export(networks.unet(), methods=m, **options) for m in ([], ["ablation-cam"])
    )
    for one, other in ((plain.model, exported.model), (plain.gradient, exported.gradient)):
        assert one is not None
        assert other is not None
        model = ir.from_proto(onnx.load_from_string(other))
        RemoveAblations(exported.artifact)(model)
        expected = onnx.load_from_string(one).graph
        actual = ir.to_proto(model).graph
        assert [value.name for value in actual.input] == [value.name for value in expected.input]
        for graph in (actual, expected):  # the features are handed over for the ablations
            del graph.output[:]
        assert {node.name for node in actual.node} >= {node.name for node in expected.node}
        assert not any("ablation" in node.name for node in actual.node)
        assert not RemoveAblations(exported.artifact)(model).modified


def test_a_wrong_drop_makes_no_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    reduced = _Ablation._reduced
    monkeypatch.setattr(_Ablation, "_reduced", lambda self, tape, d: reduced(self, tape, d * 1.01))
    with pytest.raises(VerificationError, match="leaving out channels of 'dec1_relu'"):
        export(networks.unet(), methods=["ablation-cam"], **FAST)


def test_metadata_of_missing_ablations_are_refused() -> None:
    exported = export(networks.unet(), methods=["ablation-cam"], **FAST | {"verify": False})
    proto = onnx.load_from_string(exported.model)
    entry = next(p for p in proto.metadata_props if p.key == "ortcam")
    for changes, message in (
        ({"keep": "x.keep"}, "'x.keep' and the graph has no such input"),
        ({"drops": "x.drops"}, "'x.drops' and the graph has no such output"),
        ({"drops": None}, "a layer has both keep and drops, or neither"),
        ({"together": 1}, "together must be of type bool, got 1"),
    ):
        data = json.loads(entry.value)
        data["layers"][0].update(changes)
        damaged = onnx.ModelProto()
        damaged.CopyFrom(proto)
        next(p for p in damaged.metadata_props if p.key == "ortcam").value = json.dumps(data)
        with pytest.raises(ArtifactError, match=message):
            ortcam.load(damaged.SerializeToString())
