"""Whole networks of torchvision and segmentation_models_pytorch, with random weights.

Each is exported by both of torch's exporters. The random weights get the statistics of trained
ones: a head that starts at zero would have no gradient, and without measured running averages
activations vanish or explode over fifty layers.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "EXPORTERS",
    "NETWORKS",
    "OPSET",
    "Network",
    "build",
    "picture",
    "scores",
    "to_onnx",
    "torchvision",
]

#: torch's exporters: the one through torch.export and onnxscript, and the one through TorchScript.
EXPORTERS = ("dynamo", "torchscript")

OPSET = 18

#: The compiled operators that torchvision's Python files need on import.
_COMPILED = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@dataclass(frozen=True)
class Network:
    """One row of the table.

    Attributes:
        name: the name of the network in its library.
        make: creates the network.
        side: the side of its square picture, the smallest possible or nearly so.
    """

    name: str
    make: Callable[[], nn.Module]
    side: int = 64


@functools.cache
def torchvision() -> Any:
    """torchvision's models, without its compiled operators.

    The build on PyPI is for CUDA and does not load with torch for the CPU. The models need none of
    these operators, but the import needs their declarations.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _COMPILED:
        with contextlib.suppress(RuntimeError):
            library.define(schema)
    return importlib.import_module("torchvision.models")


def _tv(name: str, side: int = 64, **options: Any) -> Network:
    def make() -> nn.Module:
        return torchvision().get_model(name, weights=None, num_classes=10, **options)

    return Network(f"torchvision {name}", make, side)


def _segmentation(name: str, side: int = 64) -> Network:
    return _tv(name, side, weights_backbone=None)


def _smp(decoder: str, encoder: str = "resnet18", side: int = 64, **options: Any) -> Network:
    def make() -> nn.Module:
        torchvision()
        library = importlib.import_module("segmentation_models_pytorch")
        arguments = {"encoder_weights": None, "classes": 5, **options}
        return getattr(library, decoder)(encoder, **arguments)

    more = " (1 class)" if options.get("classes") == 1 else ""
    return Network(f"smp {decoder} {encoder}{more}", make, side)


NETWORKS: tuple[Network, ...] = (
    _segmentation("fcn_resnet50"),
    _segmentation("deeplabv3_resnet50"),
    _segmentation("deeplabv3_mobilenet_v3_large"),
    _segmentation("lraspp_mobilenet_v3_large"),
    _tv("resnet18"),
    _tv("densenet121"),
    _tv("efficientnet_b0"),
    _tv("efficientnet_v2_s"),
    _tv("convnext_tiny"),
    _tv("swin_t"),
    _tv("shufflenet_v2_x1_0"),
    _tv("inception_v3", 128, init_weights=True, aux_logits=True),
    _tv("googlenet", init_weights=True),
    _tv("mobilenet_v2"),
    _tv("mobilenet_v3_large"),
    _tv("mnasnet1_0"),
    _tv("regnet_y_400mf"),
    _tv("resnext50_32x4d"),
    _tv("squeezenet1_1"),
    _tv("vgg11_bn", 224),
    _tv("alexnet", 224),
    _tv("swin_v2_t"),
    _tv("vit_b_16", image_size=64),
    _tv("maxvit_t", 224),
    _smp("Unet"),
    _smp("UnetPlusPlus"),
    _smp("MAnet"),
    _smp("Linknet"),
    _smp("FPN"),
    _smp("PSPNet", side=96),
    _smp("PAN", side=128),
    _smp("DeepLabV3"),
    _smp("DeepLabV3Plus"),
    _smp("UPerNet", side=192),
    _smp("Segformer"),
    _smp("DPT", "tu-vit_tiny_patch16_224", 224),
    _smp("Unet", classes=1),
    _smp("Unet", "resnet34", decoder_attention_type="scse"),
    _smp("Unet", "mobilenet_v2"),
    _smp("Unet", "efficientnet-b0"),
    _smp("Unet", "mit_b0"),
    _smp("Unet", "tu-convnext_atto"),
    _smp("FPN", "efficientnet-b0"),
    _smp("FPN", "mit_b0"),
    _smp("DeepLabV3Plus", "mobilenet_v2"),
    _smp("DeepLabV3Plus", "efficientnet-b0"),
    _smp("Segformer", "mit_b0"),
    _smp("UPerNet", "mit_b0", 192),
    _smp("UPerNet", "tu-swin_tiny_patch4_window7_224", 224),
    _smp("Linknet", "tu-mobilenetv3_small_100"),
    _smp("PSPNet", "tu-regnety_002", 96),
)


def picture(network: Network, batch: int = 1) -> Tensor:
    """Seeded normal noise [N, 3, side, side], float32."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(batch, 3, network.side, network.side, generator=generator)


def scores(output: Any) -> Tensor:
    """The scores of a network's output; torchvision's segmentation networks return a dict."""
    return output["out"] if isinstance(output, dict) else output


def build(network: Network) -> nn.Module:
    """A network in evaluation mode, float32, with seeded weights and measured statistics."""
    torch.manual_seed(0)
    model = network.make().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("layer_scale", "gamma")):  # initially 1e-6: blocks without effect
                parameter.uniform_(0.5, 1)
            elif parameter.ndim >= 2 and not parameter.any():  # heads that start at zero
                nn.init.normal_(parameter, std=0.05)
            elif parameter.ndim == 1 and not name.endswith("bias"):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.8, 1.2))
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.train()
            norm.momentum = None  # the plain average
            norm.reset_running_stats()
        if norms:
            model(picture(network, 4))
        for norm in norms:
            norm.eval()
    return model


def to_onnx(model: nn.Module, x: Tensor, path: Path, exporter: str) -> None:
    """Export a network to ONNX by one of :data:`EXPORTERS`, without its output."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    more: dict[str, Any] = {"external_data": False} if exporter == "dynamo" else {}
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (x,), path, dynamo=exporter == "dynamo", opset_version=OPSET, **more
        )
