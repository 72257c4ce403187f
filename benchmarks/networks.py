"""The networks of the benchmark, and their artifacts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from benchmarks.paths import PICTURE, SHIPPED
from ortcam_export import export
from ortcam_export.append.fast_softmax import DecomposeSoftmax
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

__all__ = ["NETWORKS", "Network", "artifact", "tensor", "with_fast_softmax"]

MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)

Layers = tuple[str, str, str, str]


@dataclass(frozen=True)
class Network:
    """A network of the benchmark.

    Attributes:
        name: its key in the results.
        title: its name in the table.
        size: (width, height) of its input.
        classes: the number of its classes.
        layers: four feature layers, from early to late.
        build: writes the plain network to a path; None if :func:`benchmarks.torch_export.write`
            does, which needs PyTorch.
        module: its key in :data:`benchmarks.torch_networks.MODULES`; None if the peers do not run
            on it.
        batches: whether it takes several pictures at once.
        two_classes: the classes of two-class questions; both occur in the picture.
    """

    name: str
    title: str
    size: tuple[int, int]
    classes: int
    layers: Layers
    build: Callable[[Path], object] | None = None
    module: str | None = None
    batches: bool = False
    two_classes: tuple[int, int] = (3, 8)

    @property
    def needs_torch(self) -> bool:
        """True if it is exported from PyTorch."""
        return self.build is None


def tensor(network: Network, *, batch: int = 1) -> NDArray[np.float32]:
    """The shipped picture as the network's input, [batch, 3, H, W].

    The pictures of a batch are shifted sideways, each further than the one before.
    """
    with Image.open(PICTURE) as picture:
        pixels = np.asarray(picture.convert("RGB").resize(network.size), np.float32) / 255
    x = ((pixels - MEAN) / STD).transpose(2, 0, 1)
    return np.stack([np.roll(x, 16 * i, -1) for i in range(batch)])


def artifact(network: Path, layers: tuple[str, ...], path: Path, **options: Any) -> Path:
    """Export a network for these layers; the tests verify it."""
    export(network, path, feature_layers=layers, verify=False, **options)
    return path


def with_fast_softmax(network: Path, path: Path) -> Path:
    """The plain network with its softmax written as in an artifact, and nothing else."""
    model = prepare(load(network))
    DecomposeSoftmax()(model)
    ir.save(model, path)
    return path


def _copy(path: Path) -> None:
    path.write_bytes(SHIPPED.read_bytes())


def _write_wide_scorer(path: Path) -> None:
    """The shipped network with a 3x3 scorer: its weights in the middle, a little noise around."""
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


_CAMVID: Layers = ("res5b_relu", "catAspp", "dec_relu1", "dec_relu4")
_SMALL = Network(
    "shipped",
    "DeepLab v3+, ResNet-18 of half width, 11 classes (the shipped network)",
    (480, 360),
    11,
    _CAMVID,
    _copy,
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
            build=_write_wide_scorer,
            module=None,
            batches=False,
        ),
        Network(
            "deeplab-r50",
            "DeepLab v3+, ResNet-50, 150 classes",
            (384, 288),
            150,
            ("encoder.layer4", "decoder.aspp", "decoder.up", "decoder.block2"),
            module="deeplab_r50",
        ),
        Network(
            "unet-r34",
            "U-Net, ResNet-34, 21 classes (a 3x3 scorer)",
            (384, 288),
            21,
            ("encoder.layer4", "decoder.blocks.0", "decoder.blocks.2", "decoder.blocks.4"),
            module="unet_r34",
        ),
        Network(
            "segformer-b0",
            "SegFormer-b0, 150 classes",
            (384, 288),
            150,
            ("encoder.norm2", "encoder.norm3", "encoder.norm4", "decoder.fuse_stage"),
            module="segformer_b0",
        ),
    )
}
