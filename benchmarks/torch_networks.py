"""The networks as PyTorch modules, for the peers, and the random ones as ONNX files.

Feature layers are submodules, since the peers' hooks take a submodule's output; and nothing goes
on from a layer but by way of that output.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:  # what else is imported would be part of the peers' memory
    from benchmarks.networks import Network

sys.path.append(str(Path(__file__).parents[1] / "export"))  # the recipe is no installed package

from camvid.network import DeepLabV3Plus, resize

try:
    import torchvision  # noqa: F401 - the peers import it
except RuntimeError:
    # torchvision built for another PyTorch loads none of its operators, and nobody here needs
    # one; but it does not import unless these are declared.
    _OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def module(network: Network) -> nn.Module:
    """[1, 3, H, W] to the classes' probabilities; ready for inference, parameters as ever."""
    from benchmarks.networks import tensor

    assert network.module is not None
    torch.manual_seed(0)
    built: nn.Module = globals()[network.module]()
    if network.needs_torch:
        _settle(built, torch.from_numpy(tensor(network)))
    return nn.Sequential(built, nn.Softmax(1)).eval()


def layer(model: nn.Module, name: str) -> nn.Module:
    """The submodule whose output is a feature layer of :func:`module`."""
    inner = model[0]
    return inner.get_submodule(f"taps.{name}" if isinstance(inner, Shipped) else name)


def write(network: Network, path: Path) -> None:
    """Exports the module of a network; its feature layers bear their names in the graph."""
    import onnx

    from benchmarks.networks import tensor

    model = module(network)
    features: dict[str, Tensor] = {}

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            score = self.model(x)
            return score, *(features[name] for name in network.layers)

    with ExitStack() as stack:
        for name in network.layers:
            hook = _keep(features, name)
            stack.enter_context(layer(model, name).register_forward_hook(hook))
        torch.onnx.export(
            Named().eval(),
            (torch.from_numpy(tensor(network)),),
            str(path),
            input_names=["input"],
            output_names=["score", *network.layers],
            opset_version=18,
            dynamo=False,
        )
    exported = onnx.load(path)
    del exported.graph.output[1:]  # a plain network gives its score alone
    onnx.save(exported, path)


def _keep(features: dict[str, Tensor], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        features[name] = output

    return hook


def _settle(model: nn.Module, x: Tensor) -> None:
    """Statistics of one picture for every batch normalisation, so that nothing overflows."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    model.train()
    for part in model.modules():
        if isinstance(part, nn.Dropout | nn.Dropout2d):
            part.eval()
    with torch.no_grad():
        model(torch.cat([x, x.flip(-1)]))  # two, since pooled branches have one value a picture


class Shipped(DeepLabV3Plus):
    """The shipped network with its batch normalisation, as one has it that was trained.

    What its file holds folded into the convolutions stays there: the normalisations scale by 1
    and only add the biases.
    """

    def __init__(self) -> None:
        import onnx
        from onnx import numpy_helper

        from benchmarks.networks import SHIPPED

        super().__init__()
        arrays = {
            t.name: torch.from_numpy(np.array(numpy_helper.to_array(t)))
            for t in onnx.load(SHIPPED).graph.initializer
        }
        state = self.state_dict()
        for name in list(state):
            key, _, part = name.rpartition(".")
            folded = _onnx_name(key.removesuffix(".conv").removesuffix(".bn"))
            if not key.endswith(".bn"):
                state[name] = arrays[f"{folded}.{part}"]
            elif part == "bias":
                state[name] = arrays[f"{folded}.bias"]
            elif part == "running_var":
                state[name] = torch.full_like(state[name], 1 - nn.BatchNorm2d(1).eps)
        self.load_state_dict(state)  # means are 0 and weights 1 as PyTorch begins
        names = ("res5b_relu", "catAspp", "dec_relu1", "dec_relu4")
        self.taps = nn.ModuleDict({name: nn.Identity() for name in names})

    def scores(self, x: Tensor) -> Tensor:
        """As the recipe's, through the taps."""
        taps, relu = self.taps, functional.relu
        low = functional.max_pool2d(relu(self.conv1(x)), 3, 2, 1)
        low = self.res2b(self.res2a(low))
        deep = self.res4b(self.res4a(self.res3b(self.res3a(low))))
        deep = taps["res5b_relu"](self.res5b(self.res5a(deep)))
        branches = (self.aspp1, self.aspp2, self.aspp3, self.aspp4)
        cat = taps["catAspp"](torch.cat([relu(branch(deep)) for branch in branches], 1))
        up = resize(taps["dec_relu1"](relu(self.dec1(cat))), low)
        merged = torch.cat([up, relu(self.dec2(low))], 1)
        return self.scorer(taps["dec_relu4"](relu(self.dec4(relu(self.dec3(merged))))))


def _onnx_name(key: str) -> str:
    """What ``camvid.export`` calls the convolution that PyTorch knows by ``key``."""
    if key.startswith("aspp"):
        return f"{key}_conv"
    if key.startswith("dec"):
        return f"dec_conv{key.removeprefix('dec')}"
    return key.replace(".", "_")


def shipped() -> nn.Module:
    """The network in ``models/``, its weights from there."""
    return Shipped()


def deeplab_r50() -> nn.Module:
    """Full width, separable convolutions, output stride 16."""
    import segmentation_models_pytorch as smp

    return smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=150)


def unet_r34() -> nn.Module:
    """Five decoder blocks of nearest upsampling; its scorer is 3x3."""
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet34", encoder_weights=None, classes=21)


def segformer_b0() -> nn.Module:
    """A transformer of four stages, and a decoder of linear layers."""
    import segmentation_models_pytorch as smp

    return smp.Segformer("mit_b0", encoder_weights=None, classes=150)
