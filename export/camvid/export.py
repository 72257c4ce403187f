"""Write trained weights as an ONNX network, node by node.

The graph is built from the arrays alone, without PyTorch. Its tensors have readable names, and
batch normalisation is folded into the preceding convolution. For the arguments, see
``python -m camvid.export --help``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from camvid.classes import CLASSES, COLORS, MEAN, SIZE, STD

Weights = Mapping[str, NDArray[np.float32]]

OPSET = 18
IR_VERSION = 10
BN_EPSILON = 1e-5  # PyTorch's default


def metadata() -> dict[str, object]:
    """The file's metadata under ``ortcam``: classes, colours, preprocessing."""
    return {
        "format": 1,
        "classes": list(CLASSES),
        "colors": [list(color) for color in COLORS],
        "preprocess": {
            "color_order": "RGB",
            "layout": "NCHW",
            "scale": 1 / 255,
            "mean": list(MEAN),
            "std": list(STD),
            "size": list(SIZE),
            "divisor": 1,
        },
    }


class Graph:
    """An ONNX graph under construction; every node is named after its output."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output, the tensor ``name``, and return the name."""
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def relu(self, x: str, name: str) -> str:
        """Add a ReLU."""
        return self.node("Relu", [x], name)

    def conv(self, x: str, key: str, name: str, stride: int = 1, dilation: int = 1) -> str:
        """Add the convolution under ``key``, with its batch normalisation folded in."""
        if f"{key}.conv.weight" in self.weights:
            kernel, bias = fold(self.weights, key)
        else:
            kernel, bias = self.weights[f"{key}.weight"], self.weights[f"{key}.bias"]
        for suffix, array in (("weight", kernel), ("bias", bias)):
            self.initializers.append(numpy_helper.from_array(array, f"{name}.{suffix}"))
        extent = kernel.shape[-1]
        return self.node(
            "Conv",
            [x, f"{name}.weight", f"{name}.bias"],
            name,
            kernel_shape=[extent] * 2,
            strides=[stride] * 2,
            dilations=[dilation] * 2,
            pads=[dilation * (extent // 2)] * 4,
        )

    def block(self, x: str, key: str, stride: int = 1, dilation: int = 1) -> str:
        """Add a residual block, as ``network.Block``."""
        y = self.conv(x, f"{key}.branch2a", f"{key}_branch2a", stride, dilation)
        y = self.relu(y, f"{key}_branch2a_relu")
        y = self.conv(y, f"{key}.branch2b", f"{key}_branch2b", 1, dilation)
        if f"{key}.branch1.conv.weight" in self.weights:
            x = self.conv(x, f"{key}.branch1", f"{key}_branch1", stride)
        return self.relu(self.node("Add", [y, x], key), f"{key}_relu")

    def resize(self, x: str, like: str, name: str) -> str:
        """Resize ``x`` to the height and width that ``like`` has at run time."""
        outer = self.node("Shape", [x], f"{name}_outer", start=0, end=2)
        space = self.node("Shape", [like], f"{name}_space", start=2, end=4)
        sizes = self.node("Concat", [outer, space], f"{name}_sizes", axis=0)
        return self.node(
            "Resize",
            [x, "", "", sizes],
            name,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )


def fold(weights: Weights, key: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias of a convolution equivalent to the convolution and its normalisation."""
    scale = weights[f"{key}.bn.weight"].astype(np.float64)
    scale /= np.sqrt(weights[f"{key}.bn.running_var"].astype(np.float64) + BN_EPSILON)
    kernel = weights[f"{key}.conv.weight"] * scale[:, None, None, None]
    bias = weights[f"{key}.bn.bias"] - weights[f"{key}.bn.running_mean"] * scale
    return kernel.astype(np.float32), bias.astype(np.float32)


def build(weights: Weights) -> onnx.ModelProto:
    """Build the network of ``network.py`` with a softmax: ``input`` to ``softmax-out``.

    Args:
        weights: the state dict of ``DeepLabV3Plus`` as float32 arrays.
    """
    g = Graph(weights)
    x = g.relu(g.conv("input", "conv1", "conv1", stride=2), "conv1_relu")
    x = g.node("MaxPool", [x], "pool1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    low = g.block(g.block(x, "res2a"), "res2b")
    x = g.block(g.block(low, "res3a", stride=2), "res3b")
    x = g.block(g.block(x, "res4a", stride=2), "res4b")
    x = g.block(g.block(x, "res5a", dilation=2), "res5b", dilation=2)
    branches = []
    for index, dilation in enumerate((1, 6, 12, 18), start=1):
        y = g.conv(x, f"aspp{index}", f"aspp{index}_conv", dilation=dilation)
        branches.append(g.relu(y, f"aspp{index}_relu"))
    x = g.node("Concat", branches, "catAspp", axis=1)
    x = g.relu(g.conv(x, "dec1", "dec_conv1"), "dec_relu1")
    x = g.resize(x, low, "dec_upsample")
    y = g.relu(g.conv(low, "dec2", "dec_conv2"), "dec_relu2")
    x = g.node("Concat", [x, y], "catDec", axis=1)
    x = g.relu(g.conv(x, "dec3", "dec_conv3"), "dec_relu3")
    x = g.relu(g.conv(x, "dec4", "dec_conv4"), "dec_relu4")
    x = g.resize(g.conv(x, "scorer", "scorer"), "input", "logits")
    g.node("Softmax", [x], "softmax-out", axis=1)

    def picture(name: str, channels: int) -> onnx.ValueInfoProto:
        shape: list[str | int | None] = ["N", channels, "H", "W"]
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        g.nodes,
        "deeplabv3plus_resnet18_camvid",
        [picture("input", 3)],
        [picture("softmax-out", len(CLASSES))],
        g.initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ortcam",
    )
    helper.set_model_props(model, {"ortcam": json.dumps(metadata())})
    onnx.checker.check_model(model, full_check=True)
    return model


def write(model: onnx.ModelProto, path: Path) -> None:
    """Save under a temporary name first, so that no reader sees an incomplete file."""
    partial = path.with_suffix(".partial")
    onnx.save(model, partial)
    partial.replace(path)


@click.command()
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("network", type=click.Path(dir_okay=False, path_type=Path))
def main(weights: Path, network: Path) -> None:
    """Write the arrays of WEIGHTS (an .npz from training) as the ONNX file NETWORK."""
    with np.load(weights) as arrays:
        write(build(dict(arrays)), network)
    click.echo(f"{network}: {network.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
