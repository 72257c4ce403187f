from __future__ import annotations

from typing import Any

import networks
import numpy as np
import onnx
import pytest
from onnx import helper, parser

import ortcam
from ortcam.errors import InputError, LayerError
from ortcam_export import Exported, export

FAST: dict[str, Any] = {"size": (48, 32)}


def head(body: str, signature: str = "(float[N, C] logits) => (float[N, D] score)") -> bytes:
    text = f'<ir_version: 8, opset_import: ["": 18]> head {signature} {{ {body} }}'
    data: bytes = parser.parse_model(text).SerializeToString()
    return data


def exported(body: str, signature: str | None = None, **options: Any) -> Exported:
    added = head(body) if signature is None else head(body, signature)
    return export(networks.classifier(), head=added, **FAST, **options)


@pytest.mark.parametrize(
    ("body", "score", "name", "kind"),
    [
        ("score = Exp(logits)", None, "score", "linear"),
        ("score = Softmax(logits)", None, "score", "softmax"),
        ("p = Sigmoid(logits) score = Cast <to = 1> (p)", None, "score", "sigmoid"),
        ("score = Neg(logits)", "logits", "score", "logits"),
        ("score = Neg(logits)", "softmax", "score.softmax", "softmax"),
        ("score = Neg(logits)", "sigmoid", "score.sigmoid", "sigmoid"),
        ("score = Sigmoid(logits)", "linear", "score", "linear"),
    ],
)
def test_the_kind_is_that_of_the_last_operator(
    body: str, score: str | None, name: str, kind: str
) -> None:
    artifact = exported(body, score=score).artifact
    assert (artifact.score.name, artifact.score.kind) == (name, kind)
    assert artifact.score.class_axis == 1
    assert artifact.verification is not None
    assert artifact.verification.error < 1e-2


def test_a_maximum_is_explained_itself() -> None:
    """A ReduceMax that ends a network decides by scores; one that ends a head is the score."""
    made = exported(
        "one = Constant <value_ints = [1]> () score = ReduceMax <keepdims = 1> (logits, one)"
    )
    cam = ortcam.load(made.model)
    assert cam.classes == ("score",)
    plain = ortcam.load(export(networks.classifier(), score="logits", **FAST).model)
    x = np.random.default_rng(0).random((1, 3, 32, 48), np.float32)
    best = int(plain.explain(tensor=x).score.argmax())
    np.testing.assert_allclose(
        cam.explain(tensor=x, classes=0).weights["b_relu"],
        plain.explain(tensor=x, classes=best).weights["b_relu"],
        rtol=1e-5,
    )


def test_the_class_axis_is_an_option() -> None:
    signature = "(float[N, C, h, w] probabilities) => (float[N, h, w, C] score)"
    added = head("score = Transpose <perm = [0, 2, 3, 1]> (probabilities)", signature)
    artifact = export(networks.unet(), head=added, class_axis=3, **FAST).artifact
    assert artifact.score.class_axis == 3
    with pytest.raises(
        InputError, match=r"axis 0 of .* is that of the batch, which holds no classes"
    ):
        export(networks.unet(), head=added, class_axis=0, **FAST)


def test_names_of_classes() -> None:
    """Those of the network where they fit, those that the user states, or the head's output."""
    network = networks.classifier()
    helper.set_model_props(network, {"ortcam": '{"format": 1, "classes": ["a","b","c","d","e"]}'})
    same = export(network, head=head("score = Exp(logits)"), **FAST)
    assert same.artifact.expects.classes == ("a", "b", "c", "d", "e")
    mean = "one = Constant <value_ints = [1]> () score = ReduceMean (logits, one)"
    assert export(network, head=head(mean), **FAST).artifact.expects.classes == ("score",)
    named = export(network, head=head(mean), classes=["mean"], **FAST)
    assert named.artifact.expects.classes == ("mean",)


def test_further_inputs_take_no_picture() -> None:
    """Even if they have a picture's shape."""
    made = exported(
        "axes = Constant <value_ints = [2, 3]> () m = ReduceMean <keepdims = 0> (shift, axes)"
        "score = Add(probabilities, m)",
        "(float[N, C] probabilities, float[1, 1, h, w] shift) => (float[N, C] score)",
    )
    assert made.artifact.picture == "input"
    assert any(note.startswith("the head's input 'shift' [1, 1, h, w]") for note in made.notes)


@pytest.mark.parametrize("options", [{"split": True}, {"static": True}, {"maps": True}])
def test_artifacts_of_other_forms(options: dict[str, Any]) -> None:
    made = exported("score = Exp(logits)", **options)
    assert made.artifact.score.name == "score"
    onnx.checker.check_model(onnx.load_from_string(made.model), full_check=True)


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"the output of head= is the reduction layer; leave red"):
        exported("score = Exp(logits)", reduction_layer="logits")
    with pytest.raises(InputError, match="score is 'odd'"):
        exported("score = Exp(logits)", score="odd")
    one = "one = Constant <value_ints = [1]> () score = ReduceMean (logits, one)"
    with pytest.raises(LayerError, match="a softmax over the one channel"):
        exported(one, score="softmax")
    with pytest.raises(LayerError, match=r"convolution|gradient|feature"):
        export(
            networks.classifier(),
            head=head(
                "x = Shape(logits) y = Cast <to = 1> (x) z = Constant <value_ints = [1, 2]> ()"
                "score = Reshape(y, z)"
            ),
            **FAST,
        )


@pytest.mark.parametrize(
    ("body", "axis", "is_assumed"),
    [
        ("score = Reshape(logits, row)", 2, False),
        ("a = Reshape(logits, column) b = Reshape(logits, row) score = MatMul(a, b)", 1, True),
    ],
)
def test_an_axis_of_classes_that_is_assumed_is_noted(
    body: str, axis: int, is_assumed: bool
) -> None:
    """In a table of classes by classes either axis may hold those that are asked about."""
    shapes = (
        "row = Constant <value_ints = [0, 1, 5]> () column = Constant <value_ints = [0, 5, 1]> () "
    )
    made = exported(shapes + body, "(float[N, C] logits) => (float[N, A, B] score)", verify=False)
    assert made.artifact.score.class_axis == axis
    noted = any("is taken for that of the classes" in note for note in made.notes)
    assert noted == is_assumed
