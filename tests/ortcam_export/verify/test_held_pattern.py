"""Networks that hold their pattern: the same score and the same derivative, without kinks."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, parser
from onnx.reference import ReferenceEvaluator

from ortcam_export.graph.traversal import between
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.verify.affine import is_affine
from ortcam_export.verify.held_pattern import hold

Array = NDArray[np.float64]

#: Operators by the text of a network from x to y, [1, 2, 4, 6].
LINEAR = {
    "Relu": "y = Relu(x)",
    "LeakyRelu": "y = LeakyRelu<alpha = 0.3>(x)",
    "PRelu": "s = Constant<value = double {0.2}>()  y = PRelu(x, s)",
    "ThresholdedRelu": "y = ThresholdedRelu<alpha = 0.4>(x)",
    "Clip": "l = Constant<value = double {-0.5}>()  h = Constant<value = double {0.6}>()"
    "y = Clip(x, l, h)",
    "Clip below": "l = Constant<value = double {-0.5}>()  y = Clip(x, l)",
    "Clip above": "h = Constant<value = double {0.6}>()  y = Clip(x, , h)",
    "Abs": "y = Abs(x)",
    "HardSigmoid": "y = HardSigmoid<alpha = 0.6, beta = 0.4>(x)",
    "Max": "s = Constant<value = double {0.1}>()  n = Neg(x)  y = Max(x, s, n)",
    "Min": "s = Constant<value = double {0.1}>()  n = Neg(x)  y = Min(x, s, n)",
    "ReduceMax": "a = Constant<value_ints = [1, 3]>()  y = ReduceMax(x, a)",
    "ReduceMin": "a = Constant<value_ints = [2]>()  y = ReduceMin<keepdims = 0>(x, a)",
    "ReduceMax of all": "y = ReduceMax<keepdims = 0>(x)",
    "ReduceL1": "a = Constant<value_ints = [2]>()  y = ReduceL1<keepdims = 0>(x, a)",
    "GlobalMaxPool": "y = GlobalMaxPool(x)",
    "MaxPool": "y = MaxPool<kernel_shape = [3, 2], strides = [1, 2], pads = [1, 0, 1, 0]>(x)",
    "TopK": "k = Constant<value_ints = [2]>()  v, i = TopK<axis = 3>(x, k)"
    "f = Cast<to = 11>(i)  y = Mul(v, f)",
    "comparisons": "z = Constant<value = double {0.2}>()  b = Greater(x, z)"
    "n = Neg(x)  y = Where(b, x, n)",
    "Floor": "h = Constant<value = double {3}>()  t = Mul(x, h)  f = Floor(t)  y = Add(f, x)",
    "ArgMax": "a = ArgMax<axis = 1, keepdims = 1>(x)  f = Cast<to = 11>(a)  y = Mul(x, f)",
}
CURVED = {
    "HardSwish": "y = HardSwish(x)",
    "Elu": "y = Elu<alpha = 0.7>(x)",
    "Celu": "y = Celu<alpha = 0.7>(x)",
    "Selu": "y = Selu(x)",
    "Sigmoid": "y = Sigmoid(x)",
}


def network(body: str) -> onnx.ModelProto:
    head = '<ir_version: 10, opset_import: ["": 18]> g (double[1, 2, 4, 6] x) => (double y)'
    model = parser.parse_model(f"{head} {{{body}}}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model)


def run(model: ir.Model, outputs: list[str], feeds: dict[str, Any]) -> dict[str, Any]:
    proto = ir.to_proto(model)
    del proto.graph.output[:]
    proto.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs)
    names = {value.name for value in proto.graph.input}
    session = ReferenceEvaluator(proto)
    values = session.run(outputs, {k: v for k, v in feeds.items() if k in names})
    return dict(zip(outputs, values, strict=True))


@pytest.mark.parametrize("name", [*LINEAR, *CURVED])
def test_the_score_and_its_derivative_are_the_networks(name: str) -> None:
    model = prepare(load(network((LINEAR | CURVED)[name])))
    recording, held = hold(model)
    random = np.random.default_rng(1)
    x = random.normal(size=(1, 2, 4, 6))
    v = random.normal(size=x.shape)
    patterns = [value.name or "" for value in held.graph.inputs if value.name != "x"]
    plain = run(recording, ["y", *patterns], {"x": x})

    def difference(of: ir.Model, t: float) -> Array:
        up, down = (run(of, ["y"], {**plain, "x": x + s * t * v})["y"] for s in (1, -1))
        return np.asarray((up - down) / (2 * t))

    np.testing.assert_allclose(run(held, ["y"], {**plain, "x": x})["y"], plain["y"], atol=1e-7)
    derivative = difference(model, 1e-6)
    step = 2.0 if name in LINEAR else 1e-4  # a step of 2 crosses kinks, if there are any left
    np.testing.assert_allclose(difference(held, step), derivative, rtol=1e-5, atol=1e-6)
    value = next(value for value in held.graph.inputs if value.name == "x")
    end = next(o for node in held.graph for o in node.outputs if o.name == "y")
    assert is_affine(between(held.graph, value, end), value) == (name in LINEAR)


def test_at_a_tie_the_pattern_takes_the_gradients_side() -> None:
    """The derivative of a ReLU at 0 is 0; equal maxima share it."""
    for body, expected in (
        ("y = Relu(x)", 0.0),
        ("y = Abs(x)", 0.0),
        ("a = Constant<value_ints = [3]>()  y = ReduceMax(x, a)", 1.0),
    ):
        recording, held = hold(prepare(load(network(body))))
        x = np.zeros((1, 2, 4, 6))
        patterns = [value.name or "" for value in held.graph.inputs if value.name != "x"]
        plain = run(recording, patterns, {"x": x})
        y = run(held, ["y"], {**plain, "x": x + 3})["y"]
        np.testing.assert_allclose(y, 3 * expected)


def test_products_of_the_layer_with_itself_are_not_affine() -> None:
    for body, affine in (
        ("y = Mul(x, x)", False),
        ("n = Neg(x)  y = Add(x, n)", True),
        ("y = Div(x, x)", False),
        ("y = Softmax(x)", False),
    ):
        model = prepare(load(network(body)))
        x = model.graph.inputs[0]
        assert is_affine(between(model.graph, x, model.graph.outputs[0]), x) == affine


assert TensorProto.DOUBLE == 11  # the number in the texts above
