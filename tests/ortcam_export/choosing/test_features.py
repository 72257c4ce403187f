"""Which layers are chosen, or refused, by what they depend on and lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from networks import Builder
from onnx import TensorProto, helper

import ortcam
from ortcam.artifact import Layer, Score
from ortcam.errors import LayerError
from ortcam_export import export
from ortcam_export.choosing.features import choose_features
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.scores import choose_score
from ortcam_export.choosing.tokens import token_grids
from ortcam_export.gradient import reachable
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

PICTURE: tuple[int, Any] = (TensorProto.FLOAT, ["N", 3, 32, 32])
SCORES: dict[str, Any] = {"y": (TensorProto.FLOAT, None)}


def chosen(
    model: onnx.ModelProto,
    names: Sequence[str] | None = None,
    *,
    picture: str | None = None,
    layouts: dict[str, str] | None = None,
    score: Score | None = None,
) -> tuple[Layer, ...]:
    network = PreparedNetwork(prepare(load(model)), layouts=layouts)
    score = score or choose_score(network, score="logits")
    return choose_features(
        network,
        score,
        reachable(network.model, score.name),
        token_grids(network.model, network.axes),
        feature_layers=names,
        picture=None if picture is None else find_input(network, picture),
    )


def find_input(network: PreparedNetwork, name: str) -> Any:
    return next(value for value in network.model.graph.inputs if value.name == name)


def refusal(model: onnx.ModelProto, names: Sequence[str] | None = None, **options: Any) -> str:
    with pytest.raises(LayerError) as caught:
        chosen(model, names, **options)
    return str(caught.value)


def mean(g: Builder, x: str, name: str) -> str:
    if "over_space" not in {i.name for i in g.initializers}:
        g.constant("over_space", [2, 3])
    return g.node("ReduceMean", [x, "over_space"], name, keepdims=0)


def dense(g: Builder, x: str, c: int, out: int, name: str) -> str:
    return g.node("MatMul", [x, g.weight(f"{name}.weight", c, out, fan_in=c)], name)


# ---- Several pictures


def two_pictures(order: Sequence[str] = ("mr", "ct"), *, shared: bool = False) -> onnx.ModelProto:
    """A backbone for each of two pictures; ``shared`` ones have the same weights."""
    g = Builder(0)
    vectors = []
    for name in order:
        a = g.block(name, 3, 6, f"{name}_a", strides=[2, 2])
        vectors.append(mean(g, g.block(a, 6, 8, f"{name}_b", strides=[2, 2]), f"{name}_mean"))
    if shared:
        for node in g.nodes:
            node.input[:] = [
                i.replace("ct_", "mr_", 1) if i.startswith("ct_") and "." in i else i
                for i in node.input
            ]
        g.initializers = [i for i in g.initializers if not i.name.startswith("ct_")]
    dense(g, g.node("Concat", vectors, "both", axis=1), 16, 3, "y")
    return g.model({"y": (TensorProto.FLOAT, ["N", 3])}, dict.fromkeys(order, PICTURE))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("order", [("mr", "ct"), ("ct", "mr")])
@pytest.mark.parametrize("picture", ["mr", "ct"])
def test_the_layer_depends_on_the_picture(order: Sequence[str], picture: str, shared: bool) -> None:
    (layer,) = chosen(two_pictures(order, shared=shared), picture=picture)
    assert layer.name == f"{picture}_b_relu"


def test_a_layer_of_the_other_picture_is_refused() -> None:
    assert refusal(two_pictures(), ["ct_b_relu"], picture="mr") == (
        "'ct_b_relu' does not depend on the picture 'mr', so no map over that can be made from "
        "it; choose a layer that it leads to, or another picture by picture_input="
    )


def test_a_map_over_one_picture_does_not_change_with_the_other() -> None:
    """The features are those of the picture; the weights may depend on both."""
    exported = export(two_pictures(), picture_input="mr", score="logits", verify=False)
    random = np.random.default_rng(0)
    mr, ct, other = (random.random((1, 3, 32, 32), np.float32) for _ in range(3))
    with_ct, with_other = (
        ortcam.load(exported.model).explain(tensor=mr, inputs={"ct": x}, classes=[0]).maps
        for x in (ct, other)
    )
    np.testing.assert_array_equal(with_ct, with_other)  # the head is linear
    assert with_ct.any()


def test_where_both_pictures_meet_the_layer_is_that_of_either() -> None:
    g = Builder(0)
    parts = [g.block(name, 3, 6, f"{name}_a", strides=[2, 2]) for name in ("left", "right")]
    both = g.block(g.node("Concat", parts, "both", axis=1), 12, 8, "joint")
    g.conv(both, 8, 3, "y", k=1)
    model = g.model(
        {"y": (TensorProto.FLOAT, ["N", 3, 16, 16])}, {"left": PICTURE, "right": PICTURE}
    )
    for picture in ("left", "right"):
        assert chosen(model, picture=picture)[0].name == "joint_relu"


def test_a_size_that_is_read_of_a_picture_is_no_dependence() -> None:
    g = Builder(0)
    a = g.block("mr", 3, 6, "a")
    sized = g.resize(a, "ct", "sized")
    g.conv(sized, 6, 3, "y", k=1)
    model = g.model({"y": (TensorProto.FLOAT, ["N", 3, 32, 32])}, {"mr": PICTURE, "ct": PICTURE})
    assert "does not depend on the picture 'ct'" in refusal(model, ["a_relu"], picture="ct")


# ---- Attention


def attention() -> onnx.ModelProto:
    """Queries of one map, keys and values of another, and a mask between product and softmax."""
    g = Builder(0)
    x = g.conv("input", 3, 8, "patches", strides=[4, 4])
    flat = g.node("Reshape", [x, g.constant("flat_to", [0, 8, 64])], "flat")
    tokens = g.node("Transpose", [flat], "tokens", perm=[0, 2, 1])
    heads = {}
    for name in ("q", "k", "v"):
        own = dense(g, tokens, 8, 8, f"{name}_dense")
        cut = g.node("Reshape", [own, g.constant(f"{name}_cut", [0, 64, 2, 4])], f"{name}_heads")
        perm = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        heads[name] = g.node("Transpose", [cut], name, perm=perm)
    product = g.node("MatMul", [heads["q"], heads["k"]], "product")
    pooled = g.node("ReduceMean", [tokens, g.constant("two", [2])], "pooled", keepdims=1)
    row = g.node("Transpose", [pooled], "row", perm=[0, 2, 1])
    mask = g.node("Unsqueeze", [row, g.constant("one", [1])], "mask")
    masked = g.node("Add", [product, mask], "masked")
    table = g.node("Softmax", [masked], "table", axis=-1)
    read = g.node("MatMul", [table, heads["v"]], "read")
    turned = g.node("Transpose", [read], "turned", perm=[0, 2, 1, 3])
    merged = g.node("Reshape", [turned, g.constant("merge", [0, 64, 8])], "merged")
    dense(g, g.node("ReduceMean", [merged, "one"], "vector", keepdims=0), 8, 3, "y")
    return g.model({"y": (TensorProto.FLOAT, ["N", 3])}, {"input": PICTURE})


def test_a_table_of_an_attention_is_not_chosen() -> None:
    assert chosen(attention())[0].name == "patches"


@pytest.mark.parametrize("name", ["product", "masked", "table", "read"])
def test_a_table_of_an_attention_is_refused(name: str) -> None:
    assert refusal(attention(), [name]).startswith(f"which axis of '{name}' [N, 2, 64, ")


def test_a_dense_layer_whose_bias_is_shared_is_no_blocks_sum() -> None:
    """Exporters share equal weights by an Identity, so that a bias is no initializer."""
    model = networks.transformer()
    for node in model.graph.node:
        if node.op_type == "Add" and node.input[1].endswith(".b"):
            shared = helper.make_node("Identity", [node.input[1]], [f"{node.input[1]}.shared"])
            node.input[1] = shared.output[0]
            model.graph.node.insert(0, shared)
    layer = export(model, size=(40, 24), verify=False).artifact.layers[0]
    assert layer.name == "norm_1"  # what the last block hands to its attention


def test_tensors_of_regions_are_refused() -> None:
    g = Builder(0)
    a = g.block("input", 3, 6, "a")
    boxes = g.constant("boxes", [[0, 0, 8, 8]] * 4, np.float32)
    regions = g.node(
        "RoiAlign",
        [a, boxes, g.constant("of", [0] * 4)],
        "regions",
        output_height=7,
        output_width=7,
    )
    dense(g, mean(g, g.block(regions, 6, 8, "b"), "vector"), 8, 3, "y")
    model = g.model({"y": (TensorProto.FLOAT, [4, 3])}, {"input": PICTURE})
    score = Score(name="y", kind="logits")  # of regions, which is refused as a score
    assert chosen(model, score=score)[0].name == "a_relu"
    assert refusal(model, ["b_relu"], score=score) == (
        "the first axis of 'b_relu' [4, 8, 7, 7] is a list, where a feature layer has the batch; "
        "choose another layer"
    )


# ---- Frames and recurrences


@pytest.mark.parametrize("batch", ["N", 2, 1])
def test_a_layer_of_frames_says_so(batch: str | int) -> None:
    g = Builder(0)
    frames = g.node("Reshape", ["x", g.constant("fold", [-1, 3, 32, 32])], "frames")
    a = mean(g, g.block(frames, 3, 6, "a", strides=[2, 2]), "vectors")
    unfolded = g.node("Reshape", [a, g.constant("unfold", [-1, 4, 6])], "unfolded")
    dense(
        g, g.node("ReduceMean", [unfolded, g.constant("one", [1])], "clip", keepdims=0), 6, 3, "y"
    )
    model = g.model(
        {"y": (TensorProto.FLOAT, [batch, 3])}, {"x": (TensorProto.FLOAT, [batch, 4, 3, 32, 32])}
    )
    assert chosen(model) == (Layer(name="a_relu", weights="a_relu.weights", frames=True),)


def recurrent() -> onnx.ModelProto:
    """A CRNN: convolutions, then an LSTM over the columns."""
    g = Builder(0)
    a = g.block("input", 3, 8, "a", strides=[32, 4])
    columns = g.node("Squeeze", [a, g.constant("two", [2])], "columns")
    steps = g.node("Transpose", [columns], "steps", perm=[2, 0, 1])
    weights = [g.weight("wi", 1, 24, 8, fan_in=8), g.weight("wr", 1, 24, 6, fan_in=6)]
    states = g.node("LSTM", [steps, *weights], "states", hidden_size=6)
    flat = g.node("Squeeze", [states, g.constant("one", [1])], "flat")
    turned = g.node("Transpose", [flat], "turned", perm=[1, 0, 2])
    dense(g, turned, 6, 5, "y")
    return g.model({"y": (TensorProto.FLOAT, ["N", 8, 5])}, {"input": PICTURE})


def test_a_recurrence_before_the_score_is_named() -> None:
    assert refusal(recurrent()) == (
        "between the convolutions and the score 'y' stands a recurrence, the LSTM 'LSTM/states', "
        "through which no gradient is computed yet, so there is no feature layer to choose"
    )
    assert refusal(recurrent(), ["a_relu"]) == (
        "between 'a_relu' and the score 'y' stands a recurrence, the LSTM 'LSTM/states', through "
        "which no gradient is computed yet; behind it no cell is a place of the picture, so no "
        "other layer helps"
    )


def test_a_layer_whose_channels_are_not_known_asks_for_the_layout() -> None:
    g = Builder(0)
    tanh = g.node("Tanh", ["x"], "tanh")
    over = g.constant("over", [1, 2])
    dense(g, g.node("ReduceMean", [tanh, over], "vector", keepdims=0), 4, 3, "y")
    model = g.model(
        {"y": (TensorProto.FLOAT, ["N", 3])}, {"x": (TensorProto.FLOAT, ["N", 5, 6, 4])}
    )
    assert refusal(model, ["tanh"]) == (
        "which axis of 'tanh' [N, 5, 6, 4] holds its channels is not known; choose another layer, "
        "or say how the input lies by layout="
    )
    model = networks.channels_last()
    assert chosen(model, ["cat"])[0].channel_axis == 3
