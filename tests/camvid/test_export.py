"""The ONNX network computes what the PyTorch network computes, at any size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from camvid.classes import CLASSES
from camvid.export import build, metadata, write

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def network() -> Any:
    from camvid.network import DeepLabV3Plus

    torch.manual_seed(0)
    network = DeepLabV3Plus(width=8, aspp=12, decoder=16, low=8)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that folding must not ignore
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def model(network: Any) -> onnx.ModelProto:
    return build({name: value.numpy() for name, value in network.state_dict().items()})


@pytest.mark.parametrize("shape", [(1, 48, 64), (2, 97, 131), (2, 33, 50), (1, 90, 31)])
def test_onnxruntime_agrees_with_torch(
    network: Any, model: onnx.ModelProto, shape: tuple[int, int, int]
) -> None:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    n, h, w = shape
    x = torch.randn(n, 3, h, w, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(x).softmax(1).numpy()
    (probabilities,) = session.run(["softmax-out"], {"input": x.numpy()})
    assert probabilities.shape == (n, len(CLASSES), h, w)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)


def test_written_whole_with_its_metadata(model: onnx.ModelProto, tmp_path: Path) -> None:
    write(model, tmp_path / "network.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]
    read = onnx.load(tmp_path / "network.onnx")
    assert {p.key: json.loads(p.value) for p in read.metadata_props} == {"ortcam": metadata()}


def test_nodes_have_the_names_of_their_outputs(model: onnx.ModelProto) -> None:
    assert all([node.name] == list(node.output) for node in model.graph.node)
