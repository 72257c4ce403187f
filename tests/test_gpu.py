"""What CUDA computes is what the CPU computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ortcam
from ortcam_export import export


@pytest.mark.gpu
@pytest.mark.parametrize("split", [False, True])
def test_maps_on_cuda_are_those_on_the_cpu(
    split: bool, shipped_network: Path, street: Path, tmp_path: Path
) -> None:
    path = tmp_path / "street.cam.onnx"
    layers = ["res5b_relu", "dec_relu4"]
    export(shipped_network, path, feature_layers=layers, split=split, verify=False)
    try:
        cuda = ortcam.load(path, "cuda")
    except ortcam.ProviderError as error:
        pytest.skip(f"CUDA does not start: {error}")
    truth = ortcam.load(path, "cpu").explain(street, ["Road", "Car"]).raw
    found = cuda.explain(street, ["Road", "Car"]).raw
    for layer in layers:
        scale = truth[layer].max((-2, -1), keepdims=True)
        # CUDA's convolutions may round to TF32, ten bits of mantissa
        assert (np.abs(found[layer] - truth[layer]) / scale).max() < 2e-2
