"""What CUDA computes of the shipped network is what the CPU computes."""

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

#: float32 throughout; by default CUDA's convolutions round to TF32, ten bits of mantissa.
EXACT: dict[str, Any] = {"use_tf32": "0"}
GRAPH: dict[str, Any] = {**EXACT, "enable_cuda_graph": "1"}


def loaded(network: Any, where: str, options: dict[str, Any], **how: Any) -> ortcam.Cam:
    made = export(network, **{"feature_layers": LAYERS, "verify": False, **how})
    return ortcam.load(made.model, [(where, options)], gradient=made.gradient)


def far(found: ortcam.Explanation, truth: ortcam.Explanation) -> float:
    """The largest difference of two maps over the greatest value of the second's layer."""
    assert found.classes == truth.classes
    return max(
        float(np.abs(found.raw[layer] - maps).max() / maps.max())
        for layer, maps in truth.raw.items()
    )


@pytest.fixture(scope="module")
def cpu(shipped_network: Path) -> ortcam.Cam:
    return loaded(shipped_network, "cpu", {})


@pytest.fixture(scope="module")
def half(shipped_network: Path) -> onnx.ModelProto:
    """The network in float16; its input and output are float32."""
    whole = onnx.load(shipped_network)
    made: onnx.ModelProto = convert_float_to_float16(whole, keep_io_types=True)
    return made


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
    found = loaded(shipped_network, "cuda", options, split=split).explain(street, ["Road", "Car"])
    assert far(found, truth) < tolerance


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("layers", [LAYERS[-1:], LAYERS], ids=["last", "four"])
def test_a_cuda_graph_says_what_the_cpu_says(
    layers: tuple[str, ...], maps: bool, cpu: ortcam.Cam, shipped_network: Path, street: Path
) -> None:
    """Questions of several numbers and regions in turns: each finds its own recording again."""
    how: dict[str, Any] = {"feature_layers": layers, "static": True, "maps": maps}
    cam = loaded(shipped_network, "cuda", GRAPH, **how)
    with Image.open(street) as image:
        pixels = np.asarray(image.convert("RGB"))
    box = ortcam.Box(100, 300, 700, 700)
    for shift in (0, 160):
        picture = np.roll(pixels, shift, 1)
        for classes, region in ((["Road", "Car"], None), (["Car"], box), (None, None)):
            found = cam.explain(picture, classes, layers, region)
            truth = cpu.explain(picture, found.indices, layers, region)
            assert far(found, truth) < 2e-3
        score = cpu.segment(picture).score
        np.testing.assert_allclose(cam.segment(picture).score, score, atol=2e-3)


def test_a_graph_of_free_sizes_is_refused_in_a_sentence(shipped_network: Path) -> None:
    with pytest.raises(ortcam.ProviderError, match="export it again with static=True"):
        loaded(shipped_network, "cuda", GRAPH)


@pytest.mark.parametrize("options", [{}, GRAPH], ids=["", "graph"])
def test_half_precision_says_what_float32_says(
    options: dict[str, Any], half: onnx.ModelProto, cpu: ortcam.Cam, street: Path
) -> None:
    """The CPU's own float16 maps differ from its float32 ones by up to 3e-3."""
    cam = loaded(half, "cuda", options, static=bool(options))
    for _ in range(2):
        found = cam.explain(street, ["Road", "Car"])
        assert far(found, cpu.explain(street, ["Road", "Car"])) < 1e-2
