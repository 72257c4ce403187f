"""The networks as PyTorch modules, for the peers.

Feature layers are submodules, since the peers hook the output of a submodule; all later
computation depends on that output alone. The imports are few, since they count as the peers'
memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.paths import ROOT, SHIPPED

sys.path.append(str(ROOT / "export"))  # the recipe is not an installed package

from camvid.network import DeepLabV3Plus, resize

try:
    import torchvision  # noqa: F401 - the peers import it
except RuntimeError:
    # torchvision built for another PyTorch cannot load its operators. They are not needed here,
    # but must be declared for the import.
    _OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def layer(model: nn.Module, name: str) -> nn.Module:
    """The submodule whose output is a feature layer; the model ends with its softmax."""
    inner = model[0]
    return inner.get_submodule(f"taps.{name}" if isinstance(inner, Shipped) else name)


class Shipped(DeepLabV3Plus):
    """The shipped network with batch normalisation, as during training.

    The scales that the file folded into the convolutions stay there; the normalisations only add
    the biases.
    """

    def __init__(self) -> None:
        import onnx
        from onnx import numpy_helper

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
        self.load_state_dict(state)  # PyTorch initialises means to 0 and weights to 1
        names = ("res5b_relu", "catAspp", "dec_relu1", "dec_relu4")
        self.taps = nn.ModuleDict({name: nn.Identity() for name in names})

    def scores(self, x: Tensor) -> Tensor:
        """The recipe's forward pass, through the taps."""
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
    """The ONNX name of the convolution whose PyTorch name is ``key``."""
    if key.startswith("aspp"):
        return f"{key}_conv"
    if key.startswith("dec"):
        return f"dec_conv{key.removeprefix('dec')}"
    return key.replace(".", "_")


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


MODULES: dict[str, Callable[[], nn.Module]] = {
    "shipped": Shipped,
    "deeplab_r50": deeplab_r50,
    "unet_r34": unet_r34,
    "segformer_b0": segformer_b0,
}
"""The modules that :class:`benchmarks.networks.Network` names."""
