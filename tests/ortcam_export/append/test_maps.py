"""Maps computed in the graph equal NumPy's, for every network, form and number of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import ortcam
from ortcam.errors import VerificationError
from ortcam_export import export
from ortcam_export.append import maps as maps_module
from ortcam_export.gradient.tensor import Tensor

FAST: dict[str, Any] = {"size": (96, 64), "verify": False}

NETWORKS: list[tuple[Callable[..., onnx.ModelProto], tuple[str, ...]]] = [
    (networks.unet, ("enc1_relu", "dec1_relu")),
    (networks.channels_last, ("stem_relu", "head_relu")),
    (networks.classifier, ("b_relu",)),
    (networks.half_precision, ("a_relu",)),
]


def rgb(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (30, 44, 3)).astype(np.uint8)


def load(make: Callable[..., onnx.ModelProto], layers: Any, **options: Any) -> ortcam.Cam:
    exported = export(make(), feature_layers=layers, **FAST, **options)
    return ortcam.load(exported.model, "cpu", gradient=exported.gradient)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("make", "layers"), NETWORKS)
def test_maps_of_the_graph_are_numpys(
    make: Callable[..., onnx.ModelProto], layers: tuple[str, ...], split: bool
) -> None:
    plain, cam = load(make, layers), load(make, layers, maps=True, split=split)
    assert [layer.map for layer in cam.artifact.layers] == [f"{name}.map" for name in layers]
    pictures, classes = [rgb(0), rgb(1)], [[2, 0, 1], [3]]
    each = zip(pictures, classes, strict=True)
    alone = [cam.explain(picture, question) for picture, question in each]
    expected = plain.explain_batch(pictures, classes)
    for actual in (alone, cam.explain_batch(pictures, classes)):
        for one, other in zip(actual, expected, strict=True):
            assert one.notes == other.notes
            for layer in layers:
                size = np.abs(other.raw[layer]).max()
                assert one.raw[layer].shape == other.raw[layer].shape
                np.testing.assert_allclose(
                    one.raw[layer], other.raw[layer], rtol=1e-3, atol=1e-4 * size
                )
                np.testing.assert_allclose(one.weights[layer], other.weights[layer], rtol=1e-3)


@pytest.mark.parametrize("split", [False, True])
def test_presets_that_take_signs_leave_the_graphs_maps_alone(split: bool) -> None:
    layers = ("enc1_relu", "dec1_relu")
    plain = load(networks.unet, layers)
    cam = load(networks.unet, layers, maps=True, split=split)
    for preset in ("raw", "seggradcam", "matlab"):
        for names in (layers, layers[1:]):
            actual, expected = (
                one.explain(rgb(0), 2, names, preset=preset) for one in (cam, plain)
            )
            for layer in names:
                size = np.abs(expected.raw[layer]).max()
                np.testing.assert_allclose(actual.raw[layer], expected.raw[layer], atol=1e-4 * size)
                assert (actual.raw[layer].min() < 0) == (preset != "matlab")


def test_features_stay_where_they_are_unless_a_map_is_blank() -> None:
    cam = load(networks.unet, ("dec1_relu",), maps=True)
    session: Any = cam._graph.session
    fetched: list[list[str]] = []
    run = session.run

    def spy(outputs: list[str], feeds: Any) -> Any:
        fetched.append(outputs)
        results = run(outputs, feeds)
        if len(fetched) == 3:
            results["dec1_relu.map"] = np.zeros_like(results["dec1_relu.map"])
        return results

    session.run = spy
    shown = [c for c in range(4) if cam.explain(rgb(0), c).raw["dec1_relu"].any()]
    fetched.clear()
    first = cam.explain(rgb(0), shown[0])
    assert fetched == [["dec1_relu.weights", "dec1_relu.map", "probabilities"]]
    fetched.append([])
    again = cam.explain(rgb(0), shown[0])  # the graph's map is blank: NumPy computes it
    assert fetched[3:] == [["dec1_relu"]]
    np.testing.assert_allclose(again.raw["dec1_relu"], first.raw["dec1_relu"], rtol=1e-3, atol=1e-6)


def test_maps_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    exported = export(networks.unet(), maps=True, split=True, size=(96, 64))
    assert exported.artifact.verification is not None
    right = maps_module._map
    monkeypatch.setattr(maps_module, "_map", lambda w, a, axis: right(w, a, axis) * _two(w))
    with pytest.raises(VerificationError, match=r"maps 'dec1_relu\.map' are not those"):
        export(networks.unet(), maps=True, size=(96, 64))


def _two(like: Tensor) -> Tensor:
    return like.tape.constant(2, like.dtype)
