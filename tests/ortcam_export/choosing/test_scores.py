"""What is explained, and on what evidence: outputs of every kind that networks end in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from networks import Builder, Shape
from onnx import TensorProto

from ortcam.artifact import Score
from ortcam.errors import InputError, LayerError, OrtcamError
from ortcam_export import export
from ortcam_export.choosing.prepared_network import PreparedNetwork
from ortcam_export.choosing.scores import ScoreChoice
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.class_statements import class_statements
from ortcam_export.reading.expectations import find_picture
from ortcam_export.reading.model_file import read

FLOAT = TensorProto.FLOAT


def chosen(model: onnx.ModelProto, **options: Any) -> tuple[Score, list[str]]:
    """Return the score and the notes."""
    network = read(model)
    statements = class_statements(network)
    prepared = prepare(network.model)
    ready = PreparedNetwork(prepared)
    choice = ScoreChoice(ready, statements=statements, picture=find_picture(prepared))
    candidate = choice.find(**options)
    return choice.take(candidate, score=options.get("score")), ready.notes


def taken_for(model: onnx.ModelProto) -> dict[str, str]:
    network = read(model)
    statements = class_statements(network)
    prepared = PreparedNetwork(prepare(network.model))
    choice = ScoreChoice(prepared, statements=statements)
    return {c.end.name or "": c.taken_for for c in choice.candidates}


def refusal(model: onnx.ModelProto, **options: Any) -> str:
    with pytest.raises(OrtcamError) as caught:
        chosen(model, **options)
    assert isinstance(caught.value, (LayerError, InputError))
    return str(caught.value)


def named(model: onnx.ModelProto, *names: str) -> onnx.ModelProto:
    """Return a network whose metadata name its classes."""
    text = json.dumps({"format": 1, "classes": list(names)})
    onnx.helper.set_model_props(model, {"ortcam": text})
    return model


def picture(*shape: int | str) -> dict[str, tuple[int, Shape]]:
    return {"input": (FLOAT, list(shape))}


def headed(name: str, channels: int = 4, *ends: str) -> onnx.ModelProto:
    """A block, a convolution to some channels, then operators without attributes to the output."""
    g = Builder(0)
    x = g.conv(g.block("input", 3, 8, "a"), 8, channels, "last" if ends else name, k=1)
    for i, op in enumerate(ends):
        x = g.node(op, [x], name if i == len(ends) - 1 else f"step_{i}")
    return g.model({name: (FLOAT, ["N", channels, "H", "W"])})


# ---- Evidence


@pytest.mark.parametrize(
    "name", ["logits", "out_logits", "segHead", "cls", "class_scores", "probs", "semantic/out"]
)
def test_a_name_is_evidence(name: str) -> None:
    score, _ = chosen(headed(name))
    assert (score.kind, score.reason) == ("softmax", f"the name '{name}'")


@pytest.mark.parametrize(
    "name", ["y", "output", "flow", "restored", "embedding", "pred_depth", "class_token", "box_cls"]
)
def test_without_evidence_an_output_is_explained_as_it_stands(name: str) -> None:
    score, notes = chosen(headed(name))
    assert (score.name, score.kind) == (name, "linear")
    assert notes == [
        f"reduction layer '{name}', values explained as they stand (nothing shows that they score "
        "classes); if they score classes, say so by score='softmax', score='sigmoid' or "
        "score='logits'"
    ]


def test_the_weights_name_is_evidence() -> None:
    model = headed("y")
    for tensor in model.graph.initializer:
        if tensor.name == "y.weight":
            tensor.name = "decode_head.classifier.weight"
    model.graph.node[-1].input[1] = "decode_head.classifier.weight"
    assert chosen(model)[0].kind == "softmax"


def test_a_lone_score_may_be_a_quality() -> None:
    assert chosen(headed("score", 1))[0].kind == "linear"
    assert chosen(headed("logit", 1))[0].kind == "sigmoid"


def test_class_names_are_evidence_and_those_of_channels_are_not() -> None:
    score, _ = chosen(named(headed("y"), "Sky", "Road", "Car", "Tree"))
    assert (score.kind, score.reason) == ("softmax", "the network's metadata names 4 classes")
    assert chosen(named(headed("y"), "red", "green", "blue", "nir"))[0].kind == "linear"
    assert chosen(named(headed("y", 1), "depth"))[0].kind == "linear"


def test_class_names_that_do_not_fit_stop_the_choice() -> None:
    model = named(headed("logits"), "Sky", "Road", "Car")
    assert refusal(model) == (
        "the network's metadata names 3 classes, but 'logits' [N, 4, ?, ?], the likeliest score, "
        "has 4 channels; name the tensor that scores them by reduction_layer=, or the channels by "
        "classes="
    )
    exported = export(model, reduction_layer="logits", verify=False)
    assert any("left out" in note for note in exported.notes)
    assert exported.artifact.expects.classes is None


def test_of_several_outputs_the_one_that_the_class_names_fit() -> None:
    g = Builder(0)
    a = g.block("input", 3, 8, "a")
    outputs: dict[str, tuple[int, Shape]] = {
        g.conv(a, 8, c, name): (FLOAT, ["N", c, "H", "W"]) for name, c in (("one", 5), ("two", 3))
    }
    model = g.model(outputs)
    assert chosen(model)[0].name == "one"
    assert chosen(named(model, "Sky", "Road", "Car"))[0].name == "two.softmax"


def test_a_task_is_evidence(tmp_path: Any) -> None:
    for architecture, kind in (
        ("SegformerForSemanticSegmentation", "softmax"),
        ("DPTForDepthEstimation", "linear"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
        onnx.save(headed("logits" if kind == "linear" else "y"), tmp_path / "model.onnx")
        exported = export(tmp_path / "model.onnx", verify=False)
        assert exported.artifact.score.kind == kind


def test_a_threshold_asks_each_class_on_its_own() -> None:
    g = Builder(0)
    x = g.conv(g.block("input", 3, 8, "a"), 8, 4, "y", k=1)
    zero = g.constant("zero", 0, np.float32)
    g.node("Greater", [x, zero], "labels")
    score, _ = chosen(g.model({"labels": (TensorProto.BOOL, ["N", 4, "H", "W"])}))
    assert (score.name, score.reason) == ("y.sigmoid", "the Greater that decides by it")


def test_a_rounded_picture_scores_no_classes() -> None:
    assert chosen(headed("restored", 3, "Round"))[0].kind == "linear"


@pytest.mark.parametrize("op", ["Relu", "Softplus", "Exp", "Abs"])
def test_what_is_never_negative_is_no_logit(op: str) -> None:
    score, notes = chosen(headed("segmentation", 1, op))
    assert score.kind == "linear"
    assert "amounts explained as they stand (it is never negative" in notes[0]


def test_a_depth_whose_channel_is_squeezed() -> None:
    g = Builder(0)
    d = g.relu(g.conv(g.block("input", 3, 8, "a"), 8, 1, "z"), "d")
    g.node("Squeeze", [d, g.constant("one", [1])], "depth")
    score, _ = chosen(g.model({"depth": (FLOAT, ["N", "H", "W"])}))
    assert (score.name, score.kind) == ("d", "linear")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_probability_and_its_complement_are_a_softmax_already(order: tuple[int, int]) -> None:
    g = Builder(0)
    p = g.node("Sigmoid", [g.conv(g.block("input", 3, 8, "a"), 8, 1, "z")], "p")
    q = g.node("Sub", [g.constant("unit", 1, np.float32), p], "q")
    g.node("Concat", [(q, p)[i] for i in order], "probabilities", axis=1)
    model = g.model({"probabilities": (FLOAT, ["N", 2, "H", "W"])})
    score, _ = chosen(model)
    assert (score.name, score.kind) == ("probabilities", "softmax")
    assert score.reason == "the probability 'p' and its complement"
    assert chosen(model, reduction_layer="probabilities")[0].name == "probabilities"
    assert "holds probabilities already" in refusal(model, score="sigmoid")


# ---- Lists


def detector(classes: int = 3, *, static: bool = False, objectness: bool = False) -> Builder:
    """Boxes and classes of 64 anchors side by side, perhaps with objectness, as ``output0``."""
    g = Builder(0)
    a = g.block("input", 3, 8, "a")
    parts = [("box", 4), *([("obj", 1)] if objectness else []), ("cls", classes)]
    rows = []
    for name, count in parts:
        y = g.conv(a, 8, count, f"{name}_conv", k=1)
        shape = g.constant(f"{name}.shape", [1 if static else 0, count, 64])
        flat = g.node("Reshape", [y, shape], f"{name}_flat")
        rows.append(flat if name == "box" else g.node("Sigmoid", [flat], f"{name}_sure"))
    g.node("Concat", rows, "output0", axis=1)
    return g


@pytest.mark.parametrize("static", [True, False])
def test_a_list_of_boxes_and_classes(static: bool) -> None:
    batch = 1 if static else "N"
    model = detector(static=static).model(
        {"output0": (FLOAT, [batch, 7, 64])}, picture(batch, 3, 8, 8)
    )
    score, notes = chosen(model)
    assert (score.name, score.class_axis, score.kind) == ("cls_sure", 1, "sigmoid")
    assert score.axes == ("batch", "class", "list")
    assert notes[0].startswith(
        "reduction layer 'cls_sure', the sigmoid behind the output 'output0'"
    )
    assert "classes by 'cls_conv'" in notes[0]
    assert chosen(named(model, "Sky", "Road", "Car"))[0].name == "cls_sure"
    assert "none of its parts has as many rows as the network's metadata names classes, 2" in (
        refusal(named(model, "Sky", "Road"))
    )


@pytest.mark.parametrize("static", [True, False])
def test_prototypes_are_no_classes(static: bool) -> None:
    model = networks.anchors()
    if static:
        for value in model.graph.input:
            for axis, extent in ((0, 1), (2, 32), (3, 32)):
                value.type.tensor_type.shape.dim[axis].dim_value = extent
    score, _ = chosen(model)
    assert (score.name, score.axes) == ("class_probabilities", ("batch", "class", "list"))
    assert taken_for(model)["output1"] == "prototypes"


def test_objectness_multiplies_the_classes() -> None:
    g = detector(objectness=True)
    g.node("Transpose", ["output0"], "output", perm=[0, 2, 1])
    model = g.model({"output": (FLOAT, ["N", 64, 8])}, picture("N", 3, 8, 8))
    score, notes = chosen(model)
    assert (score.name, score.class_axis) == ("output.classes.scores", 2)
    assert score.axes == ("batch", "list", "class")
    assert notes[0].startswith("reduction layer 'output', rows 5 to 7, times its objectness: ")
    assert "boxes by 'box_conv', objectness by 'obj_conv', classes by 'cls_conv'" in notes[0]
    exported = export(model)
    assert exported.artifact.verification is not None


def beside(boxes: str, classes: str, *, sigmoid: bool = False) -> onnx.ModelProto:
    """An output of four rows for each of 6 queries, beside one of 5 classes."""
    g = Builder(0)
    pooled = g.node("GlobalAveragePool", [g.block("input", 3, 8, "a")], "pooled")
    for name, count in ((boxes, 4), (classes, 5)):
        wide = g.conv(pooled, 8, 6 * count, f"{count}_wide", k=1)
        shape = g.constant(f"{count}.shape", [0, 6, count])
        last = g.node("Reshape", [wide, shape], f"{count}_rows" if sigmoid else name)
        if sigmoid:
            g.node("Sigmoid", [last], name)
    return g.model({boxes: (FLOAT, ["N", 6, 4]), classes: (FLOAT, ["N", 6, 5])})


@pytest.mark.parametrize(("boxes", "classes"), [("pred_boxes", "logits"), ("a1", "a2")])
def test_boxes_beside_logits(boxes: str, classes: str) -> None:
    score, _ = chosen(beside(boxes, classes))
    assert score == Score(
        name=classes,
        class_axis=2,
        kind="logits",
        axes=("batch", "list", "class"),
        reason=f"one row for each box of '{boxes}'",
    )
    assert taken_for(beside(boxes, classes))[boxes] == "boxes"


def test_the_queries_features_are_not_their_classes() -> None:
    model = beside("pred_boxes", "logits")
    model.graph.node.append(onnx.helper.make_node("Tanh", ["logits"], ["last_hidden_state"]))
    state = model.graph.output.add()
    state.CopyFrom(model.graph.output[1])
    state.name = "last_hidden_state"
    outputs = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend([outputs[2], outputs[0], outputs[1]])
    assert chosen(model)[0].name == "logits"


def queries(*states: str) -> onnx.ModelProto:
    """A MaskFormer: classes and masks of 6 queries apart, beside hidden states."""
    g = Builder(0)
    a = g.block("input", 3, 8, "a")
    pooled = g.node("GlobalAveragePool", [a], "pooled")
    wide = g.conv(pooled, 8, 48, "wide", k=1)
    rows = g.node("Reshape", [wide, g.constant("rows", [0, 6, 8])], "decoder_last_hidden_state")
    g.node("MatMul", [rows, g.weight("c", 8, 5, fan_in=8)], "class_queries_logits")
    flat = g.node("Reshape", [a, g.constant("flat", [0, 8, 256])], "columns")
    maps = g.node("MatMul", [rows, flat], "maps")
    to = g.constant("to", [0, 6, 16, 16])
    g.node("Reshape", [maps, to], "masks_queries_logits")
    g.node("Tanh", [a], "encoder_last_hidden_state")
    outputs: dict[str, tuple[int, Shape]] = {
        "class_queries_logits": (FLOAT, ["N", 6, 5]),
        "masks_queries_logits": (FLOAT, ["N", 6, 16, 16]),
        "encoder_last_hidden_state": (FLOAT, ["N", 8, 16, 16]),
        "decoder_last_hidden_state": (FLOAT, ["N", 6, 8]),
    }
    return g.model(
        {name: outputs[name] for name in states} | dict(list(outputs.items())[:2]),
        picture("N", 3, 16, 16),
    )


@pytest.mark.parametrize(
    "states",
    [
        [],
        ["encoder_last_hidden_state"],
        ["decoder_last_hidden_state", "encoder_last_hidden_state"],
    ],
)
def test_queries_apart_stop_the_choice_whatever_stands_beside(states: Sequence[str]) -> None:
    assert refusal(queries(*states)).startswith(
        "the outputs 'class_queries_logits' [N, 6, 5] and 'masks_queries_logits' [N, 6, 16, 16] "
        "hold the classes and the masks of queries apart"
    )


def test_names_tell_the_softmax_of_queries_from_their_sigmoid() -> None:
    model = named(beside("pred_boxes", "logits"), *"pqrst")
    assert chosen(model)[0].kind == "sigmoid"
    model = named(beside("pred_boxes", "logits"), *"pqrs")
    assert chosen(model)[0].kind == "softmax"  # and one for no object


def test_probabilities_of_anchors_beside_boxes() -> None:
    score, _ = chosen(beside("boxes", "scores", sigmoid=True))
    assert (score.name, score.class_axis, score.kind) == ("scores", 2, "sigmoid")


def test_a_named_output_of_a_list_keeps_its_axes() -> None:
    score, _ = chosen(beside("pred_boxes", "logits"), reduction_layer="logits", score="softmax")
    assert (score.name, score.class_axis) == ("logits.softmax", 2)


def test_attention_comes_last() -> None:
    g = Builder(0)
    a = g.block("input", 3, 8, "a")
    flat = g.node("Reshape", [a, g.constant("shape", [0, 8, 64])], "flat")
    turned = g.node("Transpose", [flat], "turned", perm=[0, 2, 1])
    logits = g.node("MatMul", [turned, flat], "logits")
    sure = g.node("Softmax", [logits], "sure", axis=-1)
    mixed = g.node("MatMul", [sure, turned], "mixed")
    read_ = g.node("ReduceMean", [mixed, g.constant("one", [1])], "read", keepdims=0)
    g.node("MatMul", [read_, g.weight("w", 8, 3, fan_in=8)], "y")
    outputs: dict[str, tuple[int, Shape]] = {
        "logits": (FLOAT, ["N", 64, 64]),
        "y": (FLOAT, ["N", 3]),
    }
    model = g.model(outputs, picture("N", 3, 8, 8))
    assert taken_for(model)["logits"] == "attention"
    assert chosen(model)[0].name == "y"


def test_rows_behind_a_top_k_are_scored_before_it() -> None:
    """As of end-to-end detectors, [N, 5, 6]: box, score and class of the best five."""
    g = detector()
    turned = g.node("Transpose", ["cls_sure"], "turned", perm=[0, 2, 1])
    best = g.node("ReduceMax", [turned, g.constant("two", [2])], "best", keepdims=0)
    k = g.constant("k", [5])
    g.nodes.append(onnx.helper.make_node("TopK", [best, k], ["top", "where"], axis=1))
    index = g.node("Unsqueeze", ["where", "two"], "index")
    boxes = g.node("Transpose", ["box_flat"], "boxes", perm=[0, 2, 1])
    wide = g.node("Expand", [index, g.constant("wide.shape", [1, 1, 4])], "wide")
    taken = g.node("GatherElements", [boxes, wide], "taken", axis=1)
    label = g.node("ArgMax", [turned], "label", axis=2, keepdims=0)
    label = g.node("GatherElements", [label, "where"], "labels", axis=1)
    label = g.node("Unsqueeze", [g.node("Cast", [label], "real", to=1), "two"], "column")
    rows = [taken, g.node("Unsqueeze", ["top", "two"], "sure"), label]
    g.node("Concat", rows, "rows", axis=2)
    model = g.model({"rows": (FLOAT, ["N", 5, 6])}, picture("N", 3, 8, 8))
    named(model, "Sky", "Road", "Car")
    score, notes = chosen(model)
    assert (score.name, score.class_axis) == ("cls_sure", 1)
    assert "holds what a TopK selects of a list of detections" in notes[0]


# ---- One number, and axes that are lost


def vector(width: int = 1) -> Builder:
    g = Builder(0)
    b = g.block(g.block("input", 3, 6, "a"), 6, 8, "b", strides=[2, 2])
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [b], "pooled")], "flat")
    g.node("Gemm", [flat, g.weight("w", 8, width, fan_in=8)], "age")
    return g


def test_a_regression_is_linear() -> None:
    score, _ = chosen(vector().model({"age": (FLOAT, ["N", 1])}))
    assert (score.name, score.kind, score.axes) == ("age", "linear", ("batch", "class"))


def one_number(how: str) -> onnx.ModelProto:
    g = vector(3 if how == "slice" else 1)
    if how == "squeeze":
        g.node("Squeeze", ["age", g.constant("one", [1])], "y")
    elif how == "flatten":
        g.node("Reshape", ["age", g.constant("all", [-1])], "y")
    else:
        g.node("Gather", ["age", g.constant("zero", 0)], "y", axis=1)
    return g.model({"y": (FLOAT, ["N"])})


@pytest.mark.parametrize("how", ["squeeze", "flatten", "slice"])
def test_one_number_without_a_class_axis(how: str) -> None:
    score, _ = chosen(one_number(how))
    assert score.name == ("y.as_class" if how == "slice" else "age")
    assert (score.class_axis, score.kind, score.axes) == (1, "linear", ("batch", "class"))
    exported = export(one_number(how), size=(16, 16))
    assert exported.artifact.verification is not None


def test_one_channel_that_is_gathered_of_a_map() -> None:
    g = Builder(0)
    g.conv(g.block("input", 3, 8, "a"), 8, 4, "last")
    g.node("Gather", ["last", g.constant("two", 2)], "y", axis=1)
    score, notes = chosen(g.model({"y": (FLOAT, ["N", "H", "W"])}))
    assert score.axes == ("batch", "class", "space", "space")
    assert "'y' has no axis of classes, so one of extent 1 is appended" in notes


def similarities() -> onnx.ModelProto:
    """As CLIP's logits_per_image: the transposed products of texts with a picture's embedding."""
    g = vector(8)
    turned = g.node("Transpose", ["age"], "columns", perm=[1, 0])
    texts = g.node("MatMul", [g.weight("texts", 5, 8, fan_in=8), turned], "logits_per_text")
    g.node("Transpose", [texts], "logits_per_image", perm=[1, 0])
    return g.model({"logits_per_image": (FLOAT, ["N", 5])})


def test_a_matrix_of_texts_and_pictures() -> None:
    score, _ = chosen(similarities(), reduction_layer="logits_per_image", score="logits")
    assert (score.name, score.class_axis, score.axes) == ("logits_per_image", 1, ("batch", "class"))
    exported = export(similarities(), classes=list("pqrst"), size=(16, 16))
    assert exported.artifact.score.class_axis == 1
    assert exported.artifact.expects.classes == tuple("pqrst")


def test_whether_a_picture_has_one_text_or_several_is_not_known() -> None:
    """CLIP has a softmax over the texts, SigLIP a sigmoid for each."""
    g = vector(8)
    texts = g.node("Tanh", ["embeddings"], "texts")
    turned = g.node("Transpose", [texts], "turned", perm=[1, 0])
    g.node("MatMul", ["age", turned], "logits_per_image")
    inputs = picture("N", 3, 16, 16)
    inputs["embeddings"] = (FLOAT, ["M", 8])
    score, notes = chosen(g.model({"logits_per_image": (FLOAT, ["N", "M"])}, inputs))
    assert (score.name, score.kind) == ("logits_per_image", "logits")
    assert "whether a softmax or a sigmoid belongs behind 'logits_per_image' is not" in notes[1]


def test_a_class_axis_is_used_or_refused() -> None:
    model = networks.unet_logits()
    assert chosen(model, class_axis=1)[0].class_axis == 1
    assert chosen(model, reduction_layer="logits", class_axis=-1)[0].class_axis == 3
    assert refusal(model, class_axis=4) == (
        "'logits' [N, 4, ?, ?] has no axis 4; choose one of 1 to 3 by class_axis="
    )
    assert "is that of the batch, which holds no classes" in refusal(model, class_axis=0)
    assert "the softmax 'probabilities' runs over axis 1, so its classes are not in axis 2" in (
        refusal(networks.unet(), class_axis=2)
    )


# ---- The batch


def sequence() -> onnx.ModelProto:
    """As a reader of text: the columns of the last features become steps, [T, N, C]."""
    g = Builder(0)
    a = g.block("input", 3, 8, "a")
    rows = g.node("ReduceMean", [a, g.constant("two", [2])], "rows", keepdims=0)
    steps = g.node("Transpose", [rows], "steps", perm=[2, 0, 1])
    g.node("MatMul", [steps, g.weight("w", 8, 5, fan_in=8)], "logits")
    return g.model({"logits": (FLOAT, [12, "N", 5])}, picture("N", 3, 8, 12))


def test_a_batch_that_is_not_first() -> None:
    score, notes = chosen(sequence())
    assert (score.name, score.class_axis) == ("logits.batch_first.softmax", 2)
    assert (score.axes[0], score.axes[2]) == ("batch", "class")
    assert "'logits' has its batch in axis 1, so a Transpose is appended" in notes
    exported = export(sequence(), size=(12, 8))
    assert exported.artifact.verification is not None


def test_frames_that_are_folded_into_the_batch() -> None:
    g = Builder(0)
    frames = g.node("Reshape", ["input", g.constant("each", [-1, 3, 8, 8])], "frames")
    a = g.block(frames, 3, 6, "a")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [a], "pooled")], "flat")
    g.node("Gemm", [flat, g.weight("w", 6, 3, fan_in=6)], "logits")
    model = g.model({"logits": (FLOAT, [8, 3])}, picture(2, 4, 3, 8, 8))
    score, notes = chosen(model)
    assert (score.axes, score.class_axis) == (("batch", "time", "class"), 2)
    assert "'logits' has a row for each frame" in " ".join(notes)


def test_a_named_tensor_is_explained_itself_though_a_reshape_regroups_its_channels() -> None:
    """[N, 24] became [N, 6, 4]: a softmax over the 24 would score other things than its name."""
    options: dict[str, Any] = {"reduction_layer": "class_queries", "score": "softmax"}
    exported = export(networks.queries(), class_axis=2, verify=False, **options)
    assert exported.artifact.score.class_axis == 2
    assumed = export(networks.queries(), verify=False, **options)
    assert assumed.artifact.score.name == "class_queries.softmax"
    assert any("axis 1 of 'class_queries'" in note for note in assumed.notes)
