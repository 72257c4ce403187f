from __future__ import annotations

import json
import sys
from typing import Any

import networks
import onnx
import pytest

from ortcam.errors import InputError, LayerError
from ortcam_export import Candidate, layers


def by_name(model: Any, **options: Any) -> dict[str, Candidate]:
    return {candidate.name: candidate for candidate in layers(model, **options)}


def test_a_u_nets_layers() -> None:
    found = by_name(networks.unet())
    assert list(found) == [
        "enc1_relu",
        "pool1",
        "enc2_relu",
        "pool2",
        "mid_relu",
        "up2",
        "cat2",
        "dec2_relu",
        "up1",
        "cat1",
        "dec1_relu",
        "logits",
        "probabilities",
    ]
    assert found["cat2"] == Candidate(
        name="cat2",
        operator="Concat",
        shape=("N", 18, "?", "?"),
        channels=18,
        stride=2,
        strides=(2, 2),
        reached=True,
        chosen=False,
        kind="feature",
        rank=5,
        receptive_field=(18, 18),
        cost=found["cat2"].cost,
    )
    strides = {name: candidate.stride for name, candidate in found.items()}
    assert (strides["enc1_relu"], strides["pool1"], strides["mid_relu"]) == (1, 2, 4)
    assert [c.name for c in found.values() if c.chosen] == ["dec1_relu", "probabilities"]
    assert [c.name for c in found.values() if c.kind == "reduction"] == ["probabilities"]


def test_channels_and_strides_of_channels_last() -> None:
    found = by_name(networks.channels_last())
    assert {name: (c.channels, c.stride) for name, c in found.items()} == {
        "stem_relu": (6, 1),
        "deep_relu": (8, 2),
        "wide_resized": (8, 1),
        "cat": (14, 1),
        "head_relu": (6, 1),
        "probabilities": (4, 1),
    }


def test_strides_are_relative_to_a_fixed_input_too() -> None:
    model = networks.unet()
    for axis, extent in ((0, 1), (2, 48), (3, 32)):
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[axis].dim_value = extent
    found = by_name(model)
    assert found["mid_relu"].shape == (1, 12, 12, 8)
    assert found["mid_relu"].stride == 4


def test_a_score_to_be_appended_goes_by_what_it_is_appended_to() -> None:
    found = layers(networks.unet_logits())
    assert [(c.name, c.operator, c.chosen) for c in found if c.kind == "reduction"] == [
        ("logits", "Conv + Softmax", True)
    ]
    found = layers(networks.unet_logits(), score="logits")
    assert [(c.name, c.operator, c.chosen) for c in found if c.kind == "reduction"] == [
        ("logits", "Conv", True)
    ]


def test_other_scores_are_listed_and_what_reaches_which_differs() -> None:
    found = by_name(networks.unet_two_heads())
    assert [(n, c.chosen) for n, c in found.items() if c.kind == "reduction"] == [
        ("out", True),
        ("aux", False),
    ]
    assert found["dec1_relu"].reached
    aux = by_name(networks.unet_two_heads(), reduction_layer="aux")
    assert not aux["dec1_relu"].reached
    assert aux["enc2_relu"].chosen


def test_what_is_listed_can_be_given_back() -> None:
    for candidate in layers(networks.unet_argmax()):
        if candidate.kind == "reduction":
            again = layers(networks.unet_argmax(), reduction_layer=candidate.name)
            assert [c for c in again if c.kind == "reduction"] == [candidate]


def test_a_network_without_convolutions_has_layers() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18]> g (float[N, 3, H, W] x) => (float[N, 3, H, W] y)'
        "{ r = Relu(x)  y = Softmax<axis = 1>(r) }"
    )
    assert [(c.name, c.chosen) for c in layers(model)] == [("r", False), ("y", True)]


def test_the_model_is_left_as_it_is() -> None:
    model = networks.unet_logits()
    before = model.SerializeToString(deterministic=True)
    layers(model)
    assert model.SerializeToString(deterministic=True) == before


def test_no_such_reduction_layer() -> None:
    with pytest.raises(LayerError, match="the network has no layer 'softmax'"):
        layers(networks.unet(), reduction_layer="softmax")


def test_several_pictures_leave_the_strides_open() -> None:
    model = networks.unet()
    picture = model.graph.input[0]
    other = model.graph.input.add()
    other.CopyFrom(picture)
    other.name = "depth"
    found = by_name(model)
    assert (found["mid_relu"].channels, found["mid_relu"].stride) == (12, None)
    assert found["dec1_relu"].chosen


def chain(length: int) -> onnx.ModelProto:
    """A convolution, so many ReLUs in a row, and a scorer."""
    g = networks.Builder(0)
    value = g.conv("input", 3, 4, "stem")
    for i in range(length):
        value = g.node("Relu", [value], f"relu_{i}")
    g.node("Softmax", [g.conv(value, 4, 3, "logits", k=1)], "probabilities", axis=1)
    return g.model({"probabilities": (onnx.TensorProto.FLOAT, ["N", 3, "H", "W"])})


def calls(length: int) -> int:
    """How many Python functions are called to list a chain's layers."""
    model = chain(length)
    count = 0

    def called(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(called)
    try:
        assert len(layers(model)) >= length
    finally:
        sys.setprofile(None)
    return count


def test_the_work_grows_with_the_number_of_layers() -> None:
    short, long = calls(50), calls(200)
    assert long < 5 * short  # 16 times where each layer looks at every other


def test_layers_and_strides_are_those_of_the_picture_that_is_named() -> None:
    g = networks.Builder(0)
    for name, stride in (("ct", 1), ("mr", 2)):
        a = g.block(name, 3, 4, f"{name}_a", strides=[stride, stride])
        flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], f"{name}_p")], f"{name}_flat")
    both = g.node("Concat", ["ct_flat", flat], "both", axis=1)
    g.node("Gemm", [both, g.weight("w", 8, 3, fan_in=8)], "logits")
    kind: tuple[int, networks.Shape] = (onnx.TensorProto.FLOAT, ["N", 3, "H", "W"])
    model = g.model({"logits": (kind[0], ["N", 3])}, {"ct": kind, "mr": kind})
    found = by_name(model, picture_input="mr")
    assert (found["mr_a_relu"].chosen, found["mr_a_relu"].stride) == (True, 2)
    assert not found["ct_a_relu"].reached


def test_a_stated_layout_gives_the_strides() -> None:
    """A dense layer and a mean alone read the input, which leaves its places open."""
    g = networks.Builder(0)
    bands = g.node("MatMul", ["x", g.weight("w", 13, 8, fan_in=13)], "bands")
    a = g.relu(bands, "a")
    mean = g.node("ReduceMean", [a, g.constant("places", [1, 2])], "mean", keepdims=0)
    g.node("Gemm", [mean, g.weight("v", 8, 3, fan_in=8)], "logits")
    float32 = onnx.TensorProto.FLOAT
    model = g.model({"logits": (float32, ["N", 3])}, {"x": (float32, ["N", 32, 48, 13])})
    found = by_name(model, layout="NHWC")["a"]
    assert (found.channels, found.strides, found.receptive_field) == (8, (1, 1), (1, 1))
    with pytest.raises(InputError, match="layout NCL does not fit"):
        layers(model, layout="NCL")


def test_a_choice_that_stops_lists_the_candidate_scores() -> None:
    with pytest.raises(LayerError) as caught:
        layers(_of_two_classes(networks.anchors()))
    assert [(c.name, c.taken_for, c.chosen) for c in caught.value.candidates] == [
        ("output0", "a list", False),
        ("output1", "prototypes", False),
    ]
    with pytest.raises(LayerError) as caught:
        layers(networks.unet(), reduction_layer="softmax")
    assert caught.value.candidates[0].name == "probabilities"


def _of_two_classes(model: onnx.ModelProto) -> onnx.ModelProto:
    text = json.dumps({"format": 1, "classes": ["a", "b"]})
    onnx.helper.set_model_props(model, {"ortcam": text})
    return model


def test_scores_say_what_they_are_taken_for_and_why() -> None:
    found = [c for c in layers(networks.anchors()) if c.kind == "reduction"]
    assert [(c.name, c.taken_for, c.chosen, c.channels) for c in found] == [
        ("class_probabilities", "class scores of a list", True, 3),
        ("output1", "prototypes", False, 5),
    ]
    assert "lists boxes, 3 classes and 5 further rows" in found[0].reason
    assert found[1].reason == "'output1' holds mask prototypes, so it scores no classes"
    (score,) = [c for c in layers(networks.unet_logits(), class_axis=1) if c.kind == "reduction"]
    assert (score.taken_for, score.reason) == ("class scores", "the name 'logits'")
