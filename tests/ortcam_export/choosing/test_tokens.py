"""Layers of tokens: found, chosen, folded, and their weights against autograd in float64."""

from __future__ import annotations

import functools
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, parser

import ortcam
from ortcam.errors import InputError, LayerError
from ortcam_export import Candidate, export, layers
from ortcam_export.choosing.channel_axes import channel_axes
from ortcam_export.choosing.tokens import token_grids
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

Array = NDArray[Any]
FAST: dict[str, Any] = {"size": (32, 24)}
PICTURE = np.random.default_rng(1).random((2, 3, 24, 40), np.float32)
QUESTIONS = np.array([[1, 0, 0, 0], [0, 0, -1, 1]], np.float32)[:, None]


def run(model: bytes, x: Array, questions: Array = QUESTIONS, space: int = 0) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options)
    names = [output.name for output in session.get_outputs()]
    region = np.ones((1, 1, *[1] * space), np.float32)
    feeds = {"input": x, "class_weights": questions, "region": region}
    for slot in session.get_inputs():  # an artifact of several layers asks which are wanted
        if slot.name == "layers":
            feeds["layers"] = np.ones(slot.shape, bool)
    return dict(zip(names, session.run(names, feeds), strict=True))


def chosen(model: onnx.ModelProto) -> str:
    return next(c.name for c in layers(model) if c.chosen and c.kind == "feature")


def grids(model: onnx.ModelProto) -> dict[str, tuple[int, Any]]:
    prepared = prepare(load(model))
    found = token_grids(prepared, channel_axes(prepared))
    return {value.name or "": (grid.axis, grid.extents) for value, grid in found.items()}


# ---- Which layer


def test_where_the_class_token_is_read_the_last_attention_is_asked() -> None:
    """Behind it only the class token has a gradient."""
    assert chosen(networks.transformer()) == "norm_1"
    assert chosen(networks.transformer(leading=3)) == "norm_1"


def test_where_queries_are_read_the_last_attention_is_asked() -> None:
    """As with a class token: a detector reads the queries that stand behind the picture's."""
    assert chosen(networks.transformer(trailing=5, head="queries")) == "norm_1"


def test_where_all_tokens_are_read_it_is_the_last_normalisation() -> None:
    assert chosen(networks.transformer(head="mean")) == "norm"
    assert chosen(networks.transformer(head="map")) == "norm"
    assert chosen(networks.transformer(head="mean", leading=0)) == "norm"


@pytest.mark.torch
def test_the_choice_is_the_last_layer_with_a_gradient_at_the_picture() -> None:
    pytest.importorskip("torch")
    model = networks.transformer()
    alone = {name: np.abs(whole[:, :, 1:]).max() for name, whole in gradients(model).items()}
    assert alone["norm_1"] > 1e-4
    assert alone["sum_1"] == alone["mlp_norm_1"] == alone["norm"] == 0


def gradients(model: onnx.ModelProto) -> dict[str, Array]:
    """dy/dtokens [K, N, tokens, C] of every layer of tokens, by autograd."""
    import torch
    from reference import run as autograd

    env = autograd(model, {"input": PICTURE})
    names = [c.name for c in layers(model) if c.grid is not None]
    score = env["probabilities"]
    rows = []
    for row in QUESTIONS[:, 0]:
        weights = torch.tensor(row, dtype=torch.float64).reshape(4, *[1] * (score.ndim - 2))
        targets = [env[name] for name in names]
        rows.append(torch.autograd.grad((score * weights).sum(), targets, retain_graph=True))
    return {n: np.stack([r[i].numpy() for r in rows]) for i, n in enumerate(names)}


# ---- Weights


@pytest.mark.torch
@pytest.mark.parametrize(
    ("leading", "trailing", "head"),
    [
        (1, 0, "class token"),
        (3, 0, "class token"),
        (0, 0, "mean"),
        (1, 0, "mean"),
        (0, 0, "map"),
        (2, 0, "map"),
        (1, 5, "class token"),
        (0, 5, "mean"),
        (1, 5, "queries"),
    ],
)
def test_weights_and_features_are_those_of_the_pictures_tokens(
    leading: int, trailing: int, head: str
) -> None:
    pytest.importorskip("torch")
    from reference import run as autograd

    model = networks.transformer(leading=leading, trailing=trailing, head=head)
    names = ["norm_0", "out_0", "hidden_0", "norm_1"]
    exported = export(model, feature_layers=names, **FAST)
    found = run(exported.model, PICTURE, space=2 if head == "map" else 0)
    whole, env = gradients(model), autograd(model, {"input": PICTURE})
    for name in names:
        expected = whole[name][:, :, leading : leading + 60].mean(2)
        scale = np.abs(expected).max()
        assert scale > 1e-6
        np.testing.assert_allclose(found[f"{name}.weights"], expected, atol=1e-5 * scale, rtol=1e-4)
        tokens = env[name][:, leading : leading + 60].detach().numpy()
        grid = tokens.reshape(2, 6, 10, -1).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(found[name], grid, atol=1e-5)


def test_queries_behind_the_pictures_tokens_are_left_out() -> None:
    """A detector's queries stand last, so the numbers before the picture's are not the rest."""
    exported = export(networks.transformer(trailing=5), feature_layers=["norm_0"], verify=False)
    assert any("the first 1 and the last 5 left out" in note for note in exported.notes)
    unknown = networks.transformer(trailing=5)
    place = next(n for n in unknown.graph.node if n.output[0] == "tokens")
    place.input.append("further")  # before the queries, of unknown number
    place.input.sort(key=lambda name: name != "further")
    further = helper.make_tensor_value_info("further", TensorProto.FLOAT, ["N", "T", 8])
    unknown.graph.input.append(further)
    options: dict[str, Any] = {"picture_input": "input", "feature_layers": ["norm_0"]}
    with pytest.raises(LayerError, match="stand before and behind the picture's"):
        export(unknown, verify=False, **options)


def test_the_network_computes_the_same() -> None:
    model = networks.transformer()
    exported = export(model, **FAST)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    plain = session.run(None, {"input": PICTURE})[0]
    np.testing.assert_allclose(run(exported.model, PICTURE)["probabilities"], plain, atol=1e-6)
    assert exported.artifact.verification is not None


def test_what_follows_the_pictures_tokens_is_left_out_too() -> None:
    """With no leading token said, the first 60 of 61 tokens are taken for the picture's."""
    model = networks.transformer()
    last = export(model, feature_layers=["norm_0"], verify=False)
    first = export(
        model, feature_layers=["norm_0"], leading_tokens=0, token_grid=(10, 6), **FAST_40
    )
    tokens = run(_showing(model, "norm_0"), PICTURE)["norm_0"]
    for exported, start in ((last, 1), (first, 0)):
        grid = tokens[:, start : start + 60].reshape(2, 6, 10, 8).transpose(0, 3, 1, 2)
        found = run(exported.model, PICTURE)
        np.testing.assert_allclose(found["norm_0"], grid, atol=1e-6)
        assert found["norm_0.weights"].shape == (2, 2, 8)


FAST_40: dict[str, Any] = {"size": (40, 24)}


def _showing(model: onnx.ModelProto, name: str) -> bytes:
    """The network with the question's inputs, which it ignores, and one more output."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(helper.make_empty_tensor_value_info(name))
    for extra in ("class_weights", "region"):
        shape = ["K", "R", "C"][: 3 if extra == "class_weights" else 2]
        value = helper.make_tensor_value_info(extra, TensorProto.FLOAT, shape)
        shown.graph.input.append(value)
    data: bytes = shown.SerializeToString()
    return data


def test_a_grid_said_by_hand_is_the_grid_found() -> None:
    model = networks.transformer(leading=2)
    found = export(model, **FAST_40)
    said = export(model, token_grid=(10, 6), leading_tokens=2, **FAST_40)
    a, b = run(found.model, PICTURE), run(said.model, PICTURE)
    np.testing.assert_array_equal(a["norm_1.weights"], b["norm_1.weights"])
    np.testing.assert_array_equal(a["norm_1"], b["norm_1"])


def test_whoever_reads_the_tokens_reads_the_folded_ones_whatever_its_name() -> None:
    model = networks.transformer()
    plain = export(model, **FAST_40)
    for i, node in enumerate(model.graph.node):
        node.name = f"fold.Slice_{i}"
    a, b = run(plain.model, PICTURE), run(export(model, **FAST_40).model, PICTURE)
    np.testing.assert_array_equal(a["norm_1.weights"], b["norm_1.weights"])


def test_maps_lie_on_the_picture() -> None:
    exported = export(networks.transformer(head="map"), rescale=1 / 255, **FAST)
    cam = ortcam.load(exported.model, "cpu")
    picture = (255 * PICTURE[0].transpose(1, 2, 0)).astype(np.uint8)
    explanation = cam.explain(picture, [0, 2], size="native")
    assert explanation.layers == ("norm",)
    assert explanation.raw["norm"].shape == (2, 6, 10)
    assert explanation.maps.shape == (1, 2, 24, 40)


def test_a_layer_that_is_an_output_keeps_its_name_as_one() -> None:
    model = networks.transformer()
    model.graph.output.append(helper.make_empty_tensor_value_info("norm_1"))
    exported = export(model, **FAST)
    assert exported.artifact.layers[0].name == "norm_1.folded"
    found = run(exported.model, PICTURE)
    assert found["norm_1"].shape == (2, 61, 8)
    assert found["norm_1.folded"].shape == (2, 8, 6, 10)
    assert any("folded as 'norm_1.folded'" in note for note in exported.notes)


# ---- What is said


def test_the_layers_are_listed_with_their_grids() -> None:
    found = {c.name: c for c in layers(networks.transformer())}
    assert found["norm_1"] == Candidate(
        name="norm_1",
        operator="LayerNormalization",
        shape=found["norm_1"].shape,
        channels=8,
        stride=4,
        reached=True,
        chosen=True,
        kind="feature",
        grid=(128, 128),
        rank=found["norm_1"].rank,
        strides=(4, 4),
        receptive_field=found["norm_1"].receptive_field,
        cost=found["norm_1"].cost,
    )
    assert list(found) == [
        *("patches", "tokens", "norm_0", "sum_0", "mlp_norm_0", "hidden_0", "out_0"),
        *("norm_1", "sum_1", "mlp_norm_1", "hidden_1", "out_1", "norm", "probabilities"),
    ]
    assert [name for name, c in found.items() if c.grid is None] == ["patches", "probabilities"]


def test_a_note_says_what_was_folded() -> None:
    notes = export(networks.transformer(), verify=False).notes
    assert (
        "feature layer 'norm_1', the last sum or normalisation of a block (LayerNormalization) "
        "before the scorer" in notes
    )
    assert (
        "the tokens of 'norm_1' are folded to their grid (width x height, as the picture's size "
        "makes it), those before the picture's left out; token_grid= and leading_tokens= say it "
        "otherwise" in notes
    )


def test_a_grid_that_does_not_fit() -> None:
    fixed = _fixed(networks.transformer(leading=1), 24, 40)
    refused = functools.partial(pytest.raises, InputError)
    with refused(match=r"'norm_1' is .*61 tokens, too few for a grid of 64"):
        export(fixed, token_grid=(8, 8))
    with refused(match="too few for a grid of 60 behind 2 others"):
        export(fixed, leading_tokens=2)
    with refused(match="it is a width and a height of 1 or more"):
        export(fixed, token_grid=(0, 8))


def _fixed(model: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    for axis, extent in ((2, height), (3, width)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = extent
    return model


def test_tokens_of_no_convolution() -> None:
    model = parser.parse_model("""
        <ir_version: 10, opset_import: ["": 18]>
        g (float[N, 3, 8, 8] x, float[N, 3, 16] w) => (float[N, 3] y)
        <int64[3] shape = {0, 3, 64}, int64[1] two = {2}>
        {
            r = Relu(w)
            a = Reshape(x, shape)
            c = Concat<axis = 2>(r, a)
            d = Reshape(c, shape_d)
            shape_d = Constant<value_ints = [0, 3, 80]>()
            e = Mul(d, d)
            m = ReduceMean<keepdims = 0>(e, two)
            y = Softmax<axis = 1>(m)
        }
    """)
    with pytest.raises(LayerError, match="rows and columns of its tokens cannot be found; say"):
        export(model, picture_input="x", feature_layers=["e"], verify=False)
    said = export(model, picture_input="x", feature_layers=["e"], token_grid=(16, 5), verify=False)
    assert said.artifact.layers[0].name == "e"


# ---- Following tokens


def follow(body: str, shape: str = "float[N, 5, H, W]") -> dict[str, tuple[int, Any]]:
    return grids(
        parser.parse_model(
            '<ir_version: 10, opset_import: ["": 18]>'
            f"g ({shape} x, float[5, 7] m) => (float y)"
            "<int64[3] first = {0, 5, -1}, int64[3] groups = {0, 1, -1}, int64[1] one = {1},"
            " int64[1] zero = {0}, int64[1] minus = {-1},"
            " float[1, 2, 5] other = {"
            + ", ".join(["0"] * 10)
            + "}, int64[1] end = {9223372036854775807}, int64[1] three = {3},"
            " float[5, 7] w = {" + ", ".join(["0"] * 35) + "}, int64 index = {0}>"
            "{ c = Conv(x, k) k = Constant<value_float = 1.0>() " + body + " y = Size(x) }"
        )
    )


TOKENS = "f = Reshape(x, first) p = Transpose<perm = [0, 2, 1]>(f) "


@pytest.mark.parametrize(
    ("body", "axis"),
    [
        ("t = Reshape(x, first)", 2),
        ("f = Reshape(x, first) t = Transpose<perm = [0, 2, 1]>(f)", 1),
        ("f = Reshape(x, first) t = Transpose<perm = [2, 0, 1]>(f)", None),
        ("t = Reshape(x, groups)", None),
        ("f = Reshape(x, first) r = Relu(f) t = Add(r, f)", 2),
        (TOKENS + "t = MatMul(p, w)", 1),
        (TOKENS + "t = MatMul(p, f)", None),
        (TOKENS + "t = Slice(p, one, end, one)", None),
        (TOKENS + "a = Concat<axis = 1>(other, p) t = Slice(a, one, end, one)", 1),
        (TOKENS + "a = Concat<axis = 1>(p, other) t = Slice(a, one, end, one)", None),
        (TOKENS + "a = Concat<axis = 1>(p, other) t = Slice(a, zero, minus, one)", 1),
        (TOKENS + "a = Concat<axis = 1>(other, p) t = Slice(a, zero, minus, one)", None),
        (TOKENS + "t = Slice(p, zero, three, one)", None),
        ("f = Reshape(x, first) t = ReduceMean(f, one)", 2),
        (TOKENS + "t = ReduceMean(p, one)", None),
    ],
)
def test_what_becomes_of_tokens(body: str, axis: int | None) -> None:
    found = follow(body).get("t")
    assert found == (None if axis is None else (axis, ("H", "W")))


def test_channels_last_are_flattened_to_tokens_too() -> None:
    body = "t = Reshape(x, s) s = Constant<value_ints = [0, -1, 3]>()"
    assert follow(body, "float[N, H, W, 3]")["t"] == (1, ("H", "W"))


def test_heads_of_an_attention_are_no_rows() -> None:
    """[N, heads, tokens, d] merged to [N * heads, tokens, d] has another extent there."""
    body = "t = Reshape(x, s) s = Constant<value_ints = [-1, 25, 3]>()"
    assert "t" not in follow(body, "float[N, 4, 25, 3]")


def test_an_engine_that_is_asked_for_tokens_gets_a_plain_layer() -> None:
    """Nothing of the gradient knows of tokens: the folded layer is one like any other."""
    exported = export(networks.transformer(), **FAST)
    layer = exported.artifact.layers[0]
    assert (layer.name, layer.weights, layer.channel_axis) == ("norm_1", "norm_1.weights", 1)


# ---- Tokens behind the picture's


@pytest.mark.parametrize("fixed", [False, True])
def test_the_tokens_of_boxes_are_a_list_behind_the_pictures(fixed: bool) -> None:
    """As a YOLOS's: logits and boxes of its last tokens, and the picture's between."""
    model = networks.transformer(head="boxes")
    if fixed:
        model = _fixed(model, 24, 40)
    exported = export(model, size=(40, 24))
    score, (layer,) = exported.artifact.score, exported.artifact.layers
    assert (score.name, score.kind, score.axes) == ("logits", "logits", ("batch", "list", "class"))
    assert layer.name == "norm_1"  # behind it the picture's tokens have no gradient
    tokens = run(_showing(model, "norm_1"), PICTURE)["norm_1"]
    grid = tokens[:, 1:61].reshape(2, 6, 10, 8).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(exported.model, PICTURE, space=1)["norm_1"], grid, atol=1e-6)
    if fixed:
        assert "the first 1 and the last 2 left out" in " ".join(exported.notes)


def test_the_field_of_a_token_is_around_its_own_cell() -> None:
    candidates = {c.name: c for c in layers(_fixed(networks.transformer(head="boxes"), 24, 40))}
    assert candidates["tokens"].receptive_field == (4, 4)
