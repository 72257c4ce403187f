"""Whole networks against PyTorch: a slice of docs/networks_table.md, and the comparison itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from benchmarks.zoo.table import TOLERANCE, table

LIBRARIES = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "onnxscript")

needs_networks = pytest.mark.skipif(
    any(importlib.util.find_spec(library) is None for library in LIBRARIES),
    reason="needs the dependency group `networks`",
)

#: Of each the layer that a user would expect: operator and extent.
SLICE = {
    ("torchvision squeezenet1_1", "dynamo"): ("Concat", [512, 3, 3]),
    ("torchvision shufflenet_v2_x1_0", "torchscript"): ("Relu", [1024, 2, 2]),
    ("torchvision lraspp_mobilenet_v3_large", "torchscript"): ("Relu", [128, 4, 4]),
    ("torchvision convnext_tiny", "torchscript"): ("Add", [768, 2, 2]),
    ("smp FPN resnet18", "dynamo"): ("ReduceSum", [128, 16, 16]),
    ("smp Unet resnet18 (1 class)", "torchscript"): ("Relu", [16, 64, 64]),
    ("smp Segformer resnet18", "dynamo"): ("Relu", [256, 16, 16]),
    ("smp DeepLabV3Plus mobilenet_v2", "torchscript"): ("Relu", [256, 16, 16]),
}


def named(name: str) -> Any:
    from benchmarks.zoo.networks import NETWORKS

    return next(network for network in NETWORKS if network.name == name)


@pytest.mark.torch
@needs_networks
@pytest.mark.filterwarnings("ignore")  # of other people's imports
@pytest.mark.parametrize(("name", "exporter"), SLICE, ids=map(" ".join, SLICE))
def test_networks(name: str, exporter: str, tmp_path: Path) -> None:
    from benchmarks.zoo.compare import compare
    from benchmarks.zoo.networks import build, picture, to_onnx

    network = named(name)
    model, x = build(network), picture(network)
    to_onnx(model, x, tmp_path / "network.onnx", exporter)
    row = compare(model, x, tmp_path / "network.onnx")
    assert row.picture <= TOLERANCE
    assert row.weights <= TOLERANCE
    assert (row.operator, row.shape[1:]) == SLICE[name, exporter]


@pytest.mark.torch
@needs_networks
@pytest.mark.filterwarnings("ignore")  # of other people's imports
def test_another_network_is_told_apart(tmp_path: Path) -> None:
    """One filter of the last convolution but 2 % larger in the reference."""
    import torch

    from benchmarks.zoo.compare import compare
    from benchmarks.zoo.networks import build, picture, to_onnx

    network = named("smp Segformer resnet18")
    model, x = build(network), picture(network)
    to_onnx(model, x, tmp_path / "network.onnx", "torchscript")
    with torch.no_grad():
        model.segmentation_head[0].weight[0] *= 1.02
    row = compare(model, x, tmp_path / "network.onnx")
    assert row.picture > TOLERANCE
    assert row.weights > TOLERANCE


def row(**changes: Any) -> dict[str, Any]:
    versions = dict.fromkeys(["onnxruntime", "onnx", "onnx-ir", "numpy", *LIBRARIES], "1.0")
    machine = {"threads": 2, "processor": "a processor", "python": "3.11", "versions": versions}
    measured = {
        "picture": 2e-6,
        "weights": 3e-6,
        "operators": {"Conv": 2},
        "layer": "relu_3",
        "operator": "Relu",
        "shape": [1, 8, 4, 4],
        "score": "softmax",
    }
    about = {"network": "net", "side": 64, "exporter": "dynamo", "machine": machine}
    return {**about, **measured, **changes}


def test_the_table_counts_what_agrees() -> None:
    page = table([row(), row(exporter="torchscript", weights=2e-3, operators={"Relu": 1})])
    assert "they are in 1 of 2 rows" in page
    assert "| net 64 | dynamo | 2e-06 | 3e-06 | `relu_3` | Relu | 8 x 4 x 4 | softmax |" in page
    assert "- net: Conv, Relu" in page
    assert page.count("Measured on") == 1


def test_the_table_says_what_failed() -> None:
    failed = row(failure="ExportError: no")
    for key in ("picture", "weights"):
        del failed[key]
    page = table([row(), failed])
    assert "they are in 1 of 2 rows" in page
    assert "- net, dynamo: ExportError: no" in page
