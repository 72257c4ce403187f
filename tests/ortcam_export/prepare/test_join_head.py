from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, parser

from ortcam.errors import InputError, LayerError, ModelError
from ortcam_export.graph.model_io import opset, serialise
from ortcam_export.graph.names import find
from ortcam_export.prepare.join_head import join_head
from ortcam_export.prepare.prepare import prepare

ENTROPY = """
    (float[N, C] probabilities) => (float[N] entropy) {
        log = Log(probabilities)
        terms = Mul(probabilities, log)
        one = Constant <value_ints = [1]> ()
        sum = ReduceSum <keepdims = 0> (terms, one)
        entropy = Neg(sum)
    }"""


def head(text: str, opset: int = 18) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> head {text}')


def joined(
    added: str | onnx.ModelProto, network: onnx.ModelProto | None = None
) -> tuple[ir.Model, str, list[str]]:
    model = prepare(ir.from_proto(networks.classifier() if network is None else network))
    notes: list[str] = []
    return model, join_head(model, head(added) if isinstance(added, str) else added, notes), notes


def refusal(added: str | onnx.ModelProto | bytes | Path, kind: type[Exception] = InputError) -> str:
    model = prepare(ir.from_proto(networks.classifier()))
    with pytest.raises(kind) as caught:
        join_head(model, head(added) if isinstance(added, str) else added, [])
    return str(caught.value)


def run(
    model: ir.Model, outputs: list[str], **further: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    model = model.clone()
    own = {value.name for value in model.graph.outputs}
    model.graph.outputs.extend(find(model, name) for name in outputs if name not in own)
    proto = onnx.load_from_string(serialise(model))
    onnx.checker.check_model(proto, full_check=True)
    x = np.random.default_rng(0).random((2, 3, 32, 48), np.float32)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(outputs, {"input": x, **further})  # type: ignore[no-any-return]


def test_a_head_computes_from_tensors_of_the_network() -> None:
    model, name, notes = joined(ENTROPY)
    probabilities, entropy = run(model, ["probabilities", name])
    expected = -(probabilities * np.log(probabilities)).sum(1)
    np.testing.assert_allclose(entropy, expected, rtol=1e-6)
    assert (name, notes) == ("entropy", [])
    names = {value.name for node in model.graph for value in node.outputs}
    assert {"head.log", "head.terms", "head.sum"} <= names


def test_several_tensors_and_constants_are_read() -> None:
    model, name, _ = joined(
        """(float[N, 8, h, w] b_relu, float[N, C] logits) => (float[N, 1] score)
        <float[1, 1] factor = {3.0}> {
            axes = Constant <value_ints = [1, 2, 3]> ()
            inner = ReduceMean <keepdims = 0> (b_relu, axes)
            one = Constant <value_ints = [1]> ()
            column = Unsqueeze(inner, one)
            best = ReduceMax <keepdims = 1> (logits, one)
            product = Mul(column, best)
            score = Mul(product, factor)
        }"""
    )
    features, logits, score = run(model, ["b_relu", "logits", name])
    expected = 3 * features.mean((1, 2, 3))[:, None] * logits.max(1, keepdims=True)
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_another_name_is_a_further_input() -> None:
    model, name, notes = joined(
        """(float[N, C] logits, float[1, C] reference) => (float[N, 1] score) {
            product = Mul(logits, reference)
            one = Constant <value_ints = [1]> ()
            score = ReduceSum(product, one)
        }"""
    )
    assert [value.name for value in model.graph.inputs] == ["input", "reference"]
    assert len(notes) == 1
    assert notes[0].startswith(
        "the head's input 'reference' [1, 5] has the name of no tensor of the network"
    )
    assert list(model.graph.inputs[1].shape or ()) == [1, 5]  # C is 5 in the logits
    reference = np.arange(5, dtype=np.float32)[None]
    logits, score = run(model, ["logits", name], reference=reference)
    np.testing.assert_allclose(score, (logits * reference).sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(("of_network", "of_head"), [(18, 11), (11, 18), (18, 22), (22, 18)])
def test_the_lower_opset_is_raised(of_network: int, of_head: int) -> None:
    network = networks.classifier()
    network.opset_import[0].version = of_network
    added = head("(float[N, C] logits) => (float[N, D] score) { score = Exp(logits) }", of_head)
    model, name, _ = joined(added, network)
    assert opset(model) == max(of_network, of_head, 18)
    logits, score = run(model, ["logits", name])
    np.testing.assert_allclose(score, np.exp(logits), rtol=1e-6)


def test_the_same_head_joins_twice() -> None:
    """Its names are renamed, in its branches too, and the head itself is left as it is."""
    text = """(float[N, C] logits, bool flag) => (float[N, C] logits_2) {
        logits_2 = If (flag) <
            then_branch = then () => (float[N, C] x) { x = Exp(logits) },
            else_branch = otherwise () => (float[N, C] x) { x = Neg(logits) }
        >
    }"""
    added = head(text)
    before = added.SerializeToString()
    model = prepare(ir.from_proto(networks.classifier()))
    names = [join_head(model, added, []) for _ in range(2)]
    assert added.SerializeToString() == before
    assert names == ["logits_2", "logits_2_2"]
    flag = np.array(True)
    logits, *scores = run(model, ["logits", *names], flag=flag)
    for score in scores:
        np.testing.assert_allclose(score, np.exp(logits), rtol=1e-6)


def test_a_float16_tensor_is_cast() -> None:
    network = parser.parse_model("""<ir_version: 8, opset_import: ["": 18]>
        network (float[N, 3, H, W] input) => (float[N, 3] logits) {
            half = Cast <to = 10> (input)
            axes = Constant <value_ints = [2, 3]> ()
            pooled = ReduceMean <keepdims = 0> (half, axes)
            logits = Cast <to = 1> (pooled)
        }""")
    model, name, _ = joined(
        "(float[N, C] pooled) => (float[N, C] score) { score = Exp(pooled) }", network
    )
    logits, score = run(model, ["logits", name])
    assert score.dtype == np.float32
    np.testing.assert_allclose(score, np.exp(logits), rtol=1e-6)


BODY = "{ score = Exp(logits) }"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "(float[N, C] logit) => (float[N, C] score) { score = Exp(logit) }",
            "no input of the head the model has the name of a tensor of the network: "
            "it has no 'logit'; the nearest are 'logits', ",
        ),
        (
            "() => (float[1, 3] score) { score = Constant <value = float[1, 3] {1, 2, 3}> () }",
            "has no inputs; name one after a tensor of the network",
        ),
        (
            "(float[N, C] logits) => (float[N, C] a, float[N, C] b) "
            "{ a = Exp(logits) b = Neg(logits) }",
            "has 2 outputs ('a', 'b'); it must have one, the score",
        ),
        (
            "(float[N, C] logits) => (int64[N, 1] score) { score = ArgMax <axis = 1> (logits) }",
            "the head's output 'score' is int64; a score that has a gradient is float32",
        ),
        (
            "(float[N, C] logits) => (float[N, C] logits) { score = Exp(logits) }",
            "computes nothing: its output is an input or a constant",
        ),
        (
            f"(float[N, 77] logits) => (float[N, 77] score) {BODY}",
            "the head takes 'logits' [N, 77], and the network's tensor is 'logits' [N, ",
        ),
        (
            f"(float[N, C, h, w] logits) => (float[N, C, h, w] score) {BODY}",
            "the head takes 'logits' [N, C, h, w], and the network's tensor is 'logits' [N, ",
        ),
        (
            "(int64[N, C] logits) => (float[N, C] score) { score = Cast <to = 1> (logits) }",
            "the head takes 'logits' as int64, and the network's tensor is float",
        ),
    ],
)
def test_heads_that_do_not_fit_are_refused(text: str, message: str) -> None:
    assert message in refusal(text)


def test_a_score_has_a_row_for_each_picture() -> None:
    text = "(float[N, C] logits) => (float score) { score = ReduceSum <keepdims = 0> (logits) }"
    assert "is a single number, where a score has one row for each picture" in refusal(
        text, LayerError
    )


def test_other_domains_have_one_version() -> None:
    """An operator of another domain is left as it is."""
    added = head("(float[N, C] logits) => (float[N, C] score) { score = Exp(logits) }")
    added.graph.node[0].domain = "example"
    added.opset_import.append(helper.make_opsetid("example", 2))
    model, _, _ = joined(added)
    assert model.opset_imports["example"] == 2
    added.opset_import[1].version = 1
    with pytest.raises(
        InputError, match=r"version 1 of the operators of 'example' and the network"
    ):
        join_head(model, added, [])


def test_a_head_is_read_as_a_network_is(tmp_path: Path) -> None:
    path = tmp_path / "head.onnx"
    onnx.save(head(f"(float[N, C] logits) => (float[N, C] score) {BODY}"), path)
    model = prepare(ir.from_proto(networks.classifier()))
    assert join_head(model, path, []) == "score"
    path.write_bytes(path.read_bytes()[:30])
    assert "head.onnx" in refusal(path, ModelError)
    assert "there is no file" in refusal(tmp_path / "none.onnx", ModelError)


def test_external_data_stay_in_the_folder(tmp_path: Path) -> None:
    added = head(f"(float[N, C] logits) => (float[N, C] score) {BODY}")
    tensor = TensorProto(name="weight", dims=[2], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    added.graph.initializer.append(tensor)
    (tmp_path / "head.onnx").write_bytes(added.SerializeToString())
    assert "outside the network's own folder" in refusal(tmp_path / "head.onnx", ModelError)
