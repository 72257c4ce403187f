from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from networks import Builder
from onnx import TensorProto, helper, parser

from ortcam.artifact import Layer, Score
from ortcam.errors import InputError, LayerError
from ortcam_export.choosing.channel_axes import channel_axes
from ortcam_export.choosing.features import choose_features
from ortcam_export.choosing.operator_kinds import is_relu_like
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.scores import choose_score
from ortcam_export.choosing.tokens import token_grids
from ortcam_export.gradient import reachable
from ortcam_export.graph.names import find, unused
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load


def score_of(model: onnx.ModelProto, **options: Any) -> tuple[Score, list[str], ir.Model]:
    """Return the score without its axes and reason (see test_scores), the notes, the network."""
    network = PreparedNetwork(prepare(load(model)))
    score = replace(choose_score(network, **options), axes=(), reason="")
    return score, network.notes, network.model


def features_of(
    model: onnx.ModelProto, names: Sequence[str] | None = None, **options: Any
) -> tuple[tuple[Layer, ...], list[str]]:
    score, _, ready = score_of(model, **options)
    network = PreparedNetwork(ready)
    reached, grids = reachable(ready, score.name), token_grids(ready, network.axes)
    layers = choose_features(network, score, reached, grids, feature_layers=names)
    return layers, network.notes


def refusal(model: onnx.ModelProto, **options: Any) -> str:
    with pytest.raises(LayerError) as caught:
        score_of(model, **options)
    return str(caught.value)


def parsed(
    body: str, outputs: str, inputs: str = "float[N, 3, H, W] x", constants: str = ""
) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 18]> g ({inputs}) => ({outputs}) <{constants}>'
        f"{{ {body} }}"
    )


# ---- The reduction layer


def test_the_softmax_at_the_end() -> None:
    score, notes, _ = score_of(networks.unet())
    assert score == Score(name="probabilities", class_axis=1, kind="softmax")
    assert notes == ["reduction layer 'probabilities', the softmax"]


def test_the_softmax_behind_resize_transpose_and_identity() -> None:
    score, notes, _ = score_of(networks.unet_resized())
    assert score == Score(name="probabilities", class_axis=1, kind="softmax")
    assert notes == ["reduction layer 'probabilities', the softmax behind the output 'output'"]


def test_the_softmax_behind_an_argmax() -> None:
    score, _, _ = score_of(networks.unet_argmax(softmax=True))
    assert score == Score(name="probabilities", class_axis=1, kind="softmax")


@pytest.mark.parametrize(
    "end",
    [
        "c = Cast<to = 7>(s) y = ReduceMax<keepdims = 0>(c, one)",
        "v, y = TopK<axis = 1>(s, k)",
        "y, i = TopK<axis = 1>(s, k)",
        "g = Greater(s, half) y = Cast<to = 7>(g)",
        "a = ArgMax<axis = 1, keepdims = 1>(s) y = Squeeze(a, one)",
        "r = Round(s) y = Unsqueeze(r, one)",
    ],
)
def test_the_softmax_behind_what_decides_by_it(end: str) -> None:
    model = parsed(
        f"s = Softmax<axis = 1>(x) {end}",
        "float y",
        constants="int64[1] one = {1}, int64[1] k = {1}, float half = {0.5}",
    )
    assert score_of(model)[0] == Score(name="s", class_axis=1, kind="softmax")


def test_the_softmax_of_channels_last() -> None:
    score, _, _ = score_of(networks.channels_last())
    assert score == Score(name="probabilities", class_axis=3, kind="softmax")


def test_the_softmax_between_transposes_keeps_its_own_axis() -> None:
    score, _, _ = score_of(networks.opset_11())
    assert score == Score(name="softmax", class_axis=3, kind="softmax")


def test_logits_get_a_softmax_and_it_is_said() -> None:
    score, notes, ready = score_of(networks.unet_logits())
    assert score == Score(name="logits.softmax", class_axis=1, kind="softmax")
    assert notes == [
        "reduction layer 'logits', the logits",
        "appended a softmax to 'logits' as the score, for the name 'logits', which changes every "
        "map; "
        "score='logits' explains the logits as they stand",
    ]
    node = find(ready, "logits.softmax").producer()
    assert node is not None
    assert (node.op_type, node.attributes.get_int("axis")) == ("Softmax", 1)


def test_logits_on_demand() -> None:
    score, notes, ready = score_of(networks.unet_logits(), score="logits")
    assert score == Score(name="logits", class_axis=1, kind="logits")
    assert notes == ["reduction layer 'logits', the logits"]
    assert [node.op_type for node in ready.graph][-1] == "Conv"


def test_the_logits_before_a_softmax_on_demand() -> None:
    assert score_of(networks.unet(), score="logits")[0].name == "logits"
    assert score_of(networks.channels_last(), score="logits")[0] == Score(
        name="logits", class_axis=3, kind="logits"
    )


def test_a_sigmoid_on_the_logits_of_a_softmax_on_demand() -> None:
    score, notes, _ = score_of(networks.unet(), score="sigmoid")
    assert score == Score(name="logits.sigmoid", class_axis=1, kind="sigmoid")
    assert notes[-1].startswith("appended a sigmoid to 'logits'")


def test_an_argmax_of_logits_gets_its_softmax_before_it() -> None:
    score, _, ready = score_of(networks.unet_argmax())
    assert score == Score(name="logits.softmax", class_axis=1, kind="softmax")
    node = find(ready, score.name).producer()
    assert node is not None
    assert [value.name for value in node.inputs if value] == ["logits"]


def test_a_log_softmax_counts_by_its_logits() -> None:
    model = parsed("y = LogSoftmax<axis = 1>(x)", "float y")
    network = PreparedNetwork(prepare(load(model)))
    with pytest.raises(LayerError):  # its logits are the network's input: no layer to name
        choose_features(network, choose_score(network), set(), {})
    g = Builder(0)
    g.node("LogSoftmax", [g.conv("input", 3, 4, "last")], "logs", axis=1)
    score, _, _ = score_of(g.model({"logs": (TensorProto.FLOAT, ["N", 4, "H", "W"])}))
    assert score == Score(name="last.softmax", class_axis=1, kind="softmax")


def test_one_channel_gets_a_sigmoid() -> None:
    score, _, _ = score_of(networks.unet_logits(classes=1))
    assert score == Score(name="logits.sigmoid", class_axis=1, kind="sigmoid")


def test_the_sigmoid_at_the_end_of_one_channel_or_of_many_labels() -> None:
    for classes in (1, 5):
        score, _, _ = score_of(networks.unet_sigmoid(classes=classes))
        assert score == Score(name="mask", class_axis=1, kind="sigmoid")


def test_a_softmax_of_one_channel_is_refused() -> None:
    assert refusal(networks.unet_sigmoid(), score="softmax") == (
        "a softmax over the one channel of 'logits' is always 1; "
        "ask for score='sigmoid' or score='logits'"
    )


def test_a_squeezed_mask_is_scored_before_its_channels_go() -> None:
    g = Builder(0)
    x = g.conv(g.block("input", 3, 4, "a"), 4, 1, "last", k=1)
    squeezed = g.node("Squeeze", [x, g.constant("one", [1])], "flat")
    g.node("Sigmoid", [squeezed], "mask")
    model = g.model({"mask": (TensorProto.FLOAT, ["N", "H", "W"])})
    score, _, _ = score_of(model)
    assert score == Score(name="last.sigmoid", class_axis=1, kind="sigmoid")


def test_a_classifier() -> None:
    assert score_of(networks.classifier())[0] == Score(name="probabilities", class_axis=1)
    assert score_of(networks.classifier(softmax=False))[0].name == "logits.softmax"


def test_several_outputs_and_the_others_named() -> None:
    score, notes, _ = score_of(networks.unet_two_heads())
    assert score.name == "out.softmax"
    assert "other outputs have scores too: 'aux'; choose by reduction_layer=" in notes


def test_a_map_comes_before_a_vector_and_a_softmax_before_logits() -> None:
    g = Builder(0)
    a = g.block("input", 3, 4, "a")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pool")], "vector")
    g.node("Softmax", [flat], "label", axis=1)
    logits = g.conv(a, 4, 4, "logits")
    other = g.conv(a, 4, 4, "other")
    g.node("Softmax", [logits], "map", axis=1)
    kind = TensorProto.FLOAT
    outputs: dict[str, Any] = {
        "label": (kind, ["N", 4]),
        other: (kind, ["N", 4, "H", "W"]),
        "map": (kind, ["N", 4, "H", "W"]),
    }
    score, notes, _ = score_of(g.model(outputs))
    assert score.name == "map"
    assert notes[-1] == (
        "other outputs have scores too: 'label', 'other'; choose by reduction_layer="
    )


def test_a_named_reduction_layer_by_tensor_or_node() -> None:
    for name in ("aux", "Resize/aux"):
        score, notes, _ = score_of(networks.unet_two_heads(), reduction_layer=name)
        assert (score.name, score.kind) == ("aux", "linear")  # no name says what it scores
        assert len(notes) == 1


def test_a_resized_softmax_is_taken_as_named() -> None:
    score, _, _ = score_of(networks.unet_resized(), reduction_layer="full_size")
    assert score == Score(name="full_size", class_axis=1, kind="softmax")
    score, _, _ = score_of(networks.unet_resized(), reduction_layer="output")
    assert score == Score(name="output", class_axis=3, kind="softmax")
    score, _, _ = score_of(networks.unet_resized(), reduction_layer="full_size", score="logits")
    assert score == Score(name="logits", class_axis=1, kind="logits")


def test_no_such_reduction_layer() -> None:
    sentence = refusal(networks.unet(), reduction_layer="logit")
    assert sentence.startswith("the network has no layer 'logit'; the nearest are 'logits'")


def test_an_input_or_a_weight_is_no_layer() -> None:
    assert refusal(networks.unet(), reduction_layer="input") == (
        "'input' is an input of the network; name a tensor that it computes"
    )
    assert refusal(networks.unet(), reduction_layer="mid_conv.bias") == (
        "'mid_conv.bias' is a constant of the network; name a tensor that it computes"
    )


def test_an_unknown_kind_of_score() -> None:
    with pytest.raises(
        InputError, match="score is 'softmx'; it is softmax, sigmoid, logits or linear"
    ):
        score_of(networks.unet(), score="softmx")


def test_an_argmax_of_whole_numbers_is_no_score() -> None:
    model = parsed("i = Cast<to = 7>(x) y = ArgMax<axis = 1, keepdims = 0>(i)", "int64[N, H, W] y")
    assert refusal(model) == (
        "the output 'y' is the ArgMax of 'i', which is int64, so it holds no score; "
        "name the tensor that does as reduction layer"
    )


def test_an_argmax_of_one_channel_is_no_score() -> None:
    model = parsed(
        "m = ReduceMean(x, one) y = ArgMax<axis = 1, keepdims = 0>(m)",
        "int64[N, H, W] y",
        constants="int64[1] one = {1}",
    )
    assert "the ArgMax of 'm', which has one channel to decide among" in refusal(model)


def test_an_argmax_or_softmax_over_the_batch_is_no_score() -> None:
    model = parsed("r = Relu(x) y = ArgMax<axis = 0, keepdims = 0>(r)", "int64[a, H, W] y")
    assert "is decided along the batch (axis 0)" in refusal(model)
    model = parsed("y = Softmax<axis = 0>(x)", "float[N, 3, H, W] y")
    assert "the softmax 'y' runs over the batch (axis 0)" in refusal(model)


def test_an_output_that_is_whole_numbers_or_one_for_all_is_no_score() -> None:
    model = parsed("y = Shape(x)", "int64[4] y")
    assert refusal(model).startswith("the output 'y' is int64, so it holds no score")
    model = parsed("y = ReduceMean<keepdims = 0>(x)", "float y")
    assert "the output 'y' is one number for all pictures" in refusal(model)


def test_half_precision_logits_are_scored_in_float32() -> None:
    model = parsed(
        "s = Conv(x, w)", "float16[N, 2, H, W] s", "float16[N, 1, H, W] x", "float16[2,1,1,1] w"
    )
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.ones((2, 1, 1, 1), np.float16), "w")
    )
    score, _, ready = score_of(model, score="softmax")
    value = find(ready, score.name)
    assert value.dtype == ir.DataType.FLOAT
    cast = find(ready, "s.float32").producer()
    assert cast is not None
    assert cast.op_type == "Cast"


def test_names_that_the_network_uses_are_not_taken_again() -> None:
    model = networks.unet_logits()
    model.graph.node.append(helper.make_node("Identity", ["mid_relu"], ["logits.softmax"]))
    model.graph.output.add(name="logits.softmax")
    score, _, ready = score_of(model, reduction_layer="logits")
    assert score.name == "logits.softmax_2"
    assert unused(ready, "class_weights") == "class_weights"


# ---- Feature layers


@pytest.mark.parametrize(
    ("make", "name", "axis"),
    [
        (networks.unet, "dec1_relu", 1),
        (networks.unet_logits, "dec1_relu", 1),
        (networks.unet_two_heads, "dec1_relu", 1),
        (networks.unet_resized, "b_relu", 1),
        (networks.classifier, "b_relu", 1),  # not fc_relu, which has no space
        (networks.channels_last, "head_relu", 3),
        (networks.opset_11, "b_relu", 1),
        (networks.with_functions, "second", 1),
    ],
)
def test_the_last_relu_before_the_scorer(make: Any, name: str, axis: int) -> None:
    layers, notes = features_of(make())
    assert layers == (Layer(name=name, weights=f"{name}.weights", channel_axis=axis),)
    assert notes == [
        f"feature layer {name!r}, the last activation (Relu) of a convolution before the scorer"
    ]


def test_the_score_decides_what_is_before_it() -> None:
    layers, _ = features_of(networks.unet_two_heads(), reduction_layer="aux")
    assert layers[0].name == "enc2_relu"


def test_the_order_of_the_file_does_not_matter() -> None:
    g = Builder(0)
    a = g.block("input", 3, 4, "a")
    deep = g.block(g.block(a, 4, 4, "b"), 4, 4, "deep")
    side = g.block(a, 4, 4, "side")  # later in the file, earlier in the network
    scores = [g.conv(x, 4, 3, f"{x}_scores", k=1) for x in (deep, side)]
    g.conv(g.node("Add", scores, "scores"), 3, 3, "logits")  # as FCN refines its scores
    layers, _ = features_of(g.model({"logits": (TensorProto.FLOAT, ["N", 3, "H", "W"])}))
    assert layers[0].name == "deep_relu"


@pytest.mark.parametrize("how", ["Add", "Concat"])
def test_branches_are_taken_where_they_meet(how: str) -> None:
    g = Builder(0)
    stem = g.block("input", 3, 4, "stem")
    branches = [g.block(stem, 4, 4, name) for name in ("one", "two")]
    options = {"axis": 1} if how == "Concat" else {}
    met = g.node(how, branches, "met", **options)
    g.conv(g.node("AveragePool", [met], "pool", kernel_shape=[2, 2]), 8 if options else 4, 3, "y")
    layers, notes = features_of(g.model({"y": (TensorProto.FLOAT, ["N", 3, None, None])}))
    assert layers[0].name == "met"
    assert notes == [f"feature layer 'met', where the last branches before the scorer meet ({how})"]


def test_branches_that_are_stacked_meet_in_their_sum() -> None:
    g = Builder(0)
    branches = [g.block("input", 3, 4, name) for name in ("one", "two")]
    zero = g.constant("zero", [0])
    rows = [g.node("Unsqueeze", [x, zero], f"{x}_row") for x in branches]
    stack = g.node("Concat", rows, "stack", axis=0)
    met = g.node("ReduceSum", [stack, zero], "met", keepdims=0)
    g.conv(met, 4, 3, "y")
    layers, _ = features_of(g.model({"y": (TensorProto.FLOAT, ["N", 3, None, None])}))
    assert (layers[0].name, layers[0].channel_axis) == ("met", 1)


def test_windows_are_put_together() -> None:
    """As in MaxViT, whose blocks add inside of the windows: [N, 4 windows, 16 cells, channels]."""
    g = Builder(0)
    a = g.conv("input", 3, 8, "a")
    cut = g.node("Reshape", [a, g.constant("cut_to", [0, 8, 2, 4, 2, 4])], "cut")
    turned = g.node("Transpose", [cut], "turned", perm=[0, 2, 4, 3, 5, 1])
    windows = g.node("Reshape", [turned, g.constant("flat", [0, 4, 16, 8])], "windows")
    dense = g.node("MatMul", [windows, g.weight("w", 8, 8, fan_in=8)], "dense")
    added = g.node("Add", [windows, dense], "added")
    back = g.node("Reshape", [added, g.constant("back_to", [0, 2, 2, 4, 4, 8])], "back")
    turned = g.node("Transpose", [back], "turned_back", perm=[0, 5, 1, 3, 2, 4])
    whole = g.node("Reshape", [turned, g.constant("rows", [0, 8, 8, 8])], "whole")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [whole], "pooled")], "vector")
    g.node("MatMul", [flat, g.weight("v", 8, 3, fan_in=8)], "y")
    model = g.model({"y": (TensorProto.FLOAT, ["N", 3])})
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = 8
    layers, notes = features_of(model)
    assert (layers[0].name, layers[0].channel_axis) == ("whole", 1)
    assert notes[-1].endswith("of a block (Add) before the scorer, its windows put together")


def test_a_stack_of_branches_is_no_feature_itself() -> None:
    g = Builder(0)
    branches = [g.block("input", 3, 4, name) for name in ("one", "two")]
    zero = g.constant("zero", [0])
    rows = [g.node("Unsqueeze", [x, zero], f"{x}_row") for x in branches]
    stack = g.node("Concat", rows, "stack", axis=0)  # its first axis is none of pictures
    g.conv(g.node("ReduceMax", [stack, zero], "largest", keepdims=0), 4, 3, "y")
    layers, _ = features_of(g.model({"y": (TensorProto.FLOAT, ["N", 3, None, None])}))
    assert layers[0].name in ("one_relu", "two_relu")


def test_a_relu_on_the_scores_themselves_is_not_before_the_scorer() -> None:
    g = Builder(0)
    a = g.block("input", 3, 4, "a")
    scores = g.relu(g.conv(a, 4, 3, "scorer"), "scores")
    g.node("Softmax", [scores], "probabilities", axis=1)
    layers, _ = features_of(g.model({"probabilities": (TensorProto.FLOAT, ["N", 3, "H", "W"])}))
    assert layers[0].name == "a_relu"


def test_gates_of_extent_one_are_no_features() -> None:
    g = Builder(0)
    a = g.block("input", 3, 4, "a")
    squeezed = g.relu(g.conv(g.node("GlobalAveragePool", [a], "p"), 4, 2, "c", k=1), "squeezed")
    gate = g.node("Sigmoid", [g.conv(squeezed, 2, 4, "d", k=1)], "gate")
    b = g.node("Mul", [a, gate], "gated")
    g.conv(b, 4, 3, "logits", k=1)
    layers, _ = features_of(g.model({"logits": (TensorProto.FLOAT, ["N", 3, "H", "W"])}))
    assert layers[0].name == "a_relu"


def test_without_a_relu_the_last_convolution() -> None:
    g = Builder(0)
    a = g.norm(g.conv("input", 3, 4, "a"), 4, "norm")
    g.conv(g.node("Tanh", [a], "t"), 4, 3, "logits")
    layers, notes = features_of(g.model({"logits": (TensorProto.FLOAT, ["N", 3, "H", "W"])}))
    assert layers[0].name == "norm"
    assert notes == [
        "feature layer 'norm', the last convolution's output (BatchNormalization), "
        "as no ReLU stands before the scorer"
    ]


def test_no_convolution_at_all() -> None:
    model = parsed("r = Relu(x) y = Softmax<axis = 1>(r)", "float[N, 3, H, W] y")
    with pytest.raises(LayerError, match="no convolution with a spatial extent above 1 leads to"):
        features_of(model)


def test_named_layers_come_from_early_to_late_and_once() -> None:
    names = ["dec1_relu", "Relu/enc1_relu", "mid_relu", "enc1_relu"]
    layers, notes = features_of(networks.unet(), names)
    assert [layer.name for layer in layers] == ["enc1_relu", "mid_relu", "dec1_relu"]
    assert notes == []


def test_no_such_feature_layer() -> None:
    with pytest.raises(LayerError) as caught:
        features_of(networks.unet(), ["dec_relu1"])
    assert str(caught.value).startswith("the network has no layer 'dec_relu1'; the nearest are ")
    assert "'dec1_relu'" in str(caught.value)


def test_a_tensor_without_space_is_no_feature_layer() -> None:
    with pytest.raises(LayerError) as caught:
        features_of(networks.classifier(), ["fc_relu"])
    assert str(caught.value) == (
        "'fc_relu' is float of shape [N,8]; a feature layer is a float tensor "
        "with channels and space, [N, C, ...]"
    )


def test_names_of_weights_give_way_to_the_networks_own() -> None:
    model = networks.unet()
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.zeros(1, np.float32), "mid_relu.weights")
    )
    layers, _ = features_of(model, ["mid_relu"])
    assert layers[0].weights == "mid_relu.weights_2"


ACTIVATIONS = {
    "Relu": "y = Relu(x)",
    "LeakyRelu": "y = LeakyRelu(x)",
    "Elu": "y = Elu(x)",
    "ReLU6": "y = Clip(x, zero, six)",
    "HardSwish": "y = HardSwish(x)",
    "Mish": "y = Mish(x)",
    "SiLU": "s = Sigmoid(x) y = Mul(x, s)",
    "SiLU the other way round": "s = Sigmoid(x) y = Mul(s, x)",
    "quick GELU": "a = Mul(x, six) s = Sigmoid(a) y = Mul(x, s)",
    "HardSwish written out": (
        "a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, six)"
    ),
    "GELU written out": (
        "d = Div(x, three) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)"
    ),
    "Mish written out": "p = Softplus(x) t = Tanh(p) y = Mul(x, t)",
}
NO_ACTIVATIONS = {
    "a square": "y = Mul(x, x)",
    "a scaling": "y = Mul(x, half)",
    "a clip to -1 and 1": "m = Neg(one) y = Clip(x, m, one)",
    "another's gate": "p = GlobalAveragePool(x) s = Sigmoid(p) y = Mul(x, s)",
    "a sigmoid": "y = Sigmoid(x)",
    "a ReLU scaled": "r = Relu(x) y = Mul(r, half)",
}
CONSTANTS = (
    "float zero = {0.0}, float one = {1.0}, float half = {0.5}, float three = {3.0},"
    "float six = {6.0}"
)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *NO_ACTIVATIONS])
def test_what_serves_as_a_relu(name: str) -> None:
    body = {**ACTIVATIONS, **NO_ACTIVATIONS}[name]
    ready = prepare(load(parsed(body, "float[N, 3, H, W] y", constants=CONSTANTS)))
    assert is_relu_like(find(ready, "y")) == (name in ACTIVATIONS)


def test_a_prepared_network_knows_its_channel_axes() -> None:
    network = PreparedNetwork(prepare(load(networks.channels_last())))
    assert network.axes == channel_axes(network.model)
    assert choose_score(network, score="logits").class_axis == 3
