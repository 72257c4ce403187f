"""CUDA and the CPU compute the same maps of the shipped network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16
from PIL import Image

import ortcam
from ortcam_export import export

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]

LAYERS = ("res5b_relu", "catAspp", "dec_relu1", "dec_relu4")

#: Pure float32; by default, convolutions on CUDA round to TF32, with ten bits of mantissa.
EXACT: dict[str, Any] = {"use_tf32": "0"}
GRAPH: dict[str, Any] = {**EXACT, "enable_cuda_graph": "1"}


def load(network: Any, provider: str, options: dict[str, Any], **export_options: Any) -> ortcam.Cam:
    exported = export(network, **{"feature_layers": LAYERS, "verify": False, **export_options})
    return ortcam.load(exported.model, [(provider, options)], gradient=exported.gradient)


def error(maps: ortcam.Explanation, truth: ortcam.Explanation) -> float:
    """The largest difference of two maps over the maximum of the second, over all layers."""
    assert maps.classes == truth.classes
    return max(
        float(np.abs(maps.raw[layer] - expected).max() / expected.max())
        for layer, expected in truth.raw.items()
    )


@pytest.fixture(scope="module")
def cpu(shipped_network: Path) -> ortcam.Cam:
    return load(shipped_network, "cpu", {})


@pytest.fixture(scope="module")
def half(shipped_network: Path) -> onnx.ModelProto:
    """The network in float16; its input and output are float32."""
    whole = onnx.load(shipped_network)
    converted: onnx.ModelProto = convert_float_to_float16(whole, keep_io_types=True)
    return converted


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("options", "tolerance"), [(EXACT, 2e-3), ({}, 2e-2)], ids=["", "tf32"])
def test_maps_are_those_on_the_cpu(
    split: bool,
    options: dict[str, Any],
    tolerance: float,
    cpu: ortcam.Cam,
    shipped_network: Path,
    street: Path,
) -> None:
    truth = cpu.explain(street, ["Road", "Car"])
    explanation = load(shipped_network, "cuda", options, split=split).explain(
        street, ["Road", "Car"]
    )
    assert error(explanation, truth) < tolerance


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("layers", [LAYERS[-1:], LAYERS], ids=["last", "four"])
def test_a_cuda_graph_computes_the_same_as_the_cpu(
    layers: tuple[str, ...], maps: bool, cpu: ortcam.Cam, shipped_network: Path, street: Path
) -> None:
    """Questions of several sizes and regions in turns: each reuses its own recording."""
    options: dict[str, Any] = {"feature_layers": layers, "static": True, "maps": maps}
    cam = load(shipped_network, "cuda", GRAPH, **options)
    with Image.open(street) as image:
        pixels = np.asarray(image.convert("RGB"))
    box = ortcam.Box(100, 300, 700, 700)
    for shift in (0, 160):
        picture = np.roll(pixels, shift, 1)
        for classes, region in ((["Road", "Car"], None), (["Car"], box), (None, None)):
            explanation = cam.explain(picture, classes, layers, region)
            indices = [index for index in explanation.indices if index is not None]
            truth = cpu.explain(picture, indices, layers, region)
            assert error(explanation, truth) < 2e-3
        score = cpu.segment(picture).score
        np.testing.assert_allclose(cam.segment(picture).score, score, atol=2e-3)


def test_a_cuda_graph_of_a_dynamic_size_is_refused(shipped_network: Path) -> None:
    with pytest.raises(ortcam.ProviderError, match="export it again with static=True"):
        load(shipped_network, "cuda", GRAPH)


@pytest.mark.parametrize("options", [{}, GRAPH], ids=["", "graph"])
def test_half_precision_agrees_with_float32(
    options: dict[str, Any], half: onnx.ModelProto, cpu: ortcam.Cam, street: Path
) -> None:
    """The CPU's own float16 maps differ from its float32 ones by up to 3e-3."""
    cam = load(half, "cuda", options, static=bool(options))
    for _ in range(2):
        explanation = cam.explain(street, ["Road", "Car"])
        assert error(explanation, cpu.explain(street, ["Road", "Car"])) < 1e-2
