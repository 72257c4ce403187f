"""The networks that are explained, and their artifacts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from ortcam_export import export
from ortcam_export.append.fast_softmax import DecomposeSoftmax
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

__all__ = ["NETWORKS", "PICTURE", "SHIPPED", "Network", "artifact", "rewritten", "tensor"]

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "models" / "deeplabv3plus_resnet18_camvid.onnx"
PICTURE = ROOT / "models" / "street.png"
MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)

Layers = tuple[str, str, str, str]


@dataclass(frozen=True)
class Network:
    """A network to be explained.

    Attributes:
        name: its key in the results.
        title: how the table calls it.
        size: (width, height) of its input.
        classes: how many it has.
        layers: four feature layers, from early to late.
        build: writes the plain network to a path; what of it needs PyTorch is in
            :mod:`benchmarks.torch_networks`.
        module: the name of the function there that makes it a PyTorch module, for the peers;
            None where they do not run on it.
        batches: whether it takes several pictures at once.
        asked: the classes that two-class questions ask for; each has its place in the picture.
    """

    name: str
    title: str
    size: tuple[int, int]
    classes: int
    layers: Layers
    build: Callable[[Network, Path], object]
    module: str | None = None
    batches: bool = False
    asked: tuple[int, int] = field(default=(3, 8))

    @property
    def needs_torch(self) -> bool:
        """Whether nobody can build it without PyTorch."""
        return self.build is _exported


def tensor(network: Network, *, batch: int = 1) -> NDArray[np.float32]:
    """The shipped picture as the network takes it, [batch, 3, H, W].

    The pictures of a batch differ: each is shifted sideways.
    """
    with Image.open(PICTURE) as picture:
        pixels = np.asarray(picture.convert("RGB").resize(network.size), np.float32) / 255
    x = ((pixels - MEAN) / STD).transpose(2, 0, 1)
    return np.stack([np.roll(x, 16 * i, -1) for i in range(batch)])


def artifact(network: Path, layers: tuple[str, ...], path: Path, **options: Any) -> Path:
    """Exports a network for these layers; verified elsewhere."""
    export(network, path, feature_layers=layers, verify=False, **options)
    return path


def rewritten(network: Path, path: Path) -> Path:
    """The plain network with its softmax as an artifact computes it, and nothing added."""
    model = prepare(load(network))
    DecomposeSoftmax()(model)
    ir.save(model, path)
    return path


def _copied(network: Network, path: Path) -> None:
    path.write_bytes(SHIPPED.read_bytes())


def _with_wide_scorer(network: Network, path: Path) -> None:
    """The shipped network with a 3x3 scorer: its own in the middle, a little noise around it."""
    model = onnx.load(SHIPPED)
    scorer = next(node for node in model.graph.node if node.name == "scorer")
    kernel = next(t for t in model.graph.initializer if t.name == scorer.input[1])
    one = numpy_helper.to_array(kernel)
    noise = np.random.default_rng(0).normal(0, 0.1 * one.std(), (*one.shape[:2], 3, 3))
    noise[:, :, 1, 1] = one[:, :, 0, 0]
    kernel.CopyFrom(numpy_helper.from_array(noise.astype(np.float32), kernel.name))
    for attribute in scorer.attribute:
        if attribute.name in ("kernel_shape", "pads"):
            attribute.ints[:] = [3, 3] if attribute.name == "kernel_shape" else [1, 1, 1, 1]
    onnx.save(model, path)


def _exported(network: Network, path: Path) -> None:
    from benchmarks import torch_networks  # PyTorch, which no other network needs

    torch_networks.write(network, path)


_CAMVID: Layers = ("res5b_relu", "catAspp", "dec_relu1", "dec_relu4")
_SMALL = Network(
    "shipped",
    "DeepLab v3+, ResNet-18 of half width, 11 classes (the shipped network)",
    (480, 360),
    11,
    _CAMVID,
    _copied,
    module="shipped",
    batches=True,
)
NETWORKS = {
    network.name: network
    for network in (
        _SMALL,
        dataclasses.replace(_SMALL, name="shipped-large", size=(960, 720), batches=False),
        dataclasses.replace(
            _SMALL,
            name="shipped-3x3",
            title="the same with a 3x3 scorer",
            build=_with_wide_scorer,
            module=None,
            batches=False,
        ),
        Network(
            "deeplab-r50",
            "DeepLab v3+, ResNet-50, 150 classes",
            (384, 288),
            150,
            ("encoder.layer4", "decoder.aspp", "decoder.up", "decoder.block2"),
            _exported,
            module="deeplab_r50",
        ),
        Network(
            "unet-r34",
            "U-Net, ResNet-34, 21 classes (a 3x3 scorer)",
            (384, 288),
            21,
            ("encoder.layer4", "decoder.blocks.0", "decoder.blocks.2", "decoder.blocks.4"),
            _exported,
            module="unet_r34",
        ),
        Network(
            "segformer-b0",
            "SegFormer-b0, 150 classes",
            (384, 288),
            150,
            ("encoder.norm2", "encoder.norm3", "encoder.norm4", "decoder.fuse_stage"),
            _exported,
            module="segformer_b0",
        ),
    )
}
