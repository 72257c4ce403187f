"""Artifacts of one size: the same answers, and nothing left of the shape arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest

import ortcam
from ortcam.errors import InputError
from ortcam_export import export

SIZE = (96, 64)

#: Where CUDA's kernels read an input on the host: in the operators of these tests' graphs.
ON_HOST = {
    **dict.fromkeys(("Expand", "Pad", "Reshape", "Squeeze", "Split", "Tile", "Unsqueeze"), (1,)),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceProd", "ReduceSum"), (1,)),
    "ConstantOfShape": (0,),
    "Range": (0, 1, 2),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
}


def copies(model: bytes, path: Any) -> Iterator[str]:
    """The tensors that ONNX Runtime would copy between the host and CUDA within a run.

    Shape and Size give their result on the host, and nodes that take nothing but such results and
    constants are computed there, unless CUDA's kernel reads them there itself.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(path).graph
    constants = {tensor.name for tensor in graph.initializer}
    host: set[str] = set()
    for node in graph.node:
        read_there = ON_HOST.get(node.op_type, ())
        computed = {i: name for i, name in enumerate(node.input) if name and name not in constants}
        gathered = computed and all(n in host and i not in read_there for i, n in computed.items())
        if node.op_type == "Constant":
            constants.update(node.output)
        elif node.op_type in ("Shape", "Size") or gathered:
            host.update(node.output)
        else:
            for i, name in computed.items():
                if (name in host) != (i in read_there):
                    yield f"{name} for {node.op_type} {node.name}"
    yield from (f"{value.name}, an output" for value in graph.output if value.name in host)


def test_the_stand_in_knows_a_copy(tmp_path: Any) -> None:
    """A free size is divided by: that goes from the host to the device."""
    free = export(networks.unet(), feature_layers=["dec1_relu"], size=SIZE, verify=False)
    assert any("Div" in copy for copy in copies(free.model, tmp_path / "free.onnx"))


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (networks.unet, ("dec1_relu",)),
        (networks.unet, ("enc1_relu", "cat2", "dec1_relu")),
        (networks.unet_resized, ("a_relu", "b_relu")),
        (networks.channels_last, ("stem_relu", "head_relu")),
        (networks.half_precision, ("a_relu",)),
        (networks.classifier, ("b_relu",)),
    ],
)
def test_it_says_the_same_and_copies_nothing(
    make: Callable[..., onnx.ModelProto], layers: tuple[str, ...], maps: bool, tmp_path: Any
) -> None:
    options: dict[str, Any] = {"feature_layers": layers, "size": SIZE, "verify": False}
    free = ortcam.load(export(make(), **options).model, "cpu")
    made = export(make(), **options, static=True, maps=maps)
    fixed = ortcam.load(made.model, "cpu")
    assert list(copies(made.model, tmp_path / "fixed.onnx")) == []
    picture = np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)
    for asked in (None, [1], [2, 0, 1]):
        one, other = (cam.explain(picture, asked) for cam in (fixed, free))
        assert (one.classes, one.notes) == (other.classes, other.notes)
        for layer in layers:
            scale = np.abs(other.raw[layer]).max()
            np.testing.assert_allclose(one.raw[layer], other.raw[layer], atol=1e-3 * scale)


def test_it_takes_one_picture_of_the_size_that_was_said() -> None:
    made = export(networks.further_inputs(), size=SIZE, static=True)
    assert made.artifact.verification is not None
    graph = onnx.load_from_string(made.model).graph
    shapes = {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes["probabilities"] == [1, 4, 64, 96]  # what follows is known too
    assert not any(node.op_type == "Size" for node in graph.node)
    assert shapes["input"] == [1, 3, 64, 96]
    assert shapes["gain"] == [1, 1]  # its N is the picture's
    assert shapes["class_weights"][0] == "K"
    assert made.artifact.mask is None


def test_several_layers_are_asked_together() -> None:
    layers = ["enc1_relu", "dec1_relu"]
    options: dict[str, Any] = {"feature_layers": layers, "size": SIZE, "verify": False}
    assert export(networks.unet(), **options).artifact.mask is not None
    assert export(networks.unet(), **options, static=True).artifact.mask is None


def test_what_has_no_size_is_told_so() -> None:
    with pytest.raises(InputError, match=r"static=True .* which is unknown; pass size="):
        export(networks.unet(), static=True)
    with pytest.raises(InputError, match=r"static=True needs fixed extents, and the input input "):
        export(networks.volumes(), static=True)
    with pytest.raises(InputError, match=r"leave out the options of pictures: size=$"):
        export(networks.volumes(), static=True, size=SIZE)
    two = networks.unet()
    two.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(InputError, match=r"at \[1, 3, 64, 96\], one picture of 96x64.*takes input"):
        export(two, static=True, size=SIZE)
