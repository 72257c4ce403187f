"""Artifacts on CUDA against the same on the CPU, and that tensors stay on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import onnx
import pytest

import ortcam
from ortcam.errors import ProviderError
from ortcam.session import There
from ortcam_export import export

pytestmark = pytest.mark.gpu

LAYERS = ("enc1_relu", "dec1_relu")


def both(make: Callable[..., onnx.ModelProto], layers: Any, **options: Any) -> list[ortcam.Cam]:
    """The artifact on CUDA and on the CPU."""
    exported = export(make(), feature_layers=layers, verify=False, size=(96, 64), **options)
    try:
        cuda = ortcam.load(exported.model, "cuda", gradient=exported.gradient)
    except ProviderError as error:
        pytest.skip(str(error))
    return [cuda, ortcam.load(exported.model, "cpu", gradient=exported.gradient)]


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
    found, expected = (cam.explain_batch(pictures, classes) for cam in (cuda, cpu))
    for one, other in zip(found, expected, strict=True):
        for layer in layers:
            for mine, theirs in (
                (one.weights[layer], other.weights[layer]),
                (one.raw[layer], other.raw[layer]),
            ):
                np.testing.assert_allclose(mine, theirs, atol=tolerance * np.abs(theirs).max())


def test_what_is_handed_over_stays_on_the_device() -> None:
    cuda, _ = both(networks.unet, LAYERS, split=True)
    view = cuda.open(np.zeros((64, 96, 3), np.uint8))
    kept = view._opened._kept
    assert kept is not None
    handed = [value for value in kept._handed.values() if isinstance(value, There)]
    assert {value.value.device_name() for value in handed} == {"cuda"}
