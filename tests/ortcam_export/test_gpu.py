"""Artifacts on CUDA against the same on the CPU, and that tensors stay on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import onnx
import pytest

import ortcam
from ortcam.inference.session import DeviceTensor
from ortcam_export import export

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]

LAYERS = ("enc1_relu", "dec1_relu")

#: float32 throughout; by default CUDA's convolutions round to TF32, ten bits of mantissa.
EXACT = {"use_tf32": "0"}


def both(
    make: Callable[..., onnx.ModelProto],
    layers: Any,
    cuda: dict[str, str] = EXACT,
    **how: Any,
) -> list[ortcam.Cam]:
    """The artifact on CUDA and on the CPU."""
    made = export(make(), feature_layers=layers, verify=False, size=(96, 64), **how)
    return [
        ortcam.load(made.model, provider, gradient=made.gradient)
        for provider in ([("cuda", cuda)], "cpu")
    ]


def _indices(explanation: ortcam.Explanation) -> list[int]:
    """The classes that an explanation is about."""
    return [index for index in explanation.indices if index is not None]


def same(found: ortcam.Explanation, expected: ortcam.Explanation, tolerance: float) -> None:
    for layer in expected.layers:
        for mine, theirs in (
            (found.weights[layer], expected.weights[layer]),
            (found.raw[layer], expected.raw[layer]),
        ):
            np.testing.assert_allclose(mine, theirs, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(
    ("make", "layers", "tolerance"),
    [(networks.unet, LAYERS, 1e-3), (networks.half_precision, ("a_relu",), 3e-2)],
)
def test_cuda_says_what_the_cpu_says(
    make: Callable[..., onnx.ModelProto],
    layers: tuple[str, ...],
    tolerance: float,
    split: bool,
    maps: bool,
) -> None:
    cuda, cpu = both(make, layers, split=split, maps=maps)
    random = np.random.default_rng(0)
    pictures = list(random.integers(0, 255, (3, 64, 96, 3)).astype(np.uint8))
    classes = [[1, 2], [0], None]
    found = cuda.explain_batch(pictures, classes)
    expected = cpu.explain_batch(pictures, [_indices(one) for one in found])
    for one, other in zip(found, expected, strict=True):
        same(one, other, tolerance)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize(
    ("make", "layers", "tolerance"),
    [
        (networks.unet, LAYERS, 1e-3),
        (networks.channels_last, ("stem_relu", "head_relu"), 1e-3),
        (networks.classifier, ("b_relu",), 1e-3),
        (networks.half_precision, ("a_relu",), 3e-2),
    ],
)
def test_a_cuda_graph_says_what_the_cpu_says(
    make: Callable[..., onnx.ModelProto],
    layers: tuple[str, ...],
    tolerance: float,
    maps: bool,
) -> None:
    graph = {**EXACT, "enable_cuda_graph": "1"}
    cuda, cpu = both(make, layers, graph, static=True, maps=maps)
    random = np.random.default_rng(0)
    for classes in ([1, 2], [0], [1, 2], None, [0], [2, 1]):
        picture = random.integers(0, 255, (64, 96, 3)).astype(np.uint8)
        found = cuda.explain(picture, classes)
        same(found, cpu.explain(picture, _indices(found)), tolerance)


def test_what_is_handed_over_stays_on_the_device() -> None:
    cuda, _ = both(networks.unet, LAYERS, split=True)
    view = cuda.open(np.zeros((64, 96, 3), np.uint8))
    kept = view._picture.batch._forward_pass
    assert kept is not None
    handed = [value for value in kept._handed_over.values() if isinstance(value, DeviceTensor)]
    shapes = [value.value for value in handed if value.value.data_type() == "tensor(int64)"]
    others = [value.value for value in handed if value.value not in shapes]
    assert {value.device_name() for value in shapes} == {"cpu"}
    assert {value.device_name() for value in others} == {"cuda"}


def test_an_array_for_several_runs_goes_to_the_device() -> None:
    cuda, _ = both(networks.unet, LAYERS, split=True)
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    session: Any = cuda._graph.session
    there = session._gradient.to_device(array)
    assert there.value.device_name() == "cuda"
    np.testing.assert_array_equal(there.array(), array)
