"""The networks as PyTorch modules with settled weights, and their export to ONNX."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from benchmarks.networks import Network, tensor
from benchmarks.torch_networks import MODULES, layer

__all__ = ["module", "write"]


def module(network: Network) -> nn.Module:
    """[1, 3, H, W] to class probabilities, in evaluation mode; parameters require gradients."""
    assert network.module is not None
    torch.manual_seed(0)
    model = MODULES[network.module]()
    if network.needs_torch:
        _settle(model, torch.from_numpy(tensor(network)))
    return nn.Sequential(model, nn.Softmax(1)).eval()


def write(network: Network, path: Path) -> None:
    """Export the module of a network; its feature layers keep their names in the graph."""
    model = module(network)
    features: dict[str, Tensor] = {}

    class WithFeatures(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            score = self.model(x)
            return score, *(features[name] for name in network.layers)

    with ExitStack() as stack:
        for name in network.layers:
            hook = _recorder(features, name)
            stack.enter_context(layer(model, name).register_forward_hook(hook))
        torch.onnx.export(
            WithFeatures().eval(),
            (torch.from_numpy(tensor(network)),),
            str(path),
            input_names=["input"],
            output_names=["score", *network.layers],
            opset_version=18,
            dynamo=False,
        )
    exported = onnx.load(path)
    del exported.graph.output[1:]  # a plain network outputs only its score
    onnx.save(exported, path)


def _recorder(
    features: dict[str, Tensor], name: str
) -> Callable[[nn.Module, object, Tensor], None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        features[name] = output

    return hook


def _settle(model: nn.Module, x: Tensor) -> None:
    """Set all batch normalisation statistics from one picture, so that nothing overflows."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    model.train()
    for part in model.modules():
        if isinstance(part, nn.Dropout | nn.Dropout2d):
            part.eval()
    with torch.no_grad():
        model(torch.cat([x, x.flip(-1)]))  # two pictures: pooled branches have one value each
